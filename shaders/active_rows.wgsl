// active_rows: which rows of a matrix hold anything but zeros
//
//   flag[i] = 1 if x[i,j] is not 0 for some j (a NaN is not 0), else 0
//
//   p     Params
//   x     [total, dim]    read
//   flag  [total]         read_write, set (u32)
//
// dispatch   [ceil(total/64)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums
// uses       index.wgsl: group_index

struct Params {
    rows: u32,
    total: u32,
    dim: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> flag: array<u32>;

@compute @workgroup_size(64)
fn active_rows(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(workgroup, groups) * 64u + lane;
    if i < p.total {
        // Bits, because a shader compiler may assume that floats are numbers.
        var bits = 0u;
        for (var j = 0u; j < p.dim; j++) {
            bits |= bitcast<u32>(x[i * p.dim + j]) & 0x7FFFFFFFu;
        }
        flag[i] = u32(bits != 0u);
    }
}
