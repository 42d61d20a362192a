//! Measuring how well embeddings tell people apart.

pub mod all_pairs;
pub mod clusters;
pub mod folds;
pub mod grid;
pub mod hardest;
pub mod images;
pub mod interval;
pub mod metric;
pub mod pairs_file;
pub mod quantise;
pub mod rates;
pub mod roc;
pub mod verification;
pub mod ytf;
