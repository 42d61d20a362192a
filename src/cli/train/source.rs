//! Where the faces of a run come from.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::align::{Alignment, FaceFinder, FaceReader, NoFace};
use crate::cli::eyes::Eyes;
use crate::cli::progress::bar;
use crate::data::decode::prepare;
use crate::data::faces::FaceSet;
use crate::data::folder::FaceFolder;
use crate::data::preprocess::Preprocess;
use crate::data::synth::{Identity, draw};
use crate::detect::Detector;
use crate::text::listed;
use crate::train::Config;
use crate::{Engine, Result};

/// A folder, or people who do not exist.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Source {
    /// A folder per person, or a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<PathBuf>,
    /// The same for the people to measure on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) val: Option<PathBuf>,
    /// People to draw, without a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) synth_people: Option<u32>,
    /// Images of each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) synth_images: Option<u32>,
    /// Face detector that finds the face on each image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detector: Option<PathBuf>,
    /// Where a face that is found comes to lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) alignment: Option<Alignment>,
    /// What becomes of an image without a face.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) no_face: Option<NoFace>,
}

impl Source {
    /// A folder.
    pub(super) fn folder(dir: &Path) -> Self {
        Self { data: Some(dir.to_path_buf()), ..Self::default() }
    }

    /// The same from any folder: a run may be resumed from another one than it was begun in.
    pub(super) fn absolute(&self) -> Self {
        let absolute = |dir: &PathBuf| std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
        let [data, val, detector] = [&self.data, &self.val, &self.detector].map(|path| path.as_ref().map(absolute));
        Self { data, val, detector, ..self.clone() }
    }

    /// People to draw.
    pub(super) fn synthetic(people: u32, images: u32) -> Self {
        Self { synth_people: Some(people), synth_images: Some(images), ..Self::default() }
    }

    /// Images to draw; 0 of a folder.
    pub(super) fn drawn_images(&self) -> u64 {
        let drawn = self.synth_people.zip(self.synth_images).filter(|_| self.data.is_none());
        drawn.map_or(0, |(people, images)| u64::from(people) * u64::from(images))
    }

    /// What the images are, if nobody says.
    pub(super) fn name(&self) -> String {
        let folder = self.data.as_ref().and_then(|dir| Some(dir.canonicalize().ok()?.file_name()?.to_owned()));
        folder.map_or_else(|| self.in_words(), |name| name.to_string_lossy().into_owned())
    }

    /// The folder, or what is drawn.
    pub(super) fn in_words(&self) -> String {
        match (&self.data, self.synth_people, self.synth_images) {
            (None, Some(people), Some(images)) => format!("synthetic: {people} people x {images} images"),
            (data, ..) => data.clone().unwrap_or_default().display().to_string(),
        }
    }

    /// What makes faces of the images.
    fn eyes(&self, engine: &Engine, preprocess: &Preprocess) -> Result<Eyes> {
        let Some(file) = &self.detector else { return Ok(Eyes::plain()) };
        let alignment = self.alignment.clone().expect("it is chosen with the detector");
        say!("faces     found by {}, aligned as {alignment}", file.display());
        let mut finder = FaceFinder::new(Detector::open(engine, file)?, alignment);
        finder.on_no_face = self.no_face.unwrap_or_default();
        Ok(Eyes::finding(FaceReader::new(finder, preprocess)))
    }

    /// Reads the folder, or draws the synthetic people of the seed, and says what is to be known of them.
    pub(super) fn load(&self, engine: &Engine, preprocess: &Preprocess, config: &Config) -> Result<FaceSet> {
        let seed = config.seed;
        if let Some(dir) = &self.data {
            let mut folder = FaceFolder::scan_as(dir, config.layout)?;
            if let Some(val) = &self.val {
                let twice = folder.hold_out(FaceFolder::scan_as(val, config.layout)?)?;
                if !twice.is_empty() {
                    hint!(
                        "warning: {} of the people in {} are in {}, too, and are not measured on: {}",
                        twice.len(),
                        val.display(),
                        dir.display(),
                        listed(&twice)
                    );
                }
            }
            if let Some(understood) = &folder.understood {
                say!("people    {understood}; --layout reads them otherwise");
            }
            folder.remarks().iter().for_each(|remark| hint!("warning: {remark}"));
            let bar = bar(folder.image_count(), "reading   {bar:40} {pos}/{len} images");
            let mut eyes = self.eyes(engine, preprocess)?;
            let set = eyes.load(&folder, preprocess, &|done, _| bar.set_position(done as u64));
            bar.finish_and_clear();
            let set = set?;
            eyes.tell();
            set.lost_people().iter().for_each(|lost| hint!("warning: {lost}"));
            set.remarks()?.iter().for_each(|remark| hint!("warning: {remark}"));
            if let Some((width, height)) = set.smaller_than_crop() {
                hint!("warning: the images have about {width}x{height} pixels, so that --crop takes nothing off");
            }
            if let Some((width, height)) = set.much_larger_images().filter(|_| !eyes.finds()) {
                hint!(
                    "hint: the images have about {width}x{height} pixels and the network sees {}x{}: where faces fill only a \
                     part of them, crop them, or give --crop center:N or --detector FILE",
                    preprocess.width,
                    preprocess.height
                );
            }
            return Ok(set);
        }
        let (people, images) = (self.synth_people.unwrap_or_default(), self.synth_images.unwrap_or_default());
        let bar = bar(people as usize, "drawing   {bar:40} {pos}/{len} people");
        let person = |number: u32| {
            let identity = Identity::new(seed, number);
            let face = |image| draw(&identity, image, preprocess.height.max(preprocess.width));
            let faces = (0..images).map(|image| prepare(&face(image).into(), preprocess)).collect::<Result<_>>();
            bar.inc(1);
            Ok((format!("person_{:05}", number + 1), faces?))
        };
        let people: Result<_> = (0..people).into_par_iter().map(person).collect();
        bar.finish_and_clear();
        FaceSet::from_images(preprocess, people?)
    }
}
