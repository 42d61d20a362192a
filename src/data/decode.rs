//! One photograph from disk to bytes at the network's size.
//!
//! Memory stays bounded with any number of threads: an image above [`MAX_PIXELS`] is refused by its header alone, and
//! images above [`LARGE_PIXELS`] are decoded one at a time. A file that is too short for the picture that it promises is
//! refused before memory is taken for it, and colour profiles and texts, which nothing here uses, are not unpacked.

mod foreign;
mod jpeg;
mod promise;

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use self::promise::{Essential, Promise};
use super::preprocess::{Face, Preprocess};
use crate::{Error, Result};

/// Images with more pixels than this (64 megapixels) are refused.
pub const MAX_PIXELS: u64 = 64_000_000;
/// Images with more pixels than this (16 megapixels) are decoded one at a time, in whatever thread.
pub const LARGE_PIXELS: u64 = 16_000_000;
/// Images with a side shorter than this hold no face and are refused.
pub const MIN_SIDE: u32 = 8;
/// Most bytes that a decoder may allocate for one image: 64 megapixels with four channels of 16 bits, and a margin.
const MAX_ALLOC: u64 = 1 << 30;
/// A JPEG file is held in memory while it is decoded; 64 megapixels stay far below this.
const MAX_JPEG_BYTES: u64 = 256 << 20;

/// Held while a large image is decoded.
static LARGE: Mutex<()> = Mutex::new(());

/// Reads one photograph and prepares it as `preprocess` says: EXIF orientation applied, alpha laid over black, grey
/// and 16-bit images brought to 8-bit RGB, the crop taken, centre crop to the aspect ratio of the network's input, Catmull-Rom resize
/// (widened when shrinking, so nothing aliases). The format is found from the content, whatever the extension says.
///
/// # Errors
/// [`Error::Io`] where the file cannot be opened; [`Error::Image`] where it is no image, damaged, cut short, or smaller
/// or larger than [`MIN_SIDE`] and [`MAX_PIXELS`] allow.
pub fn decode_face(path: &Path, preprocess: &Preprocess) -> Result<Face> {
    decode_and(path, &|picture| fit(&picture, preprocess))
}

/// Reads one photograph as 8-bit grey or RGB, upright and at its own size; [`prepare`] makes a face of it or of a part of it.
///
/// # Errors
/// As [`decode_face`].
pub fn decode_picture(path: &Path) -> Result<DynamicImage> {
    decode_and(path, &Ok)
}

/// What becomes of a picture while its memory is counted.
type Then<'a, T> = &'a dyn Fn(DynamicImage) -> Result<T, String>;

fn decode_and<T>(path: &Path, then: Then<'_, T>) -> Result<T> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    // A decoder that panics on a damaged file costs that file, not the whole run.
    let made = catch_unwind(AssertUnwindSafe(|| decode(file, then)));
    let made = made.unwrap_or_else(|_| Err("makes the decoder fail; save it again in another program".to_owned()));
    made.map_err(|message| Error::Image { path: path.to_path_buf(), message })
}

/// Width and height of an image that [`decode_face`] could read, by its header alone, as it lies in the file; `None` if it is
/// no longer what it was.
pub(crate) fn dimensions(path: &Path) -> Option<(u32, u32)> {
    fn of(reader: impl BufRead + Seek, format: ImageFormat) -> Option<(u32, u32)> {
        let mut limits = Limits::default();
        limits.max_alloc = Some(MAX_ALLOC);
        let mut reader = ImageReader::with_format(reader, format);
        reader.limits(limits);
        Some(reader.into_decoder().ok()?.dimensions())
    }
    let file = File::open(path).ok()?;
    if file.metadata().ok()?.len() > MAX_JPEG_BYTES {
        return None;
    }
    let mut reader = BufReader::new(file);
    match ImageReader::new(&mut reader).with_guessed_format().ok()?.format()? {
        ImageFormat::Png => of(Essential::new(reader), ImageFormat::Png),
        format => of(reader, format),
    }
}

fn decode<T>(file: File, then: Then<'_, T>) -> Result<T, String> {
    let about = file.metadata().map_err(|e| format!("cannot be read: {e}"))?;
    if about.is_dir() {
        return Err("is a folder; give an image".to_owned());
    }
    let size = about.len();
    if size == 0 {
        return Err("is an empty file; copy it again".to_owned());
    }
    let unread = |e: std::io::Error| format!("cannot be read: {e}");
    let mut reader = BufReader::new(file);
    let start = reader.fill_buf().map_err(unread)?;
    if start.starts_with(&[0xFF, 0xD8]) {
        return decode_jpeg(reader, size, then);
    }
    if let Some(format) = foreign::name(start) {
        return Err(format!("is a {format} image, which is not read; convert it to JPEG or PNG"));
    }
    let guess = ImageReader::new(&mut reader).with_guessed_format().map_err(unread)?;
    let Some(format) = guess.format() else {
        return Err(
            "is no image of a known format; convert it to JPEG or PNG (WebP, BMP and PGM are read, too)".to_owned()
        );
    };
    let promise = Promise::of(&mut reader, format, size).map_err(unread)?;
    match format {
        ImageFormat::Png => decode_stream(Essential::new(reader), format, promise, then),
        _ => decode_stream(reader, format, promise, then),
    }
}

fn decode_jpeg<T>(reader: BufReader<File>, size: u64, then: Then<'_, T>) -> Result<T, String> {
    if size > MAX_JPEG_BYTES {
        return Err(format!("is a JPEG of {size} bytes; the limit is {MAX_JPEG_BYTES}"));
    }
    let mut bytes = Vec::new();
    reader.take(MAX_JPEG_BYTES).read_to_end(&mut bytes).map_err(|e| format!("cannot be read: {e}"))?;
    let structure = jpeg::Structure::of(&bytes);
    // The decoder fills the missing part of a truncated JPEG with grey and reports success.
    if !structure.complete {
        return Err("is cut short (the JPEG has no end); copy it again from its source".to_owned());
    }
    decode_stream(Cursor::new(bytes), ImageFormat::Jpeg, Promise::of_jpeg(&structure), then)
}

fn decode_stream<T>(
    reader: impl BufRead + Seek,
    format: ImageFormat,
    promise: Promise,
    then: Then<'_, T>,
) -> Result<T, String> {
    let broken = |e: image::ImageError| format!("cannot be decoded: {e}; copy it again or delete it");
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOC);
    let mut reader = ImageReader::with_format(reader, format);
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
    check_side(width, height)?;
    promise.check(width, height)?;
    let _one_at_a_time = (pixels > LARGE_PIXELS).then(|| LARGE.lock().unwrap_or_else(PoisonError::into_inner));
    // An unreadable EXIF block says nothing about the picture itself.
    let orientation = if promise.exif { decoder.orientation().ok() } else { None };
    let mut picture = without_alpha(DynamicImage::from_decoder(decoder).map_err(broken)?);
    picture.apply_orientation(orientation.unwrap_or(Orientation::NoTransforms));
    then(picture)
}

/// Refuses what is too small to show a face.
fn check_side(width: u32, height: u32) -> Result<(), String> {
    if width.min(height) < MIN_SIDE {
        return Err(format!("is {width}x{height} pixels, too small for a face; each side needs {MIN_SIDE} or more"));
    }
    Ok(())
}

/// Prepares a picture that is in memory, as [`decode_face`] does with a file; its orientation is taken to be right.
///
/// # Errors
/// [`Error::Data`] where it is smaller than [`MIN_SIDE`] allows, or `preprocess` asks for a height or width of zero, or too large a size.
pub fn prepare(picture: &DynamicImage, preprocess: &Preprocess) -> Result<Face> {
    let face = check_side(picture.width(), picture.height()).and_then(|()| match picture {
        DynamicImage::ImageLuma8(_) | DynamicImage::ImageRgb8(_) => fit(picture, preprocess),
        _ => fit(&without_alpha(picture.clone()), preprocess),
    });
    face.map_err(|message| Error::Data(format!("the image {message}")))
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

/// The crop, centre crop to the aspect ratio, resize, RGB. Grey pictures are resized as grey, which is three times less work.
fn fit(picture: &DynamicImage, preprocess: &Preprocess) -> Result<Face, String> {
    let (width, height) = (preprocess.width, preprocess.height);
    if !(1..=MAX_PIXELS).contains(&(u64::from(width) * u64::from(height))) {
        return Err(format!("cannot be brought to {width}x{height} pixels, which no network takes"));
    }
    let cropped = preprocess.crop.map(|crop| {
        let [left, top, width, height] = crop.of(picture.width(), picture.height());
        picture.crop_imm(left, top, width, height)
    });
    let resized = match cropped.as_ref().unwrap_or(picture) {
        DynamicImage::ImageLuma8(x) => resize::<U8>(x.as_raw(), x.dimensions(), (width, height))
            .map(|grey| grey.iter().flat_map(|&x| [x; 3]).collect()),
        DynamicImage::ImageRgb8(x) => resize::<U8x3>(x.as_raw(), x.dimensions(), (width, height)),
        _ => panic!("a picture is 8-bit grey or RGB by now"),
    };
    resized.map_err(|e| format!("cannot be brought to {width}x{height} pixels: {e}"))
}

/// The bytes of a picture at another size. Asks for one type of pixel: `Resizer::resize` would have the compiler
/// generate code for all fourteen of the crate's.
fn resize<P: PixelTrait>(
    bytes: &[u8],
    (from_width, from_height): (u32, u32),
    (width, height): (u32, u32),
) -> Result<Vec<u8>, String> {
    let from = TypedImageRef::<P>::from_buffer(from_width, from_height, bytes).map_err(|e| e.to_string())?;
    let mut out = vec![0; width as usize * height as usize * size_of::<P>()];
    let mut to = TypedImage::<P>::from_buffer(width, height, &mut out).map_err(|e| e.to_string())?;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom))
        .fit_into_destination(Some((0.5, 0.5)));
    Resizer::new().resize_typed(&from, &mut to, &options).map_err(|e| e.to_string())?;
    Ok(out)
}

#[cfg(test)]
mod tests;
