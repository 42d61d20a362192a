//! Triplets that were chosen offline as batches.

use std::collections::HashMap;

use crate::data::sampler::Batch;

/// Packs triplets into batches of `size` images (3 at least), in order, each image once in a batch; places that no triplet
/// fits into any more are filled with other images of `spare`. At most `most` batches are made, which have no views yet.
pub(super) fn pack(
    triplets: &[[usize; 3]],
    size: usize,
    most: usize,
    spare: &[usize],
    person: impl Fn(usize) -> usize,
) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut left = triplets.iter().peekable();
    while batches.len() < most && left.peek().is_some() {
        let mut open = Open::default();
        while let Some(triplet) = left.next_if(|triplet| open.has_room(triplet, size)) {
            open.add(triplet);
        }
        let full = open.close(size, spare, batches.len(), &person);
        batches.push(full);
    }
    batches
}

/// A batch in the making.
#[derive(Default)]
struct Open {
    images: Vec<usize>,
    places: HashMap<usize, u32>,
    triplets: Vec<[u32; 3]>,
}

impl Open {
    fn has_room(&self, triplet: &[usize; 3], size: usize) -> bool {
        let new = triplet.iter().filter(|image| !self.places.contains_key(image)).count();
        self.images.len() + new <= size && self.triplets.len() < size
    }

    fn add(&mut self, triplet: &[usize; 3]) {
        let places = triplet.map(|image| {
            *self.places.entry(image).or_insert_with(|| {
                self.images.push(image);
                u32::try_from(self.images.len() - 1).expect("a batch fits 32 bits")
            })
        });
        self.triplets.push(places);
    }

    /// Fills the batch up, each `number` from another place in `spare`.
    fn close(mut self, size: usize, spare: &[usize], number: usize, person: impl Fn(usize) -> usize) -> Batch {
        let free = size - self.images.len();
        let from = number * size % spare.len().max(1);
        let others = spare[from..].iter().chain(&spare[..from]).copied();
        let others: Vec<usize> = others.filter(|i| !self.places.contains_key(i)).take(free).collect();
        self.images.extend(others);
        // Fewer images than places: some come twice.
        let again: Vec<usize> = self.images.iter().copied().cycle().take(size - self.images.len()).collect();
        self.images.extend(again);
        let label = |&image: &usize| u32::try_from(person(image)).expect("people are counted in u32");
        let labels = self.images.iter().map(label).collect();
        Batch { labels, images: self.images, views: Vec::new(), triplets: self.triplets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The triplets of a batch as images.
    fn back(batch: &Batch) -> Vec<[usize; 3]> {
        batch.triplets.iter().map(|t| t.map(|at| batch.images[at as usize])).collect()
    }

    #[test]
    fn every_triplet_is_in_one_batch_and_every_batch_is_full() {
        let triplets: Vec<[usize; 3]> = (0..200).map(|i| [i % 40, (i * 7 + 1) % 40, 40 + i * 11 % 60]).collect();
        let spare: Vec<usize> = (0..100).collect();
        let batches = pack(&triplets, 16, usize::MAX, &spare, |image| image / 2);
        assert_eq!(batches.iter().flat_map(back).collect::<Vec<_>>(), triplets);
        for batch in &batches {
            assert_eq!((batch.images.len(), batch.labels.len()), (16, 16));
            let mut once = batch.images.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), 16, "{batch:?}");
            assert!(batch.images.iter().zip(&batch.labels).all(|(&i, &l)| i / 2 == l as usize));
            assert!((1..=16).contains(&batch.triplets.len()));
        }
        assert_eq!(pack(&triplets, 16, 2, &spare, |image| image / 2), batches[..2], "no more than are asked for");
        assert!(pack(&[], 6, 9, &spare, |image| image).is_empty());
    }

    #[test]
    fn images_that_are_missing_come_twice() {
        let batches = pack(&[[5, 6, 7]], 5, 9, &[5, 6, 7], |image| image);
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].images, [5, 6, 7, 5, 6]);
    }
}
