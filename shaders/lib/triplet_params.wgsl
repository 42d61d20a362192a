// The parameters of all kernels of the triplet loss.

struct Params {
    b: u32,
    dim: u32,
    margin: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
