//! Tables of embeddings: CSV, JSON lines, NumPy's `.npy` and safetensors, written row by row and read as a whole.
//!
//! While a table grows it is `NAME.part`; at the end it is renamed, so that a whole table is what its name says. Beside it
//! lie `NAME.json`, which says what made the rows (see [`About`]), and for the two formats that hold numbers alone
//! `NAME.rows.csv` with the file of each row and the reason where there is no embedding; these end in `.part` until then, too.

mod about;
mod format;
mod npy;
mod read;
mod tensors;
mod text;
mod write;

pub use about::About;
pub use format::Format;
pub use read::EmbeddingTable;
pub use write::TableWriter;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// `path` with something behind its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests;
