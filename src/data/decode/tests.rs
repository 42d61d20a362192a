//! Tests of decoding, with files made on the spot.

use std::io::Write;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageBuffer, Luma, Rgba, RgbaImage};

use super::*;
use crate::data::preprocess::Normalise;
use crate::data::testing::gradient;

fn size(width: u32, height: u32) -> Preprocess {
    Preprocess { height, width, normalise: Normalise::Unit, crop: None, alignment: None }
}

/// Decodes `bytes` under the name `name` at `width` x `height`.
fn decoded(name: &str, bytes: &[u8], width: u32, height: u32) -> Result<Face> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    decode_face(&path, &size(width, height))
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(picture).unwrap();
    bytes
}

/// Puts an EXIF block with the given orientation (and `extra` bytes behind it) right after the start of a JPEG.
fn with_orientation(jpeg: &[u8], orientation: u8, extra: &[u8]) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    exif.extend(extra);
    let mut out = vec![0xFF, 0xD8, 0xFF, 0xE1];
    out.extend(u16::try_from(exif.len() + 2).unwrap().to_be_bytes());
    out.extend(exif);
    out.extend(&jpeg[2..]);
    out
}

fn message(result: Result<Face>) -> String {
    result.unwrap_err().to_string()
}

fn assert_near(actual: &[u8], expected: &[u8], tolerance: u8) {
    assert_eq!(actual.len(), expected.len());
    let worst = actual.iter().zip(expected).map(|(&a, &b)| a.abs_diff(b)).max().unwrap();
    assert!(worst <= tolerance, "differs by {worst}");
}

#[test]
fn every_lossless_format_gives_the_same_bytes_whatever_its_extension_says() {
    let picture = DynamicImage::ImageRgb8(gradient(24, 16, 90));
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Pnm, ImageFormat::WebP] {
        let face = decoded("face.jpg", &encoded(&picture, format), 24, 16).unwrap();
        assert_eq!(face, picture.as_bytes(), "{format:?}");
    }
}

#[test]
fn a_jpeg_comes_close_to_its_source() {
    let picture = gradient(32, 32, 90);
    assert_near(&decoded("face.png", &jpeg(&picture), 32, 32).unwrap(), &picture, 12);
}

#[test]
fn a_pgm_with_comment_lines_becomes_rgb() {
    let mut bytes = b"P5\n# made by hand\n8 8\n# another line\n255\n".to_vec();
    bytes.extend(0..64);
    let face = decoded("face.pgm", &bytes, 8, 8).unwrap();
    let expected: Vec<u8> = (0..64).flat_map(|x| [x; 3]).collect();
    assert_eq!(face, expected);
}

#[test]
fn sixteen_bits_become_eight() {
    let picture: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_pixel(8, 8, Luma([0x8080]));
    let png = encoded(&DynamicImage::ImageLuma16(picture), ImageFormat::Png);
    assert_eq!(decoded("face.png", &png, 8, 8).unwrap(), [0x80; 192]);
}

#[test]
fn alpha_is_laid_over_black() {
    let picture = RgbaImage::from_fn(8, 8, |x, _| Rgba([200, 100, 50, if x < 4 { 0 } else { 128 }]));
    let png = encoded(&DynamicImage::ImageRgba8(picture), ImageFormat::Png);
    let face = decoded("face.png", &png, 8, 8).unwrap();
    assert_eq!((&face[..3], &face[21..24]), (&[0, 0, 0][..], &[100, 50, 25][..]));
}

#[test]
fn exif_orientation_is_respected() {
    let upright = gradient(32, 16, 90);
    // What a camera stores for each orientation: the inverse of what a viewer has to do.
    let turned = image::imageops::rotate270(&upright);
    let mirrored = image::imageops::flip_horizontal(&upright);
    for (stored, orientation) in [(&upright, 1), (&mirrored, 2), (&turned, 6)] {
        let bytes = with_orientation(&jpeg(stored), orientation, &[]);
        assert_near(&decoded("face.jpg", &bytes, 32, 16).unwrap(), &upright, 24);
    }
    let ignored = decoded("face.jpg", &jpeg(&mirrored), 32, 16).unwrap();
    assert!(ignored[0] > 200, "without EXIF the mirrored picture stays mirrored");
}

#[test]
fn the_crop_is_central_and_keeps_the_aspect_ratio() {
    // Red outside the middle third: a squeezed or shifted crop would let red in.
    let picture = RgbImage::from_fn(48, 16, |x, _| image::Rgb([if (16..32).contains(&x) { 0 } else { 255 }, 9, 9]));
    let png = encoded(&DynamicImage::ImageRgb8(picture), ImageFormat::Png);
    let face = decoded("face.png", &png, 16, 16).unwrap();
    assert!(face.chunks(3).all(|pixel| pixel == [0, 9, 9]));
}

#[test]
fn shrinking_averages_fine_stripes_instead_of_picking_some() {
    let picture = RgbImage::from_fn(128, 128, |x, _| image::Rgb([if x % 2 == 0 { 0 } else { 254 }; 3]));
    let png = encoded(&DynamicImage::ImageRgb8(picture), ImageFormat::Png);
    let face = decoded("face.png", &png, 16, 16).unwrap();
    assert!(face.iter().all(|&x| (115..=139).contains(&x)), "{:?}", &face[..48]);
}

#[test]
fn enlarging_overshoots_at_an_edge_as_catmull_rom_does() {
    let picture = RgbImage::from_fn(8, 8, |x, _| image::Rgb([if x < 4 { 100 } else { 200 }; 3]));
    let png = encoded(&DynamicImage::ImageRgb8(picture), ImageFormat::Png);
    let face = decoded("face.png", &png, 16, 16).unwrap();
    let row: Vec<u8> = face[..48].iter().copied().step_by(3).collect();
    assert!(row[..5].iter().all(|&x| x <= 100) && row.iter().min() < Some(&99), "{row:?}");
    assert!(row[11..].iter().all(|&x| x >= 200) && row.iter().max() > Some(&201), "{row:?}");
}

#[test]
fn a_truncated_jpeg_is_refused_even_with_a_complete_thumbnail() {
    let whole = with_orientation(&jpeg(&gradient(64, 64, 90)), 1, &[0xFF, 0xD9]);
    assert!(decoded("face.jpg", &whole, 64, 64).is_ok());
    for length in [whole.len() - 2, whole.len() * 3 / 4, whole.len() / 2] {
        let text = message(decoded("face.jpg", &whole[..length], 64, 64));
        assert!(text.contains("face.jpg: is cut short") && text.contains("copy it again"), "{text}");
    }
}

#[test]
fn bytes_behind_the_end_of_a_jpeg_do_no_harm() {
    let mut bytes = jpeg(&gradient(16, 16, 90));
    bytes.extend([0; 100]);
    assert!(decoded("face.jpg", &bytes, 16, 16).is_ok());
}

#[test]
fn other_truncated_files_are_refused() {
    let picture = DynamicImage::ImageRgb8(gradient(64, 64, 90));
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Pnm, ImageFormat::WebP] {
        let bytes = encoded(&picture, format);
        let text = message(decoded("face", &bytes[..bytes.len() * 2 / 3], 64, 64));
        assert!(text.contains("cannot be decoded"), "{format:?}: {text}");
    }
}

#[test]
fn text_and_empty_files_are_no_images() {
    let text = message(decoded("face.jpg", b"just some text, no image at all", 8, 8));
    assert!(text.contains("is no image of a known format"), "{text}");
    assert!(message(decoded("face.jpg", b"", 8, 8)).contains("is an empty file"));
}

#[test]
fn a_one_pixel_image_is_too_small_and_eight_pixels_are_enough() {
    let png = |side| encoded(&DynamicImage::ImageRgb8(gradient(side, side, 0)), ImageFormat::Png);
    let text = message(decoded("face.png", &png(1), 32, 32));
    assert!(text.contains("is 1x1 pixels, too small"), "{text}");
    assert!(decoded("face.png", &png(8), 32, 32).is_ok());
}

#[test]
fn a_hundred_megapixels_are_refused_by_the_header_alone() {
    // The files hold no pixels, so reaching for them would give another message.
    let mut huge_jpeg = Vec::new();
    JpegEncoder::new(&mut huge_jpeg).encode(&[0; 64], 8, 8, ExtendedColorType::L8).unwrap();
    let frame = huge_jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    huge_jpeg[frame + 5..frame + 9].copy_from_slice(&[0x27, 0x10, 0x27, 0x10]);
    for bytes in [b"P5 10000 10000 255\n".as_slice(), &huge_jpeg] {
        let text = message(decoded("face.jpg", bytes, 8, 8));
        assert!(text.contains("is 10000x10000 pixels, more than 64 megapixels; shrink it"), "{text}");
    }
}

#[test]
fn a_large_image_within_the_limit_is_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.pgm");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"P5 6000 6000 255\n").unwrap();
    // A sparse file: the zeros take no space on the disk.
    file.set_len(17 + 36_000_000).unwrap();
    assert_eq!(decode_face(&path, &size(8, 8)).unwrap(), [0; 192]);
}

#[test]
fn a_missing_file_is_named() {
    let text = message(decode_face(Path::new("/no/such/face.jpg"), &size(8, 8)));
    assert!(text.starts_with("cannot read /no/such/face.jpg"), "{text}");
}

#[test]
fn a_picture_in_memory_that_is_too_small_or_wanted_at_no_size_is_refused() {
    let said = |width, height, wanted: Preprocess| {
        let picture = DynamicImage::ImageRgb8(RgbImage::new(width, height));
        prepare(&picture, &wanted).unwrap_err().to_string()
    };
    for (width, height) in [(0, 0), (1, 0), (1, 1), (7, 100)] {
        let text = said(width, height, size(32, 32));
        assert!(text.starts_with(&format!("the image is {width}x{height} pixels, too small")), "{text}");
    }
    for wanted in [size(0, 8), size(1 << 20, 1 << 20)] {
        let text = said(16, 16, wanted);
        assert!(text.contains("which no network takes"), "{text}");
    }
    let picture = DynamicImage::ImageRgb8(gradient(8, 8, 7));
    assert_eq!(prepare(&picture, &size(8, 8)).unwrap(), picture.as_bytes());
}

mod hostile;

#[test]
fn a_crop_is_taken_before_anything_is_resized_from_files_and_from_memory() {
    use crate::data::preprocess::Crop;

    // White around a grey square of 40 pixels.
    let mut picture = RgbImage::from_pixel(100, 80, image::Rgb([255; 3]));
    image::imageops::replace(&mut picture, &RgbImage::from_pixel(40, 40, image::Rgb([90; 3])), 30, 20);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.png");
    picture.save(&path).unwrap();
    let cropped = Preprocess { crop: Some(Crop { height: 40, width: 40 }), ..size(16, 16) };
    assert!(decode_face(&path, &cropped).unwrap().iter().all(|&x| x == 90));
    assert!(prepare(&DynamicImage::ImageRgb8(picture), &cropped).unwrap().iter().all(|&x| x == 90));
    assert!(decode_face(&path, &size(16, 16)).unwrap().contains(&255));
    let larger = Preprocess { crop: Some(Crop { height: 999, width: 999 }), ..size(16, 16) };
    assert_eq!(decode_face(&path, &larger).unwrap(), decode_face(&path, &size(16, 16)).unwrap());
}

#[test]
fn images_of_formats_that_are_not_read_are_named_with_what_to_do() {
    for (start, name) in [(&b"GIF89a"[..], "a GIF"), (b"II*\0", "a TIFF"), (b"\0\0\0\x18ftypheic", "a HEIC")] {
        let text = message(decoded("face.jpg", &[start, &[0; 64]].concat(), 16, 16));
        assert!(text.contains(&format!("is {name} image, which is not read; convert it to JPEG or PNG")), "{text}");
    }
}
