//! What a clustering finds.

use crate::{Error, Result};

/// A partition of images into clusters, the largest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clusters {
    /// The cluster of each image, `[n]`: 0 is the largest. Clusters of equal size are in the order of their first images.
    pub labels: Vec<u32>,
    /// Images of each cluster, never rising. An image alone is a cluster of its own.
    pub sizes: Vec<u32>,
}

impl Clusters {
    /// Numbers clusters by their size. `labels` has the same number for images of one cluster, whatever it is.
    ///
    /// # Panics
    /// If there are 2^32 images or more.
    pub fn from_labels(labels: &[u32]) -> Self {
        let count = |n: usize| u32::try_from(n).expect("images are counted in u32");
        // In the order of their first images.
        let mut numbers = std::collections::HashMap::new();
        let mut sizes: Vec<u32> = Vec::new();
        let mut first: Vec<u32> = Vec::with_capacity(labels.len());
        for &label in labels {
            let number = *numbers.entry(label).or_insert_with(|| count(sizes.len()));
            if number as usize == sizes.len() {
                sizes.push(0);
            }
            sizes[number as usize] += 1;
            first.push(number);
        }
        let mut order: Vec<u32> = (0..count(sizes.len())).collect();
        order.sort_by_key(|&at| std::cmp::Reverse(sizes[at as usize]));
        let mut place = vec![0; order.len()];
        for (new, &old) in (0..).zip(&order) {
            place[old as usize] = new;
        }
        Self {
            labels: first.iter().map(|&old| place[old as usize]).collect(),
            sizes: order.iter().map(|&old| sizes[old as usize]).collect(),
        }
    }

    /// Number of clusters.
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Clusters of one image.
    pub fn singletons(&self) -> usize {
        self.sizes.iter().rev().take_while(|&&size| size == 1).count()
    }

    /// The images of each cluster, by their indices, rising.
    pub fn members(&self) -> Vec<Vec<usize>> {
        let mut members: Vec<Vec<usize>> = self.sizes.iter().map(|&size| Vec::with_capacity(size as usize)).collect();
        for (image, &label) in self.labels.iter().enumerate() {
            members[label as usize].push(image);
        }
        members
    }
}

/// Sets of images that grow together.
#[derive(Debug)]
pub(super) struct Sets {
    parent: Vec<u32>,
}

impl Sets {
    /// A set for each of `n` images.
    pub(super) fn new(n: usize) -> Self {
        Self { parent: (0..u32::try_from(n).expect("images are counted in u32")).collect() }
    }

    /// The image that stands for a set.
    pub(super) fn of(&mut self, mut image: u32) -> u32 {
        while self.parent[image as usize] != image {
            let above = self.parent[self.parent[image as usize] as usize];
            self.parent[image as usize] = above;
            image = above;
        }
        image
    }

    /// Makes one set of two.
    pub(super) fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.of(a), self.of(b));
        self.parent[a.max(b) as usize] = a.min(b);
    }

    /// The sets as clusters.
    pub(super) fn clusters(mut self) -> Clusters {
        let labels: Vec<u32> = (0..).take(self.parent.len()).map(|image| self.of(image)).collect();
        Clusters::from_labels(&labels)
    }
}

/// Checks a threshold on squared distances of embeddings, which may have unit length.
///
/// # Errors
/// It is no number that such a distance can be.
pub(super) fn check_threshold(threshold: f32, unit_length: bool) -> Result<()> {
    let largest = if unit_length { 4.0 } else { f32::MAX };
    if (0.0..=largest).contains(&threshold) {
        return Ok(());
    }
    if !unit_length {
        return Err(Error::setting(format!(
            "`threshold` is a squared distance, 0 (equal embeddings) or more, not {threshold}"
        )));
    }
    Err(Error::setting(format!(
        "`threshold` is a squared distance between 0 (equal embeddings) and 4 (opposite ones), not {threshold}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_numbered_by_size_and_equal_ones_by_their_first_image() {
        let clusters = Clusters::from_labels(&[9, 4, 7, 4, 2, 7, 4]);
        assert_eq!(clusters.labels, [2, 0, 1, 0, 3, 1, 0]);
        assert_eq!(clusters.sizes, [3, 2, 1, 1]);
        assert_eq!((clusters.len(), clusters.singletons()), (4, 2));
        assert_eq!(clusters.members(), [vec![1, 3, 6], vec![2, 5], vec![0], vec![4]]);
        assert!(Clusters::from_labels(&[]).is_empty());
    }

    #[test]
    fn joined_sets_stay_joined() {
        let mut sets = Sets::new(6);
        for (a, b) in [(4, 1), (5, 4), (3, 0)] {
            sets.join(a, b);
        }
        assert_eq!(sets.clusters().labels, [1, 0, 2, 1, 0, 0]);
    }

    #[test]
    fn a_threshold_beyond_what_distances_can_be_is_refused() {
        for good in [0.0, 1.1, 4.0] {
            check_threshold(good, true).unwrap();
        }
        for bad in [-0.1, 4.01, f32::NAN, f32::INFINITY] {
            let e = check_threshold(bad, true).unwrap_err().to_string();
            assert!(e.contains("`threshold`") && e.contains(&bad.to_string()), "{e}");
        }
        check_threshold(4.01, false).unwrap();
        assert!(check_threshold(-0.1, false).is_err() && check_threshold(f32::INFINITY, false).is_err());
    }
}
