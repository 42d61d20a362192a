// The scalar width of kernels that are written for any: joined to them where sizes are no multiples of four.

alias F = f32;
alias U = u32;
const LANES = 1u;

// The numbers of an item's floats within it.
const LANE = 0u;

// One of an item's floats.
fn float_of(item: F, number: u32) -> f32 {
    return item;
}

// What the invocation at element i takes of what is made for four neighbouring elements at a time.
fn own(four: vec4<u32>, i: u32) -> U {
    return four[i % 4u];
}
