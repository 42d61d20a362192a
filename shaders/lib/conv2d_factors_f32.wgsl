// Factors of a product in workgroup memory as f32: the counterpart of conv2d_factors_f16.wgsl.

alias Two = vec2<f32>;
alias Four = vec4<f32>;

// Quads by which a position of the left tile is longer than its rows, so that the transposing stores spread over the banks, and
// one of the right tile than its columns.
const LEFT_PAD = 1u;
const RIGHT_PAD = 0u;
