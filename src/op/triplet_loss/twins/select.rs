//! The negatives of each anchor: the closest, a random, or every candidate.

use rayon::prelude::*;

use super::super::stat::TripletSum;
use super::super::{SLOTS, TripletParams};
use super::pairs::positives;
use super::{LANES, mean};
use crate::cpu::{Arg, Call, Float};
use crate::op::philox::philox;

/// Images of other people as an anchor sees them, in the order of the batch.
#[derive(Debug, Default)]
struct Others<T> {
    /// Their distances, filled up with infinities.
    far: Vec<[T; LANES]>,
    /// Their positions in the batch.
    at: Vec<usize>,
    /// How many of the anchor's positives each is a candidate of; used where all candidates are negatives.
    triplets: Vec<[u32; LANES]>,
}

impl<T: Float> Others<T> {
    fn of(&mut self, labels: &[u32], own: u32, d: &[T]) {
        self.at.clear();
        self.at.extend((0..labels.len()).filter(|&n| labels[n] != own));
        self.far.clear();
        self.far.resize(self.at.len().div_ceil(LANES), [T::infinity(); LANES]);
        for (far, &n) in self.far.as_flattened_mut().iter_mut().zip(&self.at) {
            *far = d[n];
        }
    }
}

/// Which images of other people are candidates of a pair: those farther than `low`, by less than the margin farther than
/// the positive.
#[derive(Debug, Clone, Copy)]
struct Rule<T> {
    near: T,
    low: T,
    margin: T,
}

impl<T: Float> Rule<T> {
    /// With `hard`, images as close as the positive, or closer, are candidates, too.
    fn new(near: T, margin: T, hard: bool) -> Self {
        Self { near, low: if hard { T::neg_infinity() } else { near }, margin }
    }

    fn fits(self, far: T) -> bool {
        // The difference decides, and enters the loss, as in the WGSL kernel. No short cut: vectors have none.
        (far - self.near < self.margin) & (far > self.low)
    }

    /// How many candidates there are.
    fn count(self, far: &[[T; LANES]]) -> u32 {
        let mut count = [0; LANES];
        for part in far {
            for l in 0..LANES {
                count[l] += u32::from(self.fits(part[l]));
            }
        }
        count.iter().sum()
    }

    /// How many candidates there are, and the distance of the closest.
    fn closest(self, far: &[[T; LANES]]) -> (u32, T) {
        let (mut count, mut least) = ([0; LANES], [T::infinity(); LANES]);
        for part in far {
            for l in 0..LANES {
                let fits = self.fits(part[l]);
                count[l] += u32::from(fits);
                let distance = if fits { part[l] } else { T::infinity() };
                least[l] = if distance < least[l] { distance } else { least[l] };
            }
        }
        (count.iter().sum(), least.into_iter().fold(T::infinity(), T::min))
    }

    /// How many candidates there are, also added to the triplets of each, and the sum of their losses.
    fn all(self, far: &[[T; LANES]], triplets: &mut [[u32; LANES]]) -> (u32, T) {
        let (mut count, mut loss) = ([0; LANES], [T::zero(); LANES]);
        for (part, triplets) in far.iter().zip(triplets) {
            for l in 0..LANES {
                let fits = self.fits(part[l]);
                count[l] += u32::from(fits);
                triplets[l] += u32::from(fits);
                loss[l] += if fits { self.margin - (part[l] - self.near) } else { T::zero() };
            }
        }
        (count.iter().sum(), loss.into_iter().sum())
    }

    /// Position of candidate number `number`.
    fn find(self, far: &[[T; LANES]], mut number: u32) -> usize {
        for (at, part) in far.iter().enumerate() {
            let here = self.count(std::slice::from_ref(part));
            if number < here {
                let mut fitting = (0..LANES).filter(|&l| self.fits(part[l]));
                return at * LANES + fitting.nth(number as usize).expect("it was counted here");
            }
            number -= here;
        }
        unreachable!("the number is below the count")
    }
}

/// Position of the first of these distances that is `distance`.
fn first<T: Float>(far: &[[T; LANES]], distance: T) -> usize {
    let here = |part: &[T; LANES]| part.iter().fold(false, |found, &far| found | (far == distance));
    let at = far.iter().position(here).expect("it is one of them");
    at * LANES + far[at].iter().position(|&far| far == distance).expect("it is one of these")
}

/// What is summed over the triplets of an anchor, as the columns of its share.
#[derive(Debug)]
struct Sums<T> {
    loss: T,
    candidates: u32,
    /// Distances of the negatives, and how many triplets each is in.
    far: Vec<(T, u32)>,
    /// Pairs with a candidate.
    served: u32,
}

impl<T: Float> Sums<T> {
    fn new() -> Self {
        Self { loss: T::zero(), candidates: 0, far: Vec::new(), served: 0 }
    }

    fn write(&self, possible: T, share: &mut [T]) {
        let active = T::of(self.far.iter().map(|&(_, n)| u64::from(n)).sum::<u64>() as f64);
        let sum: T = self.far.iter().map(|&(far, n)| far * T::count(n)).sum();
        let centre = mean(sum, active);
        let squares = self.far.iter().map(|&(far, n)| (far - centre) * (far - centre) * T::count(n)).sum();
        let (candidates, served) = (T::count(self.candidates), T::count(self.served));
        share.fill(T::zero());
        share[TripletSum::Loss] = self.loss;
        share[TripletSum::Count] = active;
        share[TripletSum::Candidates] = candidates;
        share[TripletSum::Distance] = sum;
        share[TripletSum::Squares] = squares;
        share[TripletSum::Pairs] = served;
        share[TripletSum::Possible] = possible;
    }
}

fn add(pull: &mut u32, by: i32) {
    *pull = pull.wrapping_add_signed(by);
}

/// What the selections read and write.
struct Task<'a, T> {
    b: usize,
    margin: T,
    hard: bool,
    labels: &'a [u32],
    members: &'a [u32],
    d: &'a [T],
    pull: &'a mut [u32],
    share: &'a mut [T],
}

impl<'a, T: Float> Task<'a, T> {
    /// From the parameters, the flag `HARD`, and the buffers that all selections have.
    fn new(p: TripletParams, hard: bool, buffers: [Arg<'a, T>; 6]) -> Self {
        let [labels, members, d, _, pull, share] = buffers;
        let (b, margin) = (p.b as usize, T::of(f64::from(p.margin)));
        let (labels, members, d, pull, share) = (labels.u(), members.u(), d.f(), pull.u_mut(), share.f_mut());
        Self { b, margin, hard, labels, members, d, pull, share }
    }

    /// Calls `each` with every anchor, its distances, the images of other people, its row of `pull` and its sums.
    /// It returns how many triplets were possible.
    fn for_each_anchor(self, each: impl Fn(usize, &[T], &mut Others<T>, &mut [u32], &mut Sums<T>) -> usize + Sync) {
        let rows = self.d.par_chunks_exact(self.b).zip(self.pull.par_chunks_exact_mut(self.b));
        let rows = rows.zip(self.share.par_chunks_exact_mut(SLOTS as usize)).enumerate();
        let labels = self.labels;
        rows.for_each_init(Others::default, |others, (a, ((d, pull), share))| {
            others.of(labels, labels[a], d);
            let mut sums = Sums::new();
            let possible = each(a, d, others, pull, &mut sums);
            sums.write(T::of(possible as f64), share);
        });
    }

    /// One candidate for each pair: `choose` is given the anchor, the positive, the rule and the distances of the images
    /// of other people, and returns the number of candidates and, if there are any, the position of the chosen one.
    fn one(self, choose: impl Fn(usize, usize, Rule<T>, &[[T; LANES]]) -> (u32, Option<usize>) + Sync) {
        let (b, margin, hard, members) = (self.b, self.margin, self.hard, self.members);
        self.for_each_anchor(|a, d, others, pull, sums| {
            let mut pairs = 0;
            for i in positives(members, b, a) {
                pairs += 1;
                let rule = Rule::new(d[i], margin, hard);
                let (candidates, chosen) = choose(a, i, rule, &others.far);
                let Some(chosen) = chosen else { continue };
                let far = others.far.as_flattened()[chosen];
                sums.loss += margin - (far - rule.near);
                sums.candidates += candidates;
                sums.served += 1;
                sums.far.push((far, 1));
                add(&mut pull[i], 1);
                add(&mut pull[others.at[chosen]], -1);
            }
            pairs
        });
    }
}

pub(in super::super) fn closest<T: Float>(call: Call<'_, T>) {
    let (p, hard) = (call.params(), call.flag("HARD"));
    Task::new(p, hard, call.args()).one(|_, _, rule, far| {
        let (candidates, distance) = rule.closest(far);
        (candidates, (candidates > 0).then(|| first(far, distance)))
    });
}

pub(in super::super) fn random<T: Float>(call: Call<'_, T>) {
    let (p, hard) = (call.params(), call.flag("HARD"));
    let [labels, members, d, pairs, pull, share, seed] = call.args();
    let seed = seed.u();
    let index = |i: usize| u32::try_from(i).expect("a batch is counted in u32");
    Task::new(p, hard, [labels, members, d, pairs, pull, share]).one(|a, i, rule, far| {
        let candidates = rule.count(far);
        let word = || philox([index(a), index(i), 0, 1], [seed[0], seed[1]])[0];
        (candidates, (candidates > 0).then(|| rule.find(far, word() % candidates)))
    });
}

pub(in super::super) fn all<T: Float>(call: Call<'_, T>) {
    let (p, hard) = (call.params(), call.flag("HARD"));
    let task = Task::new(p, hard, call.args());
    let (b, margin, members) = (task.b, task.margin, task.members);
    task.for_each_anchor(|a, d, others, pull, sums| {
        let Others { far, at, triplets } = others;
        triplets.clear();
        triplets.resize(far.len(), [0; LANES]);
        let mut pairs = 0;
        for i in positives(members, b, a) {
            pairs += 1;
            let (count, loss) = Rule::new(d[i], margin, hard).all(far, triplets);
            pull[i] = count;
            sums.loss += loss;
            sums.candidates += count;
            sums.served += u32::from(count > 0);
        }
        for ((&n, &far), &triplets) in at.iter().zip(far.as_flattened()).zip(triplets.as_flattened()) {
            if triplets > 0 {
                sums.far.push((far, triplets));
                pull[n] = 0u32.wrapping_sub(triplets);
            }
        }
        pairs * at.len()
    });
}
