// The fourfold width of kernels that are written for any: one invocation works on four neighbouring channels, and one
// load brings all four.

alias F = vec4<f32>;
alias U = vec4<u32>;
const LANES = 4u;
