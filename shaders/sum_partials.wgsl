// sum_partials: adds up partial sums, in a fixed order
//
//   sum[i] (+)= sum over t of  part[t,i]
//
//   p     Params
//   part  [splits, len]    read
//   sum   [len]            read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(len/64)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      sums t from the first to the last
// uses       index.wgsl: group_index

struct Params {
    len: u32,
    splits: u32,
}

override ACCUMULATE: bool = false;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<storage, read_write> sum: array<f32>;

@compute @workgroup_size(64)
fn sum_partials(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(workgroup, groups) * 64u + lane;
    if i < p.len {
        var total = 0.0;
        for (var t = 0u; t < p.splits; t++) {
            total += part[t * p.len + i];
        }
        if ACCUMULATE {
            total += sum[i];
        }
        sum[i] = total;
    }
}
