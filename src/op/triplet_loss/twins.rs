//! The kernels of the triplet loss in plain Rust: loops over anchors, positives and negatives.

use rayon::prelude::*;

use super::{TripletParams, stat};
use crate::cpu::{Call, Float, put};

pub(super) fn transpose<T: Float>(call: Call<'_, T>) {
    let p: TripletParams = call.params();
    let [x, columns] = call.args();
    let columns = columns.f_mut();
    for (i, row) in x.f().chunks_exact(p.dim as usize).enumerate() {
        for (k, &value) in row.iter().enumerate() {
            columns[k * p.b as usize + i] = value;
        }
    }
}

pub(super) fn distances<T: Float>(call: Call<'_, T>) {
    let p: TripletParams = call.params();
    let [columns, d, pull] = call.args();
    let (b, columns) = (p.b as usize, columns.f());
    d.f_mut().par_chunks_exact_mut(b).enumerate().for_each(|(i, row)| {
        row.fill(T::zero());
        for column in columns.chunks_exact(b) {
            for (sum, &other) in row.iter_mut().zip(column) {
                *sum += (column[i] - other) * (column[i] - other);
            }
        }
    });
    pull.u_mut().fill(0);
}

pub(super) fn order<T: Float>(call: Call<'_, T>) {
    let [labels, members] = call.args();
    let labels = labels.u();
    let mut order: Vec<u32> = (0u32..).take(labels.len()).collect();
    order.sort_by_key(|&i| labels[i as usize]); // stable
    let (sorted, runs) = members.u_mut().split_at_mut(labels.len());
    let (first, count) = runs.split_at_mut(labels.len());
    sorted.copy_from_slice(&order);
    let mut at = 0;
    for run in order.chunk_by(|&i, &j| labels[i as usize] == labels[j as usize]) {
        let len = u32::try_from(run.len()).expect("a batch is counted in u32");
        for &i in run {
            (first[i as usize], count[i as usize]) = (at, len);
        }
        at += len;
    }
}

/// One anchor-positive pair: the positive and the semi-hard negative if there is one.
type Pair = (usize, Option<usize>);

pub(super) fn select<T: Float>(call: Call<'_, T>) {
    let p: TripletParams = call.params();
    let margin = T::of(f64::from(p.margin));
    let [labels, _, d, pull, partial] = call.args();
    let (b, labels) = (p.b as usize, labels.u());
    let anchors = d.f().par_chunks_exact(b).zip(partial.f_mut().par_chunks_exact_mut(stat::COUNT)).enumerate();
    let chosen: Vec<Vec<Pair>> = anchors
        .map(|(a, (d, partial))| {
            let negatives = || (0..b).filter(|&n| labels[n] != labels[a]);
            let pairs: Vec<Pair> = (0..b)
                .filter(|&i| labels[i] == labels[a] && i != a)
                .map(|i| {
                    let semi_hard = negatives().filter(|&n| d[n] > d[i] && d[n] - d[i] < margin);
                    (i, semi_hard.reduce(|best, n| if d[n] < d[best] { n } else { best }))
                })
                .collect();
            let triplets = || pairs.iter().filter_map(|&(i, n)| Some((i, n?)));
            let nearest = negatives().fold(T::infinity(), |m, n| m.min(d[n]));
            let count = |items: usize| T::of(items as f64);
            partial.copy_from_slice(&[
                triplets().map(|(i, n)| margin - (d[n] - d[i])).sum(),
                count(triplets().count()),
                count(pairs.len()),
                pairs.iter().map(|&(i, _)| d[i]).sum(),
                triplets().map(|(_, n)| d[n]).sum(),
                negatives().map(|n| d[n]).sum(),
                count(negatives().count()),
                count(pairs.iter().filter(|&&(i, _)| nearest <= d[i]).count()),
            ]);
            pairs
        })
        .collect();
    let pull = pull.u_mut();
    for (a, pairs) in chosen.iter().enumerate() {
        for &(i, n) in pairs {
            let Some(n) = n else { continue };
            for (j, by) in [(i, 1), (n, -1)] {
                pull[a * b + j] = pull[a * b + j].wrapping_add_signed(by);
                pull[j * b + a] = pull[j * b + a].wrapping_add_signed(by);
            }
        }
    }
}

pub(super) fn stats<T: Float>(call: Call<'_, T>) {
    let [sums, y] = call.args();
    let mut t = [T::zero(); stat::COUNT];
    for row in sums.f().chunks_exact(stat::COUNT) {
        t.iter_mut().zip(row).for_each(|(t, &sum)| *t += sum);
    }
    let loss = if (t[3] + t[5]).is_finite() { t[0] } else { T::nan() };
    let of = |sum: T, count: T| if count == T::zero() && !sum.is_nan() { T::zero() } else { sum / count };
    let y = y.f_mut();
    y[stat::LOSS] = of(loss, t[1]);
    y[stat::LOSS_PER_PAIR] = of(loss, t[2]);
    y[stat::PAIRS] = t[2];
    y[stat::ACTIVE] = t[1];
    y[stat::POSITIVE_DISTANCE] = of(t[3], t[2]);
    y[stat::NEGATIVE_DISTANCE] = of(t[4], t[1]);
    y[stat::DIFFERENT_DISTANCE] = of(t[5], t[6]);
    y[stat::HARD] = t[7];
}

pub(super) fn dx<T: Float>(call: Call<'_, T>) {
    let p: TripletParams = call.params();
    let accumulate = call.flag("ACCUMULATE");
    let [x, pull, y, dy, dx] = call.args();
    let (dim, x, y, dy) = (p.dim as usize, x.f(), y.f(), dy.f());
    let share = |slot: usize, count: usize| if y[count] == T::zero() { T::zero() } else { dy[slot] / y[count] };
    let scale = T::of(2.0) * (share(stat::LOSS, stat::ACTIVE) + share(stat::LOSS_PER_PAIR, stat::PAIRS));
    let rows = dx.f_mut().par_chunks_exact_mut(dim).zip(pull.u().par_chunks_exact(p.b as usize)).enumerate();
    rows.for_each(|(i, (dx, pull))| {
        let own = &x[i * dim..][..dim];
        let mut sum = vec![T::zero(); dim];
        for (j, weight) in pull.iter().map(|w| w.cast_signed()).enumerate().filter(|(_, w)| *w != 0) {
            for ((sum, &own), &other) in sum.iter_mut().zip(own).zip(&x[j * dim..][..dim]) {
                *sum += T::of(f64::from(weight)) * (own - other);
            }
        }
        for (dx, &sum) in dx.iter_mut().zip(&sum) {
            put(accumulate, dx, scale * sum);
        }
    });
}
