// Left side of a product whose channels are a multiple of four, read four floats at a time.

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;

// Four floats of x that lie side by side.
fn load_x(at: vec4<u32>) -> vec4<f32> {
    return x[at.x / 4u];
}

// Four neighbouring positions of the sum lie in one kernel row, and inside the image or outside together.
const WHOLE = true;
alias Inside = bool;

fn as_inside(four: vec4<bool>) -> Inside {
    return four.x;
}

// Indices count so many floats.
const LEFT = 4u;

// Of an index that may lie before the first float, too.
fn left_unit(at: u32) -> u32 {
    return bitcast<u32>(bitcast<i32>(at) >> 2u);
}

fn load_left_unit(at: vec4<u32>) -> vec4<f32> {
    return x[at.x];
}
