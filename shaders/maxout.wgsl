// maxout: largest of `pieces` neighbouring channels. Rows lie one after another, so groups need not know of them.
//
//   y[i] = max over t of  x[i*pieces+t]
//
//   p   Params
//   x   [len*pieces]    read
//   y   [len]           read_write, set
//
// dispatch   [ceil(len/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      visits t in order; no sums
// uses       index.wgsl: ITEMS, Invocation, item_index

struct Params {
    len: u32,
    pieces: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// Whether `value` takes the place of the `best` before it: if it is larger; and a NaN wins, as in PyTorch.
fn better(value: f32, best: f32) -> bool {
    return (value > best) | !(value == value);
}

@compute @workgroup_size(ITEMS)
fn maxout(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.len {
        let start = i * p.pieces;
        var best = x[start];
        for (var t = 1u; t < p.pieces; t++) {
            let value = x[start + t];
            best = select(best, value, better(value, best));
        }
        y[i] = best;
    }
}

// maxout_dx: gradient of maxout with respect to its input; finds the largest again instead of remembering it
//
//   dx[i*pieces+t] (+)= dy[i] if x[i*pieces+t] is the first of the largest of its group, else 0
//
//   p   Params
//   x   [len*pieces]    read
//   dy  [len]           read
//   dx  [len*pieces]    read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(len/ITEMS)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      no sums; one invocation owns the `pieces` elements of its group

override ACCUMULATE: bool = false;

@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(ITEMS)
fn maxout_dx(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.len {
        let start = i * p.pieces;
        var at = 0u;
        var best = x[start];
        for (var t = 1u; t < p.pieces; t++) {
            let value = x[start + t];
            let take = better(value, best);
            at = select(at, t, take);
            best = select(best, value, take);
        }
        for (var t = 0u; t < p.pieces; t++) {
            var g = select(0.0, dy[i], t == at);
            if ACCUMULATE {
                g += dx[start + t];
            }
            dx[start + t] = g;
        }
    }
}
