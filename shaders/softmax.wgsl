// softmax: exponentials of every row, divided by their sum
//
//   y[i,j] = exp(x[i,j] - m[i]) / sum over k of  exp(x[i,k] - m[i])    with  m[i] = max over k of  x[i,k]
//
//   p   Params
//   x   [rows, dim]    read
//   y   [rows, dim]    read_write, set
//
// dispatch   [rows], folded
// overrides  none
// needs      nothing beyond default limits; barriers
// order      lane l sums j = l, l+WIDTH, ... in that order, then the lanes are summed as sum_of_lanes says
// uses       index.wgsl: group_index
// uses       row.wgsl or row_shared.wgsl: WIDTH, most_of_lanes, sum_of_lanes

struct Params {
    rows: u32,
    dim: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WIDTH)
fn softmax(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group_index(workgroup, groups);
    let start = min(row, p.rows - 1u) * p.dim;
    // Workgroups past the last row take part in the barriers with empty hands.
    let dim = select(0u, p.dim, row < p.rows);
    var largest = x[start];
    for (var j = lane; j < dim; j += WIDTH) {
        largest = max(largest, x[start + j]);
    }
    largest = most_of_lanes(lane, largest);
    var sum = 0.0;
    for (var j = lane; j < dim; j += WIDTH) {
        sum += exp(x[start + j] - largest);
    }
    let total = sum_of_lanes(lane, sum);
    for (var j = lane; j < dim; j += WIDTH) {
        y[start + j] = exp(x[start + j] - largest) / total;
    }
}

// softmax_dx: gradient of softmax with respect to its input
//
//   dx[i,j] (+)= out[i,j] * (dy[i,j] - sum over k of  out[i,k] * dy[i,k])
//
//   p    Params
//   out  [rows, dim]    read: the output of softmax
//   dy   [rows, dim]    read
//   dx   [rows, dim]    read_write, set or add (ACCUMULATE)
//
// dispatch   [rows], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; barriers
// order      lane l sums k = l, l+WIDTH, ... in that order, then the lanes are summed as sum_of_lanes says

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> out: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WIDTH)
fn softmax_dx(
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
    for (var j = lane; j < dim; j += WIDTH) {
        var g = out[start + j] * (dy[start + j] - along);
        if ACCUMULATE {
            g += dx[start + j];
        }
        dx[start + j] = g;
    }
}
