//! How certain a proportion is, such as an accuracy.

use std::collections::{BTreeMap, BTreeSet};

/// 95 % of a normal distribution lie within so many standard deviations of its mean.
const Z: f64 = 1.96;

/// Ends of the 95 % confidence interval of a proportion that was found on `n` independent cases (Wilson, 1927), 0 to 1.
pub fn wilson(proportion: f64, n: f64) -> [f64; 2] {
    if n <= 0.0 {
        return [0.0, 1.0];
    }
    let scale = 1.0 + Z * Z / n;
    let middle = (proportion + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (proportion * (1.0 - proportion) / n + Z * Z / (4.0 * n * n)).sqrt();
    [(middle - half).clamp(0.0, proportion), (middle + half).clamp(proportion, 1.0)]
}

/// Number of independent pairs that would tell as much as these: `pairs` holds the people of each, and whether it was
/// classified rightly. Pairs that share a person go wrong together, so that the number of people limits what many pairs tell.
///
/// The variance is the cluster-robust one for dyadic data (Aronow, Samii & Assenova, 2015), with the factor
/// `people / (people - 1)` of small samples. Where all pairs are right, or all are wrong, nothing varies, and all pairs of
/// the same two people count as one.
pub fn effective_pairs(pairs: &[([usize; 2], bool)]) -> f64 {
    let n = pairs.len() as f64;
    let mean = pairs.iter().filter(|(_, right)| *right).count() as f64 / n.max(1.0);
    let mut sums: BTreeMap<usize, f64> = BTreeMap::new();
    let mut twice = 0.0;
    for &([a, b], right) in pairs {
        let error = f64::from(u8::from(right)) - mean;
        *sums.entry(a).or_default() += error;
        if a != b {
            *sums.entry(b).or_default() += error;
            twice += error * error;
        }
    }
    let two = |[a, b]: [usize; 2]| [a.min(b), a.max(b)];
    let kinds = pairs.iter().map(|&(people, _)| two(people)).collect::<BTreeSet<_>>().len();
    Dyads { n, mean, twice, kinds: kinds as f64 }.effective(sums.into_values())
}

/// Pairs of people, summed up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dyads {
    /// Number of pairs.
    pub n: f64,
    /// Part of the pairs for which what is asked holds.
    pub mean: f64,
    /// Sum of the squared errors of the pairs of two people, which are in the sums of both.
    pub twice: f64,
    /// Number of different pairs of people.
    pub kinds: f64,
}

impl Dyads {
    /// As [`effective_pairs`], from each person's sum of errors: the number of their pairs for which what is asked holds,
    /// less what it would be if they were as all others.
    pub fn effective(&self, errors: impl Iterator<Item = f64>) -> f64 {
        let (mut people, mut squares) = (0.0, 0.0);
        for error in errors {
            people += 1.0;
            squares += error * error;
        }
        let spread = self.mean * (1.0 - self.mean);
        if spread == 0.0 || people < 2.0 {
            return self.kinds.min(self.n);
        }
        let variance = (squares - self.twice) * people / (people - 1.0) / (self.n * self.n);
        // No more than independent pairs would tell, also where the estimate is too small by chance.
        (spread / variance.max(spread / self.n)).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_wilson_and_stays_within_0_and_1() {
        let [low, high] = wilson(0.81, 100.0);
        assert!((low - 0.7222).abs() < 1e-4 && (high - 0.8749).abs() < 1e-4, "{low} {high}");
        let [low, high] = wilson(1.0, 10.0);
        assert!((low - 0.7225).abs() < 1e-3 && high == 1.0, "{low} {high}");
        assert_eq!(wilson(0.0, 10.0)[0], 0.0);
        assert_eq!(wilson(0.5, 0.0), [0.0, 1.0]);
    }

    #[test]
    fn pairs_of_people_of_their_own_are_independent() {
        let pairs: Vec<_> = (0..400).map(|i| ([2 * i, 2 * i + 1], i % 5 != 0)).collect();
        let effective = effective_pairs(&pairs);
        assert!((395.0..=400.0).contains(&effective), "{effective}");
    }

    #[test]
    fn pairs_that_go_wrong_with_their_person_count_as_one() {
        // 20 people with 50 pairs of their own each, which are all right or all wrong: as much as 20 cases.
        let pairs: Vec<_> = (0..1000).map(|i| ([i / 50; 2], (i / 50) % 4 != 0)).collect();
        let effective = effective_pairs(&pairs);
        assert!((18.0..21.0).contains(&effective), "{effective}");
        assert_eq!(effective_pairs(&[([0, 0], true), ([1, 1], true), ([0, 0], true)]), 2.0, "nothing varies");
    }

    #[test]
    fn the_variance_is_that_of_repeated_draws_of_people() {
        use rand::{RngExt, SeedableRng};
        // People differ in how easy they are. Over many draws of 30 people, the spread of the mean is what one draw says.
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let (mut means, mut said) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            let ease: Vec<f64> = (0..30).map(|_| rng.random_range(0.5..1.0)).collect();
            let mut pairs = Vec::new();
            for a in 0..30 {
                for b in a..30 {
                    pairs.push(([a, b], rng.random_bool(ease[a] * ease[b])));
                }
            }
            let mean = pairs.iter().filter(|p| p.1).count() as f64 / pairs.len() as f64;
            said.push(mean * (1.0 - mean) / effective_pairs(&pairs));
            means.push(mean);
        }
        let (_, deviation) = crate::eval::rates::mean_and_deviation(&means).unwrap();
        let expected = (said.iter().sum::<f64>() / said.len() as f64).sqrt();
        assert!((0.8..1.25).contains(&(expected / deviation)), "{expected} {deviation}");
    }
}
