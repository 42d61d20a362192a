//! Resampling under a similarity transform.

use image::RgbImage;
use rayon::prelude::*;

use super::similarity::Similarity;

/// The picture of `size`, height and width, whose pixels `placed` brings the photograph's to. Catmull-Rom, widened where the
/// face shrinks, so that nothing aliases; the kernel's axes are the photograph's. Black where the photograph has no pixels.
pub(super) fn warp(photograph: &RgbImage, placed: Similarity, [height, width]: [u32; 2]) -> RgbImage {
    let back = placed.inverse();
    let kernel = Kernel { wide: back.scale().max(1.0) };
    let mut out = RgbImage::new(width, height);
    let line = width as usize * 3;
    out.par_chunks_exact_mut(line).enumerate().for_each(|(y, out)| {
        let (mut columns, mut rows) = (Vec::new(), Vec::new());
        for (x, out) in out.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let (x, y) = (x as f64, y as f64);
            let at = [back.a * x - back.b * y + back.left, back.b * x + back.a * y + back.top];
            let left = kernel.weights(at[0], photograph.width(), &mut columns);
            let top = kernel.weights(at[1], photograph.height(), &mut rows);
            *out = mean(photograph, (left, &columns), (top, &rows));
        }
    });
    out
}

/// Catmull-Rom's kernel, `wide` times as wide.
struct Kernel {
    wide: f64,
}

impl Kernel {
    /// Weights of the pixels around a place on a line of `len` pixels, which add up to 1 where none lies outside; gives the
    /// first of these pixels.
    fn weights(&self, at: f64, len: u32, weights: &mut Vec<f32>) -> u32 {
        weights.clear();
        let reach = 2.0 * self.wide;
        #[expect(clippy::cast_possible_truncation, reason = "whole pixels are meant, and far away is outside")]
        let (first, last) = ((at - reach).ceil() as i64, (at + reach).floor() as i64);
        let (from, to) = (first.max(0), last.min(i64::from(len) - 1));
        if from > to {
            return 0;
        }
        // What lies outside counts as black, so it counts in the sum.
        let sum: f64 = (first..=last).map(|pixel| catmull_rom((pixel as f64 - at) / self.wide)).sum();
        #[expect(clippy::cast_possible_truncation, reason = "weights need no more digits")]
        weights.extend((from..=to).map(|pixel| (catmull_rom((pixel as f64 - at) / self.wide) / sum) as f32));
        u32::try_from(from).expect("it lies on the line")
    }
}

fn catmull_rom(x: f64) -> f64 {
    let x = x.abs();
    match x {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

/// The weighted mean of a rectangle: of its columns and rows the first, and a weight for each.
fn mean(photograph: &RgbImage, (left, columns): (u32, &[f32]), (top, rows): (u32, &[f32])) -> [u8; 3] {
    let stride = photograph.width() as usize * 3;
    let bytes = photograph.as_raw();
    let mut sums = [0.0_f32; 3];
    for (row, weight) in rows.iter().enumerate() {
        let begin = (top as usize + row) * stride + left as usize * 3;
        let mut line = [0.0_f32; 3];
        let pixels = bytes[begin..][..columns.len() * 3].as_chunks::<3>().0;
        for (pixel, weight) in pixels.iter().zip(columns) {
            line.iter_mut().zip(pixel).for_each(|(sum, &byte)| *sum += weight * f32::from(byte));
        }
        sums.iter_mut().zip(line).for_each(|(sum, line)| *sum += weight * line);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value was rounded and clamped")]
    let byte = |sum: f32| sum.round().clamp(0.0, 255.0) as u8;
    sums.map(byte)
}
