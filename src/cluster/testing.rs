//! Embeddings for tests.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Rows of length 1 in random directions.
pub(super) fn unit_rows(n: usize, dim: usize, seed: u64) -> Vec<f32> {
    around(&vec![vec![0.0; dim]; n], 1.0, seed)
}

/// Rows of length 1: a normal number with the deviation `spread` is added to each of `centres`.
pub(super) fn around(centres: &[Vec<f32>], spread: f32, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut rows = Vec::new();
    for centre in centres {
        let row: Vec<f32> =
            centre.iter().map(|x| x + spread * rng.sample::<f32, _>(rand_distr::StandardNormal)).collect();
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        rows.extend(row.iter().map(|x| x / length));
    }
    rows
}
