// Left side of a product with any number of channels: the counterpart of conv2d_left_vec4.wgsl.

@group(0) @binding(1) var<storage, read> x: array<f32>;

// Four floats of x.
fn load_x(at: vec4<u32>) -> vec4<f32> {
    return vec4(x[at.x], x[at.y], x[at.z], x[at.w]);
}

// Four neighbouring positions of the sum may lie in two kernel rows, and each inside the image or outside.
const WHOLE = false;
alias Inside = vec4<bool>;

fn as_inside(four: vec4<bool>) -> Inside {
    return four;
}

// Indices count so many floats.
const LEFT = 1u;

fn left_unit(at: u32) -> u32 {
    return at;
}

fn load_left_unit(at: vec4<u32>) -> vec4<f32> {
    return load_x(at);
}
