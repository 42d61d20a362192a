//! YouTube Faces: videos as the official archive lays them out, and its list of pairs.

mod splits;
mod videos;

pub use splits::{Splits, VideoPair};
pub use videos::{Frame, Layout, Videos};

/// Mean squared distance over all pairs of a frame of one video and a frame of another, from the mean embeddings of both:
/// `2 - 2 a.b`, as all embeddings have unit length.
///
/// # Panics
/// If the lengths differ.
pub fn mean_squared_distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "vectors of different lengths");
    2.0 - 2.0 * a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>()
}

/// The mean of the embeddings of a video's frames.
///
/// # Panics
/// If the lengths differ.
pub fn mean_embedding<'a>(rows: impl Iterator<Item = &'a [f32]>) -> Vec<f64> {
    super::folds::mean(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::quantise::unit;
    use crate::eval::verification::squared_distance;

    #[test]
    fn the_distance_of_two_videos_is_the_mean_over_all_pairs_of_frames() {
        let video = |seed: f32, frames: u8| -> Vec<Vec<f32>> {
            (0..frames).map(|i| unit(vec![seed, f32::from(i) - seed, 0.5, seed * f32::from(i)])).collect()
        };
        let (a, b) = (video(0.3, 5), video(-0.8, 3));
        let pairs: Vec<f64> = a.iter().flat_map(|x| b.iter().map(|y| f64::from(squared_distance(x, y)))).collect();
        let expected = pairs.iter().sum::<f64>() / pairs.len() as f64;
        let mean = |video: &[Vec<f32>]| mean_embedding(video.iter().map(Vec::as_slice));
        let found = mean_squared_distance(&mean(&a), &mean(&b));
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}
