// sigmoid: the logistic function, elementwise
//
//   y[i] = 1 / (1 + exp(-x[i]))
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

struct Params {
    len: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<F>;
@group(0) @binding(2) var<storage, read_write> y: array<F>;

@compute @workgroup_size(ITEMS)
fn sigmoid(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.len / LANES {
        // No exponential of a positive number, which might be infinite.
        let e = exp(-abs(x[i]));
        y[i] = select(e, F(1.0), x[i] >= F(0.0)) / (F(1.0) + e);
    }
}

// sigmoid_dx: gradient of sigmoid with respect to its input
//
//   dx[i] (+)= dy[i] * out[i] * (1 - out[i])
//
//   p    Params
//   out  [len]    read: the output of sigmoid
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
fn sigmoid_dx(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.len / LANES {
        var g = dy[i] * out[i] * (F(1.0) - out[i]);
        if ACCUMULATE {
            g += dx[i];
        }
        dx[i] = g;
    }
}
