//! A folder of photographs becomes a folder of aligned faces with the same folders in it. What is there already is kept, so
//! that a run that was cut off goes on.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ImageError, RgbImage};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::{FaceFinder, Outcome};
use crate::data::inputs::{Input, collect};
use crate::data::skipped::{SkippedImage, write_report};
use crate::detect::pictures;
use crate::text::shown;
use crate::weights::write_whole;
use crate::{Error, Result};

/// The file that says how the faces of a folder were made.
pub(crate) const ABOUT: &str = "alignment.json";
/// The report of images that gave no face.
const SKIPPED: &str = "skipped.csv";
/// Quality of JPEG pictures, of 100: what networks see must not be blocks.
const QUALITY: u8 = 95;

/// How faces are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum PictureFormat {
    /// PNG: nothing is lost.
    #[default]
    Png,
    /// JPEG of quality 95: a third of the size.
    Jpg,
}

/// What was done with a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Aligned {
    /// Images of the folder.
    pub images: usize,
    /// Those whose face was there already.
    pub kept: usize,
    /// Those that gave a face now.
    pub faces: usize,
    /// Those of them with several faces, of which one was chosen.
    pub several: usize,
    /// Those that gave their middle, because no face was found.
    pub middles: usize,
    /// Those that gave nothing, and why.
    pub skipped: Vec<SkippedImage>,
    /// The pictures that are there now, in order.
    pub pictures: Vec<PathBuf>,
    /// It was asked to stop before the end.
    pub stopped: bool,
}

/// Aligns the face on every image in `input` and below, and writes it to `output`, in the same folder and with the same name.
/// `skipped.csv` there lists images without a face, `alignment.json` says how the faces were made. `each` is called with the
/// number of images of each block that is done. Setting `stop` ends it after a block; the same call goes on.
///
/// # Errors
/// `input` cannot be read or has no images; `output` lies in it, holds files of something else or faces that were made otherwise, or
/// cannot be written; the device is lost or lacks memory. What is wrong with an image is in the report.
pub fn align_folder(
    finder: &mut FaceFinder,
    input: &Path,
    output: &Path,
    format: PictureFormat,
    stop: &AtomicBool,
    each: &mut dyn FnMut(usize),
) -> Result<Aligned> {
    let inputs = collect(&[input.to_path_buf()])?;
    if inputs.is_empty() {
        return Err(Error::Data(format!("there are no images in {}", input.display())));
    }
    prepare(finder, input, output, format)?;
    let names = names(&inputs, input, format);
    let mut done = Aligned { images: inputs.len(), ..Aligned::default() };
    let (mut open, mut targets) = (Vec::new(), Vec::new());
    for (input, name) in inputs.into_iter().zip(names) {
        let target = output.join(name);
        match target.exists() {
            true => {
                done.kept += 1;
                done.pictures.push(target);
            }
            false => {
                open.push(input);
                targets.push(target);
            }
        }
    }
    each(done.kept);
    let (mut at, all) = (0, open.len());
    pictures(&open, stop, &mut |block, pictures| {
        let photographs: Vec<&RgbImage> = pictures.iter().flatten().collect();
        let mut made = finder.faces(&photographs)?.into_iter();
        let outcomes: Vec<Outcome> = pictures
            .into_iter()
            .map(|picture| match picture {
                Ok(_) => made.next().expect("one for each photograph"),
                Err(reason) => Outcome::Nothing(reason),
            })
            .collect();
        let targets = &targets[at..at + block.len()];
        let with_targets = outcomes.par_iter().zip(targets);
        with_targets.try_for_each(|(outcome, target)| outcome.picture().map_or(Ok(()), |p| save(p, target, format)))?;
        for ((outcome, target), input) in outcomes.into_iter().zip(targets).zip(block) {
            done.count(outcome, target, input);
        }
        at += block.len();
        each(block.len());
        Ok(())
    })?;
    done.stopped = at < all;
    done.pictures.sort();
    write_report(&done.skipped, &output.join(SKIPPED))?;
    Ok(done)
}

impl Aligned {
    fn count(&mut self, outcome: Outcome, target: &Path, input: &Input) {
        match outcome {
            Outcome::Face { faces, .. } => {
                self.faces += 1;
                self.several += usize::from(faces > 1);
            }
            Outcome::Middle { .. } => self.middles += 1,
            Outcome::Nothing(reason) => {
                self.skipped.push(SkippedImage { path: input.path.clone(), reason });
                return;
            }
        }
        self.pictures.push(target.to_path_buf());
    }
}

/// Makes `output`, or checks that it holds faces that were made in the same way.
fn prepare(finder: &FaceFinder, input: &Path, output: &Path, format: PictureFormat) -> Result<()> {
    // Of a folder that is not there yet, what is there of the way to it decides.
    let there = output.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let there = there.into_iter().find(|path| path.exists()).unwrap_or(output);
    let real = |path: &Path| path.canonicalize().map_err(Error::io("read", path));
    if real(there)?.starts_with(real(input)?) {
        let (input, output) = (input.display(), output.display());
        return Err(Error::setting(format!(
            "the folder {output} lies in {input}, whose images are read; give one outside of it"
        )));
    }
    fs::create_dir_all(output).map_err(Error::io("create", output))?;
    let (about, file) = (about(finder, format), output.join(ABOUT));
    if !file.exists() {
        let mut entries = fs::read_dir(output).map_err(Error::io("read", output))?;
        if entries.next().is_some() {
            let output = output.display();
            return Err(Error::Data(format!("the folder {output} holds other files; give an empty or a new one")));
        }
        return write_whole(&file, &serde_json::to_vec_pretty(&about).expect("it is plain data"));
    }
    let text = fs::read(&file).map_err(Error::io("read", &file))?;
    let before: Value = serde_json::from_slice(&text).unwrap_or_default();
    let differs = |key: &&String| before.get(key.as_str()) != about.get(key.as_str());
    let keys = about.as_object().expect("it is an object").keys();
    match keys.clone().find(differs) {
        None => Ok(()),
        Some(key) => Err(Error::Data(format!(
            "the faces in {} were made with another {} ({}); give another folder",
            output.display(),
            key,
            file.display()
        ))),
    }
}

/// How faces are made.
fn about(finder: &FaceFinder, format: PictureFormat) -> Value {
    let settings = finder.detector.settings();
    json!({
        "alignment": finder.alignment,
        "detector": finder.detector.id(),
        "min_face": settings.min_face,
        "thresholds": settings.thresholds,
        "choice": finder.choice,
        "no_face": finder.on_no_face,
        "format": match format { PictureFormat::Png => "png", PictureFormat::Jpg => "jpg" },
    })
}

/// The name of each image's face, below the folder. Of two images whose names differ in their endings alone, the second keeps
/// its own.
fn names(inputs: &[Input], root: &Path, format: PictureFormat) -> Vec<PathBuf> {
    let ending = match format {
        PictureFormat::Png => "png",
        PictureFormat::Jpg => "jpg",
    };
    let mut taken = HashSet::new();
    let name = |input: &Input| {
        let inside = input.path.strip_prefix(root).unwrap_or(&input.path);
        let short = inside.with_extension(ending);
        let name = match taken.contains(&short) {
            false => short,
            true => {
                let mut whole = inside.as_os_str().to_owned();
                whole.push(".");
                whole.push(ending);
                PathBuf::from(whole)
            }
        };
        taken.insert(name.clone());
        name
    };
    inputs.iter().map(name).collect()
}

/// Writes a picture, with its folder.
fn save(picture: &RgbImage, target: &Path, format: PictureFormat) -> Result<()> {
    let folder = target.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let mut bytes = Vec::new();
    let encoded = match format {
        PictureFormat::Png => picture.write_with_encoder(PngEncoder::new(&mut bytes)),
        PictureFormat::Jpg => picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY)),
    };
    let fail = |e: ImageError| Error::Data(format!("a picture cannot be encoded: {}", shown(&e.to_string())));
    encoded.map_err(fail)?;
    write_whole(target, &bytes)
}
