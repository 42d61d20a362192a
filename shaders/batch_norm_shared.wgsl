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
// dispatch   [ceil(splits*c/LANES/RESULTS)], folded; PARTS invocations share the rows of a part
// overrides  none
// needs      nothing beyond default limits; barriers
// order      every PARTS-th row, four at a time, first their mean and then their squared deviations, each merged into those of the
//            rows before (Chan, Golub and LeVeque, 1983); then halves of the invocations are merged
// uses       columns.wgsl: PARTS, RESULTS, SHARED, result_of, sum_of_column
// uses       index.wgsl: Invocation, part_start
// uses       lanes1.wgsl or lanes4.wgsl: F, LANES

struct Params {
    rows: u32,
    c: u32,
    splits: u32,
    eps: f32,
    momentum: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<F>;
@group(0) @binding(2) var<storage, read_write> part_mean: array<F>;
@group(0) @binding(3) var<storage, read_write> part_variance: array<F>;

// Of each invocation: the mean of its rows, the sum of their squared deviations from it, and their number.
var<workgroup> centres: array<F, SHARED>;
var<workgroup> deviations: array<F, SHARED>;
var<workgroup> counts: array<f32, SHARED>;

@compute @workgroup_size(SHARED)
fn batch_norm_moments(invocation: Invocation) {
    let c = p.c / LANES;
    let lane = invocation.lane;
    let result = result_of(invocation);
    let i = min(result, p.splits * c - 1u);
    let channel = i % c;
    let end = part_start(i / c + 1u, p.rows, p.splits);
    let first = x[channel];
    var row = part_start(i / c, p.rows, p.splits) + lane / RESULTS;
    var centre = F(0.0);
    var squares = F(0.0);
    var n = 0.0;
    for (; row + 3u * PARTS < end; row += 4u * PARTS) {
        let j = row * c + channel;
        let a = x[j] - first;
        let b = x[j + PARTS * c] - first;
        let d = x[j + 2u * PARTS * c] - first;
        let e = x[j + 3u * PARTS * c] - first;
        let four = (a + b + (d + e)) * 0.25;
        let apart = four - centre;
        let weight = 4.0 / (n + 4.0);
        centre += apart * weight;
        squares += (a - four) * (a - four) + (b - four) * (b - four) + (d - four) * (d - four)
            + (e - four) * (e - four) + apart * apart * (n * weight);
        n += 4.0;
    }
    for (; row < end; row += PARTS) {
        let value = x[row * c + channel] - first;
        let apart = value - centre;
        n += 1.0;
        centre += apart / n;
        squares += apart * (value - centre);
    }
    centres[lane] = centre;
    deviations[lane] = squares;
    counts[lane] = n;
    for (var half = SHARED / 2u; half >= RESULTS; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            let others = counts[lane + half];
            let apart = centres[lane + half] - centre;
            let weight = others / max(n + others, 1.0);
            squares += deviations[lane + half] + apart * apart * (n * weight);
            centre += apart * weight;
            n += others;
            centres[lane] = centre;
            deviations[lane] = squares;
            counts[lane] = n;
        }
    }
    if lane < RESULTS && result < p.splits * c {
        part_mean[i] = centre;
        part_variance[i] = squares / n;
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
// dispatch   [ceil(c/LANES/RESULTS)], folded; PARTS invocations share the parts of a channel
// overrides  none
// needs      nothing beyond default limits; barriers
// order      every PARTS-th part, then halves are added, the means before the variances

@group(0) @binding(2) var<storage, read> means: array<F>;
@group(0) @binding(3) var<storage, read> variances: array<F>;
@group(0) @binding(4) var<storage, read_write> batch_mean: array<F>;
@group(0) @binding(5) var<storage, read_write> batch_variance: array<F>;
@group(0) @binding(6) var<storage, read_write> whole_mean: array<F>;

fn share(t: u32) -> f32 {
    return f32(part_start(t + 1u, p.rows, p.splits) - part_start(t, p.rows, p.splits)) / f32(p.rows);
}

@compute @workgroup_size(SHARED)
fn batch_norm_merge(invocation: Invocation) {
    let c = p.c / LANES;
    let channel = result_of(invocation);
    let lane = invocation.lane;
    let known = min(channel, c - 1u);
    var sum = F(0.0);
    for (var t = lane / RESULTS; t < p.splits; t += PARTS) {
        sum += means[t * c + known] * share(t);
    }
    let centre = sum_of_column(lane, sum);
    var squares = F(0.0);
    for (var t = lane / RESULTS; t < p.splits; t += PARTS) {
        let apart = means[t * c + known] - centre;
        squares += (variances[t * c + known] + apart * apart) * share(t);
    }
    squares = sum_of_column(lane, squares);
    if lane < RESULTS && channel < c {
        batch_mean[channel] = centre;
        batch_variance[channel] = squares;
        whole_mean[channel] = centre + x[channel];
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
// dispatch   [ceil(c/LANES/RESULTS)], folded; PARTS invocations share the parts of a channel
// overrides  ACCUMULATE
// needs      nothing beyond default limits; barriers
// order      every PARTS-th part, then halves are added

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> part: array<F>;
@group(0) @binding(2) var<storage, read_write> total: array<F>;
@group(0) @binding(3) var<storage, read_write> dw: array<F>;

@compute @workgroup_size(SHARED)
fn batch_norm_dw(invocation: Invocation) {
    let c = p.c / LANES;
    let channel = result_of(invocation);
    let lane = invocation.lane;
    var sum = F(0.0);
    for (var t = lane / RESULTS; t < p.splits; t += PARTS) {
        sum += part[t * c + min(channel, c - 1u)];
    }
    sum = sum_of_column(lane, sum);
    if lane < RESULTS && channel < c {
        total[channel] = sum;
        if ACCUMULATE {
            sum += dw[channel];
        }
        dw[channel] = sum;
    }
}
