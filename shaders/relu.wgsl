// relu: y = max(x, 0), elementwise
//
//   y[i] = max(x[i], 0)
//
//   p   Params
//   x   [len]    read
//   y   [len]    read_write, set
//
// dispatch   [ceil(len/256)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums

struct Params {
    len: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn relu(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(workgroup, groups) * 256u + lane;
    if i < p.len {
        y[i] = select(x[i], 0.0, x[i] < 0.0); // not max: a NaN must stay one
    }
}

// relu_dx: gradient of relu with respect to its input
//
//   dx[i] (+)= dy[i] if out[i] > 0, else 0
//
//   p    Params
//   out  [len]    read: the output of relu
//   dy   [len]    read
//   dx   [len]    read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(len/256)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      no sums

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> out: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(256)
fn relu_dx(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(workgroup, groups) * 256u + lane;
    if i < p.len {
        var g = select(0.0, dy[i], out[i] > 0.0);
        if ACCUMULATE {
            g += dx[i];
        }
        dx[i] = g;
    }
}

// relu_dy: the same in place, for ops that fuse a ReLU: masks the gradient of their output
//
//   dz[i] = dz[i] if out[i] > 0, else 0
//
//   p    Params
//   out  [len]    read: the output of the fused op
//   dz   [len]    read_write, masked in place
//
// dispatch   [ceil(len/256)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums

@group(0) @binding(2) var<storage, read_write> dz: array<f32>;

@compute @workgroup_size(256)
fn relu_dy(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(workgroup, groups) * 256u + lane;
    if i < p.len && !(out[i] > 0.0) {
        dz[i] = 0.0;
    }
}

// relu_dy4: relu_dy, four floats per invocation
//
//   dz4[i] = dz4[i] where out4[i] > 0, else 0
//
//   p     Params
//   out4  [len/4]    read: the output of the fused op, by four
//   dz4   [len/4]    read_write, masked in place
//
// dispatch   [ceil(len/4/64)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums

@group(0) @binding(1) var<storage, read> out4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dz4: array<vec4<f32>>;

@compute @workgroup_size(64)
fn relu_dy4(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(workgroup, groups) * 64u + lane;
    if i < p.len / 4u {
        dz4[i] = select(vec4(0.0), dz4[i], out4[i] > vec4(0.0));
    }
}
