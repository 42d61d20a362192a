//! The threshold below which two faces are one person: that of a flag, of a calibration, or of training.

use clap::Args;

use crate::data::preprocess::{Alignment, Crop};
use crate::weights::{Calibration, Metadata};
use crate::{Error, Result};

/// The flag that every verb with a decision has.
#[derive(Debug, Args)]
pub(super) struct ThresholdFlag {
    /// Largest squared distance of two faces of one person, 0 to 4 for embeddings of unit length [default: that of
    /// `calibrate`, or of training, or of the makers of the weights]
    #[arg(long, value_name = "DISTANCE", value_parser = distance)]
    pub(super) threshold: Option<f32>,
}

/// A squared distance of embeddings of any length.
fn distance(text: &str) -> Result<f32, String> {
    let value = text.parse().ok().filter(|value| (0.0..=f32::MAX).contains(value));
    value.ok_or_else(|| "give a squared distance, a number from 0 on".to_string())
}

/// A threshold and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Threshold<'a> {
    pub(super) value: f32,
    pub(super) source: Source<'a>,
}

/// Where a threshold comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Source<'a> {
    Flag,
    Calibration(&'a Calibration),
    Training,
    Makers,
}

impl ThresholdFlag {
    /// The threshold to use with these weights; warns where it was found on images that were seen otherwise.
    ///
    /// # Errors
    /// Neither the flag nor the weights have one, or that of the flag is no distance that the embeddings can have.
    pub(super) fn of<'a>(&self, metadata: &'a Metadata) -> Result<Threshold<'a>> {
        let found = self.find(metadata)?;
        if let Source::Calibration(calibration) = found.source
            && (calibration.crop, &calibration.alignment) != (metadata.preprocess.crop, &metadata.preprocess.alignment)
        {
            let name = |crop: Option<Crop>, alignment: &Option<Alignment>| match (crop, alignment) {
                (_, Some(alignment)) => format!("faces aligned as {alignment}"),
                (Some(crop), None) => format!("crop {crop}"),
                (None, None) => "no crop".to_string(),
            };
            hint!(
                "warning: the threshold was calibrated with {}, and images are taken with {} now; calibrate again, or take them as \
                 it was done",
                name(calibration.crop, &calibration.alignment),
                name(metadata.preprocess.crop, &metadata.preprocess.alignment)
            );
        }
        Ok(found)
    }

    /// The same, without a word about how it suits the images.
    pub(super) fn find<'a>(&self, metadata: &'a Metadata) -> Result<Threshold<'a>> {
        if let Some(value) = self.threshold {
            if metadata.unit_length && value > 4.0 {
                return Err(Error::Setting(format!(
                    "`threshold` {value} is more than embeddings of unit length can be apart; give a squared distance from 0 to 4"
                )));
            }
            return Ok(Threshold { value, source: Source::Flag });
        }
        if let Some(calibration) = &metadata.calibration {
            return Ok(Threshold { value: calibration.threshold, source: Source::Calibration(calibration) });
        }
        let trained = metadata.training.as_ref().and_then(|training| training.threshold);
        let trained = trained.map(|value| Threshold { value, source: Source::Training });
        let makers = metadata.threshold.map(|value| Threshold { value, source: Source::Makers });
        trained.or(makers).ok_or_else(|| {
            Error::Setting(
                "the weights have no threshold; give `threshold`, or measure one with `facenet-gpu calibrate`".into(),
            )
        })
    }
}

impl Threshold<'_> {
    /// Whether faces at this squared distance count as one person.
    pub(super) fn accepts(&self, distance: f32) -> bool {
        distance <= self.value
    }

    /// Where it comes from, in words.
    pub(super) fn origin(&self) -> String {
        match self.source {
            Source::Flag => "given".to_string(),
            Source::Calibration(c) => format!("calibrated on {}", c.data),
            Source::Training => "of training; `facenet-gpu calibrate` finds one for your own images".to_string(),
            Source::Makers => {
                "of those who made the weights; `facenet-gpu calibrate` finds one for your own images".to_string()
            }
        }
    }

    /// Where it comes from, in a word for programs.
    pub(super) fn source(&self) -> &'static str {
        match self.source {
            Source::Flag => "flag",
            Source::Calibration(_) => "calibration",
            Source::Training => "training",
            Source::Makers => "weights",
        }
    }
}
