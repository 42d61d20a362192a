//! Contact sheets of a run: a batch as the network sees it, and the triplets that it finds hardest.

use image::RgbImage;

use crate::Result;
use crate::chart::captioned_rows;
use crate::data::contact_sheet::contact_sheet;
use crate::data::faces::FaceSet;
use crate::data::sampler::Batch;
use crate::text::shown;
use crate::train::HardTriplet;

/// Images of the batch that are shown at most, and in a row.
const MOST: usize = 128;
const ROW: usize = 8;

/// The images of a batch with their augmentation, a row for each person, and those of people with one image in the batch
/// after them.
///
/// # Errors
/// An image can no longer be read.
pub(super) fn batch_sheet(set: &FaceSet, batch: &Batch) -> Result<RgbImage> {
    let (width, height) = (set.preprocess().width, set.preprocess().height);
    let mut rows: Vec<Vec<RgbImage>> = Vec::new();
    let mut others = Vec::new();
    let places: Vec<usize> = (0..batch.images.len().min(MOST)).collect();
    for person in places.chunk_by(|&a, &b| batch.labels[a] == batch.labels[b]) {
        let mut row = Vec::new();
        for &place in person {
            let face = set.face_or_other(batch.images[place])?;
            let seen = match batch.views.get(place) {
                Some(view) if !view.is_identity() => view.apply(&face, width),
                _ => face.into_owned(),
            };
            row.push(RgbImage::from_raw(width, height, seen).expect("a face has the set's size"));
        }
        if row.len() > 1 { rows.extend(row.chunks(ROW).map(<[RgbImage]>::to_vec)) } else { others.extend(row) }
    }
    rows.extend(others.chunks(ROW).map(<[RgbImage]>::to_vec));
    contact_sheet(&rows, 4)
}

/// Anchor, positive and negative of each triplet, with their distances and names; `None` without a triplet.
///
/// # Errors
/// An image can no longer be read.
pub(super) fn hardest_sheet(set: &FaceSet, triplets: &[HardTriplet]) -> Result<Option<RgbImage>> {
    if triplets.is_empty() {
        return Ok(None);
    }
    let (width, height) = (set.preprocess().width, set.preprocess().height);
    let picture = |image: usize| -> Result<RgbImage> {
        let face = set.face_or_other(image)?.into_owned();
        Ok(RgbImage::from_raw(width, height, face).expect("a face has the set's size"))
    };
    let name = |image: usize| shown(&set.people()[set.person_of(image)].name);
    let mut rows = Vec::new();
    for t in triplets {
        let pictures = [t.anchor, t.positive, t.negative].map(picture).into_iter().collect::<Result<Vec<_>>>()?;
        let text = format!("d(a,p) {:.3}  d(a,n) {:.3}\n{}\nand {}", t.d_ap, t.d_an, name(t.anchor), name(t.negative));
        rows.push((pictures, text));
    }
    captioned_rows(&["anchor", "positive", "negative"], &rows).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::augment::View;
    use crate::data::testing::noise_faces;

    #[test]
    fn people_with_several_images_have_a_row_and_the_others_share_one() {
        let set = noise_faces(&[3, 2, 1, 1], 16);
        let batch = Batch {
            images: vec![0, 1, 2, 3, 4, 5, 6],
            labels: vec![0, 0, 0, 1, 1, 2, 3],
            views: vec![View::default(); 7],
            triplets: Vec::new(),
        };
        let sheet = batch_sheet(&set, &batch).unwrap();
        assert_eq!(sheet.dimensions(), (3 * 20 + 4, 3 * 20 + 4));
        let last = image::imageops::crop_imm(&sheet, 24, 44, 16, 16).to_image().into_raw();
        assert_eq!(last, set.face(6).unwrap().as_ref());
    }

    #[test]
    fn the_hardest_triplets_are_shown_with_names() {
        let set = noise_faces(&[2, 1], 16);
        let triplet = HardTriplet { anchor: 0, positive: 1, negative: 2, d_ap: 1.0, d_an: 0.5 };
        assert!(hardest_sheet(&set, &[triplet]).unwrap().unwrap().width() > 3 * 32);
        assert!(hardest_sheet(&set, &[]).unwrap().is_none());
    }
}
