//! Verification: are two images of the same person? Balanced pairs, distances, accuracy.

use rand::SeedableRng;
use rand::seq::{SliceRandom, index};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::interval::{effective_pairs, wilson};
pub use crate::embeddings::squared_distance;

use crate::data::faces::FaceSet;
use crate::{Error, Result};

/// Two different images, by their indices in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The first image; it comes before `b` in the people's order.
    pub a: usize,
    /// The second image.
    pub b: usize,
    /// Whether the same person is on both.
    pub same: bool,
}

impl Pair {
    /// Who is on both images, where `people` holds the person on each image.
    pub fn people(&self, people: &[usize]) -> [usize; 2] {
        [people[self.a], people[self.b]]
    }
}

/// How well a distance tells pairs of the same person from pairs of different people.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Accuracy {
    /// Part of the pairs that are classified rightly, 0 to 1: the mean over both halves, each at the threshold that was
    /// chosen on the other half. Half of balanced pairs is chance.
    pub accuracy: f64,
    /// The threshold that suits all pairs best, for use on new images: `distance < threshold` means the same person.
    pub threshold: f32,
    /// The thresholds chosen on the first and on the second half.
    pub half_thresholds: [f32; 2],
    /// Number of pairs.
    pub pairs: usize,
    /// Number of independent pairs that would tell as much, which the number of people limits: see [`effective_pairs`].
    pub effective_pairs: f64,
}

impl Accuracy {
    /// Ends of the 95 % confidence interval of the accuracy, 0 to 1: that of Wilson (1927) with
    /// [`effective_pairs`](Self::effective_pairs).
    pub fn interval(&self) -> [f64; 2] {
        wilson(self.accuracy, self.effective_pairs)
    }
}

/// As many pairs of the same person as of different people, at most `max` in all (an odd `max` counts as one less), no
/// pair twice, in random order. `people` holds the image indices of each person. Both kinds are drawn uniformly among
/// all such pairs of images; the smaller of the two kinds limits the other. The same `seed` gives the same pairs.
///
/// # Errors
/// [`Error::Data`] where nobody has two images, where there is one person only, or where `max` is below 2.
pub fn balanced_pairs(people: &[Vec<usize>], seed: u64, max: usize) -> Result<Vec<Pair>> {
    let sames: usize = people.iter().map(|faces| faces.len() * faces.len().saturating_sub(1) / 2).sum();
    let images: Vec<usize> = people.iter().flatten().copied().collect();
    // Every image pairs with the images of later people: `later[p]` counts them, `starts[p]` numbers the pairs.
    let (mut later, mut starts) = (Vec::with_capacity(people.len()), Vec::with_capacity(people.len()));
    let (mut end, mut differents) = (0, 0);
    for faces in people {
        end += faces.len();
        starts.push(differents);
        later.push(images.len() - end);
        differents += faces.len() * (images.len() - end);
    }
    let count = sames.min(differents).min(max / 2);
    if count == 0 {
        return Err(Error::Data(format!(
            "{} people with {} images give {sames} pairs of the same person and {differents} of different people, of \
             which at most {max} may be used; verification needs one of each: hold out two people with two images",
            people.len(),
            images.len()
        )));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut pairs = Vec::with_capacity(2 * count);
    let mut wanted = index::sample(&mut rng, sames, count).into_vec();
    wanted.sort_unstable();
    let mut wanted = wanted.into_iter().peekable();
    let mut number = 0;
    for faces in people {
        for (i, &a) in faces.iter().enumerate() {
            // The pairs (i, i + 1), (i, i + 2), ... have consecutive numbers from `number` on.
            while let Some(at) = wanted.next_if(|&at| at < number + faces.len() - 1 - i) {
                pairs.push(Pair { a, b: faces[i + 1 + at - number], same: true });
            }
            number += faces.len() - 1 - i;
        }
    }
    for at in index::sample(&mut rng, differents, count) {
        let person = starts.partition_point(|&start| start <= at) - 1;
        let (first, second) = ((at - starts[person]) / later[person], (at - starts[person]) % later[person]);
        let b = images[images.len() - later[person] + second];
        pairs.push(Pair { a: people[person][first], b, same: false });
    }
    pairs.shuffle(&mut rng);
    Ok(pairs)
}

/// Measures `distances[i]` of `pairs[i]`, whose images are of the people that `person_of` says; where that is not known, the
/// image itself stands for its person. The rule: pairs of the same person and pairs of different people are shuffled
/// by `seed`, each kind by itself, and dealt alternately to two halves. Each half chooses the threshold that classifies
/// most of its own pairs rightly, exactly, among the middles between neighbouring distances and both ends, the smallest
/// of equals; the other half is then classified with it. The accuracy is the mean of both. The halves share people,
/// who must not be people that were trained on.
///
/// # Errors
/// [`Error::Shape`] where the lengths differ, [`Error::Data`] where there are fewer than two pairs of either kind,
/// [`Error::NotFinite`] where a distance is NaN or infinite.
pub fn verification_accuracy(
    pairs: &[Pair],
    distances: &[f32],
    person_of: impl Fn(usize) -> usize,
    seed: u64,
) -> Result<Accuracy> {
    if pairs.len() != distances.len() {
        let message = format!("{} distances for {} pairs", distances.len(), pairs.len());
        return Err(Error::shape("verification_accuracy", message));
    }
    if let Some(at) = distances.iter().position(|distance| !distance.is_finite()) {
        return Err(Error::NotFinite(format!(
            "the distance of images {} and {} is {}; the embeddings hold NaN or infinite values",
            pairs[at].a, pairs[at].b, distances[at]
        )));
    }
    let (mut same, mut different): (Vec<usize>, Vec<usize>) = (0..pairs.len()).partition(|&pair| pairs[pair].same);
    if same.len() < 2 || different.len() < 2 {
        return Err(Error::Data(format!(
            "{} pairs of the same person and {} of different people are too few to measure accuracy; two of each are \
             needed: give more pairs, or hold out more people",
            same.len(),
            different.len()
        )));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    same.shuffle(&mut rng);
    different.shuffle(&mut rng);
    let scored = |pair: usize| (distances[pair], pairs[pair].same);
    // One kind after the other, so that an odd pair of each kind do not fall into the same half.
    let dealt = || same.iter().chain(&different).copied();
    let halves: [Vec<usize>; 2] = [dealt().step_by(2).collect(), dealt().skip(1).step_by(2).collect()];
    let of_half = |half: usize| -> Vec<(f32, bool)> { halves[half].iter().map(|&pair| scored(pair)).collect() };
    let half_thresholds = [best_threshold(&of_half(0)), best_threshold(&of_half(1))];
    let accuracy = (right(&of_half(0), half_thresholds[1]) + right(&of_half(1), half_thresholds[0])) / 2.0;
    let threshold = best_threshold(&(0..pairs.len()).map(scored).collect::<Vec<_>>());
    let judged = [0, 1].into_iter().flat_map(|half| {
        let (person_of, other) = (&person_of, half_thresholds[1 - half]);
        halves[half].iter().map(move |&at| {
            let Pair { a, b, same } = pairs[at];
            ([person_of(a), person_of(b)], (distances[at] < other) == same)
        })
    });
    let effective_pairs = effective_pairs(&judged.collect::<Vec<_>>());
    Ok(Accuracy { accuracy, threshold, half_thresholds, pairs: pairs.len(), effective_pairs })
}

/// Part of `scored` that `distance < threshold` classifies rightly.
pub(super) fn right(scored: &[(f32, bool)], threshold: f32) -> f64 {
    scored.iter().filter(|&&(distance, same)| (distance < threshold) == same).count() as f64 / scored.len() as f64
}

/// The smallest of the thresholds that classify most of `scored` rightly.
pub(super) fn best_threshold(scored: &[(f32, bool)]) -> f32 {
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    // At the smallest distance itself nothing counts as the same person.
    let mut hits = sorted.iter().filter(|&&(_, same)| !same).count();
    let (mut best, mut most) = (sorted[0].0, hits);
    for (at, &(distance, same)) in sorted.iter().enumerate() {
        hits = if same { hits + 1 } else { hits - 1 };
        let next = sorted.get(at + 1).map(|&(next, _)| next);
        // Equal distances fall on the same side of any threshold.
        if next == Some(distance) || hits <= most {
            continue;
        }
        most = hits;
        best = next.map_or(distance.next_up(), |next| {
            let middle = distance + (next - distance) / 2.0;
            if middle > distance { middle } else { next }
        });
    }
    best
}

/// Squared distances of the pixels, scaled to 0 to 1: the baseline that a network has to beat.
///
/// # Errors
/// Those of [`FaceSet::face`], where the set is on disk.
pub fn raw_pixel_distances(set: &FaceSet, pairs: &[Pair]) -> Result<Vec<f32>> {
    let distance = |pair: &Pair| {
        let (a, b) = (set.face(pair.a)?, set.face(pair.b)?);
        // Exact in integers, so the order of the additions does not matter.
        let sum: u64 = a.iter().zip(b.iter()).map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding to the precision of the other distances is meant"
        )]
        let distance = (sum as f64 / (255.0 * 255.0)) as f32;
        Ok(distance)
    };
    pairs.par_iter().map(distance).collect()
}

#[cfg(test)]
mod tests;
