// sum_partials: adds up partial sums, in a fixed order
//
//   sum[i] (+)= sum over t of  part[t,i]
//
//   p     Params
//   part  [splits, len]    read
//   sum   [len]            read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(len/RESULTS)], folded; PARTS invocations share the parts of an element
// overrides  ACCUMULATE
// needs      nothing beyond default limits; barriers
// order      every PARTS-th part, then halves are added
// uses       columns.wgsl: PARTS, RESULTS, SHARED, result_of, sum_of_column
// uses       index.wgsl: Invocation
// uses       lanes1.wgsl: F

struct Params {
    len: u32,
    splits: u32,
}

override ACCUMULATE: bool = false;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> part: array<F>;
@group(0) @binding(2) var<storage, read_write> sum: array<F>;

@compute @workgroup_size(SHARED)
fn sum_partials(invocation: Invocation) {
    let lane = invocation.lane;
    let i = result_of(invocation);
    var total = F(0.0);
    for (var t = lane / RESULTS; t < p.splits; t += PARTS) {
        total += part[t * p.len + min(i, p.len - 1u)];
    }
    total = sum_of_column(lane, total);
    if lane < RESULTS && i < p.len {
        if ACCUMULATE {
            total += sum[i];
        }
        sum[i] = total;
    }
}
