// prelu: y = x where x is positive, else x times the slope of its channel
//
//   y[r,c] = x[r,c] if x[r,c] > 0, else slope[c] * x[r,c]
//
//   p      Params
//   x      [rows, c]    read
//   slope  [c]          read
//   y      [rows, c]    read_write, set
//
// dispatch   [ceil(rows*c/LANES/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums
// uses       channelwise.wgsl: first_row, p
// uses       index.wgsl: ITEMS, Invocation, item_index
// uses       lanes1.wgsl or lanes4.wgsl: F, LANES

@group(0) @binding(1) var<storage, read> x: array<F>;
@group(0) @binding(2) var<storage, read> slope: array<F>;
@group(0) @binding(3) var<storage, read_write> y: array<F>;

@compute @workgroup_size(ITEMS)
fn prelu(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.rows * p.c / LANES {
        y[i] = select(slope[i % (p.c / LANES)] * x[i], x[i], x[i] > F(0.0));
    }
}

// prelu_dx: gradient of prelu with respect to its input, and with respect to the slope in parts
//
//   dx[r,c] (+)= dy[r,c] if x[r,c] > 0, else slope[c] * dy[r,c]
//   part[t,c]  = sum over the rows r of part t of  0 if x[r,c] > 0, else dy[r,c] * x[r,c]
//
//   p      Params
//   x      [rows, c]      read
//   slope  [c]            read
//   dy     [rows, c]      read
//   dx     [rows, c]      read_write, set or add (ACCUMULATE)
//   part   [splits, c]    read_write, set
//
// dispatch   [ceil(splits*c/LANES/ITEMS)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      sums the rows from the first to the last; part t has the rows from `first_row(t)` on

override ACCUMULATE: bool = false;

@group(0) @binding(3) var<storage, read> dy: array<F>;
@group(0) @binding(4) var<storage, read_write> dx: array<F>;
@group(0) @binding(5) var<storage, read_write> part: array<F>;

@compute @workgroup_size(ITEMS)
fn prelu_dx(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c / LANES;
    if i < p.splits * c {
        let end = first_row(i / c + 1u) * c;
        var sum = F(0.0);
        for (var j = first_row(i / c) * c + i % c; j < end; j += c) {
            let positive = x[j] > F(0.0);
            var g = select(slope[i % c] * dy[j], dy[j], positive);
            if ACCUMULATE {
                g += dx[j];
            }
            dx[j] = g;
            sum += select(dy[j] * x[j], F(0.0), positive);
        }
        part[i] = sum;
    }
}
