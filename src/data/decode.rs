//! One photograph from disk to bytes at the network's size.
//!
//! Memory stays bounded with any number of threads: an image above [`MAX_PIXELS`] is refused by its header alone, and
//! images above [`LARGE_PIXELS`] are decoded one at a time.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};

use super::preprocess::{Face, Preprocess};
use crate::{Error, Result};

/// Images with more pixels than this (64 megapixels) are refused.
pub const MAX_PIXELS: u64 = 64_000_000;
/// Images with more pixels than this (16 megapixels) are decoded one at a time, in whatever thread.
pub const LARGE_PIXELS: u64 = 16_000_000;
/// Images with a side shorter than this hold no face and are refused.
pub const MIN_SIDE: u32 = 8;
/// Most bytes that a decoder may allocate for one image: 64 megapixels with four channels of 16 bits and some room.
const MAX_ALLOC: u64 = 1 << 30;
/// A JPEG file is held in memory while it is decoded; 64 megapixels stay far below this.
const MAX_JPEG_BYTES: u64 = 256 << 20;

/// Held while a large image is decoded.
static LARGE: Mutex<()> = Mutex::new(());

/// Reads one photograph and prepares it as `preprocess` says: EXIF orientation applied, alpha laid over black, grey
/// and 16-bit images brought to 8-bit RGB, centre crop to the aspect ratio of the network's input, Catmull-Rom resize
/// (widened when shrinking, so nothing aliases). The format is found from the content, whatever the extension says.
///
/// # Errors
/// [`Error::Io`] where the file cannot be opened; [`Error::Image`] where it is no image, damaged, cut short, or smaller
/// or larger than [`MIN_SIDE`] and [`MAX_PIXELS`] allow.
pub fn decode_face(path: &Path, preprocess: &Preprocess) -> Result<Face> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    // A decoder that panics on a damaged file costs that file, not the whole run.
    let face = catch_unwind(AssertUnwindSafe(|| decode(file, preprocess)));
    let face = face.unwrap_or_else(|_| Err("makes the decoder fail; save it again in another program".to_owned()));
    face.map_err(|message| Error::Image { path: path.to_path_buf(), message })
}

fn decode(file: File, preprocess: &Preprocess) -> Result<Face, String> {
    let size = file.metadata().map_err(|e| format!("cannot be read: {e}"))?.len();
    if size == 0 {
        return Err("is an empty file; copy it again".to_owned());
    }
    let mut reader = BufReader::new(file);
    let start = reader.fill_buf().map_err(|e| format!("cannot be read: {e}"))?;
    if !start.starts_with(&[0xFF, 0xD8]) {
        return decode_stream(reader, preprocess);
    }
    if size > MAX_JPEG_BYTES {
        return Err(format!("is a JPEG of {size} bytes; the limit is {MAX_JPEG_BYTES}"));
    }
    let mut bytes = Vec::new();
    reader.take(MAX_JPEG_BYTES).read_to_end(&mut bytes).map_err(|e| format!("cannot be read: {e}"))?;
    // The decoder fills the missing part of a truncated JPEG with grey and reports success.
    if !jpeg_is_complete(&bytes) {
        return Err("is cut short (the JPEG has no end); copy it again from its source".to_owned());
    }
    decode_stream(Cursor::new(bytes), preprocess)
}

fn decode_stream(reader: impl BufRead + Seek, preprocess: &Preprocess) -> Result<Face, String> {
    let broken = |e: image::ImageError| format!("cannot be decoded: {e}; copy it again or delete it");
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOC);
    let mut reader = ImageReader::new(reader).with_guessed_format().map_err(|e| format!("cannot be read: {e}"))?;
    if reader.format().is_none() {
        return Err("is no image of a known format; expected JPEG, PNG, WebP, BMP or PGM".to_owned());
    }
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PIXELS {
        return Err(format!(
            "is {width}x{height} pixels, more than {} megapixels; shrink it or crop it to the face",
            MAX_PIXELS / 1_000_000
        ));
    }
    if width.min(height) < MIN_SIDE {
        return Err(format!("is {width}x{height} pixels, too small for a face; each side needs {MIN_SIDE} or more"));
    }
    let _one_at_a_time = (pixels > LARGE_PIXELS).then(|| LARGE.lock().unwrap_or_else(PoisonError::into_inner));
    // An unreadable EXIF block says nothing about the picture itself.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = without_alpha(DynamicImage::from_decoder(decoder).map_err(broken)?);
    picture.apply_orientation(orientation);
    Ok(fit(&picture, preprocess))
}

/// Prepares a picture that is in memory, as [`decode_face`] does with a file; its orientation is taken to be right.
pub fn prepare(picture: &DynamicImage, preprocess: &Preprocess) -> Face {
    match picture {
        DynamicImage::ImageLuma8(_) | DynamicImage::ImageRgb8(_) => fit(picture, preprocess),
        _ => fit(&without_alpha(picture.clone()), preprocess),
    }
}

/// Brings a picture to 8-bit grey or RGB; where there is alpha, over black.
fn without_alpha(picture: DynamicImage) -> DynamicImage {
    match picture {
        DynamicImage::ImageLuma8(_) | DynamicImage::ImageRgb8(_) => picture,
        DynamicImage::ImageLuma16(_) => DynamicImage::ImageLuma8(picture.into_luma8()),
        _ if !picture.color().has_alpha() => DynamicImage::ImageRgb8(picture.into_rgb8()),
        _ => {
            let source = picture.into_rgba8();
            let mut flat = RgbImage::new(source.width(), source.height());
            for (to, from) in flat.pixels_mut().zip(source.pixels()) {
                let [r, g, b, alpha] = from.0.map(u16::from);
                to.0 = [r, g, b].map(|x| u8::try_from((x * alpha + 127) / 255).expect("at most 255"));
            }
            DynamicImage::ImageRgb8(flat)
        }
    }
}

/// Centre crop to the aspect ratio, resize, RGB. Grey pictures are resized as grey, which is three times less work.
pub(crate) fn fit(picture: &DynamicImage, preprocess: &Preprocess) -> Face {
    match picture {
        DynamicImage::ImageLuma8(x) => {
            resize::<U8>(x.as_raw(), x.dimensions(), preprocess).iter().flat_map(|&x| [x; 3]).collect()
        }
        DynamicImage::ImageRgb8(x) => resize::<U8x3>(x.as_raw(), x.dimensions(), preprocess),
        _ => panic!("both sides are 8-bit grey or RGB"),
    }
}

/// The bytes of a picture at the network's size. Asks for one type of pixel: `Resizer::resize` would have the compiler
/// make all of the crate's fourteen.
fn resize<P: PixelTrait>(bytes: &[u8], (width, height): (u32, u32), preprocess: &Preprocess) -> Face {
    let from = TypedImageRef::<P>::from_buffer(width, height, bytes).expect("a picture holds its pixels");
    let mut out = vec![0; preprocess.width as usize * preprocess.height as usize * size_of::<P>()];
    let mut to =
        TypedImage::<P>::from_buffer(preprocess.width, preprocess.height, &mut out).expect("made for these pixels");
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom))
        .fit_into_destination(Some((0.5, 0.5)));
    Resizer::new().resize_typed(&from, &mut to, &options).expect("neither side is empty");
    out
}

/// Whether a JPEG has its end-of-image marker, walking its segments so that the one of an embedded thumbnail does not
/// count.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        let Some(marker) = rest.iter().position(|&x| x == 0xFF) else { return false };
        rest = &rest[marker + 1..];
        match rest {
            [0xD9, ..] => return true,
            // Fill bytes, stuffed zeros and restart markers inside scan data, none of which has a length.
            [0xFF, ..] => {}
            [0x00 | 0x01 | 0xD0..=0xD8, tail @ ..] => rest = tail,
            [_, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let Some(tail) = rest.get(1 + length.max(2)..) else { return false };
                rest = tail;
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests;
