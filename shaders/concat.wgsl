// concat: copies one input's rows side by side with those of the others; one dispatch per input
//
//   y[i,offset+j] = x[i,j]    for j < c
//
//   p   Params
//   x   [rows, c]        read
//   y   [rows, c_out]    read_write, set (columns offset to offset+c)
//
// dispatch   [ceil(rows*c/LANES/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums
// uses       index.wgsl: ITEMS, Invocation, item_index
// uses       lanes1.wgsl or lanes4.wgsl: F, LANES

struct Params {
    rows: u32,
    c: u32,
    c_out: u32,
    offset: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<F>;
@group(0) @binding(2) var<storage, read_write> y: array<F>;

@compute @workgroup_size(ITEMS)
fn concat(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c / LANES;
    if i < p.rows * c {
        let row = i / c;
        y[(row * p.c_out + p.offset) / LANES + (i - row * c)] = x[i];
    }
}

// concat_dx: gradient of concat with respect to one input
//
//   dx[i,j] (+)= dy[i,offset+j]
//
//   p   Params
//   dy  [rows, c_out]    read
//   dx  [rows, c]        read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(rows*c/LANES/ITEMS)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      no sums

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> dy: array<F>;
@group(0) @binding(2) var<storage, read_write> dx: array<F>;

@compute @workgroup_size(ITEMS)
fn concat_dx(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c / LANES;
    if i < p.rows * c {
        let row = i / c;
        var g = dy[(row * p.c_out + p.offset) / LANES + (i - row * c)];
        if ACCUMULATE {
            g += dx[i];
        }
        dx[i] = g;
    }
}
