//! Galleries: a file of known people and the embeddings of their faces, and who is on a new image.
//!
//! A [`Gallery`] is one file, a database of the crate `redb`: every change is a transaction that a crash leaves whole or
//! undone, and one program at a time may write. It holds embeddings of one model. [`Gallery::load`] brings them into memory
//! as [`Faces`], and an [`Identifier`] finds the people who are nearest to a query:
//!
//! ```no_run
//! use facenet_gpu::gallery::{EmbeddingModel, Gallery, Identifier, NewFace, Search, VectorKind};
//! use facenet_gpu::{Engine, Session, Weights};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let weights = Weights::load("w.safetensors".as_ref())?;
//! let model = EmbeddingModel::of(&weights, "w.safetensors");
//! let mut session = Session::with_weights(&Engine::Cpu, &weights, "w.safetensors")?;
//! let mut gallery = Gallery::create("people.gallery".as_ref(), &model, VectorKind::Bytes)?;
//! let known = session.embed_files(&["ada.jpg"])?;
//! gallery.add(&model, &[NewFace { person: "Ada", source: "ada.jpg", content: None, embedding: known.row(0) }])?;
//!
//! let faces = gallery.load()?;
//! let mut identifier = Identifier::new(&Engine::Cpu, &faces, &Search { threshold: 1.1, top: 2 })?;
//! for who in identifier.identify(&session.embed_files(&["new.jpg"])?)? {
//!     println!("{}", who.person().map_or("unknown", |found| faces.name(found.person)));
//! }
//! # Ok(())
//! # }
//! ```

mod edit;
mod faces;
mod identify;
mod open;
mod store;
mod tables;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use edit::{Added, Conflict, NewFace};
pub use faces::{Faces, Vectors};
pub use identify::{Candidate, Identifier, Identity, Search};
pub use store::{Face, Gallery, Person};

use unicode_normalization::UnicodeNormalization;

use crate::data::preprocess::{Alignment, Crop};
use crate::text::{beginning, shown};
use crate::weights::Weights;
use crate::{Error, Result};

/// Most bytes of a name.
const LONGEST_NAME: usize = 500;

/// The model that makes a gallery's embeddings. Those of two models cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingModel {
    /// What people call it: the name of its weights file.
    pub name: String,
    /// Name of the network.
    pub network: String,
    /// [`Weights::model_id`].
    pub id: String,
    /// Dimensions of an embedding.
    pub dimensions: u32,
    /// What part of an image is taken; `None` is all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<Crop>,
    /// How faces are aligned, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<Alignment>,
    /// Whether embeddings have unit length.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub unit_length: bool,
}

/// What galleries that do not say it hold.
fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(flag: &bool) -> bool {
    *flag
}

impl EmbeddingModel {
    /// The model of these weights, which people call `name`.
    pub fn of(weights: &Weights, name: &str) -> Self {
        let metadata = &weights.metadata;
        Self {
            name: name.to_string(),
            network: metadata.network.clone(),
            id: weights.model_id(),
            dimensions: metadata.embedding,
            crop: metadata.preprocess.crop,
            alignment: metadata.preprocess.alignment.clone(),
            unit_length: metadata.unit_length,
        }
    }

    /// How a gallery keeps its embeddings, unless another way is asked for: bytes, which keep directions alone, where these
    /// are all there is.
    pub fn vectors(&self) -> VectorKind {
        if self.unit_length { VectorKind::Bytes } else { VectorKind::Floats }
    }
}

impl fmt::Display for EmbeddingModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = beginning(&self.id);
        let crop = self.crop.map_or(String::new(), |crop| format!(", crop {crop}"));
        let aligned = self.alignment.as_ref().map_or(String::new(), |alignment| format!(", aligned as {alignment}"));
        write!(f, "{} ({}{crop}{aligned}, model {digits})", shown(&self.name), shown(&self.network))
    }
}

/// How a gallery keeps embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum VectorKind {
    /// A byte for each dimension, 128 a face as in the paper; for embeddings of unit length
    #[default]
    Bytes,
    /// Floats of 32 bits, four times as much
    Floats,
}

impl VectorKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Floats => "floats",
        }
    }

    /// Bytes of an embedding of so many dimensions.
    pub fn size(self, dimensions: u32) -> usize {
        dimensions as usize * if self == Self::Bytes { 1 } else { size_of::<f32>() }
    }
}

/// The name of a person as a gallery keeps it: without blanks around it, and in Unicode's composed form (NFC), whatever form a
/// file system gave it.
///
/// # Errors
/// [`Error::Data`] where nothing is left of it, it is longer than 500 bytes, or it holds control characters.
pub fn person_name(name: &str) -> Result<String> {
    let name: String = name.trim().nfc().collect();
    let fault = match &*name {
        "" => "is empty",
        name if name.len() > LONGEST_NAME => "is too long",
        name if name.contains(char::is_control) => "holds control characters",
        _ => return Ok(name),
    };
    Err(Error::Data(format!("the name of a person {fault}: \"{}\"; give another name", shown(&name))))
}
