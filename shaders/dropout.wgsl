// dropout: sets a random share of the elements to zero and scales the others up, so that the mean stays
//
//   word[i] = word i mod 4 of philox(counter (i/4, site, 0, 0), key seed)
//   y[i]    = x[i] * (scale if word[i] >= threshold, else 0)
//
//   p     Params
//   x     [len]    read
//   seed  [2]      read: the run's seed and the step
//   y     [len]    read_write, set
//
// dispatch   [ceil(len/LANES/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums
// uses       index.wgsl: ITEMS, Invocation, item_index
// uses       lanes1.wgsl or lanes4.wgsl: F, LANES, U, own
// uses       philox.wgsl: philox

struct Params {
    len: u32,
    site: u32,
    threshold: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<F>;
@group(0) @binding(2) var<storage, read> seed: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<F>;

// What the elements of invocation i are multiplied by. Integers are compared, so that no device rounds at the border.
fn factor(i: u32) -> F {
    let words = own(philox(vec4(i * LANES / 4u, p.site, 0u, 0u), vec2(seed[0], seed[1])), i);
    return select(F(0.0), F(p.scale), words >= U(p.threshold));
}

@compute @workgroup_size(ITEMS)
fn dropout(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.len / LANES {
        y[i] = x[i] * factor(i); // not a choice between x and 0: a NaN must stay one
    }
}

// dropout_dx: gradient of dropout with respect to its input; draws the same words again
//
//   dx[i] (+)= dy[i] * (scale if word[i] >= threshold, else 0)
//
//   p     Params
//   dy    [len]    read
//   seed  [2]      read: that of dropout
//   dx    [len]    read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(len/LANES/ITEMS)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      no sums

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> dy: array<F>;
@group(0) @binding(3) var<storage, read_write> dx: array<F>;

@compute @workgroup_size(ITEMS)
fn dropout_dx(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.len / LANES {
        var g = dy[i] * factor(i);
        if ACCUMULATE {
            g += dx[i];
        }
        dx[i] = g;
    }
}
