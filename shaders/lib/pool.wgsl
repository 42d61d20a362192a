// What the pooling kernels share: their parameters, and which windows meet which positions. Positions count from the top
// left corner of the padding, so that none is negative.

struct Params {
    n: u32,
    h_in: u32,
    w_in: u32,
    c: u32,
    h_out: u32,
    w_out: u32,
    k_h: u32,
    k_w: u32,
    stride: u32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> p: Params;

// The positions [first, end) of a window of `k` from `start` that lie on the image and not on its padding.
fn window(start: u32, k: u32, size: u32, pad: u32) -> vec2<u32> {
    return vec2(max(start, pad), min(start + k, size + pad));
}

// The windows [first, end) out of `count` that contain `position`. Empty if a stride above `k` leaves it out.
fn windows_around(position: u32, k: u32, stride: u32, count: u32) -> vec2<u32> {
    let first = select((position - k) / stride + 1u, 0u, position < k);
    return vec2(first, min(position / stride + 1u, count));
}

// Positions of a window on the image and its padding: fewer than `k` where rounding the number of windows up made it
// reach beyond. PyTorch's average counts these (count_include_pad=True).
fn window_size(number: u32, k: u32, size: u32) -> u32 {
    return min(k, size + 2u * p.pad - number * p.stride);
}
