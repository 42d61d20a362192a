//! From the drawn layers to the picture that a camera takes: light, background, blur, tone and noise.
#![expect(clippy::cast_possible_truncation, reason = "channels are clamped to 0..=255 before they become bytes")]

use image::RgbImage;
use tiny_skia::{
    FillRule, GradientStop, LinearGradient, Paint, PathBuilder, Pixmap, Point, Rect, SpreadMode, Transform,
};

use super::canvas::{Frame, opaque};
use super::colour::Colour;
use super::dice::Dice;
use super::view::{Background, Camera, Light, View};

/// Paints what is behind the person.
pub(super) fn draw_background(sheet: &mut Pixmap, background: &Background) {
    let size = sheet.width() as f32;
    let identity = Transform::identity();
    let [first, second] = background.colours.map(|colour| opaque(colour, 1.0));
    let at = |way: f32| {
        Point::from_xy(size * (0.5 + 0.6 * way * background.slope[0]), size * (0.5 + 0.6 * way * background.slope[1]))
    };
    let stops = vec![GradientStop::new(0.0, first), GradientStop::new(1.0, second)];
    sheet.fill(first);
    if let Some(shader) = LinearGradient::new(at(-1.0), at(1.0), stops, SpreadMode::Pad, identity)
        && let Some(everything) = Rect::from_xywh(0.0, 0.0, size, size)
    {
        sheet.fill_rect(everything, &Paint { shader, ..Paint::default() }, identity, None);
    }
    for blob in &background.blobs {
        let [half_width, half_height] = blob.size.map(|share| share * size);
        let [x, y] = blob.centre.map(|share| share * size);
        let bounds = Rect::from_ltrb(x - half_width, y - half_height, x + half_width, y + half_height);
        let path = bounds.and_then(|bounds| {
            if blob.round { PathBuilder::from_oval(bounds) } else { Some(PathBuilder::from_rect(bounds)) }
        });
        if let Some(path) = path {
            let mut paint = Paint::default();
            paint.set_color(opaque(blob.colour, 0.8));
            sheet.fill_path(&path, &paint, FillRule::Winding, identity, None);
        }
    }
}

/// Puts the lit person in front of the background and takes the picture.
pub(super) fn take(dice: &mut Dice, behind: &Pixmap, person: &Pixmap, frame: &Frame, view: &View) -> RgbImage {
    let size = behind.width();
    let mut pixels = compose(behind, person, frame, &view.light);
    blur(&mut pixels, size as usize, view.camera.blur * size as f32 / 64.0);
    let mut bytes = Vec::with_capacity(3 * pixels.len());
    for pixel in pixels {
        bytes.extend(expose(dice, pixel, &view.camera));
    }
    RgbImage::from_raw(size, size, bytes).unwrap_or_else(|| RgbImage::new(size, size))
}

/// The head shades like an ellipsoid: cheap, and it turns with the light as a face does.
fn compose(behind: &Pixmap, person: &Pixmap, frame: &Frame, light: &Light) -> Vec<Colour> {
    let width = behind.width();
    let [lamp_x, lamp_y] = frame.direction_to_head(light.direction[0], light.direction[1]);
    let lamp_z = light.direction[2];
    let pairs = behind.pixels().iter().zip(person.pixels()).enumerate();
    pairs
        .map(|(index, (back, front))| {
            let [column, row] = [index as u32 % width, index as u32 / width];
            let back = [back.red(), back.green(), back.blue()].map(|channel| f32::from(channel) / 255.0);
            let cover = f32::from(front.alpha()) / 255.0;
            if cover == 0.0 {
                return back;
            }
            let [x, y] = frame.to_head(column as f32 + 0.5, row as f32 + 0.5);
            let [mut x, mut y] = [x / 0.95, y / 1.2];
            let across = x * x + y * y;
            if across > 1.0 {
                let shrink = 1.0 / across.sqrt();
                [x, y] = [x * shrink, y * shrink];
            }
            let z = (1.0 - across).max(0.0).sqrt();
            let facing = (x * lamp_x + y * lamp_y + z * lamp_z).max(-0.2);
            let front = [front.red(), front.green(), front.blue()].map(|channel| f32::from(channel) / 255.0);
            [0, 1, 2].map(|i| {
                // The dark side keeps the ambient light; the lamp adds its own colour on top.
                let gain = 1.0 - 0.72 * light.strength + light.strength * 1.08 * facing * light.tint[i];
                front[i] * gain.max(0.15) + back[i] * (1.0 - cover)
            })
        })
        .collect()
}

/// A blur with a bell-shaped kernel of the given radius in pixels, rows first and then columns.
fn blur(pixels: &mut Vec<Colour>, size: usize, radius: f32) {
    if radius < 0.2 {
        return;
    }
    let reach = (radius + 1.0).floor();
    let weight = |distance: f32| {
        let share = 1.0 - (distance / (radius + 1.0)) * (distance / (radius + 1.0));
        share.max(0.0) * share.max(0.0)
    };
    let taps = reach as usize;
    let kernel: Vec<f32> = (0..=2 * taps).map(|tap| weight(tap as f32 - reach)).collect();
    let total: f32 = kernel.iter().sum();
    let kernel: Vec<f32> = kernel.into_iter().map(|weight| weight / total).collect();
    // Each pass also transposes, so two passes blur both ways and restore the order.
    for _ in 0..2 {
        let mut out = vec![[0.0; 3]; pixels.len()];
        for (line, row) in pixels.chunks_exact(size).enumerate() {
            for column in 0..size {
                let mut sum = [0.0; 3];
                for (tap, weight) in kernel.iter().enumerate() {
                    let pixel = row[(column + tap).saturating_sub(taps).min(size - 1)];
                    sum = [0, 1, 2].map(|i| sum[i] + weight * pixel[i]);
                }
                out[column * size + line] = sum;
            }
        }
        *pixels = out;
    }
}

fn expose(dice: &mut Dice, pixel: Colour, camera: &Camera) -> [u8; 3] {
    let grain = 0.6 * dice.bell();
    [0, 1, 2].map(|i| {
        let value = (pixel[i] * camera.gain[i]).clamp(0.0, 1.0);
        let curved = value + camera.curve * value * (1.0 - value);
        let noisy = curved + camera.noise * (grain + 0.8 * dice.bell());
        (noisy.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
    })
}
