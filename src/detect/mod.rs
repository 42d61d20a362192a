//! Faces on photographs: MTCNN (Zhang et al., 2016), a cascade of three networks. P-Net proposes windows on a pyramid of
//! smaller and smaller copies of the image, R-Net and O-Net look at what is left at 24x24 and 48x48 pixels. Between them
//! overlapping windows are suppressed on the host, and the windows are moved to where the networks say that the face is.
//!
//! What is found is what facenet-pytorch 2.6.0 finds with the same settings: its windows, resampling, rounding and order of
//! suppression. `docs/detection.md` says where figures may differ.

mod area;
mod choose;
mod draw;
mod files;
mod proposals;
mod pyramid;
mod refine;
mod settings;
mod stage;
mod suppress;
mod window;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use image::RgbImage;

use self::stage::Stage;
use crate::weights::{DetectorWeights, STAGES};
use crate::{Engine, Error, Result};

pub use choose::Choice;
pub use draw::draw;
pub(crate) use files::pictures;
pub use files::{Found, Searched, detect_files};
pub use settings::DetectorSettings;

/// Most pixels of an image: sums over its areas are counted in 32 bits.
const MAX_PIXELS: u64 = 1 << 30;

/// A face on an image. Coordinates are pixels from the left and from the top.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Detection {
    /// Left, top, right and bottom edge of the face. They may lie outside the image.
    pub bounds: [f32; 4],
    /// How sure O-Net is that this is a face, 0 to 1.
    pub probability: f32,
    /// Eyes, nose and corners of the mouth, each as x and y: the eye on the image's left side, the other one, the tip of the
    /// nose, the left corner and the right one.
    pub landmarks: [[f32; 2]; 5],
}

impl Detection {
    /// Width times height.
    pub fn area(&self) -> f32 {
        let [left, top, right, bottom] = self.bounds;
        (right - left) * (bottom - top)
    }

    /// The point in the middle of the face, x and y.
    pub fn centre(&self) -> [f32; 2] {
        let [left, top, right, bottom] = self.bounds;
        [f32::midpoint(left, right), f32::midpoint(top, bottom)]
    }
}

/// Where the time went since the detector was opened. On a GPU the waiting for a network counts for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Timings {
    /// Making levels of the pyramid and cutting out windows.
    pub resampling: Duration,
    /// P-Net, R-Net and O-Net.
    pub networks: [Duration; 3],
    /// Suppression of overlapping windows, with what else the host does with windows.
    pub suppression: Duration,
}

/// MTCNN on a device.
#[derive(Debug)]
pub struct Detector {
    stages: [Stage; 3],
    settings: DetectorSettings,
    id: String,
}

impl Detector {
    /// Loads a detector's file, with the default settings.
    ///
    /// # Errors
    /// The file cannot be read, is damaged or holds no detector; the device lacks memory.
    pub fn open(engine: &Engine, path: impl AsRef<Path>) -> Result<Self> {
        Self::new(engine, &DetectorWeights::load(path.as_ref())?)
    }

    /// Puts a detector on a device, with the default settings.
    ///
    /// # Errors
    /// The device lacks memory.
    pub fn new(engine: &Engine, weights: &DetectorWeights) -> Result<Self> {
        let engine = engine.for_a_network();
        let stage = |at: usize| Stage::new(&engine, STAGES[at].0, STAGES[at].1()?, weights);
        let stages = [stage(0)?, stage(1)?, stage(2)?];
        Ok(Self { stages, settings: DetectorSettings::default(), id: weights.id() })
    }

    /// The same detector with other settings.
    ///
    /// # Errors
    /// A setting is out of range.
    pub fn with_settings(mut self, settings: DetectorSettings) -> Result<Self> {
        settings.check()?;
        self.settings = settings;
        Ok(self)
    }

    /// The settings.
    pub fn settings(&self) -> &DetectorSettings {
        &self.settings
    }

    /// What tells this detector's weights from others.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where the time went so far.
    pub fn timings(&self) -> Timings {
        let mut timings = Timings::default();
        for (stage, network) in self.stages.iter().zip(&mut timings.networks) {
            *network = stage.time.network;
            timings.resampling += stage.time.resampling;
            timings.suppression += stage.time.suppression;
        }
        timings
    }

    /// The faces on an upright image, the largest first. There may be none; an image that is smaller than the smallest face
    /// has none.
    ///
    /// # Errors
    /// The image is gigantic, or the device is lost or lacks memory.
    pub fn detect(&mut self, image: &RgbImage) -> Result<Vec<Detection>> {
        Ok(self.detect_all(&[image])?.pop().expect("one image"))
    }

    /// The faces on each of several images, as [`detect`](Self::detect) finds them. Images of one size share the levels of
    /// a pyramid, and the later networks look at the windows of all images together.
    ///
    /// # Errors
    /// As [`detect`](Self::detect).
    pub fn detect_all(&mut self, images: &[&RgbImage]) -> Result<Vec<Vec<Detection>>> {
        let mut sizes: BTreeMap<[u32; 2], Vec<usize>> = BTreeMap::new();
        for (at, image) in images.iter().enumerate() {
            let (width, height) = image.dimensions();
            if u64::from(width) * u64::from(height) > MAX_PIXELS {
                let message =
                    format!("an image of {width}x{height} pixels is too large for a detector; shrink it first");
                return Err(Error::Data(message));
            }
            sizes.entry([height, width]).or_default().push(at);
        }
        let [proposing, refining, output] = &mut self.stages;
        let mut windows = vec![Vec::new(); images.len()];
        for ([height, width], members) in sizes {
            let pyramid = self.settings.pyramid(height, width);
            let same: Vec<&RgbImage> = members.iter().map(|&at| images[at]).collect();
            let found = proposals::propose(proposing, &pyramid, &same, self.settings.thresholds[0])?;
            members.into_iter().zip(found).for_each(|(at, found)| windows[at] = found);
        }
        let windows = refine::refine(refining, images, windows, self.settings.thresholds[1])?;
        refine::finish(output, images, windows, self.settings.thresholds[2])
    }
}

#[cfg(test)]
mod tests;
