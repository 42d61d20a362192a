//! Folds: pairs to choose a threshold on, and pairs to apply it to.

use super::metric::Metric;
use super::rates::mean_and_deviation;
use super::verification::{Pair, best_threshold, right};
use crate::{Error, Result};

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

/// Accuracy over several sets of pairs, as LFW's View 2 asks for it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CrossValidated {
    /// Mean over the sets, each at the threshold that was chosen on all others.
    pub accuracy: f64,
    /// Standard error of that mean: [`standard_deviation`](Self::standard_deviation) by the square root of the number of sets.
    pub standard_error: f64,
    /// Standard deviation of the sets' accuracies (divisor n - 1).
    pub standard_deviation: f64,
    /// The threshold for each set.
    pub thresholds: Vec<f32>,
}

/// Classifies each set of `(distance, same person)` with the threshold that classifies most of all other sets rightly:
/// the protocol of LFW's View 2 for images outside its own ("unrestricted, labelled outside data").
///
/// # Errors
/// Fewer than two sets, an empty one, or a distance that is NaN or infinite.
pub fn cross_validated(sets: &[Vec<(f32, bool)>]) -> Result<CrossValidated> {
    cross_validated_folds(&of_sets(sets))
}

/// As [`cross_validated`], for folds that are made already.
///
/// # Errors
/// Fewer than two folds, an empty one, or a distance that is NaN or infinite.
pub fn cross_validated_folds(folds: &[Fold]) -> Result<CrossValidated> {
    if folds.len() < 2 || folds.iter().any(|fold| fold.train.is_empty() || fold.test.is_empty()) {
        return Err(Error::Data(format!("cross-validation needs two sets with pairs, got {} sets", folds.len())));
    }
    if folds.iter().flat_map(|fold| fold.train.iter().chain(&fold.test)).any(|(distance, _)| !distance.is_finite()) {
        return Err(Error::NotFinite("a distance is NaN or infinite: the embeddings are broken".into()));
    }
    let thresholds: Vec<f32> = folds.iter().map(|fold| best_threshold(&fold.train)).collect();
    let rates: Vec<f64> = folds.iter().zip(&thresholds).map(|(fold, &t)| right(&fold.test, t)).collect();
    let (accuracy, standard_deviation) = mean_and_deviation(&rates)?;
    let standard_error = standard_deviation / (rates.len() as f64).sqrt();
    Ok(CrossValidated { accuracy, standard_error, standard_deviation, thresholds })
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

    #[test]
    fn each_set_is_classified_with_the_threshold_of_the_others() {
        // The last set lies apart: the others' threshold gets half of it wrong.
        let sets = [vec![(0.2, true), (0.8, false)], vec![(0.3, true), (0.9, false)], vec![(0.7, true), (1.5, false)]];
        let result = cross_validated(&sets).unwrap();
        for (got, expected) in result.thresholds.iter().zip([0.8, 0.75, 0.55]) {
            assert!((got - expected).abs() < 1e-6, "{result:?}");
        }
        assert!((result.accuracy - 2.5 / 3.0).abs() < 1e-12, "{result:?}");
        // Rates 1, 1, 0.5: deviation 0.2887, by the root of 3.
        assert!((result.standard_error - 1.0 / 6.0).abs() < 1e-6, "{result:?}");
        assert!(cross_validated(&sets[..1]).is_err());
    }
}
