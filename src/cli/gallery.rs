//! `facenet-gpu gallery`: known people and their faces in a file.

mod add;
mod edit;
mod list;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::models;
use super::output::{self, Form};
use super::view::View;
use crate::gallery::{self as library, EmbeddingModel, VectorKind};
use crate::{Result, Weights};

/// Keep known people: a file of their faces, for `identify`
#[derive(Debug, Args)]
pub(super) struct Gallery {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(Create),
    Add(add::Add),
    Remove(edit::Remove),
    Rename(edit::Rename),
    List(list::List),
}

impl Gallery {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self.action {
            Action::Create(action) => action.run().map(|()| ExitCode::SUCCESS),
            Action::Add(action) => action.run(),
            Action::Remove(action) => action.run().map(|()| ExitCode::SUCCESS),
            Action::Rename(action) => action.run().map(|()| ExitCode::SUCCESS),
            Action::List(action) => action.run().map(|()| ExitCode::SUCCESS),
        }
    }
}

/// Make an empty gallery for the embeddings of some weights
#[derive(Debug, Args)]
struct Create {
    /// File to make
    gallery: PathBuf,

    /// Weights file, whose embeddings the gallery will hold, or the name of a model in the folder of models [default: the only one
    /// there]
    weights: Option<PathBuf>,

    /// How embeddings are kept [default: bytes, or floats for embeddings without unit length]
    #[arg(long, value_enum)]
    vectors: Option<VectorKind>,

    #[command(flatten)]
    view: View,

    #[command(flatten)]
    form: Form,
}

impl Create {
    fn run(self) -> Result<()> {
        self.form.choose();
        let (_, model) = model_of(&models::given_or_found(self.weights.as_deref())?, &self.view)?;
        let (kind, path) = (self.vectors.unwrap_or_else(|| model.vectors()), self.gallery.display());
        library::Gallery::create(&self.gallery, &model, kind)?;
        say!("gallery   {path}");
        say!("model     {model}, {} dimensions", model.dimensions);
        say!("vectors   {}, {} bytes a face", kind.name(), kind.size(model.dimensions));
        output::record(&json!({
            "event": "end", "gallery": path.to_string(), "model": model, "vectors": kind,
            "bytes_per_face": kind.size(model.dimensions),
        }));
        Ok(())
    }
}

/// Weights that see as `view` says, and their model, which people call as they call the file.
pub(super) fn model_of(path: &Path, view: &View) -> Result<(Weights, EmbeddingModel)> {
    let weights = view.weights(path)?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let model = EmbeddingModel::of(&weights, &name);
    Ok((weights, model))
}
