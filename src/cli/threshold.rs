//! The threshold below which two faces are one person: that of a flag, of a calibration, or of training.

use clap::Args;

use crate::data::preprocess::Crop;
use crate::weights::{Calibration, Metadata};
use crate::{Error, Result};

/// The flag that every verb with a decision has.
#[derive(Debug, Args)]
pub(super) struct ThresholdFlag {
    /// Largest squared distance, 0 to 4, of two faces of one person [default: that of `calibrate`, or of training]
    #[arg(long, value_name = "DISTANCE", value_parser = distance)]
    pub(super) threshold: Option<f32>,
}

/// A squared distance of embeddings of length 1.
fn distance(text: &str) -> Result<f32, String> {
    let value = text.parse().ok().filter(|value| (0.0..=4.0).contains(value));
    value.ok_or_else(|| "give a squared distance from 0 to 4, as far as embeddings can be apart".to_string())
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
}

impl ThresholdFlag {
    /// The threshold to use with these weights; warns where it was found on images that were seen otherwise.
    ///
    /// # Errors
    /// Neither the flag nor the weights have one.
    pub(super) fn of<'a>(&self, metadata: &'a Metadata) -> Result<Threshold<'a>> {
        let found = self.find(metadata)?;
        if let Source::Calibration(calibration) = found.source
            && calibration.crop != metadata.preprocess.crop
        {
            let name = |crop: Option<Crop>| crop.map_or("no crop".to_string(), |crop| format!("crop {crop}"));
            hint!(
                "warning: the threshold was calibrated with {}, and images are taken with {} now; calibrate again, or take them as \
                 it was done",
                name(calibration.crop),
                name(metadata.preprocess.crop)
            );
        }
        Ok(found)
    }

    /// The same, without a word about how it suits the images.
    pub(super) fn find<'a>(&self, metadata: &'a Metadata) -> Result<Threshold<'a>> {
        if let Some(value) = self.threshold {
            return Ok(Threshold { value, source: Source::Flag });
        }
        if let Some(calibration) = &metadata.calibration {
            return Ok(Threshold { value: calibration.threshold, source: Source::Calibration(calibration) });
        }
        let trained = metadata.training.as_ref().and_then(|training| training.threshold);
        trained.map(|value| Threshold { value, source: Source::Training }).ok_or_else(|| {
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
        }
    }

    /// Where it comes from, in a word for programs.
    pub(super) fn source(&self) -> &'static str {
        match self.source {
            Source::Flag => "flag",
            Source::Calibration(_) => "calibration",
            Source::Training => "training",
        }
    }
}
