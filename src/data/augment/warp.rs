//! Turning and scaling, with mirroring and shifting, in one resampling.

use super::{Detail, View};

/// The picture through one affine map about its middle, bilinear; the border is repeated.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "coordinates are clamped into the image")]
pub(super) fn warp(view: &View, detail: &Detail, face: &[u8], width: u32) -> Vec<u8> {
    let columns = width as usize;
    let rows = face.len() / (columns * 3);
    let (middle_x, middle_y) = ((columns as f32 - 1.0) / 2.0, (rows as f32 - 1.0) / 2.0);
    let (sin, cos) = (detail.angle as f32 / 100.0).to_radians().sin_cos();
    let scale = 1.0 / (1.0 + detail.zoom as f32 / 1000.0);
    let mut out = Vec::with_capacity(face.len());
    for y in 0..rows {
        let v = (y as f32 - middle_y - view.dy as f32) * scale;
        for x in 0..columns {
            let u = (x as f32 - middle_x - view.dx as f32) * scale;
            // The inverse of a clockwise turn; rows go down.
            let (from_x, from_y) = (cos * u + sin * v, cos * v - sin * u);
            let from_x = if view.flip { -from_x } else { from_x };
            let place = |from: f32, middle: f32, len: usize| {
                let at = (from + middle).clamp(0.0, (len - 1) as f32);
                let low = (at as usize).min(len.saturating_sub(2));
                (low, (low + 1).min(len - 1), ((at - low as f32) * 256.0).round() as u32)
            };
            let (left, right, part_x) = place(from_x, middle_x, columns);
            let (top, bottom, part_y) = place(from_y, middle_y, rows);
            for channel in 0..3 {
                let at = |x: usize, y: usize| u32::from(face[(y * columns + x) * 3 + channel]);
                let upper = at(left, top) * (256 - part_x) + at(right, top) * part_x;
                let lower = at(left, bottom) * (256 - part_x) + at(right, bottom) * part_x;
                out.push(((upper * (256 - part_y) + lower * part_y + (1 << 15)) >> 16) as u8);
            }
        }
    }
    out
}
