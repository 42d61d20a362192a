//! The kernels of batch normalisation in plain Rust: loops over rows, whose channels lie side by side.

use std::ops::Range;

use rayon::prelude::*;

use super::super::elementwise::CHUNK;
use super::super::sum_partials::part_rows;
use super::BatchNormParams;
use crate::cpu::{Call, Float, put, vectorized};

/// Channels that one thread sums at a time.
const CHANNELS: usize = 128;
/// Rows whose mean is taken before their deviations: few enough to stay in the cache from the one to the other.
const BLOCK: usize = 32;

/// The rows of a part.
fn part(p: &BatchNormParams, t: usize) -> Range<usize> {
    part_rows(p.rows, p.splits, t)
}

/// Their number.
fn count<T: Float>(rows: &Range<usize>) -> T {
    T::of(rows.len() as f64)
}

/// Calls `each` with the rows of every part, some channels, and the results for them in `a` and `b`, both
/// `[splits, c]`.
fn each_part<T: Float>(
    p: &BatchNormParams,
    a: &mut [T],
    b: &mut [T],
    each: impl Fn(Range<usize>, Range<usize>, &mut [T], &mut [T]) + Sync,
) {
    let c = p.c as usize;
    a.par_chunks_mut(c).zip(b.par_chunks_mut(c)).enumerate().for_each(|(t, (a, b))| {
        a.par_chunks_mut(CHANNELS).zip(b.par_chunks_mut(CHANNELS)).enumerate().for_each(|(chunk, (a, b))| {
            let first = chunk * CHANNELS;
            each(part(p, t), first..first + a.len(), a, b);
        });
    });
}

/// `x - origin - centre` is what a channel is normalised from, `inverse` one over its standard deviation.
struct Channels<T> {
    origin: Vec<T>,
    centre: Vec<T>,
    inverse: Vec<T>,
}

impl<T: Float> Channels<T> {
    fn new(p: &BatchNormParams, frozen: bool, x: &[T], mean: &[T], variance: &[T]) -> Self {
        let origin = if frozen { vec![T::zero(); mean.len()] } else { x[..mean.len()].to_vec() };
        let eps = T::of(f64::from(p.eps));
        let inverse = variance.iter().map(|&variance| (variance + eps).sqrt().recip()).collect();
        Self { origin, centre: mean.to_vec(), inverse }
    }
}

pub(super) fn forward<T: Float>(call: Call<'_, T>) {
    let p: BatchNormParams = call.params();
    let (frozen, relu) = (call.flag("FROZEN"), call.flag("RELU"));
    let [x, mean, variance, beta, gamma, y] = call.args();
    let (x, beta, c) = (x.f(), beta.f(), p.c as usize);
    let Channels { origin, centre, inverse } = Channels::new(&p, frozen, x, mean.f(), variance.f());
    let scale: Vec<T> = inverse.iter().zip(gamma.f()).map(|(&inverse, &gamma)| inverse * gamma).collect();
    let chunk = c * (CHUNK / c).max(1);
    y.f_mut().par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(y, x)| {
        vectorized(|| {
            for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                let channels = origin.iter().zip(&centre).zip(scale.iter().zip(beta));
                for ((y, &x), ((&origin, &centre), (&scale, &beta))) in y.iter_mut().zip(x).zip(channels) {
                    let value = (x - origin - centre) * scale + beta;
                    // Not max: a NaN must stay one.
                    *y = if relu & (value < T::zero()) { T::zero() } else { value };
                }
            }
        });
    });
}

pub(super) fn moments<T: Float>(call: Call<'_, T>) {
    let p: BatchNormParams = call.params();
    let [x, part_mean, part_variance] = call.args();
    let (x, c) = (x.f(), p.c as usize);
    each_part(&p, part_mean.f_mut(), part_variance.f_mut(), |rows, channels, mean, squares| {
        vectorized(|| {
            let origin = &x[channels.clone()];
            let values = |row: usize| x[row * c..][channels.clone()].iter().zip(origin).map(|(&x, &origin)| x - origin);
            mean.fill(T::zero());
            squares.fill(T::zero());
            let mut few = [T::zero(); CHANNELS];
            let few = &mut few[..mean.len()];
            let mut n = T::zero();
            for first in rows.clone().step_by(BLOCK) {
                let block = first..rows.end.min(first + BLOCK);
                few.fill(T::zero());
                block.clone().for_each(|row| few.iter_mut().zip(values(row)).for_each(|(few, value)| *few += value));
                let size = count(&block);
                few.iter_mut().for_each(|few| *few = *few / size);
                for row in block {
                    for ((squares, &few), value) in squares.iter_mut().zip(&*few).zip(values(row)) {
                        *squares += (value - few) * (value - few);
                    }
                }
                let weight = size / (n + size);
                for ((mean, squares), &few) in mean.iter_mut().zip(&mut *squares).zip(&*few) {
                    let apart = few - *mean;
                    *mean += apart * weight;
                    *squares += apart * apart * n * weight;
                }
                n += size;
            }
            squares.iter_mut().for_each(|squares| *squares = *squares / n);
        });
    });
}

pub(super) fn merge<T: Float>(call: Call<'_, T>) {
    let p: BatchNormParams = call.params();
    let [x, means, variances, mean, variance, whole_mean] = call.args();
    let (means, variances, mean, variance) = (means.f(), variances.f(), mean.f_mut(), variance.f_mut());
    let c = p.c as usize;
    let share = |t: usize| count::<T>(&part(&p, t)) / T::count(p.rows);
    mean.fill(T::zero());
    variance.fill(T::zero());
    for (t, means) in means.chunks_exact(c).enumerate() {
        let share = share(t);
        mean.iter_mut().zip(means).for_each(|(mean, &part)| *mean += part * share);
    }
    for (t, (means, variances)) in means.chunks_exact(c).zip(variances.chunks_exact(c)).enumerate() {
        let share = share(t);
        for ((variance, &mean), (&part_mean, &part)) in variance.iter_mut().zip(&*mean).zip(means.iter().zip(variances))
        {
            *variance += (part + (part_mean - mean) * (part_mean - mean)) * share;
        }
    }
    for ((whole, &mean), &first) in whole_mean.f_mut().iter_mut().zip(&*mean).zip(x.f()) {
        *whole = mean + first;
    }
}

pub(super) fn update<T: Float>(call: Call<'_, T>) {
    let p: BatchNormParams = call.params();
    let momentum = T::of(f64::from(p.momentum));
    let unbiased = T::count(p.rows) / T::count(p.rows - 1);
    let [new_mean, new_variance, mean, variance, loss] = call.args();
    if !loss.f()[0].is_finite() {
        return;
    }
    mean.f_mut().iter_mut().zip(new_mean.f()).for_each(|(mean, &new)| *mean += momentum * (new - *mean));
    for (variance, &new) in variance.f_mut().iter_mut().zip(new_variance.f()) {
        *variance += momentum * (new * unbiased - *variance);
    }
}

pub(super) fn sums<T: Float>(call: Call<'_, T>) {
    let p: BatchNormParams = call.params();
    let frozen = call.flag("FROZEN");
    let [x, mean, variance, dy, part_dgamma, part_dbeta] = call.args();
    let (x, dy, c) = (x.f(), dy.f(), p.c as usize);
    let of = Channels::new(&p, frozen, x, mean.f(), variance.f());
    each_part(&p, part_dgamma.f_mut(), part_dbeta.f_mut(), |rows, channels, dgamma, dbeta| {
        vectorized(|| {
            let (origin, centre) = (&of.origin[channels.clone()], &of.centre[channels.clone()]);
            dgamma.fill(T::zero());
            dbeta.fill(T::zero());
            for row in rows {
                let values = x[row * c..][channels.clone()].iter().zip(&dy[row * c..][channels.clone()]);
                let values = values.zip(origin.iter().zip(centre));
                for ((dgamma, dbeta), ((&x, &dy), (&origin, &centre))) in dgamma.iter_mut().zip(&mut *dbeta).zip(values)
                {
                    *dgamma += dy * (x - origin - centre);
                    *dbeta += dy;
                }
            }
            dgamma.iter_mut().zip(&of.inverse[channels]).for_each(|(dgamma, &inverse)| *dgamma *= inverse);
        });
    });
}

/// Rows that are masked at a time: few enough to stay in the cache until they are summed.
const MASKED: usize = 16;

pub(super) fn relu_sums<T: Float>(call: Call<'_, T>) {
    let p: BatchNormParams = call.params();
    let frozen = call.flag("FROZEN");
    let [x, mean, variance, beta, gamma, dz, sum_dgamma, sum_dbeta] = call.args();
    let (x, beta, c) = (x.f(), beta.f(), p.c as usize);
    let of = Channels::new(&p, frozen, x, mean.f(), variance.f());
    let scale: Vec<T> = of.inverse.iter().zip(gamma.f()).map(|(&inverse, &gamma)| inverse * gamma).collect();
    let mut parts = Vec::with_capacity(p.splits as usize);
    let mut rest = dz.f_mut();
    for t in 0..p.splits as usize {
        let (part, others) = rest.split_at_mut(part(&p, t).len() * c);
        parts.push(part);
        rest = others;
    }
    let sums = sum_dgamma.f_mut().par_chunks_mut(c).zip(sum_dbeta.f_mut().par_chunks_mut(c));
    parts.into_par_iter().zip(sums).enumerate().for_each(|(t, (dz, (dgamma, dbeta)))| {
        let x = &x[part(&p, t).start * c..][..dz.len()];
        vectorized(|| {
            dgamma.fill(T::zero());
            dbeta.fill(T::zero());
            for (dz, x) in dz.chunks_mut(MASKED * c).zip(x.chunks(MASKED * c)) {
                for (dz, x) in dz.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                    let channels = of.origin.iter().zip(&of.centre).zip(scale.iter().zip(beta));
                    for ((dz, &x), ((&origin, &centre), (&scale, &beta))) in dz.iter_mut().zip(x).zip(channels) {
                        let value = (x - origin - centre) * scale + beta;
                        *dz = if value <= T::zero() { T::zero() } else { *dz }; // a NaN passes it on
                    }
                }
                for (dz, x) in dz.chunks_exact(c).zip(x.chunks_exact(c)) {
                    let channels = of.origin.iter().zip(&of.centre);
                    let sums = dgamma.iter_mut().zip(&mut *dbeta);
                    for ((dgamma, dbeta), ((&x, &dz), (&origin, &centre))) in sums.zip(x.iter().zip(dz).zip(channels)) {
                        *dgamma += dz * (x - origin - centre);
                        *dbeta += dz;
                    }
                }
            }
            dgamma.iter_mut().zip(&of.inverse).for_each(|(dgamma, &inverse)| *dgamma *= inverse);
        });
    });
}

pub(super) fn dw<T: Float>(call: Call<'_, T>) {
    let (p, accumulate): (BatchNormParams, bool) = (call.params(), call.flag("ACCUMULATE"));
    let [part, total, dw] = call.args();
    let total = total.f_mut();
    total.fill(T::zero());
    for part in part.f().chunks_exact(p.c as usize) {
        total.iter_mut().zip(part).for_each(|(total, &part)| *total += part);
    }
    dw.f_mut().iter_mut().zip(total).for_each(|(dw, total)| put(accumulate, dw, *total));
}

pub(super) fn dx<T: Float>(call: Call<'_, T>) {
    let p: BatchNormParams = call.params();
    let (frozen, accumulate) = (call.flag("FROZEN"), call.flag("ACCUMULATE"));
    let [x, mean, variance, dy, gamma, dgamma, dbeta, dx] = call.args();
    let (x, c, rows) = (x.f(), p.c as usize, T::count(p.rows));
    let Channels { origin, centre, inverse } = Channels::new(&p, frozen, x, mean.f(), variance.f());
    let scale: Vec<T> = inverse.iter().zip(gamma.f()).map(|(&inverse, &gamma)| inverse * gamma).collect();
    // What the gradients of the statistics take from dy: level + slope * (x - mean).
    let level: Vec<T> = dbeta.f().iter().map(|&dbeta| dbeta / rows).collect();
    let slope = dgamma.f().iter().zip(&inverse).map(|(&dgamma, &inverse)| dgamma * inverse / rows);
    let slope: Vec<T> = slope.collect();
    let chunk = c * (CHUNK / c).max(1);
    let inputs = x.par_chunks(chunk).zip(dy.f().par_chunks(chunk));
    dx.f_mut().par_chunks_mut(chunk).zip(inputs).for_each(|(dx, (x, dy))| {
        vectorized(|| {
            for (dx, (x, dy)) in dx.chunks_exact_mut(c).zip(x.chunks_exact(c).zip(dy.chunks_exact(c))) {
                let channels = origin.iter().zip(&centre).zip(&scale).zip(level.iter().zip(&slope));
                let values = x.iter().zip(dy).zip(channels);
                for (dx, ((&x, &dy), (((&origin, &centre), &scale), (&level, &slope)))) in dx.iter_mut().zip(values) {
                    let taken = level + (x - origin - centre) * slope;
                    put(accumulate, dx, (if frozen { dy } else { dy - taken }) * scale);
                }
            }
        });
    });
}
