//! The rows of images that were left out, and the report that holds them.

use std::path::PathBuf;

use serde::Serialize;

#[cfg(feature = "program")]
mod report;

#[cfg(feature = "program")]
pub use report::write_report;

/// One image, or one folder, that was left out of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedImage {
    /// The file or folder.
    pub path: PathBuf,
    /// Why it was left out and what to do about it, as the second half of a sentence that begins with the path.
    pub reason: String,
}
