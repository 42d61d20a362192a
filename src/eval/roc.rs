//! How many pairs are accepted rightly and wrongly at every threshold.

use crate::{Error, Result};

/// The receiver operating characteristic of scored pairs: rates from (0, 0) to (1, 1), one point for each distance.
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    /// Part of the pairs of different people that are accepted (false accept rate), and part of the pairs of one person
    /// that are (true accept rate), at thresholds that grow.
    pub points: Vec<(f64, f64)>,
}

impl Roc {
    /// Of `(distance, same person)`. Pairs of equal distance are accepted together.
    ///
    /// # Errors
    /// [`Error::Data`] where there is no pair of either kind, [`Error::NotFinite`] where a distance is NaN or infinite.
    pub fn new(scored: &[(f32, bool)]) -> Result<Self> {
        let same = scored.iter().filter(|(_, same)| *same).count();
        let different = scored.len() - same;
        if same == 0 || different == 0 {
            return Err(Error::Data(format!(
                "{same} pairs of one person and {different} of different people give no ROC curve; one of each is needed"
            )));
        }
        if scored.iter().any(|(distance, _)| !distance.is_finite()) {
            return Err(Error::NotFinite("a distance is NaN or infinite: the embeddings are broken".into()));
        }
        let mut sorted = scored.to_vec();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut points = vec![(0.0, 0.0)];
        let (mut wrong, mut right) = (0_usize, 0_usize);
        for equal in sorted.chunk_by(|a, b| a.0 == b.0) {
            let accepted = equal.iter().filter(|(_, same)| *same).count();
            (right, wrong) = (right + accepted, wrong + equal.len() - accepted);
            points.push((wrong as f64 / different as f64, right as f64 / same as f64));
        }
        Ok(Self { points })
    }

    /// Area under the curve, 0 to 1: the probability that a pair of one person is closer than a pair of different people.
    pub fn auc(&self) -> f64 {
        self.points.windows(2).map(|p| (p[1].0 - p[0].0) * (p[0].1 + p[1].1) / 2.0).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_the_part_of_pairs_of_pairs_in_the_right_order_and_half_of_the_ties() {
        let scored = [(0.1, true), (0.2, false), (0.2, true), (0.4, true), (0.5, false), (0.5, false)];
        let roc = Roc::new(&scored).unwrap();
        assert_eq!(roc.points.len(), 5);
        assert_eq!((roc.points[0], roc.points[4]), ((0.0, 0.0), (1.0, 1.0)));
        let same = scored.iter().filter(|s| s.1).map(|s| s.0);
        let wins = same.flat_map(|a| scored.iter().filter(|s| !s.1).map(move |b| (a, b.0)));
        let part = |(a, b): (f32, f32)| {
            if a < b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            }
        };
        let expected = wins.map(part).sum::<f64>() / 9.0;
        assert!((roc.auc() - expected).abs() < 1e-12, "{} instead of {expected}", roc.auc());
    }

    #[test]
    fn one_kind_of_pairs_alone_and_nan_are_refused() {
        assert!(Roc::new(&[(0.1, true)]).unwrap_err().to_string().contains("one of each"));
        assert!(matches!(Roc::new(&[(f32::NAN, true), (0.1, false)]), Err(Error::NotFinite(_))));
    }
}
