//! Accuracy and validation rate as facenet's `lfw.py` computes them: thresholds on a grid from 0 to 4, `distance < threshold`,
//! and deviations with the divisor n.

use super::folds::Fold;
use crate::{Error, Result};

/// Steps of the thresholds for the accuracy, `np.arange(0, 4, 0.01)`.
const ACCURACY: (usize, f64) = (400, 0.01);
/// Steps of the thresholds for the validation rate, `np.arange(0, 4, 0.001)`.
const VALIDATION: (usize, f64) = (4000, 0.001);

/// What `calculate_roc` gives: accuracy over folds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GridAccuracy {
    /// Mean over the folds, each at the smallest threshold of those that classify most of its training pairs rightly.
    pub accuracy: f64,
    /// Standard deviation over the folds (divisor n), which facenet prints behind `+-`.
    pub standard_deviation: f64,
    /// The threshold of each fold.
    pub thresholds: Vec<f64>,
}

/// What `calculate_val` gives: the validation rate over folds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GridVal {
    /// Mean of the part of the pairs of one person that are accepted (VAL).
    pub val: f64,
    /// Standard deviation over the folds (divisor n).
    pub standard_deviation: f64,
    /// Mean of the part of the pairs of different people that are accepted (FAR): on the test pairs it differs from the rate
    /// that was wanted on the training pairs.
    pub far: f64,
    /// The threshold of each fold, 0 where the rate is never reached.
    pub thresholds: Vec<f64>,
}

/// Distances of either kind in order, so that a threshold is one search.
struct Sorted {
    same: Vec<f32>,
    different: Vec<f32>,
}

impl Sorted {
    fn new(scored: &[(f32, bool)]) -> Self {
        let of = |kind: bool| {
            let mut distances: Vec<f32> = scored.iter().filter(|s| s.1 == kind).map(|s| s.0).collect();
            distances.sort_by(f32::total_cmp);
            distances
        };
        Self { same: of(true), different: of(false) }
    }

    /// Pairs of one person and of different people with a distance below `threshold`.
    fn below(&self, threshold: f64) -> (usize, usize) {
        let count = |distances: &[f32]| distances.partition_point(|&distance| f64::from(distance) < threshold);
        (count(&self.same), count(&self.different))
    }

    /// Pairs that are classified rightly.
    fn right(&self, threshold: f64) -> usize {
        let (accepted, wrongly) = self.below(threshold);
        accepted + self.different.len() - wrongly
    }
}

fn grid((steps, step): (usize, f64)) -> impl Iterator<Item = f64> {
    (0..steps).map(move |i| i as f64 * step)
}

/// Mean and standard deviation with the divisor n, as `np.mean` and `np.std`.
fn mean_and_std(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
}

fn check(folds: &[Fold], both_kinds: bool) -> Result<()> {
    let lacks = |pairs: &[(f32, bool)], kind: bool| !pairs.iter().any(|pair| pair.1 == kind);
    let bad = |fold: &Fold| {
        let parts = [&fold.train[..], &fold.test[..]];
        parts.iter().any(|part| part.is_empty() || both_kinds && (lacks(part, true) || lacks(part, false)))
    };
    if folds.is_empty() || folds.iter().any(bad) {
        let kinds = if both_kinds { " of both kinds" } else { "" };
        return Err(Error::Data(format!("every fold needs pairs{kinds} to choose a threshold on and to measure")));
    }
    if folds.iter().flat_map(|fold| fold.train.iter().chain(&fold.test)).any(|(distance, _)| !distance.is_finite()) {
        return Err(Error::NotFinite("a distance is NaN or infinite: the embeddings are broken".into()));
    }
    Ok(())
}

/// Accuracy as facenet's `lfw.py` computes it, given its folds.
///
/// # Errors
/// There is no fold, one is empty, or a distance is NaN or infinite.
pub fn accuracy(folds: &[Fold]) -> Result<GridAccuracy> {
    check(folds, false)?;
    let best = |fold: &Fold| {
        let train = Sorted::new(&fold.train);
        // The first of equals, as `np.argmax`.
        let of = |best: (usize, f64), threshold| match train.right(threshold) {
            right if right > best.0 => (right, threshold),
            _ => best,
        };
        grid(ACCURACY).skip(1).fold((train.right(0.0), 0.0), of).1
    };
    let thresholds: Vec<f64> = folds.iter().map(best).collect();
    let rate =
        |(fold, &threshold): (&Fold, &f64)| Sorted::new(&fold.test).right(threshold) as f64 / fold.test.len() as f64;
    let rates: Vec<f64> = folds.iter().zip(&thresholds).map(rate).collect();
    let (accuracy, standard_deviation) = mean_and_std(&rates);
    Ok(GridAccuracy { accuracy, standard_deviation, thresholds })
}

/// Validation rate at a wanted false accept rate as facenet's `lfw.py` computes it, given its folds: the threshold lies where
/// the rate of the training pairs, on a line between the points of the grid, is the wanted one.
///
/// # Errors
/// There is no fold, one has no pairs of either kind, or a distance is NaN or infinite.
pub fn val_at_far(folds: &[Fold], wanted: f64) -> Result<GridVal> {
    check(folds, true)?;
    let threshold = |fold: &Fold| {
        let train = Sorted::new(&fold.train);
        let rate = |threshold: f64| train.below(threshold).1 as f64 / train.different.len() as f64;
        let mut before = (0.0, 0.0);
        for threshold in grid(VALIDATION) {
            let now = (rate(threshold), threshold);
            if now.0 > wanted {
                let part = (wanted - before.0) / (now.0 - before.0);
                return before.1 + part * (now.1 - before.1);
            }
            before = now;
        }
        if before.0 >= wanted { before.1 } else { 0.0 }
    };
    let thresholds: Vec<f64> = folds.iter().map(threshold).collect();
    let rates = folds.iter().zip(&thresholds).map(|(fold, &threshold)| {
        let test = Sorted::new(&fold.test);
        let (accepted, wrongly) = test.below(threshold);
        (accepted as f64 / test.same.len() as f64, wrongly as f64 / test.different.len() as f64)
    });
    let (vals, fars): (Vec<f64>, Vec<f64>) = rates.unzip();
    let (val, standard_deviation) = mean_and_std(&vals);
    Ok(GridVal { val, standard_deviation, far: mean_and_std(&fars).0, thresholds })
}

#[cfg(test)]
mod tests;
