//! From photographs to what a network sees: found, aligned, and prepared as its preprocessing says.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use image::{DynamicImage, RgbImage};
use rayon::prelude::*;

use super::{FaceFinder, Outcome};
use crate::Error;
use crate::Result;
use crate::data::decode::prepare;
use crate::data::inputs::Input;
use crate::data::preprocess::{Face, Preprocess};
use crate::detect::pictures;

/// What became of the photographs so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Seen {
    /// Those that gave a face.
    pub faces: usize,
    /// Those of them with several faces, of which one was chosen.
    pub several: usize,
    /// Those that gave their middle, because no face was found.
    pub middles: usize,
    /// Those that gave nothing.
    pub nothing: usize,
    /// Time that finding and aligning took.
    pub time: Duration,
}

/// Makes faces for a network of photographs.
#[derive(Debug)]
pub struct FaceReader {
    finder: FaceFinder,
    preprocess: Preprocess,
    seen: Seen,
}

impl FaceReader {
    /// Faces that `finder` finds, as `preprocess` says. Its crop is not taken: an aligned face is one.
    pub fn new(finder: FaceFinder, preprocess: &Preprocess) -> Self {
        Self { finder, preprocess: Preprocess { crop: None, ..preprocess.clone() }, seen: Seen::default() }
    }

    /// What became of the photographs so far.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// The face on each of several upright photographs, [`Preprocess::face_len`] bytes, or a sentence that follows the image's
    /// name and says why there is none.
    ///
    /// # Errors
    /// The device is lost or lacks memory.
    pub fn faces(&mut self, photographs: &[&RgbImage]) -> Result<Vec<Result<Face, String>>> {
        let begin = Instant::now();
        let found = self.finder.faces(photographs)?;
        for outcome in &found {
            match outcome {
                Outcome::Face { faces, .. } => {
                    self.seen.faces += 1;
                    self.seen.several += usize::from(*faces > 1);
                }
                Outcome::Middle { .. } => self.seen.middles += 1,
                Outcome::Nothing(_) => self.seen.nothing += 1,
            }
        }
        let preprocess = &self.preprocess;
        let face = |outcome: Outcome| match outcome {
            Outcome::Face { picture, .. } | Outcome::Middle { picture } => {
                prepare(&DynamicImage::ImageRgb8(picture), preprocess).map_err(Error::without_path)
            }
            Outcome::Nothing(why) => Err(why),
        };
        let faces = found.into_par_iter().map(face).collect();
        self.seen.time += begin.elapsed();
        Ok(faces)
    }

    /// The face in each of several files, decoded ahead of the detector. `progress` is called with the number of files of each
    /// part.
    ///
    /// # Errors
    /// The device is lost or lacks memory. What is wrong with a file is its outcome.
    pub fn read<P: AsRef<Path>>(&mut self, paths: &[P], progress: &mut dyn FnMut(usize)) -> Result<Vec<Result<Face>>> {
        let inputs: Vec<Input> = paths.iter().map(|path| Input::new(path.as_ref())).collect();
        let mut faces = Vec::with_capacity(paths.len());
        pictures(&inputs, &AtomicBool::new(false), &mut |block, pictures| {
            let part = self.of_pictures(pictures)?;
            let named = part
                .into_iter()
                .zip(block)
                .map(|(face, input)| face.map_err(|message| Error::Image { path: input.path.clone(), message }));
            faces.extend(named);
            progress(block.len());
            Ok(())
        })?;
        Ok(faces)
    }

    /// The faces of pictures, where they could be decoded.
    pub(crate) fn of_pictures(&mut self, pictures: Vec<Result<RgbImage, String>>) -> Result<Vec<Result<Face, String>>> {
        let good: Vec<&RgbImage> = pictures.iter().flatten().collect();
        let mut found = self.faces(&good)?.into_iter();
        Ok(pictures
            .iter()
            .map(|picture| match picture {
                Ok(_) => found.next().expect("one for each picture"),
                Err(why) => Err(why.clone()),
            })
            .collect())
    }
}
