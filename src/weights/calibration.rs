//! A threshold that was measured for use.

use serde::{Deserialize, Serialize};

use crate::data::preprocess::{Alignment, Crop};

/// The threshold at which embeddings of these weights accept different people as one person no more often than was wanted,
/// and what stands behind it. Distances are squared; a pair is accepted where its distance is at most the threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Calibration {
    /// The largest threshold whose false accept rate is not above [`wanted`](Self::wanted).
    pub threshold: f32,
    /// Thresholds that have the wanted rate at the ends of the 95 % confidence interval of the rate.
    pub threshold_interval: [f32; 2],
    /// The false accept rate that was wanted.
    pub wanted: f64,
    /// Part of the pairs of different people that the threshold accepts (FAR).
    pub far: f64,
    /// Ends of its 95 % confidence interval, which counts how few people there are.
    pub far_interval: [f64; 2],
    /// Part of the pairs of one person that the threshold accepts (VAL).
    pub val: f64,
    /// Ends of its 95 % confidence interval.
    pub val_interval: [f64; 2],
    /// Pairs of one person.
    pub same: u64,
    /// Pairs of different people.
    pub different: u64,
    /// People.
    pub people: usize,
    /// Name of the folder or of the list.
    pub data: String,
    /// What part of an image was taken; `None` is all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<Crop>,
    /// How faces were aligned, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<Alignment>,
    /// FAR and VAL at growing thresholds.
    pub curve: Vec<CurvePoint>,
}

/// Both rates at a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurvePoint {
    /// A squared distance.
    pub threshold: f32,
    /// False accept rate.
    pub far: f64,
    /// Validation rate.
    pub val: f64,
}

/// A false accept rate as far as the pairs of a calibration tell it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Far {
    /// About this.
    About(f64),
    /// Below this: no smaller rate can be told from so few pairs.
    Below(f64),
    /// Above this.
    Above(f64),
}

impl Calibration {
    /// The false accept rate of a threshold at `distance`, between the points of the curve on a logarithmic scale.
    pub fn far_at(&self, distance: f32) -> Far {
        let least = 1.0 / self.different.max(1) as f64;
        let points = &self.curve[self.curve.partition_point(|point| point.far < least)..];
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return Far::Below(1.0) };
        if distance < first.threshold {
            return Far::Below(first.far);
        }
        if distance > last.threshold {
            return Far::Above(last.far);
        }
        let behind = points.partition_point(|point| point.threshold < distance).clamp(1, points.len().max(2) - 1);
        let (Some(a), Some(b)) = (points.get(behind - 1), points.get(behind)) else { return Far::About(first.far) };
        let part = f64::from((distance - a.threshold) / (b.threshold - a.threshold).max(f32::MIN_POSITIVE));
        Far::About((a.far.ln() + part.clamp(0.0, 1.0) * (b.far.ln() - a.far.ln())).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_a_distance_lies_between_the_points_of_the_curve() {
        let point = |threshold, far| CurvePoint { threshold, far, val: 0.5 };
        let calibration = Calibration {
            threshold: 0.6,
            threshold_interval: [0.5, 0.7],
            wanted: 1e-2,
            far: 1e-2,
            far_interval: [5e-3, 2e-2],
            val: 0.5,
            val_interval: [0.4, 0.6],
            same: 100,
            different: 1000,
            people: 10,
            data: "faces".into(),
            crop: None,
            alignment: None,
            curve: vec![point(0.1, 0.0), point(0.4, 1e-3), point(0.6, 1e-2), point(1.0, 1e-1)],
        };
        assert_eq!(calibration.far_at(0.3), Far::Below(1e-3));
        assert_eq!(calibration.far_at(1.5), Far::Above(1e-1));
        for (distance, far) in [(0.4, 1e-3), (0.6, 1e-2), (1.0, 1e-1), (0.5, 10f64.powf(-2.5))] {
            let Far::About(found) = calibration.far_at(distance) else { panic!("{distance}") };
            assert!((found / far - 1.0).abs() < 1e-5, "{distance}: {found} {far}");
        }
        let empty = Calibration { curve: Vec::new(), ..calibration };
        assert_eq!(empty.far_at(0.5), Far::Below(1.0));
    }
}
