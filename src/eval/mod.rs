//! Measuring how well embeddings tell people apart.

pub mod images;
pub mod pairs_file;
pub mod rates;
pub mod roc;
pub mod verification;
