//! How far two embeddings are apart.

use std::fmt;

use crate::embeddings::squared_distance;

/// A distance of embeddings, as facenet's `lfw.py` has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum Metric {
    /// Squared Euclidean distance, 0 to 4 for rows of unit length: the paper's, and facenet's metric 0.
    #[default]
    Squared,
    /// Angle as a part of a half turn, 0 to 1: facenet's metric 1.
    Angle,
}

impl Metric {
    /// The distance of two vectors, each less `mean` where one is given.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn distance(self, a: &[f32], b: &[f32], mean: Option<&[f64]>) -> f32 {
        if self == Self::Squared {
            // The mean cancels.
            return squared_distance(a, b);
        }
        assert_eq!(a.len(), b.len(), "vectors of different lengths");
        let (mut dot, mut aa, mut bb) = (0.0, 0.0, 0.0);
        for (at, (&a, &b)) in a.iter().zip(b).enumerate() {
            let mean = mean.map_or(0.0, |mean| mean[at]);
            let (a, b) = (f64::from(a) - mean, f64::from(b) - mean);
            (dot, aa, bb) = (dot + a * b, aa + a * a, bb + b * b);
        }
        let cosine: f64 = (dot / (aa * bb).sqrt()).clamp(-1.0, 1.0);
        #[expect(clippy::cast_possible_truncation, reason = "rounding to the precision of the other metric is meant")]
        let angle = (cosine.acos() / std::f64::consts::PI) as f32;
        angle
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Squared => "squared distance",
            Self::Angle => "angle",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_angle_is_a_part_of_a_half_turn_and_does_not_depend_on_lengths() {
        let angle = |a: &[f32], b: &[f32]| Metric::Angle.distance(a, b, None);
        assert!((angle(&[2.0, 0.0], &[0.0, 3.0]) - 0.5).abs() < 1e-6);
        assert_eq!((angle(&[1.0, 0.0], &[5.0, 0.0]), angle(&[1.0, 0.0], &[-1.0, 0.0])), (0.0, 1.0));
        assert_eq!(Metric::Squared.distance(&[1.0, 0.0], &[-1.0, 0.0], None), 4.0);
    }

    #[test]
    fn a_mean_changes_angles_and_no_squared_distance() {
        let (a, b, mean) = ([1.0, 0.0], [0.0, 1.0], [0.5, 0.0]);
        let expected = (-0.25_f64 / (0.5 * 1.25_f64.sqrt())).acos() / std::f64::consts::PI;
        assert!((f64::from(Metric::Angle.distance(&a, &b, Some(&mean))) - expected).abs() < 1e-6);
        assert_eq!(Metric::Squared.distance(&a, &b, Some(&mean)), 2.0);
    }
}
