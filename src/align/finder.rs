//! From photographs to aligned faces in memory: detection, the choice of a face, and its alignment.

use std::str::FromStr;

use image::RgbImage;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Alignment, align, crop};
use crate::detect::{Choice, Detection, Detector};
use crate::text::shown;
use crate::{Error, Result};

/// What becomes of an image without a face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoFace {
    /// It is left out.
    #[default]
    Skip,
    /// Its middle is taken, as the paper does with LFW: three fifths of its shorter side.
    Crop,
}

impl FromStr for NoFace {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "skip" => Ok(Self::Skip),
            "crop" => Ok(Self::Crop),
            _ => Err(Error::setting(format!("`no_face` is {}; give skip or crop", shown(text)))),
        }
    }
}

/// What was made of a photograph.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its face.
    Face {
        /// Aligned.
        picture: RgbImage,
        /// Where it was.
        detection: Detection,
        /// How many faces there were.
        faces: usize,
    },
    /// Its middle, because no face was found.
    Middle {
        /// At the alignment's size.
        picture: RgbImage,
    },
    /// Nothing, and why, as a sentence that follows the image's name.
    Nothing(String),
}

impl Outcome {
    /// The picture, if there is one.
    pub fn picture(&self) -> Option<&RgbImage> {
        match self {
            Self::Face { picture, .. } | Self::Middle { picture } => Some(picture),
            Self::Nothing(_) => None,
        }
    }
}

/// Finds the face on each of many photographs and aligns it: what turns photographs into images for a network.
#[derive(Debug)]
pub struct FaceFinder {
    /// Finds faces.
    pub detector: Detector,
    /// Where they come to lie.
    pub alignment: Alignment,
    /// Which of several faces is taken. With [`Choice::All`] it is the largest.
    pub choice: Choice,
    /// What becomes of an image without a face.
    pub on_no_face: NoFace,
}

impl FaceFinder {
    /// Takes the face that is large and near the middle, and leaves images without a face out.
    pub fn new(detector: Detector, alignment: Alignment) -> Self {
        Self { detector, alignment, choice: Choice::Central, on_no_face: NoFace::Skip }
    }

    /// What is made of each of several upright photographs, in their order. They may have different sizes; those of one size go
    /// through the detector together.
    ///
    /// # Errors
    /// A photograph is gigantic, or the device is lost or lacks memory. A face that cannot be aligned is an outcome.
    pub fn faces(&mut self, photographs: &[&RgbImage]) -> Result<Vec<Outcome>> {
        let found = self.detector.detect_all(photographs)?;
        let (alignment, choice, on_no_face) = (&self.alignment, self.choice, self.on_no_face);
        let outcomes = photographs.par_iter().zip(found).map(|(photograph, faces)| {
            let chosen = choice.of(&faces, [photograph.width(), photograph.height()]);
            outcome(photograph, chosen.first(), faces.len(), alignment, on_no_face)
        });
        Ok(outcomes.collect())
    }
}

/// What is made of a photograph with this face of so many, or none.
fn outcome(
    photograph: &RgbImage,
    face: Option<&Detection>,
    faces: usize,
    alignment: &Alignment,
    on_no_face: NoFace,
) -> Outcome {
    match (face, on_no_face) {
        (Some(&detection), _) => match align(photograph, &detection, alignment) {
            Ok(picture) => Outcome::Face { picture, detection, faces },
            Err(e) => Outcome::Nothing(e.to_string()),
        },
        (None, NoFace::Crop) if photograph.width() > 0 && photograph.height() > 0 => {
            Outcome::Middle { picture: crop::middle(photograph, alignment.size()) }
        }
        (None, _) => Outcome::Nothing("shows no face that the detector finds".to_string()),
    }
}
