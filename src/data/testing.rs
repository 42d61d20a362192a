//! Generated images for tests.

use std::path::Path;

use image::{Rgb, RgbImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A `width` x `height` picture whose red grows to the right, whose green grows downwards and whose blue is `tint`.
pub(crate) fn gradient(width: u32, height: u32, tint: u8) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([u8::try_from(x * 255 / width).unwrap(), u8::try_from(y * 255 / height).unwrap(), tint])
    })
}

/// Writes a 16x16 [`gradient`] and the folders above it; the extension chooses the format.
pub(crate) fn write_face(path: &Path, tint: u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    gradient(16, 16, tint).save(path).unwrap();
}

/// A folder with `counts[i]` PNG images for person `p{i}`.
pub(crate) fn write_people(root: &Path, counts: &[usize]) {
    for (person, &count) in counts.iter().enumerate() {
        for face in 0..count {
            let tint = u8::try_from(person * 16 + face).unwrap();
            write_face(&root.join(format!("p{person}")).join(format!("{face}.png")), tint);
        }
    }
}

/// An in-memory set of `size` x `size` faces with `counts[i]` images for person `p{i}`, all noise.
pub(crate) fn noise_faces(counts: &[usize], size: u32) -> super::faces::FaceSet {
    use super::preprocess::{Normalise, Preprocess};
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut face = || (0..size * size * 3).map(|_| rng.random()).collect::<Vec<u8>>();
    let people = counts.iter().enumerate();
    let people = people.map(|(person, &count)| (format!("p{person}"), (0..count).map(|_| face()).collect())).collect();
    let preprocess = Preprocess { height: size, width: size, normalise: Normalise::Fixed, crop: None, alignment: None };
    super::faces::FaceSet::from_images(&preprocess, people).unwrap()
}

/// An in-memory set of 8x8 faces with `counts[i]` images for person `p{i}`; every image is flat, with its index as value.
pub(crate) fn flat_faces(counts: &[usize]) -> super::faces::FaceSet {
    use super::preprocess::{Normalise, Preprocess};
    let mut next = 0;
    let people = counts.iter().enumerate().map(|(person, &count)| {
        let faces = (0..count)
            .map(|_| {
                next += 1;
                vec![u8::try_from(next - 1).unwrap(); 8 * 8 * 3]
            })
            .collect();
        (format!("p{person}"), faces)
    });
    let people = people.collect();
    let preprocess = Preprocess { height: 8, width: 8, normalise: Normalise::Unit, crop: None, alignment: None };
    super::faces::FaceSet::from_images(&preprocess, people).unwrap()
}
