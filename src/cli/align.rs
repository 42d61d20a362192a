//! `facenet-gpu align`: a folder of photographs becomes a folder of aligned faces.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use image::{RgbImage, imageops};
use serde_json::json;

use super::detector::DetectorFlags;
use super::files::{check_new, check_outside};
use super::output::{self, Audience};
use super::signals::stop_on_signals;
use super::{DeviceFlag, INTERRUPTED, table};
use crate::align::folder::{ABOUT, Aligned, PictureFormat, align_folder};
use crate::align::{Alignment, FaceFinder, NoFace};
use crate::data::contact_sheet::contact_sheet;
use crate::detect::Choice;
use crate::text::counted;
use crate::weights::write_whole;
use crate::{Error, Result};

/// Rows and columns of a contact sheet at most, and the side of its pictures.
const SHEET: [usize; 2] = [12, 10];
const SHEET_SIDE: u32 = 112;

/// Cut the face out of every image of a folder and align it
///
/// The faces lie in the same folders and have the same names. Of several faces on an image one is taken. The same command
/// goes on where it was cut off.
#[derive(Debug, Args)]
pub(super) struct Align {
    /// Folder with photographs in it and below, such as a folder for each person
    #[arg(value_name = "FOLDER")]
    input: PathBuf,

    /// Folder for the faces
    #[arg(value_name = "OUT")]
    output: PathBuf,

    /// Where a face comes to lie: facenet (160 pixels, its box), arcface (112), dlib (150), openface (96), or a template's
    /// file
    #[arg(long, value_name = "NAME|FILE", default_value = "facenet")]
    alignment: String,

    /// What becomes of an image without a face: skip it, or take its middle (crop)
    #[arg(long, value_name = "skip|crop", default_value = "skip")]
    no_face: String,

    /// Take the largest face of each image
    #[arg(long, conflicts_with = "central")]
    largest: bool,

    /// Take the face that is large and near the middle, as facenet's scripts do; the default
    #[arg(long)]
    central: bool,

    /// How faces are written
    #[arg(long, value_enum, default_value_t)]
    format: PictureFormat,

    /// Also write a contact sheet of some of the faces
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,

    /// Print nothing but warnings and errors
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,

    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    detector: DetectorFlags,

    #[command(flatten)]
    device: DeviceFlag,
}

impl Align {
    pub(super) fn run(self) -> Result<ExitCode> {
        output::speak_to(match (self.quiet, self.json) {
            (true, _) => Audience::Nobody,
            (_, true) => Audience::Programs,
            _ => Audience::People,
        });
        if let Some(sheet) = &self.sheet
            && sheet.extension().is_none_or(|x| x != "png")
        {
            return Err(Error::setting(format!("`sheet` {} does not end in .png; name such a file", sheet.display())));
        }
        if let Some(sheet) = self.sheet.as_deref() {
            check_outside(sheet, "sheet", &self.input)?;
            // The same command goes on where it was cut off, and has written one then.
            if !self.output.join(ABOUT).exists() {
                check_new(sheet, "sheet")?;
            }
        }
        if !self.input.is_dir() {
            let input = self.input.display();
            return Err(Error::setting(format!("{input} is no folder; give the folder that holds the photographs")));
        }
        let (alignment, on_no_face) = (self.alignment.parse::<Alignment>()?, self.no_face.parse::<NoFace>()?);
        let (engine, reason) = self.device.open()?;
        say!("device    {}", engine.describe());
        say!("          {reason}");
        let mut finder = FaceFinder::new(self.detector.open(&engine)?, alignment);
        finder.on_no_face = on_no_face;
        if self.largest {
            finder.choice = Choice::Largest;
        }
        say!("alignment {}", finder.alignment);
        let stop = stop_on_signals("stopping: the faces that are done are kept (Ctrl-C again to end at once)");
        let bar = super::embed::progress(0, 0).with_prefix("aligning");
        let total = crate::data::inputs::collect(std::slice::from_ref(&self.input))?.len();
        bar.set_length(total as u64);
        let begin = Instant::now();
        let mut each = |images: usize| bar.inc(images as u64);
        let done = align_folder(&mut finder, &self.input, &self.output, self.format, &stop, &mut each);
        bar.finish_and_clear();
        let done = done?;
        if let Some(sheet) = self.sheet.as_deref().filter(|_| !done.pictures.is_empty()) {
            write_sheet(&done.pictures, sheet)?;
        }
        self.report(&done, finder.alignment.name(), begin.elapsed().as_secs_f64());
        Ok(match () {
            () if done.stopped => ExitCode::from(INTERRUPTED),
            () if done.pictures.is_empty() => ExitCode::FAILURE,
            () => ExitCode::SUCCESS,
        })
    }

    /// Says what was done.
    fn report(&self, done: &Aligned, alignment: &str, seconds: f64) {
        let count = |n: usize| table::count(n as u64);
        let rate = (done.faces + done.middles + done.skipped.len()) as f64 / seconds;
        say!("images    {}, {} done before", count(done.images), count(done.kept));
        say!("faces     {}; on {} there were several", count(done.faces), counted(done.several, "image"));
        if done.middles > 0 {
            say!("middles   {}: no face was found there", count(done.middles));
        }
        if !done.skipped.is_empty() {
            let report = self.output.join("skipped.csv");
            hint!("warning: {} gave no face: {} says why", counted(done.skipped.len(), "image"), report.display());
        }
        say!("done      in {}, {rate:.1} images/s", table::duration(seconds));
        say!("wrote     {}", self.output.display());
        if done.stopped {
            say!("resume    the same command goes on");
        }
        output::json(&json!({
            "event": "end", "images": done.images, "kept": done.kept, "faces": done.faces, "several": done.several,
            "middles": done.middles, "skipped": done.skipped.len(), "complete": !done.stopped, "seconds": seconds,
            "alignment": alignment, "out": self.output.display().to_string(),
        }));
    }
}

/// A contact sheet of pictures from all over the folder.
fn write_sheet(pictures: &[PathBuf], sheet: &Path) -> Result<()> {
    let [rows, columns] = SHEET;
    let shown = pictures.len().min(rows * columns);
    let mut small: Vec<RgbImage> = Vec::with_capacity(shown);
    for at in 0..shown {
        let path = &pictures[at * pictures.len() / shown];
        let picture = crate::data::decode::decode_picture(path)?.into_rgb8();
        let (width, height) = picture.dimensions();
        let side = |side: u32| (side * SHEET_SIDE / width.max(height)).max(1);
        small.push(imageops::thumbnail(&picture, side(width), side(height)));
    }
    let rows: Vec<Vec<RgbImage>> = small.chunks(columns).map(<[RgbImage]>::to_vec).collect();
    write_whole(sheet, &crate::chart::png(&contact_sheet(&rows, 4)?)?)
}
