//! Figures of verification at a wanted rate of false accepts, and where both rates are equal.

use super::roc::Roc;
use crate::{Error, Result};

/// Validation rate at a wanted false accept rate, the paper's VAL(d) and FAR(d): a pair is accepted where its distance is
/// at most the threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AtFar {
    /// The rate that was wanted.
    pub wanted: f64,
    /// The largest threshold whose false accept rate is not above it.
    pub threshold: f32,
    /// Pairs of different people that are accepted.
    pub false_accepts: usize,
    /// Their part of all pairs of different people (FAR).
    pub far: f64,
    /// Part of the pairs of one person that are accepted (VAL).
    pub val: f64,
}

/// VAL at a false accept rate of at most `wanted`; `None` where fewer than `1 / wanted` pairs of different people are there,
/// so that no threshold has such a rate but zero.
///
/// # Errors
/// As [`Roc::new`].
pub fn val_at_far(scored: &[(f32, bool)], wanted: f64) -> Result<Option<AtFar>> {
    // It refuses what has no rates.
    Roc::new(scored)?;
    let same = scored.iter().filter(|(_, same)| *same).count();
    let different = scored.len() - same;
    if wanted * (different as f64) < 1.0 {
        return Ok(None);
    }
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut accepted, mut false_accepts, mut threshold) = (0_usize, 0_usize, sorted[0].0.next_down());
    for equal in sorted.chunk_by(|a, b| a.0 == b.0) {
        let right = equal.iter().filter(|(_, same)| *same).count();
        let wrong = false_accepts + equal.len() - right;
        if wrong as f64 / different as f64 > wanted {
            break;
        }
        (accepted, false_accepts, threshold) = (accepted + right, wrong, equal[0].0);
    }
    let (far, val) = (false_accepts as f64 / different as f64, accepted as f64 / same as f64);
    Ok(Some(AtFar { wanted, threshold, false_accepts, far, val }))
}

impl Roc {
    /// The equal error rate: where as large a part of the pairs of different people is accepted as of the pairs of one person
    /// is refused, on the line between the points of the curve.
    pub fn equal_error_rate(&self) -> f64 {
        // Positive before the curve meets the diagonal from (0, 1) to (1, 0), negative behind it.
        let gap = |&(false_accepts, true_accepts): &(f64, f64)| (1.0 - true_accepts) - false_accepts;
        let behind = self.points.iter().position(|point| gap(point) <= 0.0).unwrap_or(self.points.len() - 1).max(1);
        let (before, after) = (&self.points[behind - 1], &self.points[behind]);
        let (left, right) = (gap(before), gap(after));
        let part = if left > right { left / (left - right) } else { 0.0 };
        before.0 + part * (after.0 - before.0)
    }
}

/// Mean and sample standard deviation (divisor n - 1).
///
/// # Errors
/// Fewer than two values.
pub fn mean_and_deviation(values: &[f64]) -> Result<(f64, f64)> {
    if values.len() < 2 {
        return Err(Error::Data(format!("a standard deviation needs two values, got {}", values.len())));
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    Ok((mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten pairs of each kind: one person at 0.05 to 0.95, different people at 0.5 to 1.4.
    fn scored() -> Vec<(f32, bool)> {
        let same = (0..10u8).map(|i| (f32::from(i) / 10.0 + 0.05, true));
        same.chain((0..10u8).map(|i| (f32::from(i) / 10.0 + 0.5, false))).collect()
    }

    #[test]
    fn val_is_read_at_the_largest_threshold_within_the_rate() {
        let at = val_at_far(&scored(), 0.2).unwrap().unwrap();
        // 0.5 and 0.6 of different people are accepted, and one person's up to 0.65.
        assert_eq!((at.false_accepts, at.far, at.val), (2, 0.2, 0.7));
        assert!((at.threshold - 0.65).abs() < 1e-6);
        let none = val_at_far(&scored(), 0.1).unwrap().unwrap();
        assert_eq!((none.false_accepts, none.val), (1, 0.6));
        assert_eq!(val_at_far(&scored(), 0.05).unwrap(), None, "ten pairs cannot show one in twenty");
        // Equal distances are accepted together or not at all.
        let ties = [(0.5, true), (0.5, false), (0.5, false), (0.9, true), (0.9, false)];
        assert_eq!(val_at_far(&ties, 0.5).unwrap().unwrap().val, 0.0);
    }

    #[test]
    fn the_equal_error_rate_is_where_both_errors_are_equal() {
        let rate = Roc::new(&scored()).unwrap().equal_error_rate();
        // At 0.75: three of one person's are farther, 0.5, 0.6, 0.7 of different people's are closer; 0.3 each.
        assert!((rate - 0.3).abs() < 1e-9, "{rate}");
        let apart = Roc::new(&[(0.1, true), (0.9, false)]).unwrap();
        assert_eq!(apart.equal_error_rate(), 0.0);
        let wrong = Roc::new(&[(0.9, true), (0.1, false)]).unwrap();
        assert_eq!(wrong.equal_error_rate(), 1.0);
    }

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        let (mean, deviation) = mean_and_deviation(&[1.0, 2.0, 4.0]).unwrap();
        assert!((mean - 7.0 / 3.0).abs() < 1e-12 && (deviation - (7.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!(mean_and_deviation(&[1.0]).is_err());
    }
}
