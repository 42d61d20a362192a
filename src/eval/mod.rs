//! Measuring how well embeddings tell people apart.

pub mod all_pairs;
pub mod images;
pub mod interval;
pub mod pairs_file;
pub mod rates;
pub mod roc;
pub mod verification;
