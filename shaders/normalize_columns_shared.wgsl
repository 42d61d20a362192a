// normalize_columns: every column divided by its length
//
//   norm[j] = sqrt(sum over i of x[i,j]^2),  y[i,j] = x[i,j] / max(norm[j], 1e-12)
//
//   p     Params
//   x     [rows, dim]    read
//   y     [rows, dim]    read_write, set
//   norm  [dim]          read_write, set
//
// dispatch   [ceil(dim/RESULTS)], folded; PARTS invocations share a column
// overrides  none
// needs      nothing beyond default limits; barriers
// order      every PARTS-th row, then halves are added
// uses       columns.wgsl: PARTS, RESULTS, SHARED, result_of, sum_of_column
// uses       finite.wgsl: is_finite
// uses       index.wgsl: Invocation
// uses       lanes1.wgsl: F

struct Params {
    rows: u32,
    dim: u32,
}

const SHORTEST = 1e-12;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<F>;
@group(0) @binding(2) var<storage, read_write> y: array<F>;
@group(0) @binding(3) var<storage, read_write> norm: array<F>;

@compute @workgroup_size(SHARED)
fn normalize_columns(invocation: Invocation) {
    let column = result_of(invocation);
    let lane = invocation.lane;
    let j = min(column, p.dim - 1u);
    var sum = F(0.0);
    for (var i = lane / RESULTS; i < p.rows; i += PARTS) {
        sum += x[i * p.dim + j] * x[i * p.dim + j];
    }
    let length = sqrt(sum_of_column(lane, sum));
    if column < p.dim {
        if lane < RESULTS {
            norm[j] = length;
        }
        let divisor = select(length, max(length, SHORTEST), is_finite(length));
        for (var i = lane / RESULTS; i < p.rows; i += PARTS) {
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
// dispatch   [ceil(dim/RESULTS)], folded; PARTS invocations share a column
// overrides  ACCUMULATE
// needs      nothing beyond default limits; barriers
// order      every PARTS-th row, then halves are added

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> out: array<F>;
@group(0) @binding(2) var<storage, read> length: array<F>;
@group(0) @binding(3) var<storage, read> dy: array<F>;
@group(0) @binding(4) var<storage, read_write> dx: array<F>;

@compute @workgroup_size(SHARED)
fn normalize_columns_dx(invocation: Invocation) {
    let column = result_of(invocation);
    let lane = invocation.lane;
    let j = min(column, p.dim - 1u);
    var along = F(0.0);
    for (var k = lane / RESULTS; k < p.rows; k += PARTS) {
        along += out[k * p.dim + j] * dy[k * p.dim + j];
    }
    along = sum_of_column(lane, along);
    if column < p.dim {
        for (var i = lane / RESULTS; i < p.rows; i += PARTS) {
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
