//! The preprocessing contract: what happens to a photograph before the network sees it.

use serde::{Deserialize, Serialize};

pub use super::alignment::Alignment;
pub use super::crop::Crop;
use crate::{Error, Result};

/// A decoded face: `height * width * 3` bytes, rows from the top, RGB interleaved.
pub type Face = Vec<u8>;

/// How bytes become floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum Normalise {
    /// `x / 255`: 0 to 1.
    Unit,
    /// `(x - 127.5) / 128`: just inside -1 to 1.
    Fixed,
    /// `(x - mean) / max(std, 1 / sqrt(n))` with mean and standard deviation over all `n` values of the image.
    PerImage,
    /// `(x - mean) / 256` with a mean for each colour, those of dlib's face recognition network: 122.782 for red, 117.001 for
    /// green, 104.298 for blue.
    Dlib,
}

/// The means that [`Normalise::Dlib`] subtracts.
const DLIB_MEANS: [f32; 3] = [122.782, 117.001, 104.298];

/// The preprocessing contract. It travels in the weights file, so that a network always sees images prepared in the
/// way it was trained with: orientation applied, [`Crop`] if there is one, centre crop to the aspect ratio, Catmull-Rom
/// resize with antialiasing to `height` x `width`, RGB, then [`Normalise`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Height of the network's input in pixels.
    pub height: u32,
    /// Width of the network's input in pixels.
    pub width: u32,
    /// How bytes become floats.
    pub normalise: Normalise,
    /// What part of the image is taken, before anything is resized; `None` is all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<Crop>,
    /// How the face was found and aligned before all of this; `None` where nobody says that it was. An aligned face is the
    /// whole image of what follows, and nothing here aligns: [`crate::align`] does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<Alignment>,
}

impl Preprocess {
    /// The contract as it stands in weights files.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("preprocessing is plain data")
    }

    /// Number of values of one face: `height * width * 3`.
    pub fn face_len(&self) -> usize {
        self.height as usize * self.width as usize * 3
    }

    /// Writes one face as floats, in the same order as its bytes (one image of an NHWC tensor).
    ///
    /// # Errors
    /// [`Error::Shape`] where `face` or `out` does not have [`Self::face_len`] values.
    pub fn write_f32(&self, face: &[u8], out: &mut [f32]) -> Result<()> {
        let len = self.face_len();
        for (what, have) in [("bytes", face.len()), ("floats", out.len())] {
            if have != len {
                let message = format!("expected {len} {what} for {}x{} pixels, got {have}", self.width, self.height);
                return Err(Error::shape("face", message));
            }
        }
        let (offset, divisor) = match self.normalise {
            Normalise::Unit => (0.0, 255.0),
            Normalise::Fixed => (127.5, 128.0),
            Normalise::PerImage => whitening(face),
            Normalise::Dlib => {
                for (out, face) in out.as_chunks_mut::<3>().0.iter_mut().zip(face.as_chunks::<3>().0) {
                    *out = std::array::from_fn(|colour| (f32::from(face[colour]) - DLIB_MEANS[colour]) / 256.0);
                }
                return Ok(());
            }
        };
        for (out, &byte) in out.iter_mut().zip(face) {
            *out = (f32::from(byte) - offset) / divisor;
        }
        Ok(())
    }
}

/// Mean and standard deviation of `face`. A least deviation keeps an image of one colour finite.
fn whitening(face: &[u8]) -> (f32, f32) {
    // Integer sums are exact, so the result does not depend on the order of the additions.
    let sum: u64 = face.iter().map(|&x| u64::from(x)).sum();
    let squares: u64 = face.iter().map(|&x| u64::from(x) * u64::from(x)).sum();
    let n = face.len() as f64;
    let mean = sum as f64 / n;
    let variance = (squares as f64 / n - mean * mean).max(0.0);
    let deviation = variance.sqrt().max(1.0 / n.sqrt());
    #[expect(clippy::cast_possible_truncation, reason = "rounding to the precision of the tensor is meant")]
    let pair = (mean as f32, deviation as f32);
    pair
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(normalise: Normalise, face: &[u8]) -> Vec<f32> {
        let mut out = vec![0.0; face.len()];
        Preprocess { height: 1, width: 2, normalise, crop: None, alignment: None }.write_f32(face, &mut out).unwrap();
        out
    }

    #[test]
    fn unit_maps_bytes_to_zero_and_one_and_keeps_their_order() {
        assert_eq!(floats(Normalise::Unit, &[0, 255, 51, 102, 0, 0]), [0.0, 1.0, 0.2, 0.4, 0.0, 0.0]);
    }

    #[test]
    fn fixed_maps_bytes_to_both_sides_of_zero() {
        let out = floats(Normalise::Fixed, &[0, 255, 127, 128, 0, 0]);
        assert_eq!(out[..4], [-127.5 / 128.0, 127.5 / 128.0, -0.5 / 128.0, 0.5 / 128.0]);
    }

    #[test]
    fn dlib_subtracts_the_mean_of_each_colour() {
        let out = floats(Normalise::Dlib, &[0, 0, 0, 255, 117, 104]);
        assert_eq!(out[..3], [-122.782 / 256.0, -117.001 / 256.0, -104.298 / 256.0]);
        assert_eq!(out[3..], [(255.0 - 122.782) / 256.0, (117.0 - 117.001) / 256.0, (104.0 - 104.298) / 256.0]);
    }

    #[test]
    fn per_image_has_mean_zero_and_deviation_one() {
        let out = floats(Normalise::PerImage, &[10, 20, 30, 40, 50, 60]);
        let mean = out.iter().sum::<f32>() / 6.0;
        let variance = out.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 6.0;
        assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
    }

    #[test]
    fn per_image_of_a_flat_image_is_zero_and_finite() {
        assert_eq!(floats(Normalise::PerImage, &[77; 6]), [0.0; 6]);
    }

    #[test]
    fn a_face_of_another_size_is_refused() {
        let contract = Preprocess { height: 2, width: 1, normalise: Normalise::Unit, crop: None, alignment: None };
        for (bytes, floats, said) in [(5, 6, "6 bytes for 1x2 pixels, got 5"), (6, 7, "6 floats for 1x2 pixels, got 7")]
        {
            let text = contract.write_f32(&vec![0; bytes], &mut vec![0.0; floats]).unwrap_err().to_string();
            assert!(text.contains(said), "{text}");
        }
    }

    #[test]
    fn the_contract_survives_json() {
        for (crop, expected) in [
            (None, r#"{"height":64,"width":48,"normalise":"per-image"}"#),
            (
                Some(Crop { height: 150, width: 120 }),
                r#"{"height":64,"width":48,"normalise":"per-image","crop":"center:150x120"}"#,
            ),
        ] {
            let contract = Preprocess { height: 64, width: 48, normalise: Normalise::PerImage, crop, alignment: None };
            let json = serde_json::to_string(&contract).unwrap();
            assert_eq!(json, expected);
            assert_eq!(serde_json::from_str::<Preprocess>(&json).unwrap(), contract);
        }
    }
}
