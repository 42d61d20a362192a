// add: sum of two tensors, the second one scaled, elementwise; ReLU fused
//
//   y[i] = a[i] + scale * b[i], then max(., 0) if RELU
//
//   p   Params
//   a   [len]    read
//   b   [len]    read
//   y   [len]    read_write, set
//
// dispatch   [ceil(len/LANES/ITEMS)], folded
// overrides  RELU
// needs      nothing beyond default limits; no barrier
// order      no sums beyond a + scale * b
// uses       index.wgsl: ITEMS, Invocation, item_index
// uses       lanes1.wgsl or lanes4.wgsl: F, LANES
// uses       rectified.wgsl: rectified

struct Params {
    len: u32,
    scale: f32,
}

override RELU: bool = false;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<F>;
@group(0) @binding(2) var<storage, read> b: array<F>;
@group(0) @binding(3) var<storage, read_write> y: array<F>;

@compute @workgroup_size(ITEMS)
fn add(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.len / LANES {
        var sum = a[i] + p.scale * b[i];
        if RELU {
            sum = rectified(sum);
        }
        y[i] = sum;
    }
}

// add_dx: gradient of add with respect to one of its inputs; scale is 1 for the first. A ReLU has masked dy before.
//
//   dx[i] (+)= scale * dy[i]
//
//   p   Params
//   dy  [len]    read
//   dx  [len]    read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(len/LANES/ITEMS)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      no sums

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> dy: array<F>;
@group(0) @binding(2) var<storage, read_write> dx: array<F>;

@compute @workgroup_size(ITEMS)
fn add_dx(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.len / LANES {
        var g = p.scale * dy[i];
        if ACCUMULATE {
            g += dx[i];
        }
        dx[i] = g;
    }
}
