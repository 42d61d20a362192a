// batch_norm: normalises every channel, then scales and shifts it, and perhaps a ReLU
//
//   y[r,c] = (x[r,c] - m[c]) / sqrt(variance[c] + eps) * gamma[c] + beta[c], and max(.., 0) if RELU
//   m[c]   = mean[c] if FROZEN, else mean[c] + x[0,c]    (as batch_norm_merge writes it; never added up, see there)
//
//   p         Params
//   x         [rows, c]    read
//   mean      [c]          read: running mean if FROZEN, else mean of the batch less its first row
//   variance  [c]          read: running variance if FROZEN, else that of the batch
//   beta      [c]          read
//   gamma     [c]          read
//   y         [rows, c]    read_write, set
//
// dispatch   [ceil(c*ceil(rows/ROWS)/LANES/ITEMS)], folded
// overrides  FROZEN, RELU
// needs      nothing beyond default limits; no barrier
// order      no sums
// uses       finite.wgsl: is_finite
// uses       index.wgsl: ITEMS, Invocation, item_index, part_start
// uses       lanes1.wgsl or lanes4.wgsl: F, LANES
// uses       rectified.wgsl: rectified

struct Params {
    rows: u32,
    c: u32,
    splits: u32,
    eps: f32,
    momentum: f32,
}

// Rows that an invocation of an elementwise kernel computes, so that what belongs to a channel is loaded once for all of
// them. They lie apart: neighbouring invocations touch neighbouring floats.
const ROWS = 8u;

override FROZEN: bool = false;
override RELU: bool = false;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<F>;
@group(0) @binding(2) var<storage, read> mean: array<F>;
@group(0) @binding(3) var<storage, read> variance: array<F>;
@group(0) @binding(4) var<storage, read> beta: array<F>;
@group(0) @binding(5) var<storage, read> gamma: array<F>;
@group(0) @binding(6) var<storage, read_write> y: array<F>;

// What is taken from x before the mean is.
fn origin(channel: u32) -> F {
    return select(x[channel], F(0.0), FROZEN);
}

// 1 / standard deviation.
fn inverse(channel: u32) -> F {
    return F(1.0) / sqrt(variance[channel] + p.eps);
}

@compute @workgroup_size(ITEMS)
fn batch_norm(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c / LANES;
    let stride = (p.rows + ROWS - 1u) / ROWS;
    if i < stride * c {
        let channel = i % c;
        let first = origin(channel);
        let centre = mean[channel];
        let scale = inverse(channel) * gamma[channel];
        let shift = beta[channel];
        for (var row = i / c; row < p.rows; row += stride) {
            let j = row * c + channel;
            var value = ((x[j] - first) - centre) * scale + shift;
            if RELU {
                value = rectified(value);
            }
            y[j] = value;
        }
    }
}

// batch_norm_moments: mean and variance of every channel, in parts, less the first row
//
//   part_mean[t,c]     = mean over the rows r of part t of  x[r,c] - x[0,c]
//   part_variance[t,c] = mean over the rows r of part t of  (x[r,c] - x[0,c] - part_mean[t,c])^2
//
//   p              Params
//   x              [rows, c]      read
//   part_mean      [splits, c]    read_write, set
//   part_variance  [splits, c]    read_write, set
//
// dispatch   [ceil(splits*c/LANES/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      four rows at a time, first their mean and then their squared deviations, each merged into those of the rows
//            before (Chan, Golub and LeVeque, 1983); part t has the rows from `part_start(t)` on

@group(0) @binding(2) var<storage, read_write> part_mean: array<F>;
@group(0) @binding(3) var<storage, read_write> part_variance: array<F>;

fn first_row(t: u32) -> u32 {
    return part_start(t, p.rows, p.splits);
}

@compute @workgroup_size(ITEMS)
fn batch_norm_moments(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c / LANES;
    if i < p.splits * c {
        let channel = i % c;
        let begin = first_row(i / c);
        let rows = first_row(i / c + 1u) - begin;
        let first = x[channel];
        var centre = F(0.0);
        var squares = F(0.0);
        var j = begin * c + channel;
        var n = 0u;
        for (; rows - n >= 4u; n += 4u) {
            let a = x[j] - first;
            let b = x[j + c] - first;
            let d = x[j + 2u * c] - first;
            let e = x[j + 3u * c] - first;
            j += 4u * c;
            let four = (a + b + (d + e)) * 0.25;
            let apart = four - centre;
            let weight = 4.0 / f32(n + 4u);
            centre += apart * weight;
            squares += (a - four) * (a - four) + (b - four) * (b - four) + (d - four) * (d - four)
                + (e - four) * (e - four) + apart * apart * (f32(n) * weight);
        }
        for (; n < rows; n++) {
            let value = x[j] - first;
            let apart = value - centre;
            centre += apart / f32(n + 1u);
            squares += apart * (value - centre);
            j += c;
        }
        part_mean[i] = centre;
        part_variance[i] = squares / f32(rows);
    }
}

// batch_norm_merge: mean and variance of every channel, from those of the parts
//
//   batch_mean[c]     = sum over t of  means[t,c] * rows of part t / rows
//   batch_variance[c] = sum over t of  (variances[t,c] + (means[t,c] - batch_mean[c])^2) * rows of part t / rows
//   whole_mean[c]     = batch_mean[c] + x[0,c]    (for the running mean alone: where a mean is far larger than the
//                       deviation, one float cannot hold it well enough to tell how far x lies from it)
//
//   p               Params
//   x               [rows, c]      read: its first row
//   means           [splits, c]    read: part_mean of batch_norm_moments
//   variances       [splits, c]    read: part_variance of batch_norm_moments
//   batch_mean      [c]            read_write, set
//   batch_variance  [c]            read_write, set
//   whole_mean      [c]            read_write, set
//
// dispatch   [ceil(c/LANES/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      sums t from the first to the last, the means before the variances

@group(0) @binding(2) var<storage, read> means: array<F>;
@group(0) @binding(3) var<storage, read> variances: array<F>;
@group(0) @binding(4) var<storage, read_write> batch_mean: array<F>;
@group(0) @binding(5) var<storage, read_write> batch_variance: array<F>;
@group(0) @binding(6) var<storage, read_write> whole_mean: array<F>;

fn share(t: u32) -> f32 {
    return f32(first_row(t + 1u) - first_row(t)) / f32(p.rows);
}

@compute @workgroup_size(ITEMS)
fn batch_norm_merge(invocation: Invocation) {
    let channel = item_index(invocation);
    let c = p.c / LANES;
    if channel < c {
        var centre = F(0.0);
        for (var t = 0u; t < p.splits; t++) {
            centre += means[t * c + channel] * share(t);
        }
        var squares = F(0.0);
        for (var t = 0u; t < p.splits; t++) {
            let apart = means[t * c + channel] - centre;
            squares += (variances[t * c + channel] + apart * apart) * share(t);
        }
        batch_mean[channel] = centre;
        batch_variance[channel] = squares;
        whole_mean[channel] = centre + x[channel];
    }
}

// batch_norm_update: moves the running statistics towards those of the batch, as far as momentum says
//
//   running_mean[c]     += momentum * (new_mean[c] - running_mean[c])
//   running_variance[c] += momentum * (new_variance[c] * rows / (rows - 1) - running_variance[c])
//                          (both only while loss[0] is finite; the running variance is the unbiased one, as in PyTorch)
//
//   p                 Params
//   new_mean          [c]    read: whole_mean of batch_norm_merge
//   new_variance      [c]    read: batch_variance of batch_norm_merge
//   running_mean      [c]    read_write, updated in place
//   running_variance  [c]    read_write, updated in place
//   loss              [1]    read (its first float)
//
// dispatch   [ceil(c/LANES/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums

@group(0) @binding(1) var<storage, read> new_mean: array<F>;
@group(0) @binding(2) var<storage, read> new_variance: array<F>;
@group(0) @binding(3) var<storage, read_write> running_mean: array<F>;
@group(0) @binding(4) var<storage, read_write> running_variance: array<F>;
@group(0) @binding(5) var<storage, read> loss: array<f32>;

@compute @workgroup_size(ITEMS)
fn batch_norm_update(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.c / LANES && is_finite(loss[0]) {
        let unbiased = new_variance[i] * (f32(p.rows) / f32(p.rows - 1u));
        running_mean[i] += p.momentum * (new_mean[i] - running_mean[i]);
        running_variance[i] += p.momentum * (unbiased - running_variance[i]);
    }
}

// batch_norm_sums: the sums that the gradients of gamma, of beta and of x need, in parts
//
//   part_dgamma[t,c] = sum over the rows r of part t of  dy[r,c] * (x[r,c] - m[c]) / sqrt(variance[c] + eps)
//   part_dbeta[t,c]  = sum over the rows r of part t of  dy[r,c]    (m as in batch_norm)
//
//   p            Params
//   x            [rows, c]      read
//   mean         [c]            read: that of batch_norm
//   variance     [c]            read: that of batch_norm
//   dy           [rows, c]      read
//   part_dgamma  [splits, c]    read_write, set
//   part_dbeta   [splits, c]    read_write, set
//
// dispatch   [ceil(splits*c/LANES/ITEMS)], folded
// overrides  FROZEN
// needs      nothing beyond default limits; no barrier
// order      sums the rows from the first to the last; part t has the rows from `part_start(t)` on

@group(0) @binding(4) var<storage, read> dy: array<F>;
@group(0) @binding(5) var<storage, read_write> part_dgamma: array<F>;
@group(0) @binding(6) var<storage, read_write> part_dbeta: array<F>;

@compute @workgroup_size(ITEMS)
fn batch_norm_sums(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c / LANES;
    if i < p.splits * c {
        let channel = i % c;
        let end = first_row(i / c + 1u);
        let first = origin(channel);
        let centre = mean[channel];
        var dgamma = F(0.0);
        var dbeta = F(0.0);
        for (var row = first_row(i / c); row < end; row++) {
            let j = row * c + channel;
            dgamma += dy[j] * ((x[j] - first) - centre);
            dbeta += dy[j];
        }
        part_dgamma[i] = dgamma * inverse(channel);
        part_dbeta[i] = dbeta;
    }
}

// batch_norm_relu_sums: batch_norm_sums behind a ReLU, which is taken back first
//
//   dz[r,c]          = 0 if the output of batch_norm, computed again, is not positive, else dz[r,c]    (a NaN as in relu_dx)
//   part_dgamma[t,c], part_dbeta[t,c] as in batch_norm_sums, of that
//
//   p            Params
//   x            [rows, c]      read
//   mean         [c]            read: that of batch_norm
//   variance     [c]            read: that of batch_norm
//   beta         [c]            read
//   gamma        [c]            read
//   dz           [rows, c]      read_write, masked in place
//   sum_dgamma   [splits, c]    read_write, set
//   sum_dbeta    [splits, c]    read_write, set
//
// dispatch   [ceil(splits*c/LANES/ITEMS)], folded
// overrides  FROZEN
// needs      nothing beyond default limits; no barrier
// order      as in batch_norm_sums

@group(0) @binding(6) var<storage, read_write> dz: array<F>;
@group(0) @binding(7) var<storage, read_write> sum_dgamma: array<F>;
@group(0) @binding(8) var<storage, read_write> sum_dbeta: array<F>;

@compute @workgroup_size(ITEMS)
fn batch_norm_relu_sums(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c / LANES;
    if i < p.splits * c {
        let channel = i % c;
        let end = first_row(i / c + 1u);
        let first = origin(channel);
        let centre = mean[channel];
        let scale = inverse(channel) * gamma[channel];
        let shift = beta[channel];
        var dgamma = F(0.0);
        var dbeta = F(0.0);
        for (var row = first_row(i / c); row < end; row++) {
            let j = row * c + channel;
            let apart = (x[j] - first) - centre;
            let g = select(dz[j], F(0.0), apart * scale + shift <= F(0.0));
            dz[j] = g;
            dgamma += g * apart;
            dbeta += g;
        }
        sum_dgamma[i] = dgamma * inverse(channel);
        sum_dbeta[i] = dbeta;
    }
}

// batch_norm_dw: gradient of gamma or of beta from its parts, and once more for batch_norm_dx
//
//   total[c]  = sum over t of  part[t,c]
//   dw[c]  (+)= total[c]
//
//   p      Params
//   part   [splits, c]    read: part_dgamma or part_dbeta of batch_norm_sums
//   total  [c]            read_write, set
//   dw     [c]            read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(c/LANES/ITEMS)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      sums t from the first to the last

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> part: array<F>;
@group(0) @binding(2) var<storage, read_write> total: array<F>;
@group(0) @binding(3) var<storage, read_write> dw: array<F>;

@compute @workgroup_size(ITEMS)
fn batch_norm_dw(invocation: Invocation) {
    let channel = item_index(invocation);
    let c = p.c / LANES;
    if channel < c {
        var sum = F(0.0);
        for (var t = 0u; t < p.splits; t++) {
            sum += part[t * c + channel];
        }
        total[channel] = sum;
        if ACCUMULATE {
            sum += dw[channel];
        }
        dw[channel] = sum;
    }
}

// batch_norm_dx: gradient of batch_norm with respect to its input
//
//   dx[r,c] (+)= k[c] * (dy[r,c] - (dbeta[c] + n[r,c] * dgamma[c]) / rows)    (without what is taken from dy if FROZEN)
//   k[c]       = gamma[c] / sqrt(variance[c] + eps)
//   n[r,c]     = (x[r,c] - m[c]) / sqrt(variance[c] + eps)    (m as in batch_norm)
//
//   p         Params
//   x         [rows, c]    read
//   mean      [c]          read: that of batch_norm
//   variance  [c]          read: that of batch_norm
//   dy        [rows, c]    read
//   gamma     [c]          read
//   dgamma    [c]          read: `total` of batch_norm_dw; anything if FROZEN
//   dbeta     [c]          read: `total` of batch_norm_dw; anything if FROZEN
//   dx        [rows, c]    read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(c*ceil(rows/ROWS)/LANES/ITEMS)], folded
// overrides  FROZEN, ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      no sums

@group(0) @binding(6) var<storage, read> dgamma: array<F>;
@group(0) @binding(7) var<storage, read> dbeta: array<F>;
@group(0) @binding(8) var<storage, read_write> dx: array<F>;

@compute @workgroup_size(ITEMS)
fn batch_norm_dx(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c / LANES;
    let stride = (p.rows + ROWS - 1u) / ROWS;
    if i < stride * c {
        let channel = i % c;
        let first = origin(channel);
        let centre = mean[channel];
        let scale = inverse(channel) * gamma[channel];
        let level = dbeta[channel] / f32(p.rows);
        let slope = dgamma[channel] * inverse(channel) / f32(p.rows);
        for (var row = i / c; row < p.rows; row += stride) {
            let j = row * c + channel;
            var g = dy[j];
            if !FROZEN {
                g -= level + ((x[j] - first) - centre) * slope;
            }
            g *= scale;
            if ACCUMULATE {
                g += dx[j];
            }
            dx[j] = g;
        }
    }
}
