//! The loss and the statistics of the batch, and the gradient of the embeddings.

use std::array;

use rayon::prelude::*;

use super::super::stat::{PairSum, Stat, TripletSum};
use super::super::{SLOTS, TripletParams};
use super::mean;
use crate::cpu::{Call, Float, put};

pub(in super::super) fn stats<T: Float>(call: Call<'_, T>) {
    let [pairs, triplets, centre, y] = call.args();
    let (pairs, triplets) = (pairs.f(), triplets.f());
    let rows = |sums: &'_ [T]| -> Vec<[T; SLOTS as usize]> {
        sums.chunks_exact(SLOTS as usize).map(|row| row.try_into().expect("a row is whole")).collect()
    };
    let (pairs, triplets) = (rows(pairs), rows(triplets));
    let s: [T; SLOTS as usize] = array::from_fn(|slot| pairs.iter().map(|row| row[slot]).sum());
    let t: [T; SLOTS as usize] = array::from_fn(|slot| triplets.iter().map(|row| row[slot]).sum());
    let loss = if s[PairSum::AllDistance].is_finite() { t[TripletSum::Loss] } else { T::nan() };
    let of = |count: T| if loss.is_nan() { loss } else { mean(loss, count) };
    let positive = mean(s[PairSum::Distance], s[PairSum::Count]);
    let negative = mean(t[TripletSum::Distance], t[TripletSum::Count]);
    // Within each anchor's distances, and between the anchors' means.
    let square = |count: T, sum: T, within: T, all: T| {
        let apart = mean(sum, count) - all;
        within + count * apart * apart
    };
    let near = |row: &[T; SLOTS as usize]| {
        square(row[PairSum::Count], row[PairSum::Distance], row[PairSum::Squares], positive)
    };
    let far = |row: &[T; SLOTS as usize]| {
        square(row[TripletSum::Count], row[TripletSum::Distance], row[TripletSum::Squares], negative)
    };
    let y = y.f_mut();
    y[Stat::Loss] = of(t[TripletSum::Count]);
    y[Stat::LossPerPair] = of(t[TripletSum::Possible]);
    y[Stat::Pairs] = s[PairSum::Count];
    y[Stat::Active] = t[TripletSum::Count];
    y[Stat::PositiveDistance] = positive;
    y[Stat::NegativeDistance] = negative;
    y[Stat::DifferentDistance] = mean(s[PairSum::OtherDistance], s[PairSum::Others]);
    y[Stat::Hard] = s[PairSum::Hard];
    y[Stat::SemiHard] = s[PairSum::SemiHard];
    y[Stat::Easy] = s[PairSum::Count] - s[PairSum::Hard] - s[PairSum::SemiHard];
    y[Stat::Candidates] = t[TripletSum::Candidates];
    y[Stat::SkippedPairs] = s[PairSum::Count] - t[TripletSum::Pairs];
    y[Stat::PositiveStd] = mean(pairs.iter().map(near).sum(), s[PairSum::Count]).sqrt();
    y[Stat::NegativeStd] = mean(triplets.iter().map(far).sum(), t[TripletSum::Count]).sqrt();
    y[Stat::MeanLength] = centre.f().iter().map(|&x| x * x).sum::<T>().sqrt();
    y[Stat::Triplets] = t[TripletSum::Possible];
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
    let scale = T::of(2.0) * (mean(dy[Stat::Loss], y[Stat::Active]) + mean(dy[Stat::LossPerPair], y[Stat::Triplets]));
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
