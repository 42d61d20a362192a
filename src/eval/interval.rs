//! How certain a proportion is, such as an accuracy.

use std::collections::BTreeMap;

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
/// `people / (people - 1)` of small samples. Where all pairs are right, or all are wrong, nothing varies, and each person
/// counts as one pair.
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
            // It is in the sums of both.
            twice += error * error;
        }
    }
    let people = sums.len() as f64;
    if people < 2.0 {
        return people.min(n);
    }
    let squares: f64 = sums.values().map(|sum| sum * sum).sum();
    let variance = (squares - twice) * people / (people - 1.0) / (n * n);
    match mean * (1.0 - mean) {
        0.0 => people.min(n),
        // No more than independent pairs would tell, also where the estimate is too small by chance.
        spread => (spread / variance.max(spread / n)).max(1.0),
    }
}

/// As [`effective_pairs`], for pairs of one person each: `people` holds, of each person, how many pairs were classified rightly,
/// and how many there are.
pub fn effective_pairs_of_people(people: &[(u64, u64)]) -> f64 {
    let n: f64 = people.iter().map(|person| person.1 as f64).sum();
    let mean = people.iter().map(|person| person.0 as f64).sum::<f64>() / n.max(1.0);
    let count = people.iter().filter(|person| person.1 > 0).count() as f64;
    let spread = mean * (1.0 - mean);
    if count < 2.0 || spread == 0.0 {
        return count.min(n);
    }
    let squares: f64 = people.iter().map(|&(right, pairs)| (right as f64 - mean * pairs as f64).powi(2)).sum();
    let variance = squares * count / (count - 1.0) / (n * n);
    (spread / variance.max(spread / n)).max(1.0)
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
    fn pairs_that_are_counted_by_person_tell_as_much_as_when_they_are_listed() {
        let people = [(3, 5), (0, 0), (10, 10), (0, 4), (1, 1)];
        let listed = people
            .iter()
            .enumerate()
            .flat_map(|(person, &(right, pairs))| (0..pairs).map(move |pair| ([person; 2], pair < right)));
        let expected = effective_pairs(&listed.collect::<Vec<_>>());
        assert!((effective_pairs_of_people(&people) - expected).abs() < 1e-9);
        assert_eq!(effective_pairs_of_people(&[(2, 2), (1, 1)]), 2.0, "nothing varies");
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
