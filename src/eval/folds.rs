//! Folds: pairs to choose a threshold on, and pairs to apply it to.

use super::metric::Metric;
use super::verification::Pair;

/// One fold of `(distance, same person)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    /// Pairs that choose the threshold: all other sets.
    pub train: Vec<(f32, bool)>,
    /// Pairs that are classified with it: one set.
    pub test: Vec<(f32, bool)>,
}

/// A fold for each set: it is classified, and all others choose.
pub fn of_sets(sets: &[Vec<(f32, bool)>]) -> Vec<Fold> {
    let fold = |at: usize| {
        let others = sets.iter().enumerate().filter(|(other, _)| *other != at);
        let train = others.flat_map(|(_, scored)| scored.iter().copied()).collect();
        Fold { train, test: sets[at].clone() }
    };
    (0..sets.len()).map(fold).collect()
}

/// As [`of_sets`], with the mean embedding of each fold's training pairs taken off all embeddings, as facenet's `lfw.py` does
/// with `--subtract_mean`. An image counts as often as pairs name it. `row` gives the embedding of an image.
pub fn with_mean_subtracted<'a>(sets: &[Vec<Pair>], metric: Metric, row: impl Fn(usize) -> &'a [f32]) -> Vec<Fold> {
    let fold = |at: usize| {
        let train = || sets.iter().enumerate().filter(|(other, _)| *other != at).flat_map(|(_, set)| set);
        let mean = mean(train().flat_map(|pair| [row(pair.a), row(pair.b)]));
        let scored = |pair: &Pair| (metric.distance(row(pair.a), row(pair.b), Some(&mean)), pair.same);
        Fold { train: train().map(scored).collect(), test: sets[at].iter().map(scored).collect() }
    };
    (0..sets.len()).map(fold).collect()
}

/// The mean of vectors of one length; empty without any.
pub(super) fn mean<'a>(rows: impl Iterator<Item = &'a [f32]>) -> Vec<f64> {
    let (mut sum, mut count) = (Vec::new(), 0.0);
    for row in rows {
        sum.resize(row.len(), 0.0);
        sum.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        count += 1.0;
    }
    sum.iter_mut().for_each(|sum| *sum /= count);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_is_classified_once_and_chooses_for_all_others() {
        let sets = [vec![(0.1, true)], vec![(0.2, false), (0.3, true)], vec![(0.4, false)]];
        let folds = of_sets(&sets);
        assert_eq!(folds[1], Fold { train: vec![(0.1, true), (0.4, false)], test: sets[1].clone() });
        assert_eq!(folds.len(), 3);
    }

    #[test]
    fn the_mean_that_is_subtracted_is_that_of_the_training_pairs_alone() {
        let rows: [&[f32]; 4] = [&[1.0, 0.0], &[0.0, 1.0], &[0.6, 0.8], &[1.0, 0.0]];
        let sets = [vec![Pair { a: 0, b: 1, same: true }], vec![Pair { a: 2, b: 3, same: false }]];
        let folds = with_mean_subtracted(&sets, Metric::Angle, |image| rows[image]);
        let expected = Metric::Angle.distance(rows[0], rows[1], Some(&[0.8, 0.4]));
        assert!((folds[0].test[0].0 - expected).abs() < 1e-6, "{folds:?} {expected}");
        assert_eq!((folds[0].train.len(), folds[0].train[0].1), (1, false));
    }
}
