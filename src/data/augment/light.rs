//! Light, colour, blur, compression and erasing.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, RgbImage, imageops};

use super::Detail;

/// Weights of red, green and blue in what the eye takes for brightness (BT.601), in 256ths.
const LUMA: [u32; 3] = [77, 150, 29];
/// What erased pixels become.
const ERASED: u8 = 127;

/// The picture with the changes of `detail`, the geometric ones apart.
pub(super) fn apply(detail: &Detail, mut face: Vec<u8>, width: u32) -> Vec<u8> {
    let saturation = if detail.grey { -1000 } else { detail.light[2] };
    if detail.light[..2] != [0, 0] || saturation != 0 {
        relight(&mut face, [detail.light[0], detail.light[1], saturation]);
    }
    let height = u32::try_from(face.len() / (width as usize * 3)).expect("a face fits 32 bits");
    if detail.blur > 0 {
        let picture = RgbImage::from_raw(width, height, face).expect("a face has whole rows");
        face = imageops::fast_blur(&picture, detail.blur as f32 / 1000.0).into_raw();
    }
    if detail.jpeg > 0
        && let Some(compressed) = compress(&face, width, height, detail.jpeg)
    {
        face = compressed;
    }
    erase(&mut face, width, height, detail.erase);
    face
}

/// Changes brightness, contrast about the middle grey, and saturation, each by permille.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
fn relight(face: &mut [u8], [brightness, contrast, saturation]: [i32; 3]) {
    let factor = |permille: i32| 1.0 + permille as f32 / 1000.0;
    let lit = |x: u8| ((f32::from(x) * factor(brightness) - 127.5) * factor(contrast) + 127.5).clamp(0.0, 255.0) as u8;
    let table: Vec<u8> = (0..=255).map(lit).collect();
    // 256ths of the colour that stays.
    let colour = (factor(saturation).max(0.0) * 256.0) as i32;
    for pixel in face.chunks_exact_mut(3) {
        pixel.iter_mut().for_each(|x| *x = table[usize::from(*x)]);
        let grey = pixel.iter().zip(LUMA).map(|(&x, weight)| u32::from(x) * weight).sum::<u32>() / 256;
        let grey = grey.cast_signed();
        pixel.iter_mut().for_each(|x| *x = (grey + (i32::from(*x) - grey) * colour / 256).clamp(0, 255) as u8);
    }
}

/// The picture after it was a JPEG.
fn compress(face: &[u8], width: u32, height: u32, quality: u8) -> Option<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut file, quality);
    encoder.encode(face, width, height, ExtendedColorType::Rgb8).ok()?;
    let picture = image::load_from_memory_with_format(&file, image::ImageFormat::Jpeg).ok()?;
    Some(picture.into_rgb8().into_raw())
}

fn erase(face: &mut [u8], width: u32, height: u32, [left, top, wide, high]: [u32; 4]) {
    let pixels = |permille: u32, of: u32| (permille * of).div_ceil(1000) as usize;
    let columns = pixels(left, width)..pixels(left + wide, width).min(width as usize);
    for row in pixels(top, height)..pixels(top + high, height).min(height as usize) {
        let start = row * width as usize;
        face[(start + columns.start) * 3..(start + columns.end.max(columns.start)) * 3].fill(ERASED);
    }
}
