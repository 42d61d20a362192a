// Factors of a product in workgroup memory as f16, half as large: each is rounded as it enters. Products are summed in f32. What is
// larger than 65,504 becomes infinite, what is smaller than 6e-5 loses digits or becomes zero.

alias Two = vec2<f16>;
alias Four = vec4<f16>;

// Quads by which a position of the left tile is longer than its rows, and one of the right tile than its columns, so that
// accesses spread over the banks and every position begins at a multiple of 16 bytes.
const LEFT_PAD = 2u;
const RIGHT_PAD = 2u;
