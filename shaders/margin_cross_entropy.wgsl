// margin_cross_entropy: cross-entropy of scaled cosines, with an angular margin for the right class; a row
//
//   share[i] = (loss, right, most + log(total))   with  loss = log(total) + most - z[i,label],  total = sum over j of exp(z[i,j] - most),
//              most = max over j of z[i,j],  right = 1 where no x[i,j] is above x[i,label];  zeros where label is not below dim
//   z[i,j]   = scale * x[i,j],  and for j = label:  scale * (x * COS - sqrt(1 - x^2) * SIN)  where x > -COS,
//              else scale * (x - margin * SIN),  with  COS = cos(margin),  SIN = sin(margin)
//
//   p       Params
//   x       [rows, dim]    read: cosines
//   labels  [rows]         read (u32)
//   share   [rows, 3]      read_write, set
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
    scale: f32,
    margin: f32,
}

// Below this a sine is taken for it: its reciprocal is a part of the gradient.
const LEAST_SINE = 1e-3;
// Below every cosine.
const LOWEST = -1e30;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> share: array<f32>;

fn sine(cosine: f32) -> f32 {
    return max(sqrt(max(1.0 - cosine * cosine, 0.0)), LEAST_SINE);
}

// The score of the right class.
fn with_margin(cosine: f32) -> f32 {
    if cosine > -cos(p.margin) {
        return p.scale * (cosine * cos(p.margin) - sine(cosine) * sin(p.margin));
    }
    return p.scale * (cosine - p.margin * sin(p.margin));
}

@compute @workgroup_size(WIDTH)
fn margin_cross_entropy(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group_index(workgroup, groups);
    let i = min(row, p.rows - 1u);
    let start = i * p.dim;
    let label = labels[i];
    let own = x[start + min(label, p.dim - 1u)];
    let target_score = with_margin(own);
    // Workgroups past the last row take part in the barriers with empty hands.
    let dim = select(0u, p.dim, row < p.rows);
    var other = LOWEST;
    for (var j = lane; j < dim; j += WIDTH) {
        if j != label {
            other = max(other, x[start + j]);
        }
    }
    other = most_of_lanes(lane, other);
    let largest = max(target_score, p.scale * other);
    var sum = 0.0;
    for (var j = lane; j < dim; j += WIDTH) {
        sum += exp(select(p.scale * x[start + j], target_score, j == label) - largest);
    }
    let total = sum_of_lanes(lane, sum);
    if lane == 0u && row < p.rows {
        let counts = label < p.dim;
        let height = log(total) + largest;
        share[3u * i] = select(0.0, height - target_score, counts);
        share[3u * i + 1u] = select(0.0, 1.0, counts && !(other > own));
        share[3u * i + 2u] = select(0.0, height, counts);
    }
}

// margin_cross_entropy_mean: the loss and the part of the rows that are right
//
//   y[0] = sum of losses / n,  y[1] = number of right rows / n,  y[2] = n,  y[3] = 0
//          with  n = rows whose label is a class;  0 where n is 0
//
//   p       Params
//   shares  [rows, 3]    read: the share of margin_cross_entropy
//   classes [rows]       read (u32): labels
//   y       [4]          read_write, set
//
// dispatch   [1]
// overrides  none
// needs      nothing beyond default limits; barriers
// order      lane l sums i = l, l+WIDTH, ... in that order, then the lanes are summed as sum_of_lanes says

@group(0) @binding(1) var<storage, read> shares: array<f32>;
@group(0) @binding(2) var<storage, read> classes: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WIDTH)
fn margin_cross_entropy_mean(@builtin(local_invocation_index) lane: u32) {
    var loss = 0.0;
    var right = 0.0;
    var count = 0.0;
    for (var i = lane; i < p.rows; i += WIDTH) {
        loss += shares[3u * i];
        right += shares[3u * i + 1u];
        count += select(0.0, 1.0, classes[i] < p.dim);
    }
    loss = sum_of_lanes(lane, loss);
    workgroupBarrier();
    right = sum_of_lanes(lane, right);
    workgroupBarrier();
    count = sum_of_lanes(lane, count);
    if lane == 0u {
        let divisor = max(count, 1.0);
        y[0] = loss / divisor;
        y[1] = right / divisor;
        y[2] = count;
        y[3] = 0.0;
    }
}

// margin_cross_entropy_dx: gradient of the mean loss with respect to the cosines
//
//   dx[i,j] (+)= dy[0] / n * (exp(z[i,j] - height[i]) - (1 where j = label)) * dz/dx,   dz/dx = scale, and for j = label
//                scale * (COS + SIN * x / sqrt(1 - x^2)) where x > -COS;  0 where label is not a class
//
//   p        Params
//   cosines  [rows, dim]    read
//   targets  [rows]         read (u32): labels
//   heights  [rows, 3]      read: the share of margin_cross_entropy
//   means    [4]            read: the y of margin_cross_entropy_mean
//   dy       [4]            read
//   dx       [rows, dim]    read_write, set or add (ACCUMULATE)
//
// dispatch   [rows], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      no sums

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> cosines: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> heights: array<f32>;
@group(0) @binding(4) var<storage, read> means: array<f32>;
@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WIDTH)
fn margin_cross_entropy_dx(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group_index(workgroup, groups);
    if row < p.rows {
        let label = targets[row];
        let part = select(0.0, dy[0] / max(means[2], 1.0), label < p.dim);
        for (var j = lane; j < p.dim; j += WIDTH) {
            let at = row * p.dim + j;
            let cosine = cosines[at];
            var z = p.scale * cosine;
            var slope = p.scale;
            var wanted = 0.0;
            if j == label {
                z = with_margin(cosine);
                wanted = 1.0;
                if cosine > -cos(p.margin) {
                    slope = p.scale * (cos(p.margin) + sin(p.margin) * cosine / sine(cosine));
                }
            }
            var g = part * (exp(z - heights[3u * row + 2u]) - wanted) * slope;
            if ACCUMULATE {
                g += dx[at];
            }
            dx[at] = g;
        }
    }
}
