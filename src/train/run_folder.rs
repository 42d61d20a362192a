//! What a run leaves behind: `runs/train/NAME[N]/` with its settings, metrics and weights.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Baselines, EpochReport, Output, SelectionReport, StepReport, Versions, plot};
use crate::data::faces::FaceSet;
use crate::weights::{Weights, check_writable, write_whole};
use crate::{Error, Result};

/// The folder of one run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    epochs: csv::Writer<File>,
    steps: csv::Writer<File>,
    /// From the first offline selection on.
    selections: Option<csv::Writer<File>>,
}

impl RunFolder {
    /// Creates `root/train/name`, or `name2`, `name3`, ... if there are runs of that name already.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(root: &Path, name: &str) -> Result<Self> {
        let parent = Self::check(root, name)?;
        let mut number = 1;
        let path = loop {
            let path = parent.join(if number == 1 { name.to_string() } else { format!("{name}{number}") });
            match fs::create_dir(&path) {
                Ok(()) => break path,
                Err(e) if e.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(Error::io("create", &path)(e)),
            }
        };
        let weights = path.join("weights");
        fs::create_dir(&weights).map_err(Error::io("create", &weights))?;
        let (epochs, steps) = (table(&path.join("metrics.csv"))?, table(&path.join("steps.csv"))?);
        Ok(Self { path, epochs, steps, selections: None })
    }

    /// Checks the name and that the folder can be written, so that this is found out before images are read for
    /// minutes. Returns `root/train`, which exists then.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn check(root: &Path, name: &str) -> Result<PathBuf> {
        if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
            let message = format!("`name` \"{name}\" cannot name a run: give a plain folder name");
            return Err(Error::Setting(message));
        }
        let parent = root.join("train");
        fs::create_dir_all(&parent).map_err(Error::io("create", &parent))?;
        check_writable(&parent)?;
        Ok(parent)
    }

    /// Removes the folder unless it holds weights: after a failure before the first step nothing in it is worth keeping.
    pub fn discard_if_empty(self) {
        if !self.last().exists() && !self.best().exists() {
            let path = self.path.clone();
            // Open files cannot be removed everywhere.
            drop(self);
            let _ = fs::remove_dir_all(path);
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the files beside the weights that tell of the run.
    pub fn tables(&self) -> Vec<&'static str> {
        let names =
            ["args.toml", "metrics.csv", "steps.csv", "selections.csv", "versions.toml", "skipped.csv", "loss.svg"];
        names.into_iter().filter(|name| self.path.join(name).exists()).collect()
    }

    /// The weights of the last epoch.
    pub fn last(&self) -> PathBuf {
        self.path.join("weights/last.safetensors")
    }

    /// The weights with the best accuracy so far.
    pub fn best(&self) -> PathBuf {
        self.path.join("weights/best.safetensors")
    }

    /// Writes the settings.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_args(&self, args: &impl Serialize) -> Result<()> {
        let text = toml::to_string(args).expect("settings are plain data");
        write_whole(&self.path.join("args.toml"), text.as_bytes())
    }

    /// Writes a row per image that could not be used, if there are any. Returns the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_skipped(&self, set: &FaceSet) -> Result<Option<PathBuf>> {
        if set.skipped().is_empty() {
            return Ok(None);
        }
        let path = self.path.join("skipped.csv");
        set.write_report(&path)?;
        Ok(Some(path))
    }
}

/// What `versions.toml` holds, of the best weights.
#[derive(Debug, Serialize)]
struct VersionsFile {
    new: f64,
    old: f64,
    across: f64,
    across_threshold: f32,
}

impl Output for RunFolder {
    fn save_last(&mut self, weights: &Weights) -> Result<()> {
        weights.save(&self.last())
    }

    fn save_best(&mut self, weights: &Weights) -> Result<()> {
        weights.save(&self.best())
    }

    fn has_best(&self) -> bool {
        self.best().exists()
    }

    fn last_place(&self) -> String {
        self.last().display().to_string()
    }

    fn step(&mut self, report: &StepReport) -> Result<()> {
        write_row(&mut self.steps, &self.path.join("steps.csv"), report)
    }

    fn epoch(&mut self, history: &[EpochReport], baselines: Option<&Baselines>) -> Result<()> {
        if let Some(report) = history.last() {
            write_row(&mut self.epochs, &self.path.join("metrics.csv"), report)?;
        }
        plot::loss_curve(&self.path.join("loss.svg"), history, baselines)
    }

    fn selection(&mut self, report: &SelectionReport) -> Result<()> {
        let path = self.path.join("selections.csv");
        let selections = match self.selections.take() {
            Some(selections) => selections,
            None => table(&path)?,
        };
        write_row(self.selections.insert(selections), &path, report)
    }

    fn versions(&mut self, versions: &Versions) -> Result<()> {
        let [new, old, across] = [versions.new, versions.old, versions.across].map(|a| a.accuracy);
        let file = VersionsFile { new, old, across, across_threshold: versions.across.threshold };
        let text = toml::to_string(&file).expect("a few numbers");
        write_whole(&self.path.join("versions.toml"), text.as_bytes())
    }
}

fn table(path: &Path) -> Result<csv::Writer<File>> {
    File::create(path).map(csv::Writer::from_writer).map_err(Error::io("create", path))
}

fn write_row(to: &mut csv::Writer<File>, path: &Path, row: &impl Serialize) -> Result<()> {
    let wrote = to.serialize(row).map_err(std::io::Error::from).and_then(|()| to.flush());
    wrote.map_err(Error::io("write", path))
}
