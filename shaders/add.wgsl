// add: sum of two tensors, elementwise
//
//   y[i] = a[i] + b[i]
//
//   p   Params
//   a   [len]    read
//   b   [len]    read
//   y   [len]    read_write, set
//
// dispatch   [ceil(len/LANES/256)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums beyond a + b

struct Params {
    len: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<F>;
@group(0) @binding(2) var<storage, read> b: array<F>;
@group(0) @binding(3) var<storage, read_write> y: array<F>;

@compute @workgroup_size(256)
fn add(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(workgroup, groups) * 256u + lane;
    if i < p.len / LANES {
        y[i] = a[i] + b[i];
    }
}

// add_dx: gradient of add with respect to one of its inputs
//
//   dx[i] (+)= dy[i]
//
//   p   Params
//   dy  [len]    read
//   dx  [len]    read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(len/LANES/256)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      no sums

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> dy: array<F>;
@group(0) @binding(2) var<storage, read_write> dx: array<F>;

@compute @workgroup_size(256)
fn add_dx(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(workgroup, groups) * 256u + lane;
    if i < p.len / LANES {
        var g = dy[i];
        if ACCUMULATE {
            g += dx[i];
        }
        dx[i] = g;
    }
}
