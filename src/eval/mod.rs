//! Measuring how well embeddings tell people apart.

pub mod verification;
