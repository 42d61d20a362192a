//! The forms that a table can have.

use std::path::Path;

use super::text;
use crate::embed::Row;
use crate::{Error, Result};

/// The form of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated: path, reason, d0, d1, ...
    Csv,
    /// A JSON object a line: path and embedding, or path and reason
    Jsonl,
    /// NumPy's array of 32-bit floats; rows without an embedding are NaN
    Npy,
    /// Safetensors with the tensor "embeddings"; rows without an embedding are NaN
    Safetensors,
}

impl Format {
    /// The format that a file's extension names.
    ///
    /// # Errors
    /// It names none.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match extension.as_str() {
            "csv" => Ok(Self::Csv),
            "jsonl" | "ndjson" => Ok(Self::Jsonl),
            "npy" => Ok(Self::Npy),
            "safetensors" => Ok(Self::Safetensors),
            _ => Err(Error::Setting(format!(
                "{} names no table of embeddings; give a name that ends in .npy, .csv, .jsonl or .safetensors",
                path.display()
            ))),
        }
    }

    /// What a table of `dim` dimensions begins with, if it is text.
    pub fn text_header(self, dim: usize) -> Option<Vec<u8>> {
        match self {
            Self::Csv => Some(text::csv_header(dim)),
            Self::Jsonl => Some(Vec::new()),
            Self::Npy | Self::Safetensors => None,
        }
    }

    /// Rows of `dim` dimensions as text; nothing in a format of numbers alone.
    pub fn text(self, rows: &[Row<'_>], dim: usize) -> Vec<u8> {
        match self {
            Self::Csv => rows.iter().flat_map(|row| text::csv(row, dim)).collect(),
            Self::Jsonl => rows.iter().flat_map(text::json).collect(),
            Self::Npy | Self::Safetensors => Vec::new(),
        }
    }

    /// Whether it holds numbers alone, so that files and reasons stand beside it.
    pub(super) fn is_binary(self) -> bool {
        matches!(self, Self::Npy | Self::Safetensors)
    }
}
