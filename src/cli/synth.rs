//! `facenet-gpu synth`: a folder of people who do not exist.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::Args;
use image::ImageFormat;
use indicatif::{ProgressBar, ProgressStyle};

use super::signals::stop_on_signals;
use crate::data::contact_sheet::contact_sheet;
use crate::data::synth::{self, Identity};
use crate::{Error, Result};

/// How many people and how many of their images a contact sheet shows at most.
const SHEET_PEOPLE: u32 = 10;
const SHEET_IMAGES: u32 = 10;

/// Write a set of synthetic faces: one folder per person.
#[derive(Debug, Args)]
pub(super) struct Synth {
    /// The folder to write; a new or an empty one.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Number of people.
    #[arg(id = "synth.people", long = "people", value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    people: u32,

    /// Images of each person.
    #[arg(id = "synth.images", long = "images", value_name = "K", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,

    /// The same seed draws the same people.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,

    /// Width and height of the images in pixels.
    #[arg(long, value_name = "PX", default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=1024))]
    size: u32,

    /// Also write a contact sheet of the first people, a row per person.
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,
}

impl Synth {
    /// Writes the folder and, if asked for, the contact sheet.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be written, if the folder is already in use, or if the sheet is not called `.png`.
    pub(super) fn run(self) -> Result<()> {
        if let Some(path) = &self.sheet {
            if !matches!(ImageFormat::from_path(path), Ok(ImageFormat::Png)) {
                return Err(Error::Setting(format!("--sheet {}: name a file that ends in .png", path.display())));
            }
            // Found out now rather than after minutes of drawing.
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
            }
        }
        let count = u64::from(self.people) * u64::from(self.images);
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(count) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} images, {eta} left") {
            bar.set_style(style);
        }
        let stop = stop_on_signals("stopping; nothing is kept");
        let progress = |_| {
            bar.inc(1);
            !stop.load(Ordering::Relaxed)
        };
        let result = synth::write_folder(&self.out, self.people, self.images, self.seed, self.size, &progress);
        bar.finish_and_clear();
        result?;
        let out = self.out.display();
        say!("wrote {count} images of {} people to {out}", self.people);
        if let Some(path) = &self.sheet {
            let rows: Vec<_> = (0..self.people.min(SHEET_PEOPLE))
                .map(|person| {
                    let identity = Identity::new(self.seed, person);
                    let images = 0..self.images.min(SHEET_IMAGES);
                    images.map(|image| synth::draw(&identity, image, self.size)).collect()
                })
                .collect();
            synth::save_png(&contact_sheet(&rows, (self.size / 32).max(2))?, path)?;
            say!("wrote a contact sheet of the first people to {}", path.display());
        }
        say!("next: facenet-gpu train --data {out}");
        Ok(())
    }
}
