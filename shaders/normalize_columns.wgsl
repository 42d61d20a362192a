// normalize_columns: every column divided by its length
//
//   norm[j] = sqrt(sum over i of x[i,j]^2),  y[i,j] = x[i,j] / max(norm[j], 1e-12)
//
//   p     Params
//   x     [rows, dim]    read
//   y     [rows, dim]    read_write, set
//   norm  [dim]          read_write, set
//
// dispatch   [ceil(dim/64)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      sums i from the first row to the last
// uses       finite.wgsl: is_finite
// uses       index.wgsl: group_index

struct Params {
    rows: u32,
    dim: u32,
}

const SHORTEST = 1e-12;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> norm: array<f32>;

@compute @workgroup_size(64)
fn normalize_columns(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let j = group_index(workgroup, groups) * 64u + lane;
    if j < p.dim {
        var sum = 0.0;
        for (var i = 0u; i < p.rows; i++) {
            sum += x[i * p.dim + j] * x[i * p.dim + j];
        }
        let length = sqrt(sum);
        norm[j] = length;
        let divisor = select(length, max(length, SHORTEST), is_finite(length));
        for (var i = 0u; i < p.rows; i++) {
            y[i * p.dim + j] = x[i * p.dim + j] / divisor;
        }
    }
}

// normalize_columns_dx: gradient of normalize_columns with respect to its input
//
//   dx[i,j] (+)= (dy[i,j] - out[i,j] * sum over k of  out[k,j] * dy[k,j]) / length[j],  0 where length[j] is not above 1e-12
//
//   p       Params
//   out     [rows, dim]    read: the output of normalize_columns
//   length  [dim]          read: its norm
//   dy      [rows, dim]    read
//   dx      [rows, dim]    read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(dim/64)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      sums k from the first row to the last

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> out: array<f32>;
@group(0) @binding(2) var<storage, read> length: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn normalize_columns_dx(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let j = group_index(workgroup, groups) * 64u + lane;
    if j < p.dim {
        var along = 0.0;
        for (var k = 0u; k < p.rows; k++) {
            along += out[k * p.dim + j] * dy[k * p.dim + j];
        }
        for (var i = 0u; i < p.rows; i++) {
            let at = i * p.dim + j;
            var g = 0.0;
            // A length that is NaN must not look like a short one.
            if length[j] > SHORTEST || !is_finite(length[j]) {
                g = (dy[at] - out[at] * along) / length[j];
            }
            if ACCUMULATE {
                g += dx[at];
            }
            dx[at] = g;
        }
    }
}
