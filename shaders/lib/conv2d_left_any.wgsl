// Left side of a product with any number of channels: the counterpart of conv2d_left_vec4.wgsl.

@group(0) @binding(1) var<storage, read> x: array<f32>;

// Four floats of x.
fn load_x(at: vec4<u32>) -> vec4<f32> {
    return vec4(x[at.x], x[at.y], x[at.z], x[at.w]);
}
