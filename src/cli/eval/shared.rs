//! What all protocols have.

use std::path::{Path, PathBuf};

use clap::Args;

use super::embedder::Embedder;
use super::report;
use super::told::Told;
use crate::cli::DeviceFlag;
use crate::cli::output::Form;
use crate::cli::view::View;
use crate::{Engine, Result};

/// Flags of every protocol.
#[derive(Debug, Args)]
pub(super) struct Shared {
    /// Embed each image and its mirror image, and take the mean, brought to the length of one
    #[arg(long)]
    pub(super) flip: bool,

    /// Write a page with figures and curves, and its pictures, into a folder
    #[arg(long, value_name = "FOLDER")]
    pub(super) report: Option<PathBuf>,

    #[command(flatten)]
    form: Form,

    #[command(flatten)]
    device: DeviceFlag,
}

impl Shared {
    /// Chooses the form of the output; the first that a verb does.
    pub(super) fn choose_form(&self) {
        self.form.choose();
    }

    /// Makes the folder of the report, and opens the device.
    pub(super) fn open(&self) -> Result<Engine> {
        if let Some(folder) = &self.report {
            report::prepare(folder)?;
        }
        self.device.open_told()
    }

    /// Weights on the device.
    pub(super) fn embedder(&self, engine: &Engine, weights: &Path, view: &View, told: &mut Told) -> Result<Embedder> {
        Embedder::open(engine, weights, view, self.flip, told)
    }
}
