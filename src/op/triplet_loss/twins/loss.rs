//! The loss and the statistics of the batch, and the gradient of the embeddings.

use rayon::prelude::*;

use super::super::{SLOTS, TripletParams, stat};
use super::mean;
use crate::cpu::{Call, Float, put};

pub(in super::super) fn stats<T: Float>(call: Call<'_, T>) {
    let [pairs, triplets, centre, y] = call.args();
    let (pairs, triplets) = (pairs.f(), triplets.f());
    let rows = |sums: &'_ [T]| -> Vec<[T; SLOTS as usize]> {
        sums.chunks_exact(SLOTS as usize).map(|row| row.try_into().expect("a row is whole")).collect()
    };
    let (pairs, triplets) = (rows(pairs), rows(triplets));
    let total = |rows: &[[T; SLOTS as usize]], slot: usize| rows.iter().map(|row| row[slot]).sum::<T>();
    let (s, t) = (|slot| total(&pairs, slot), |slot| total(&triplets, slot));
    // Within each anchor's distances, and between the anchors' means.
    let spread = |rows: &[[T; SLOTS as usize]], [count, sum, within]: [usize; 3]| {
        let all = mean(total(rows, sum), total(rows, count));
        let square = |row: &[T; SLOTS as usize]| {
            let apart = mean(row[sum], row[count]) - all;
            row[within] + row[count] * apart * apart
        };
        mean(rows.iter().map(square).sum(), total(rows, count)).sqrt()
    };
    let loss = if s(7).is_finite() { t(0) } else { T::nan() };
    let of = |count: T| if loss.is_nan() { loss } else { mean(loss, count) };
    let y = y.f_mut();
    y[stat::LOSS] = of(t(1));
    y[stat::LOSS_PER_PAIR] = of(t(6));
    y[stat::PAIRS] = s(0);
    y[stat::ACTIVE] = t(1);
    y[stat::POSITIVE_DISTANCE] = mean(s(1), s(0));
    y[stat::NEGATIVE_DISTANCE] = mean(t(3), t(1));
    y[stat::DIFFERENT_DISTANCE] = mean(s(6), s(5));
    y[stat::HARD] = s(3);
    y[stat::SEMI_HARD] = s(4);
    y[stat::EASY] = s(0) - s(3) - s(4);
    y[stat::CANDIDATES] = t(2);
    y[stat::SKIPPED_PAIRS] = s(0) - t(5);
    y[stat::POSITIVE_SPREAD] = spread(&pairs, [0, 1, 2]);
    y[stat::NEGATIVE_SPREAD] = spread(&triplets, [1, 3, 4]);
    y[stat::MEAN_LENGTH] = centre.f().iter().map(|&x| x * x).sum::<T>().sqrt();
    y[stat::TRIPLETS] = t(6);
}

/// Rows that one thread takes at a time: a cache line of a column of `pull`.
const BLOCK: usize = 16;

/// Floats of a gradient that are summed together in registers.
const WIDE: usize = 32;

pub(in super::super) fn dx<T: Float>(call: Call<'_, T>) {
    let p: TripletParams = call.params();
    let accumulate = call.flag("ACCUMULATE");
    let [x, pull, y, dy, dx] = call.args();
    let (b, dim, x, pull, y, dy) = (p.b as usize, p.dim as usize, x.f(), pull.u(), y.f(), dy.f());
    let scale = T::of(2.0) * (mean(dy[stat::LOSS], y[stat::ACTIVE]) + mean(dy[stat::LOSS_PER_PAIR], y[stat::TRIPLETS]));
    dx.f_mut().par_chunks_mut(BLOCK * dim).enumerate().for_each(|(block, rows)| {
        let first = block * BLOCK;
        let mut weights = vec![0i32; rows.len() / dim * b];
        for j in 0..b {
            let column = &pull[j * b + first..][..rows.len() / dim];
            for (r, &pulls) in column.iter().enumerate() {
                weights[r * b + j] = pulls.wrapping_add(pull[(first + r) * b + j]).cast_signed();
            }
        }
        let mut pulls: Vec<(T, &[T])> = Vec::new();
        for ((i, dx), weights) in (first..).zip(rows.chunks_exact_mut(dim)).zip(weights.chunks_exact(b)) {
            let some = weights.iter().zip(x.chunks_exact(dim)).filter(|(weight, _)| **weight != 0);
            pulls.clear();
            pulls.extend(some.map(|(&weight, other)| (T::of(f64::from(weight)), other)));
            let own = &x[i * dim..][..dim];
            let (parts, rest) = dx.as_chunks_mut::<WIDE>();
            for (part, dx) in parts.iter_mut().enumerate() {
                let at = part * WIDE;
                let own: &[T; WIDE] = own[at..][..WIDE].try_into().expect("the part is whole");
                let mut sum = [T::zero(); WIDE];
                for &(weight, other) in &pulls {
                    let other: &[T; WIDE] = other[at..][..WIDE].try_into().expect("the part is whole");
                    for l in 0..WIDE {
                        sum[l] += weight * (own[l] - other[l]);
                    }
                }
                dx.iter_mut().zip(sum).for_each(|(dx, sum)| put(accumulate, dx, scale * sum));
            }
            for (k, dx) in (dim - rest.len()..).zip(rest) {
                let sum: T = pulls.iter().map(|&(weight, other)| weight * (own[k] - other[k])).sum();
                put(accumulate, dx, scale * sum);
            }
        }
    });
}
