//! The flags of a face detector.

use std::path::PathBuf;

use clap::Args;

use super::models;
use crate::detect::{Detector, DetectorSettings};
use crate::{Engine, Error, Result};

/// What a detector is and what it looks for.
#[derive(Debug, Args)]
pub(super) struct DetectorFlags {
    /// Face detector, by its file or its name in the folder of models [default: the one in that folder, which is
    /// `$FACENET_GPU_MODELS`, or models]
    #[arg(long, value_name = "FILE", help_heading = "Detector")]
    detector: Option<PathBuf>,

    /// Side of the smallest face that is found, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = DetectorSettings::default().min_face,
          help_heading = "Detector", hide_short_help = true)]
    min_face: f64,

    /// Least probabilities that let a window pass the three networks
    #[arg(long, num_args = 3, value_names = ["P", "R", "O"], help_heading = "Detector", hide_short_help = true,
          default_values_t = DetectorSettings::default().thresholds)]
    thresholds: Vec<f32>,
}

impl DetectorFlags {
    /// Loads the detector.
    ///
    /// # Errors
    /// There is none, the file is no detector, or a setting is out of range.
    pub(super) fn open(&self, engine: &Engine) -> Result<Detector> {
        let settings = self.settings()?;
        Detector::open(engine, self.file()?)?.with_settings(settings)
    }

    /// The detector's file.
    ///
    /// # Errors
    /// None is named and the folder of models holds none, or none of the name that was given.
    pub(super) fn file(&self) -> Result<PathBuf> {
        self.detector.as_deref().map_or_else(models::the_detector, models::file_of)
    }

    fn settings(&self) -> Result<DetectorSettings> {
        let thresholds = <[f32; 3]>::try_from(&self.thresholds[..])
            .map_err(|_| Error::setting("`thresholds` takes three numbers, such as 0.6 0.7 0.7"))?;
        Ok(DetectorSettings { min_face: self.min_face, thresholds, ..DetectorSettings::default() })
    }
}
