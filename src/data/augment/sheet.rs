//! A picture of what augmentation does.

use image::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::Augment;
use crate::Result;
use crate::data::contact_sheet::contact_sheet;
use crate::data::faces::FaceSet;

/// People on the sheet, and pictures of each: the image as it is, then as it may be drawn.
const PEOPLE: usize = 8;
const PICTURES: usize = 8;

/// A row for each of a few people: an image as it is, and then with the changes that `augment` may draw.
///
/// # Errors
/// An image can no longer be read.
pub fn augment_sheet(set: &FaceSet, augment: &Augment, seed: u64) -> Result<RgbImage> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (width, height) = (set.preprocess().width, set.preprocess().height);
    let picture = |face: Vec<u8>| RgbImage::from_raw(width, height, face).expect("a face has the set's size");
    let people = set.people();
    let mut rows = Vec::new();
    for row in 0..PEOPLE.min(people.len()) {
        // Spread over the set: neighbours in the alphabet may be alike.
        let face = set.face_or_other(people[row * people.len() / PEOPLE.min(people.len())].faces[0])?.into_owned();
        let drawn = (1..PICTURES).map(|_| picture(augment.draw(&mut rng).apply(&face, width)));
        let drawn: Vec<RgbImage> = drawn.collect();
        rows.push([vec![picture(face)], drawn].concat());
    }
    contact_sheet(&rows, 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::augment::Preset;
    use crate::data::testing::noise_faces;

    #[test]
    fn each_row_begins_with_the_image_as_it_is() {
        let set = noise_faces(&[2, 1, 3], 16);
        let sheet = augment_sheet(&set, &Augment::preset(Preset::Strong), 1).unwrap();
        assert_eq!(sheet.dimensions(), (8 * 20 + 4, 3 * 20 + 4));
        for (row, face) in [0, 2, 3].into_iter().enumerate() {
            let top = 4 + 20 * u32::try_from(row).unwrap();
            let cell = |left: u32| image::imageops::crop_imm(&sheet, left, top, 16, 16).to_image().into_raw();
            assert_eq!(cell(4), set.face(face).unwrap().as_ref());
            assert_ne!(cell(24), cell(4));
        }
    }
}
