// Which windows of a pooling meet which positions. Positions count from the top left corner of the padding, so that
// none is negative.

// The positions [first, end) of a window of `k` from `start` that lie on the image and not on its padding.
fn window(start: u32, k: u32, size: u32, pad: u32) -> vec2<u32> {
    return vec2(max(start, pad), min(start + k, size + pad));
}

// The windows [first, end) out of `count` that contain `position`. Empty if a stride above `k` leaves it out.
fn windows_around(position: u32, k: u32, stride: u32, count: u32) -> vec2<u32> {
    let first = select((position - k) / stride + 1u, 0u, position < k);
    return vec2(first, min(position / stride + 1u, count));
}
