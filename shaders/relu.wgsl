// relu: y = max(x, 0), elementwise
//
//   y[i] = max(x[i], 0)
//
//   p   Params
//   x   [len]    read
//   y   [len]    read_write, set
//
// dispatch   [ceil(len/LANES/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums
// uses       index.wgsl: ITEMS, Invocation, item_index
// uses       lanes1.wgsl or lanes4.wgsl: F, LANES
// uses       rectified.wgsl: rectified

struct Params {
    len: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<F>;
@group(0) @binding(2) var<storage, read_write> y: array<F>;

@compute @workgroup_size(ITEMS)
fn relu(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.len / LANES {
        y[i] = rectified(x[i]);
    }
}

// relu_dx: gradient of relu with respect to its input
//
//   dx[i] (+)= 0 if out[i] <= 0, else dy[i]    (a NaN passes dy on, as in PyTorch's threshold_backward)
//
//   p    Params
//   out  [len]    read: the output of relu
//   dy   [len]    read
//   dx   [len]    read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(len/LANES/ITEMS)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      no sums

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> out: array<F>;
@group(0) @binding(2) var<storage, read> dy: array<F>;
@group(0) @binding(3) var<storage, read_write> dx: array<F>;

@compute @workgroup_size(ITEMS)
fn relu_dx(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.len / LANES {
        var g = select(dy[i], F(0.0), out[i] <= F(0.0));
        if ACCUMULATE {
            g += dx[i];
        }
        dx[i] = g;
    }
}

// relu_dy: masks the gradient of the output of an op that has a ReLU fused behind it, in place
//
//   dz[i] = 0 if out[i] <= 0, else dz[i]    (a NaN as in relu_dx)
//
//   p    Params
//   out  [len]    read: the output of the fused op
//   dz   [len]    read_write, masked in place
//
// dispatch   [ceil(len/LANES/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums

@group(0) @binding(2) var<storage, read_write> dz: array<F>;

@compute @workgroup_size(ITEMS)
fn relu_dy(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.len / LANES {
        dz[i] = select(dz[i], F(0.0), out[i] <= F(0.0));
    }
}
