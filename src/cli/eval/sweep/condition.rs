//! How images, or embeddings, are made worse.

use std::fmt;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, RgbImage, load_from_memory_with_format};

use crate::data::decode::prepare;
use crate::data::preprocess::{Face, Preprocess};
use crate::{Error, Result};

/// A change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// None.
    AsIs,
    /// The whole image as a JPEG of this quality.
    Jpeg(u8),
    /// The crop shrunk to a square of this side.
    Pixels(u32),
    /// The embedding as bytes.
    Bytes,
}

/// Those of the paper's Table 4, with the image as it is before them, and bytes.
pub(super) const CONDITIONS: [Condition; 13] = [
    Condition::AsIs,
    Condition::Jpeg(10),
    Condition::Jpeg(20),
    Condition::Jpeg(30),
    Condition::Jpeg(50),
    Condition::Jpeg(70),
    Condition::Jpeg(90),
    Condition::Pixels(40),
    Condition::Pixels(80),
    Condition::Pixels(120),
    Condition::Pixels(160),
    Condition::Pixels(256),
    Condition::Bytes,
];

impl Condition {
    /// The face that a network sees; `None` where the image has no more pixels than it would be shrunk to.
    pub(super) fn face(self, picture: &DynamicImage, preprocess: &Preprocess) -> Result<Option<Face>> {
        let face = match self {
            Self::AsIs | Self::Bytes => prepare(picture, preprocess)?,
            Self::Jpeg(quality) => prepare(&as_jpeg(picture, quality)?, preprocess)?,
            Self::Pixels(side) => {
                let (width, height) = preprocess.crop.map_or((picture.width(), picture.height()), |crop| {
                    (crop.width.min(picture.width()), crop.height.min(picture.height()))
                });
                if width.min(height) <= side {
                    return Ok(None);
                }
                let small = Preprocess { height: side, width: side, ..preprocess.clone() };
                let small = RgbImage::from_raw(side, side, prepare(picture, &small)?).expect("a face has this size");
                prepare(&small.into(), &Preprocess { crop: None, ..preprocess.clone() })?
            }
        };
        Ok(Some(face))
    }

    /// The quality of a JPEG.
    pub(super) fn quality(&self) -> Option<f64> {
        if let Self::Jpeg(quality) = self { Some(f64::from(*quality)) } else { None }
    }

    /// The side in pixels.
    pub(super) fn side(&self) -> Option<f64> {
        if let Self::Pixels(side) = self { Some(f64::from(*side)) } else { None }
    }
}

/// The picture after a trip through a JPEG.
fn as_jpeg(picture: &DynamicImage, quality: u8) -> Result<DynamicImage> {
    let mut bytes = Vec::new();
    let fail = |e: image::ImageError| Error::Data(format!("an image cannot be made a JPEG: {e}"));
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality)).map_err(fail)?;
    load_from_memory_with_format(&bytes, ImageFormat::Jpeg).map_err(fail)
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AsIs => f.write_str("as it is"),
            Self::Jpeg(quality) => write!(f, "JPEG {quality}"),
            Self::Pixels(side) => write!(f, "{side}x{side}"),
            Self::Bytes => f.write_str("bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::preprocess::{Crop, Normalise};
    use crate::data::testing::noise_faces;

    #[test]
    fn the_lower_the_quality_and_the_fewer_the_pixels_the_more_is_lost() {
        let preprocess = Preprocess { height: 64, width: 64, normalise: Normalise::Unit, crop: None, alignment: None };
        let noise = noise_faces(&[1], 64).face(0).unwrap().into_owned();
        let picture: DynamicImage = RgbImage::from_raw(64, 64, noise.clone()).unwrap().into();
        let lost = |condition: Condition| {
            let face = condition.face(&picture, &preprocess).unwrap().unwrap();
            face.iter().zip(&noise).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>()
        };
        assert_eq!((lost(Condition::AsIs), lost(Condition::Bytes)), (0, 0));
        let qualities = [90, 50, 10].map(|quality| lost(Condition::Jpeg(quality)));
        assert!(qualities.is_sorted() && qualities[0] > 0 && qualities[2] > 2 * qualities[0], "{qualities:?}");
        assert!(lost(Condition::Pixels(16)) > lost(Condition::Pixels(48)));
        assert_eq!(Condition::Pixels(64).face(&picture, &preprocess).unwrap(), None, "there is nothing to shrink");
        let cropped = Preprocess { crop: Some(Crop { height: 32, width: 32 }), ..preprocess };
        assert_eq!(Condition::Pixels(40).face(&picture, &cropped).unwrap(), None, "nor in a crop that is small");
    }
}
