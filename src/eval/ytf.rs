//! YouTube Faces: videos as the official archive lays them out, and its list of pairs.

mod splits;
mod videos;

use serde::{Deserialize, Serialize};

pub use splits::{Splits, VideoPair};
pub use videos::{Frame, Layout, Videos};

/// What is left of a video: the mean of its frames' embeddings, and of their squared lengths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Means {
    /// The mean of the embeddings.
    pub mean: Vec<f64>,
    /// The mean of their squared lengths, 1 for embeddings of unit length.
    #[serde(default = "one")]
    pub square: f64,
}

/// That of the files that were written when all embeddings had unit length.
fn one() -> f64 {
    1.0
}

impl Means {
    /// Those of a video's frames.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn of<'a>(rows: impl Iterator<Item = &'a [f32]> + Clone) -> Self {
        let squares = rows.clone().map(|row| row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>());
        let (sum, count) = squares.fold((0.0, 0.0_f64), |(sum, count), square| (sum + square, count + 1.0));
        Self { mean: super::folds::mean(rows), square: sum / count.max(1.0) }
    }

    /// Mean squared distance over all pairs of a frame of this video and a frame of another: `|a|^2 + |b|^2 - 2 a.b`, each in
    /// the mean.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn squared_distance(&self, other: &Self) -> f64 {
        assert_eq!(self.mean.len(), other.mean.len(), "vectors of different lengths");
        let product: f64 = self.mean.iter().zip(&other.mean).map(|(a, b)| a * b).sum();
        self.square + other.square - 2.0 * product
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::verification::squared_distance;

    #[test]
    fn the_distance_of_two_videos_is_the_mean_over_all_pairs_of_frames() {
        let video = |seed: f32, frames: u8| -> Vec<Vec<f32>> {
            (0..frames).map(|i| vec![seed, f32::from(i) - seed, 0.5, seed * f32::from(i)]).collect()
        };
        let (a, b) = (video(0.3, 5), video(-0.8, 3));
        let pairs: Vec<f64> = a.iter().flat_map(|x| b.iter().map(|y| f64::from(squared_distance(x, y)))).collect();
        let expected = pairs.iter().sum::<f64>() / pairs.len() as f64;
        let means = |video: &[Vec<f32>]| Means::of(video.iter().map(Vec::as_slice));
        let found = means(&a).squared_distance(&means(&b));
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}
