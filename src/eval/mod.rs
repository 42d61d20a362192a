//! Measuring how well embeddings tell people apart.

pub mod pairs_file;
pub mod roc;
pub mod verification;
