// l2_normalize: scales every row to unit length
//
//   norm[i] = sqrt(sum over j of  x[i,j]^2)
//   y[i,j]  = x[i,j] / max(norm[i], eps), NaN where norm[i] is not finite
//
//   p     Params
//   x     [rows, dim]    read
//   y     [rows, dim]    read_write, set
//   norm  [rows]         read_write, set
//
// dispatch   [rows], folded
// overrides  none
// needs      nothing beyond default limits; one barrier
// order      lane l sums j = l, l+32, ... in that order, then every lane sums the lanes in order
// uses       finite.wgsl: is_finite
// uses       index.wgsl: group_index
// uses       row.wgsl: WIDTH, sum_of_lanes

struct Params {
    rows: u32,
    dim: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> norm: array<f32>;

@compute @workgroup_size(WIDTH)
fn l2_normalize(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group_index(workgroup, groups);
    let start = row * p.dim;
    // Workgroups past the last row take part in the barrier with empty hands.
    let dim = select(0u, p.dim, row < p.rows);
    var squares = 0.0;
    for (var j = lane; j < dim; j += WIDTH) {
        let value = x[start + j];
        squares += value * value;
    }
    let length = sqrt(sum_of_lanes(lane, squares));
    // A length past the largest float gives no direction. Zeros, as 1 / infinity would give, would hide that the network
    // has diverged.
    let nan = bitcast<f32>(bitcast<u32>(length) | 0x7fc00000u);
    let scale = select(nan, 1.0 / max(length, p.eps), is_finite(length));
    for (var j = lane; j < dim; j += WIDTH) {
        y[start + j] = x[start + j] * scale;
    }
    if lane == 0u && row < p.rows {
        norm[row] = length;
    }
}

// l2_normalize_dx: gradient of l2_normalize with respect to its input; zero for rows shorter than eps
//
//   dx[i,j] (+)= (dy[i,j] - out[i,j] * sum over k of  out[i,k] * dy[i,k]) / norms[i], 0 if norms[i] <= eps
//
//   p      Params
//   out    [rows, dim]    read: the output of l2_normalize
//   norms  [rows]         read: `norm` of l2_normalize
//   dy     [rows, dim]    read
//   dx     [rows, dim]    read_write, set or add (ACCUMULATE)
//
// dispatch   [rows], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; one barrier
// order      lane l sums k = l, l+32, ... in that order, then every lane sums the lanes in order

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> out: array<f32>;
@group(0) @binding(2) var<storage, read> norms: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WIDTH)
fn l2_normalize_dx(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group_index(workgroup, groups);
    let start = row * p.dim;
    let dim = select(0u, p.dim, row < p.rows);
    var products = 0.0;
    for (var k = lane; k < dim; k += WIDTH) {
        products += out[start + k] * dy[start + k];
    }
    let along = sum_of_lanes(lane, products);
    // A row that eps has clamped has no direction: its gradient, dy / eps, would throw the weights away.
    let length = norms[min(row, p.rows - 1u)];
    let scale = 1.0 / length;
    for (var j = lane; j < dim; j += WIDTH) {
        var g = select((dy[start + j] - out[start + j] * along) * scale, 0.0, length <= p.eps);
        if ACCUMULATE {
            g += dx[start + j];
        }
        dx[start + j] = g;
    }
}
