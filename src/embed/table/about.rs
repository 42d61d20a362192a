//! What made the rows of a table.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::beside;
use crate::data::preprocess::Preprocess;
use crate::digest::Digest;
use crate::embed::Input;
use crate::weights::{Weights, write_whole};
use crate::{Error, Result};

/// What `NAME.json` says of the table `NAME`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct About {
    /// Name of the network.
    pub network: String,
    /// [`Weights::model_id`]: rows of different models cannot be compared.
    pub model_id: String,
    /// Dimensions of an embedding.
    pub dimensions: u32,
    /// Whether embeddings have unit length.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub unit_length: bool,
    /// How images were prepared.
    pub preprocess: Preprocess,
    /// SHA-256 over the paths, and the sizes and times of the files.
    pub inputs: String,
    /// Rows of the whole table.
    pub rows: usize,
    /// Those of them without an embedding, as far as the table goes.
    pub failed: usize,
    /// All rows are there.
    pub complete: bool,
}

/// What tables that do not say it hold.
fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(flag: &bool) -> bool {
    *flag
}

impl About {
    /// That of a table for these inputs, without any row yet.
    pub fn new(weights: &Weights, inputs: &[Input]) -> Self {
        let metadata = &weights.metadata;
        let mut digest = Digest::default();
        for input in inputs {
            digest.state_of(&input.path);
        }
        Self {
            network: metadata.network.clone(),
            model_id: weights.model_id(),
            dimensions: metadata.embedding,
            unit_length: metadata.unit_length,
            preprocess: metadata.preprocess.clone(),
            inputs: digest.finish(),
            rows: inputs.len(),
            failed: 0,
            complete: false,
        }
    }

    /// That of the table `table`, if it has one.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn of(table: &Path) -> Result<Option<Self>> {
        Self::load(&beside(table, ".json"))
    }

    /// Reads it from a file, if that is there.
    pub(super) fn load(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read", path)(e)),
        };
        // What a parser says of it helps nobody who did not write it.
        serde_json::from_slice(&text).map(Some).map_err(|_| {
            let path = path.display();
            Error::Data(format!(
                "{path} is damaged, and says what made the rows of the table beside it; make the table again"
            ))
        })
    }

    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).expect("it is plain data");
        write_whole(path, &text)
    }

    /// Whether rows of `other` belong into the same table.
    pub(super) fn fits(&self, other: &Self) -> bool {
        let same = |a: &Self, b: &Self| {
            a.model_id == b.model_id && a.dimensions == b.dimensions && a.inputs == b.inputs && a.rows == b.rows
        };
        same(self, other)
    }
}
