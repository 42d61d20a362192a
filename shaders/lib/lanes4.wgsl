// The fourfold width of kernels that are written for any: one invocation works on four neighbouring channels, and one
// load brings all four.

alias F = vec4<f32>;
alias U = vec4<u32>;
const LANES = 4u;

// The numbers of an item's floats within it.
const LANE = vec4(0u, 1u, 2u, 3u);

// One of an item's floats.
fn float_of(item: F, number: u32) -> f32 {
    return item[number];
}

// What the invocation at the fourth part i takes of what is made for four neighbouring elements at a time: all of it.
fn own(four: vec4<u32>, i: u32) -> U {
    return four;
}
