//! What a detector looks for.

use super::pyramid::{Level, NETWORK};
use crate::{Error, Result};

/// Least side of a face, pixels: below this even a human sees none.
const LEAST_FACE: f64 = 4.0;

/// What a detector looks for. The defaults are those of facenet-pytorch and of facenet's scripts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectorSettings {
    /// Side of the smallest face that is found, pixels. Twice the side is a quarter of the work.
    pub min_face: f64,
    /// Least probabilities that let a window pass P-Net, R-Net and O-Net.
    pub thresholds: [f32; 3],
    /// From one level of the pyramid to the next; below 1.
    pub factor: f64,
}

impl Default for DetectorSettings {
    fn default() -> Self {
        Self { min_face: 20.0, thresholds: [0.6, 0.7, 0.7], factor: 0.709 }
    }
}

impl DetectorSettings {
    /// # Errors
    /// A setting is out of range.
    pub(super) fn check(&self) -> Result<()> {
        let Self { min_face, thresholds, factor } = *self;
        if !(LEAST_FACE..=1e6).contains(&min_face) {
            return Err(Error::setting(format!(
                "`min_face` is {min_face}; give a side of {LEAST_FACE} pixels or more"
            )));
        }
        if let Some(wrong) = thresholds.iter().find(|t| !(0.0..1.0).contains(*t)) {
            return Err(Error::setting(format!("`thresholds` holds {wrong}; give three numbers from 0 to below 1")));
        }
        if !(0.1..=0.95).contains(&factor) {
            return Err(Error::setting(format!(
                "the factor of the pyramid is {factor}; give a number from 0.1 to 0.95"
            )));
        }
        Ok(())
    }

    /// The levels of an image's pyramid, the largest first: until its shorter side is below P-Net's window.
    pub(super) fn pyramid(&self, height: u32, width: u32) -> Vec<Level> {
        let window = f64::from(NETWORK);
        let mut scale = window / self.min_face;
        let mut side = f64::from(height.min(width)) * scale;
        let mut levels = Vec::new();
        while side >= window {
            levels.push(Level::new(height, width, scale));
            scale *= self.factor;
            side *= self.factor;
        }
        levels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pyramid_ends_where_p_net_sees_the_whole_image() {
        let sizes = |height, width| -> Vec<[u32; 2]> {
            DetectorSettings::default().pyramid(height, width).iter().map(|level| level.size).collect()
        };
        let squares = [151, 107, 76, 54, 38, 27, 20, 14];
        assert_eq!(sizes(250, 250), squares.map(|side| [side, side]));
        assert_eq!(sizes(20, 400), [[13, 241]]);
        assert!(sizes(19, 400).is_empty());
        assert!(sizes(1, 1).is_empty());
        assert_eq!(sizes(3000, 4000).len(), 15);
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let good = DetectorSettings::default();
        good.check().unwrap();
        for (wrong, name) in [
            (DetectorSettings { min_face: 3.0, ..good }, "`min_face` is 3"),
            (DetectorSettings { min_face: f64::NAN, ..good }, "`min_face` is NaN"),
            (DetectorSettings { thresholds: [0.6, 1.0, 0.7], ..good }, "`thresholds` holds 1"),
            (DetectorSettings { thresholds: [0.6, 0.7, f32::NAN], ..good }, "`thresholds` holds NaN"),
            (DetectorSettings { factor: 1.0, ..good }, "the factor of the pyramid is 1"),
        ] {
            assert!(wrong.check().unwrap_err().to_string().contains(name), "{name}");
        }
    }
}
