//! The detector's box as a picture, as facenet's `align_dataset_mtcnn.py` cuts it out, and the middle of an image where no
//! face was found.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::{RgbImage, imageops};

/// The box with `margin` pixels added to its width and height, cut at the border and rounded towards zero, brought to `size`,
/// height and width, as Pillow's `BILINEAR` does it. `None` where nothing of it lies on the image.
pub(super) fn with_margin(image: &RgbImage, bounds: [f32; 4], margin: u32, size: [u32; 2]) -> Option<RgbImage> {
    let half = margin as f32 / 2.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounding towards zero is meant")]
    let edge = |at: f32, most: u32| (at.max(0.0) as u32).min(most);
    let (left, right) = (edge(bounds[0] - half, image.width()), edge(bounds[2] + half, image.width()));
    let (top, bottom) = (edge(bounds[1] - half, image.height()), edge(bounds[3] + half, image.height()));
    (left < right && top < bottom)
        .then(|| resized(image, [left, top, right - left, bottom - top], FilterType::Bilinear, size))
}

/// The middle of an image: three fifths of its shorter side, which is a little more than the face of an LFW image, as
/// the paper's centre crop takes it.
pub(super) fn middle(image: &RgbImage, size: [u32; 2]) -> RgbImage {
    let (width, height) = image.dimensions();
    let side = (u64::from(width.min(height)) * 3 / 5).max(1);
    let side = u32::try_from(side).expect("less than a side");
    let place = [(width - side) / 2, (height - side) / 2, side, side];
    resized(image, place, FilterType::CatmullRom, size)
}

/// A rectangle of an image (left, top, width, height) at another size; what lies around it plays no part.
fn resized(image: &RgbImage, [left, top, width, height]: [u32; 4], filter: FilterType, size: [u32; 2]) -> RgbImage {
    let part = imageops::crop_imm(image, left, top, width, height).to_image();
    let from = TypedImageRef::<U8x3>::from_buffer(width, height, part.as_raw());
    let from = from.expect("an image has as many bytes as it needs");
    let mut out = RgbImage::new(size[1], size[0]);
    let mut to = TypedImage::<U8x3>::from_buffer(size[1], size[0], &mut out).expect("as above");
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    Resizer::new().resize_typed(&from, &mut to, &options).expect("neither is empty");
    drop(to);
    out
}
