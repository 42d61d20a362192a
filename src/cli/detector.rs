//! The flags of a face detector.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::detect::{Detector, DetectorSettings};
use crate::{Engine, Error, Result};

/// The file that is looked for where none is named.
const NAME: &str = "mtcnn.safetensors";
/// The variable that names the folder in which it is looked for; without it that is `models`.
const FOLDER: &str = "FACENET_GPU_MODELS";

/// What a detector is and what it looks for.
#[derive(Debug, Args)]
pub(super) struct DetectorFlags {
    /// Face detector, which `import pnet.pt rnet.pt onet.pt` makes [default: mtcnn.safetensors in the folder
    /// `$FACENET_GPU_MODELS`, or in models]
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
    /// None is named, and none lies where one is looked for.
    pub(super) fn file(&self) -> Result<PathBuf> {
        if let Some(file) = &self.detector {
            return Ok(file.clone());
        }
        let folder = std::env::var_os(FOLDER).map_or_else(|| Path::new("models").to_path_buf(), PathBuf::from);
        let file = folder.join(NAME);
        if file.is_file() {
            return Ok(file);
        }
        Err(Error::setting(format!(
            "there is no face detector: {} does not exist; name one with `detector`, or make one with `facenet-gpu import \
             pnet.pt rnet.pt onet.pt --out {}`",
            file.display(),
            file.display()
        )))
    }

    fn settings(&self) -> Result<DetectorSettings> {
        let thresholds = <[f32; 3]>::try_from(&self.thresholds[..])
            .map_err(|_| Error::setting("`thresholds` takes three numbers, such as 0.6 0.7 0.7"))?;
        Ok(DetectorSettings { min_face: self.min_face, thresholds, ..DetectorSettings::default() })
    }
}
