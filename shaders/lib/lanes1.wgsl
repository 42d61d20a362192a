// The scalar width of kernels that are written for any: joined to them where sizes are no multiples of four.

alias F = f32;
alias U = u32;
const LANES = 1u;
