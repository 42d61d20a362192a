//! Files that promise more than they hold, and what is not unpacked. That memory stays bounded is tested on the program
//! in `tests/all/cli_hostile.rs`.

use super::*;

fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, &byte: &u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    };
    !bytes.iter().fold(u32::MAX, step)
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], &body, &crc(&body).to_be_bytes()].concat()
}

/// A PNG with `chunks` behind its header.
fn with_chunks(png: &[u8], chunks: &[Vec<u8>]) -> Vec<u8> {
    let header = 8 + 25;
    [&png[..header], &chunks.concat(), &png[header..]].concat()
}

/// A PNG whose header says another size.
fn with_size(png: &[u8], width: u32, height: u32) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &png[24..29]].concat();
    [&png[..8], &chunk(b"IHDR", &header), &png[33..]].concat()
}

fn png(picture: &RgbImage) -> Vec<u8> {
    encoded(&DynamicImage::ImageRgb8(picture.clone()), ImageFormat::Png)
}

/// All that the PNG decoder is shown of a file, read in pieces of `piece` bytes.
fn shown(bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut shown = Vec::new();
    let mut reader = Essential::new(BufReader::with_capacity(piece, Cursor::new(bytes)));
    let mut buffer = vec![0; piece];
    loop {
        match reader.read(&mut buffer).unwrap() {
            0 => return shown,
            read => shown.extend(&buffer[..read]),
        }
    }
}

#[test]
fn profiles_texts_and_animations_are_kept_from_the_png_decoder_and_cost_nothing() {
    let plain = png(&gradient(24, 16, 90));
    let texts = [b"iCCP", b"zTXt", b"iTXt", b"tEXt", b"acTL", b"gAMA"].map(|kind| chunk(kind, b"x\0\0of no use"));
    let large_exif = chunk(b"eXIf", &vec![0; 2 << 20]);
    let bytes = with_chunks(&plain, &[texts.concat(), large_exif]);
    for piece in [1, 3, 8, 100, 1 << 16] {
        assert_eq!(shown(&bytes, piece), plain, "in pieces of {piece}");
    }
    // A palette's transparency and an orientation are needed.
    let needed = with_chunks(&plain, &[chunk(b"PLTE", &[0; 3]), chunk(b"tRNS", &[0]), chunk(b"eXIf", &[0; 40])]);
    assert_eq!(shown(&needed, 7), needed);
    for length in 0..plain.len() {
        assert_eq!(shown(&plain[..length], 5), plain[..length], "cut at {length}");
    }
    let face = decoded("face.png", &bytes, 24, 16).unwrap();
    assert_eq!(face, decoded("face.png", &plain, 24, 16).unwrap());
}

#[test]
fn the_orientation_of_a_png_is_respected() {
    let exif = b"MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x02\0\0\0\0\0\0";
    let mirrored = png(&image::imageops::flip_horizontal(&gradient(24, 16, 90)));
    let face = decoded("face.png", &with_chunks(&mirrored, &[chunk(b"eXIf", exif)]), 24, 16).unwrap();
    assert_eq!(face, gradient(24, 16, 90).into_raw());
}

/// Asserts that a file is refused because of what it lacks.
fn lacks(name: &str, bytes: &[u8]) {
    let text = message(decoded(name, bytes, 8, 8));
    assert!(text.contains("cannot be decoded: ") && text.contains("most of them are missing"), "{name}: {text}");
}

#[test]
fn a_large_flat_picture_is_sound_and_one_that_only_says_that_it_is_large_is_refused() {
    let flat = RgbImage::from_pixel(3000, 3000, image::Rgb([90; 3]));
    assert!(decoded("flat.png", &png(&flat), 8, 8).is_ok());
    lacks("huge.png", &with_size(&png(&gradient(16, 16, 90)), 7900, 7900));
    assert!(decoded("flat.jpg", &jpeg(&flat), 8, 8).is_ok());
    let mut huge = jpeg(&gradient(16, 16, 90));
    let frame = huge.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    huge[frame + 5..frame + 9].copy_from_slice(&[0x1E, 0xDC, 0x1E, 0xDC]);
    lacks("huge.jpg", &huge);
    lacks("huge.pgm", b"P5 7900 7900 255\n00000");
    lacks("huge.pbm", b"P4 7900 7900\n00000");
    let mut huge = encoded(&DynamicImage::ImageRgb8(gradient(16, 16, 90)), ImageFormat::Bmp);
    huge[18..26].copy_from_slice(&[0xDC, 0x1E, 0, 0, 0xDC, 0x1E, 0, 0]);
    lacks("huge.bmp", &huge);
    // A lossless WebP of one colour needs no bits for its pixels: no file is too short.
    let flat = encoded(&DynamicImage::ImageRgb8(flat), ImageFormat::WebP);
    assert!(flat.len() < 4000 && decoded("flat.webp", &flat, 8, 8).is_ok(), "{} bytes", flat.len());
}

/// A grey JPEG of 800x800 pixels, 10,000 blocks, with the shortest codes that there can be, and `scan` bytes of zeros.
fn shortest_jpeg(progressive: bool, scan: usize) -> Vec<u8> {
    let segment = |kind: u8, data: &[u8]| {
        let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
        [&[0xFF, kind], &length[..], data].concat()
    };
    let code = |table: u8| [&[table, 1], &[0; 15][..], &[0]].concat();
    let frame = if progressive { 0xC2 } else { 0xC0 };
    let last = if progressive { 0 } else { 63 };
    [
        vec![0xFF, 0xD8],
        segment(0xDB, &[&[0], &[1; 64][..]].concat()),
        segment(frame, &[8, 3, 32, 3, 32, 1, 1, 0x11, 0]),
        segment(0xC4, &code(0x00)),
        segment(0xC4, &code(0x10)),
        segment(0xDA, &[1, 1, 0, 0, last, 0]),
        vec![0; scan],
        vec![0xFF, 0xD9],
    ]
    .concat()
}

#[test]
fn a_jpeg_with_a_bit_for_each_code_is_sound_and_one_with_fewer_is_not() {
    for (progressive, least) in [(false, 2500), (true, 1250)] {
        let face = decoded("least.jpg", &shortest_jpeg(progressive, least), 8, 8).unwrap();
        assert_eq!(face, [128; 192], "progressive: {progressive}");
        lacks("less.jpg", &shortest_jpeg(progressive, least - 1));
    }
}

/// A lossy WebP of 16x16 pixels that libwebp wrote.
const LOSSY: [u8; 54] = [
    0x52, 0x49, 0x46, 0x46, 0x2e, 0, 0, 0, 0x57, 0x45, 0x42, 0x50, 0x56, 0x50, 0x38, 0x20, 0x22, 0, 0, 0, 0x70, 0x01,
    0, 0x9d, 0x01, 0x2a, 0x10, 0, 0x10, 0, 0x0f, 0xc0, 0xfe, 0x25, 0xb0, 0x02, 0xb0, 0x01, 0x40, 0, 0, 0xfd, 0xa6,
    0x64, 0xac, 0x5f, 0xa2, 0x54, 0x1e, 0x0d, 0x88, 0, 0, 0,
];

/// The same in the extended format, on a canvas of 16x16 pixels, with other chunks behind it.
fn extended(flags: u8, frame: &[u8], others: &[u8]) -> Vec<u8> {
    let canvas = [b"VP8X", &[10, 0, 0, 0, flags, 0, 0, 0][..], &[15, 0, 0, 15, 0, 0]].concat();
    let body = [b"WEBP", &canvas[..], frame, others].concat();
    [b"RIFF", &u32::try_from(body.len()).unwrap().to_le_bytes()[..], &body].concat()
}

#[test]
fn a_lossy_webp_is_read_and_neither_its_frame_nor_its_metadata_may_promise_too_much() {
    let sound = decoded("face.webp", &LOSSY, 16, 16).unwrap();
    assert_eq!(decoded("face.webp", &extended(0, &LOSSY[12..], &[]), 16, 16).unwrap(), sound);
    let mut huge = LOSSY;
    huge[26..30].copy_from_slice(&[0xDC, 0x1E, 0xDC, 0x1E]);
    lacks("huge.webp", &huge);
    // The canvas says 16x16, so the size of the picture alone does not stop the frame from being decoded.
    let text = message(decoded("frame.webp", &extended(0, &huge[12..], &[]), 8, 8));
    assert!(text.contains("it says that it is 16x16 pixels and holds 7900x7900"), "{text}");
    // EXIF data that end behind the file, for which a decoder would take 4 GiB, say nothing of the picture.
    let exif = [b"EXIF", &[0xFF; 4][..], b"MM"].concat();
    assert_eq!(decoded("exif.webp", &extended(8, &LOSSY[12..], &exif), 16, 16).unwrap(), sound);
}
