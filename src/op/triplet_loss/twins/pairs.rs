//! Which images are each anchor's positives, and what its pairs are like.

use rayon::prelude::*;

use super::super::stat::PairSum;
use super::super::{SLOTS, TripletParams};
use super::{LANES, mean, squares};
use crate::cpu::{Call, Float};

pub(in super::super) fn order<T: Float>(call: Call<'_, T>) {
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

/// The positives of anchor `a` in the order of the batch, from what [`order`] or [`hardest`] wrote for `b` images.
pub(super) fn positives(members: &[u32], b: usize, a: usize) -> impl Iterator<Item = usize> + Clone {
    let (first, count) = (members[b + a] as usize, members[2 * b + a] as usize);
    members[first..first + count].iter().map(|&i| i as usize).filter(move |&i| i != a)
}

pub(in super::super) fn hardest<T: Float>(call: Call<'_, T>) {
    let p: TripletParams = call.params();
    let [all, d, hardest] = call.args();
    let (b, all) = (p.b as usize, all.u());
    let (farthest, runs) = hardest.u_mut().split_at_mut(b);
    let (first, count) = runs.split_at_mut(b);
    for (a, (d, farthest)) in d.f().chunks_exact(b).zip(farthest).enumerate() {
        let mut best = (a, -T::one());
        for i in positives(all, b, a) {
            if d[i] > best.1 {
                best = (i, d[i]);
            }
        }
        *farthest = u32::try_from(best.0).expect("a batch is counted in u32");
    }
    first.iter_mut().zip(0..).for_each(|(first, a)| *first = a);
    count.fill(1);
}

/// What is summed over the images that an anchor sees, in lanes.
struct Row<T> {
    /// Distances of all images.
    all: [T; LANES],
    /// Distances of those of other people.
    far: [T; LANES],
    /// Their number.
    others: [u32; LANES],
    /// Distance of the closest of them.
    closest: [T; LANES],
}

impl<T: Float> Row<T> {
    fn add(&mut self, lane: usize, distance: T, other: bool) {
        self.all[lane] += distance;
        self.far[lane] += if other { distance } else { T::zero() };
        self.others[lane] += u32::from(other);
        let distance = if other { distance } else { T::infinity() };
        self.closest[lane] = if distance < self.closest[lane] { distance } else { self.closest[lane] };
    }
}

pub(in super::super) fn pairs<T: Float>(call: Call<'_, T>) {
    let p: TripletParams = call.params();
    let margin = T::of(f64::from(p.margin));
    let [labels, members, d, share] = call.args();
    let (b, labels, members) = (p.b as usize, labels.u(), members.u());
    let anchors = d.f().par_chunks_exact(b).zip(share.f_mut().par_chunks_exact_mut(SLOTS as usize));
    anchors.enumerate().for_each(|(a, (d, share))| {
        let mut row = Row {
            all: [T::zero(); LANES],
            far: [T::zero(); LANES],
            others: [0; LANES],
            closest: [T::infinity(); LANES],
        };
        let ((parts, rest), (people, last)) = (d.as_chunks::<LANES>(), labels.as_chunks::<LANES>());
        for (part, people) in parts.iter().zip(people) {
            for l in 0..LANES {
                row.add(l, part[l], people[l] != labels[a]);
            }
        }
        for (l, (&distance, &label)) in rest.iter().zip(last).enumerate() {
            row.add(l, distance, label != labels[a]);
        }
        let closest = row.closest.into_iter().fold(T::infinity(), T::min);
        let near = positives(members, b, a).map(|i| d[i]);
        let (count, sum) = (T::of(near.clone().count() as f64), near.clone().sum());
        let number = |of: &dyn Fn(T) -> bool| T::of(near.clone().filter(|&near| of(near)).count() as f64);
        share[PairSum::Count] = count;
        share[PairSum::Distance] = sum;
        share[PairSum::Squares] = squares(near.clone(), mean(sum, count));
        share[PairSum::Hard] = number(&|near| closest <= near);
        share[PairSum::SemiHard] = number(&|near| closest > near && closest - near < margin);
        share[PairSum::Others] = T::count(row.others.iter().sum());
        share[PairSum::OtherDistance] = row.far.into_iter().sum();
        share[PairSum::AllDistance] = row.all.into_iter().sum();
    });
}
