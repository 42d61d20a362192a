//! All pairs of a set of images, as in the paper's hold-out test: how often different people are accepted at a threshold
//! (FAR), and how often one person is (VAL).
//!
//! Distances are counted in 65,536 steps from 0 to 4 (of embeddings of length 1). A threshold is the end of a step, so that
//! the rates at a threshold are exact, and memory does not grow with the number of pairs.

use rayon::prelude::*;

use super::interval::{Dyads, wilson};
use crate::{Embeddings, Error, Result};

/// Steps from 0 to 4. Their width is a power of two, so that no distance falls on the wrong side of a threshold.
const STEPS: usize = 1 << 16;
const WIDTH: f32 = 4.0 / STEPS as f32;
/// Rows that are compared with others together: both blocks of 128 dimensions stay in a core's cache.
const BLOCK: usize = 64;
/// Sums that are kept apart, so that the compiler can make vectors of them.
const LANES: usize = 16;

/// Squared distances of all pairs of images, counted.
#[derive(Debug, Clone, PartialEq)]
pub struct AllPairs {
    /// Pairs of one person and of different people in each step; step `i` ends with the distance `i * WIDTH`.
    steps: Vec<[u64; 2]>,
    same: u64,
    different: u64,
}

/// Both rates at a threshold: a pair is accepted where its squared distance is at most the threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Rates {
    /// The squared distance.
    pub threshold: f32,
    /// Pairs of different people that are accepted.
    pub false_accepts: u64,
    /// Their part of all pairs of different people.
    pub far: f64,
    /// Pairs of one person that are accepted.
    pub true_accepts: u64,
    /// Their part of all pairs of one person.
    pub val: f64,
}

/// Ends of the 95 % confidence intervals of both rates, and how many independent pairs would tell as much.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Certainty {
    /// That of FAR.
    pub far: [f64; 2],
    /// That of VAL.
    pub val: [f64; 2],
    /// Independent pairs of different people.
    pub different: f64,
    /// Independent pairs of one person.
    pub same: f64,
}

impl AllPairs {
    /// Counts the pairs of `embeddings`, whose rows show `people`.
    ///
    /// # Errors
    /// There are not as many people as rows, a row is not finite, or there are no pairs of either kind.
    pub fn count(embeddings: &Embeddings, people: &[usize]) -> Result<Self> {
        check(embeddings, people)?;
        let counted = each_block(
            embeddings,
            || vec![[0_u64; 2]; STEPS + 1],
            |steps, i, j, distance| {
                steps[step_of(distance)][usize::from(people[i] != people[j])] += 1;
            },
        );
        let steps = counted.unwrap_or_else(|| vec![[0; 2]; STEPS + 1]);
        let [same, different] = [0, 1].map(|kind| steps.iter().map(|step| step[kind]).sum());
        if same == 0 || different == 0 {
            return Err(Error::Data(format!(
                "{} images give {same} pairs of one person and {different} of different people; both kinds are needed: \
                 give two people or more, and two images of a person or more",
                people.len()
            )));
        }
        Ok(Self { steps, same, different })
    }

    /// Number of pairs of one person.
    pub fn same(&self) -> u64 {
        self.same
    }

    /// Number of pairs of different people.
    pub fn different(&self) -> u64 {
        self.different
    }

    /// The rates at all thresholds at which one of them changes, growing.
    pub fn curve(&self) -> impl Iterator<Item = Rates> + '_ {
        let (mut true_accepts, mut false_accepts) = (0, 0);
        (0_u16..=u16::MAX).map(u32::from).chain([65_536]).zip(&self.steps).filter_map(move |(at, [same, different])| {
            (true_accepts, false_accepts) = (true_accepts + same, false_accepts + different);
            let (far, val) = (false_accepts as f64 / self.different as f64, true_accepts as f64 / self.same as f64);
            let rates = Rates { threshold: at as f32 * WIDTH, false_accepts, far, true_accepts, val };
            (same + different > 0).then_some(rates)
        })
    }

    /// The rates at the largest threshold whose FAR is not above `wanted`; `None` where fewer than `1 / wanted` pairs of
    /// different people are there, so that only a rate of zero is not above it.
    pub fn at_far(&self, wanted: f64) -> Option<Rates> {
        if wanted * (self.different as f64) < 1.0 {
            return None;
        }
        let none = Rates { threshold: 0.0, false_accepts: 0, far: 0.0, true_accepts: 0, val: 0.0 };
        let mut found = none;
        for rates in self.curve() {
            if rates.far > wanted {
                // All steps up to the one before that adds too many have the same rates.
                found.threshold = (rates.threshold - WIDTH).max(found.threshold);
                break;
            }
            found = rates;
        }
        Some(found)
    }

    /// The rates at a threshold, rounded down to the end of a step.
    pub fn at(&self, threshold: f32) -> Rates {
        let none = Rates { threshold: 0.0, false_accepts: 0, far: 0.0, true_accepts: 0, val: 0.0 };
        self.curve().take_while(|rates| rates.threshold <= threshold).last().unwrap_or(none)
    }

    /// Area under the curve of VAL over FAR, by trapezoids between the steps.
    pub fn auc(&self) -> f64 {
        let mut before = (0.0, 0.0);
        let mut area = 0.0;
        for Rates { far, val, .. } in self.curve() {
            area += (far - before.0) * (val + before.1) / 2.0;
            before = (far, val);
        }
        area
    }

    /// How certain the rates at a threshold are, which the number of people limits.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub fn certainty(embeddings: &Embeddings, people: &[usize], rates: &Rates) -> Result<Certainty> {
        check(embeddings, people)?;
        let number = people.iter().max().map_or(0, |most| most + 1);
        let accepted = each_block(
            embeddings,
            || vec![[0_u64; 2]; number],
            |accepted, i, j, distance| {
                if step_of(distance) as f32 * WIDTH <= rates.threshold {
                    let (a, b) = (people[i], people[j]);
                    match a == b {
                        true => accepted[a][0] += 1,
                        false => {
                            accepted[a][1] += 1;
                            accepted[b][1] += 1;
                        }
                    }
                }
            },
        );
        let accepted = accepted.unwrap_or_default();
        let mut images = vec![0_u64; number];
        people.iter().for_each(|&person| images[person] += 1);
        let all = images.iter().sum::<u64>();
        let with_images = || (0..number).filter(|&person| images[person] > 0);
        let own = |person: usize| images[person] * images[person].saturating_sub(1) / 2;
        let others = |person: usize| images[person] * (all - images[person]);
        let (people, several) = (with_images().count() as f64, with_images().filter(|&p| own(p) > 0).count() as f64);
        let n: f64 = with_images().map(|person| own(person) as f64).sum();
        let same = Dyads { n, mean: rates.val, twice: 0.0, kinds: several };
        let errors = with_images().filter(|&p| own(p) > 0).map(|p| accepted[p][0] as f64 - rates.val * own(p) as f64);
        let same = same.effective(errors);
        let n: f64 = with_images().map(|person| others(person) as f64).sum::<f64>() / 2.0;
        let twice = n * rates.far * (1.0 - rates.far);
        let different = Dyads { n, mean: rates.far, twice, kinds: people * (people - 1.0) / 2.0 };
        let errors = with_images().map(|p| accepted[p][1] as f64 - rates.far * others(p) as f64);
        let different = different.effective(errors);
        Ok(Certainty { far: wilson(rates.far, different), val: wilson(rates.val, same), different, same })
    }
}

fn check(embeddings: &Embeddings, people: &[usize]) -> Result<()> {
    if embeddings.len() != people.len() {
        let message = format!("{} embeddings of {} people", embeddings.len(), people.len());
        return Err(Error::shape("all pairs", message));
    }
    match embeddings.as_slice().iter().any(|x| !x.is_finite()) {
        true => Err(Error::NotFinite("an embedding holds NaN or Inf".into())),
        false => Ok(()),
    }
}

/// The step that a squared distance lies in.
fn step_of(distance: f32) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the number of a step")]
    let step = (distance / WIDTH).ceil() as usize;
    step.min(STEPS)
}

/// Calls `add(sum, i, j, squared distance)` for all pairs of rows `i < j`, each thread with a sum of its own, and adds the
/// sums. `None` where there are no pairs.
fn each_block<S: Sum>(
    embeddings: &Embeddings,
    zero: impl Fn() -> S + Sync + Send,
    add: impl Fn(&mut S, usize, usize, f32) + Sync,
) -> Option<S> {
    let blocks = embeddings.len().div_ceil(BLOCK);
    let pairs: Vec<(usize, usize)> = (0..blocks).flat_map(|a| (a..blocks).map(move |b| (a, b))).collect();
    let rows = |block: usize| block * BLOCK..((block + 1) * BLOCK).min(embeddings.len());
    let of_pair = |mut sum: S, &(a, b): &(usize, usize)| {
        for i in rows(a) {
            for j in rows(b).skip_while(|&j| j <= i) {
                add(&mut sum, i, j, squared_distance(embeddings.row(i), embeddings.row(j)));
            }
        }
        sum
    };
    // A piece for each few blocks: every piece has a sum of its own.
    let piece = pairs.len().div_ceil(8 * rayon::current_num_threads()).max(1);
    pairs.par_chunks(piece).map(|pairs| pairs.iter().fold(zero(), of_pair)).reduce_with(Sum::plus)
}

/// Sums that are added element by element.
trait Sum: Send {
    #[must_use]
    fn plus(self, other: Self) -> Self;
}

impl Sum for Vec<[u64; 2]> {
    fn plus(mut self, other: Self) -> Self {
        self.iter_mut().zip(other).for_each(|(a, b)| *a = [a[0] + b[0], a[1] + b[1]]);
        self
    }
}

/// Squared distance with [`LANES`] sums side by side.
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            let difference = a[lane] - b[lane];
            sums[lane] += difference * difference;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::eval::rates::val_at_far;
    use crate::eval::roc::Roc;

    /// People around random directions: rows of unit length.
    fn people(count: usize, images: usize) -> (Embeddings, Vec<usize>) {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let (mut data, mut owners) = (Vec::new(), Vec::new());
        for person in 0..count {
            let centre: Vec<f32> = (0..20).map(|_| rng.random_range(-1.0..1.0)).collect();
            for _ in 0..images {
                let row: Vec<f32> = centre.iter().map(|x| x + rng.random_range(-0.9..0.9)).collect();
                let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
                data.extend(row.iter().map(|x| x / length));
                owners.push(person);
            }
        }
        (Embeddings::new(20, data).unwrap(), owners)
    }

    fn scored(embeddings: &Embeddings, owners: &[usize]) -> Vec<(f32, bool)> {
        let all = (0..owners.len()).flat_map(|i| (i + 1..owners.len()).map(move |j| (i, j)));
        all.map(|(i, j)| (squared_distance(embeddings.row(i), embeddings.row(j)), owners[i] == owners[j])).collect()
    }

    #[test]
    fn rates_are_those_of_a_list_of_all_pairs() {
        let (embeddings, owners) = people(30, 5);
        let (all, list) = (AllPairs::count(&embeddings, &owners).unwrap(), scored(&embeddings, &owners));
        assert_eq!((all.same(), all.different()), (300, 10_875));
        for wanted in [0.1, 1e-2, 1e-3] {
            let (at, expected) = (all.at_far(wanted).unwrap(), val_at_far(&list, wanted).unwrap().unwrap());
            let accepted = |same: bool| list.iter().filter(|s| s.1 == same && s.0 <= at.threshold).count() as u64;
            assert_eq!(
                (at.false_accepts, at.true_accepts),
                (accepted(false), accepted(true)),
                "exact at its threshold"
            );
            assert!(at.far <= wanted && (at.threshold - expected.threshold).abs() < 0.02, "{at:?} {expected:?}");
            assert_eq!(all.at(at.threshold).false_accepts, at.false_accepts);
        }
        assert_eq!(all.at_far(1e-5), None);
        let auc = Roc::new(&list).unwrap().auc();
        assert!((all.auc() - auc).abs() < 1e-5, "{} {auc}", all.auc());
        let last = all.curve().last().unwrap();
        assert_eq!((last.far, last.val), (1.0, 1.0));
    }

    #[test]
    fn certainty_is_that_of_the_pairs_one_by_one() {
        use crate::eval::interval::effective_pairs;

        let (embeddings, owners) = people(12, 4);
        let all = AllPairs::count(&embeddings, &owners).unwrap();
        let rates = all.at_far(0.05).unwrap();
        let certainty = AllPairs::certainty(&embeddings, &owners, &rates).unwrap();
        let of = |same: bool| {
            let pairs = (0..48).flat_map(|i| (i + 1..48).map(move |j| (i, j)));
            let pairs = pairs.filter(|&(i, j)| (owners[i] == owners[j]) == same);
            let judged = pairs.map(|(i, j)| {
                let distance = squared_distance(embeddings.row(i), embeddings.row(j));
                ([owners[i], owners[j]], distance <= rates.threshold)
            });
            effective_pairs(&judged.collect::<Vec<_>>())
        };
        for (got, expected) in [(certainty.same, of(true)), (certainty.different, of(false))] {
            assert!((got / expected - 1.0).abs() < 1e-9, "{got} {expected}");
        }
        assert!(certainty.far[0] < rates.far && rates.far < certainty.far[1], "{certainty:?}");
    }

    #[test]
    fn sets_without_pairs_and_broken_rows_are_refused() {
        let (embeddings, owners) = people(2, 2);
        let refused =
            |embeddings: &Embeddings, owners: &[usize]| AllPairs::count(embeddings, owners).unwrap_err().to_string();
        assert!(refused(&embeddings, &[0; 4]).contains("6 pairs of one person and 0 of different people"));
        assert!(refused(&embeddings, &[0, 1, 2, 3]).contains("0 pairs of one person"));
        assert!(refused(&embeddings, &owners[..3]).contains("4 embeddings of 3 people"));
        let broken = Embeddings::new(1, vec![1.0, f32::NAN]).unwrap();
        assert!(refused(&broken, &[0, 1]).contains("NaN"));
    }
}
