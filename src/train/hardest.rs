//! The triplets that an evaluation finds hardest, to be looked at.

use rayon::prelude::*;

use crate::eval::verification::squared_distance;

/// Images that are compared with each other at most: time grows with their square.
const MOST: usize = 3_000;

/// An image whose farthest image of the same person is not much closer, or farther, than its closest one of another person.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct HardTriplet {
    /// The image, by its number in the set.
    pub anchor: usize,
    /// The farthest image of its person.
    pub positive: usize,
    /// The closest image of another person.
    pub negative: usize,
    /// Squared distance of anchor and positive.
    pub d_ap: f32,
    /// Squared distance of anchor and negative.
    pub d_an: f32,
}

/// The `count` triplets with the largest `d_ap - d_an`, the hardest first, one for each person. `images` are numbers of
/// images with their person; `embedding` gives that of an image.
pub(super) fn hardest<'a>(
    images: &[(usize, usize)],
    embedding: impl Fn(usize) -> &'a [f32] + Sync,
    count: usize,
) -> Vec<HardTriplet> {
    let images: Vec<(usize, usize)> = images.iter().copied().step_by(images.len().div_ceil(MOST).max(1)).collect();
    let of_anchor = |&(anchor, person): &(usize, usize)| {
        let from = embedding(anchor);
        let distances =
            || images.iter().map(|&(image, other)| (image, other, squared_distance(from, embedding(image))));
        let (positive, _, d_ap) =
            distances().filter(|d| d.1 == person && d.0 != anchor).max_by(|a, b| a.2.total_cmp(&b.2))?;
        let (negative, _, d_an) = distances().filter(|d| d.1 != person).min_by(|a, b| a.2.total_cmp(&b.2))?;
        Some((person, HardTriplet { anchor, positive, negative, d_ap, d_an }))
    };
    let mut found: Vec<(usize, HardTriplet)> = images.par_iter().filter_map(of_anchor).collect();
    found.sort_by(|(_, a), (_, b)| (b.d_ap - b.d_an).total_cmp(&(a.d_ap - a.d_an)));
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|(person, _)| seen.insert(*person));
    found.into_iter().map(|(_, triplet)| triplet).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hardest_comes_first_and_a_person_comes_once() {
        // Three people on a line: the second has an image beside the first's, the third is far from all.
        let places = [[0.0_f32], [0.1], [0.2], [3.0], [9.0], [9.1]];
        let images = [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2)];
        let found = hardest(&images, |image| &places[image], 5);
        let anchors: Vec<usize> = found.iter().map(|t| t.anchor).collect();
        assert_eq!(anchors, [2, 1, 4], "{found:?}");
        let HardTriplet { positive, negative, d_ap, d_an, .. } = found[0];
        assert_eq!((positive, negative), (3, 1));
        assert!((d_ap - 7.84).abs() < 1e-5 && (d_an - 0.01).abs() < 1e-5);
        assert_eq!(hardest(&images, |image| &places[image], 1).len(), 1);
        assert!(hardest(&images[..1], |image| &places[image], 5).is_empty());
    }
}
