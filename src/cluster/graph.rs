//! Agglomerative clustering that merges only clusters which are joined in a graph of nearest neighbours.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use super::agglomerative::check_embeddings;
use super::clusters::{Clusters, Sets, check_threshold};
use crate::search::{Neighbours, Pairs, Points, Queries, Question, Searcher};
use crate::{Embeddings, Engine, Error, Result};

/// The `k` nearest images of each image, or all others if there are fewer, by squared distance. `progress(done, of)` is called
/// every thousand images or so, and may end the search; then there is no answer.
///
/// # Errors
/// As [`Searcher`]; there is no embedding, one is not of unit length, or `k` is 0.
pub fn neighbours(
    engine: &Engine,
    embeddings: &Embeddings,
    k: u32,
    progress: impl FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Option<Neighbours>> {
    check_embeddings(embeddings)?;
    if k == 0 {
        return Err(Error::setting("`neighbours` must be at least 1"));
    }
    let n = embeddings.len();
    let others = u32::try_from(n - 1).unwrap_or(u32::MAX).max(1);
    let points = Points::new(embeddings.as_slice(), embeddings.dim())?;
    let question = Question { k: k.min(others), farthest: false, pairs: Pairs::Any };
    Searcher::new(engine, points, question, n)?.search(&Queries::gallery(points), progress)
}

/// Clusters embeddings by average linkage, merging only clusters of which an image of one is among the nearest neighbours
/// (`neighbours`) of an image of the other, until the mean squared distances of all such clusters are above `threshold`, 0
/// to 4 for embeddings of unit length. This is what scikit-learn's `AgglomerativeClustering` does with a `connectivity` matrix.
///
/// Where every image's neighbours include all images within the threshold, these are the clusters of
/// [`agglomerative`](super::agglomerative()) with [`Linkage::Average`](super::Linkage::Average). The distances of clusters are exact
/// in any case: those of embeddings follow from sums over each cluster. Memory is about 16 bytes for each neighbour within the
/// threshold, and a copy of the embeddings.
///
/// # Errors
/// [`Error::Setting`] for another threshold, [`Error::Data`] where there is no image, an embedding is not of unit length, or the
/// neighbours are those of other images, [`Error::NotFinite`] where one is NaN or Inf.
pub fn graph(embeddings: &Embeddings, neighbours: &Neighbours, threshold: f32) -> Result<Clusters> {
    check_threshold(threshold, embeddings.unit_length())?;
    check_embeddings(embeddings)?;
    let n = embeddings.len();
    let known = neighbours.index.iter().all(|&at| at == u32::MAX || (at as usize) < n);
    if neighbours.len() != n || neighbours.distance.len() != neighbours.index.len() || !known {
        return Err(Error::Data(format!("the neighbours are not those of these {n} embeddings")));
    }
    let mut merging = Merging::new(embeddings, threshold);
    merging.connect(neighbours);
    merging.run();
    Ok(merging.sets.clusters())
}

/// Two clusters that may be merged: their distance, then the images that stand for them and how often each had been merged when
/// it was measured. Ordered by distance, equals by image.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// The bits of a float that is not negative, which are ordered as it is.
    distance: u32,
    clusters: [u32; 2],
    versions: [u32; 2],
}

struct Merging {
    threshold: f32,
    dim: usize,
    /// Sum of the embeddings of the cluster that an image stands for, `[n, dim]`.
    sums: Vec<f32>,
    /// Sum of their squared lengths.
    squares: Vec<f32>,
    sizes: Vec<f32>,
    versions: Vec<u32>,
    /// Clusters within the threshold, by any of their images.
    near: Vec<Vec<u32>>,
    sets: Sets,
    heap: BinaryHeap<Reverse<Candidate>>,
}

impl Merging {
    fn new(embeddings: &Embeddings, threshold: f32) -> Self {
        let n = embeddings.len();
        Self {
            threshold,
            dim: embeddings.dim(),
            sums: embeddings.as_slice().to_vec(),
            squares: embeddings.rows().map(|row| dot(row, row)).collect(),
            sizes: vec![1.0; n],
            versions: vec![0; n],
            near: vec![Vec::new(); n],
            sets: Sets::new(n),
            heap: BinaryHeap::new(),
        }
    }

    /// Joins images with their neighbours. Those beyond the threshold can be left out: the distance of a merged cluster lies
    /// between those of its parts, so that it is within the threshold only where a part's was, which is then joined.
    fn connect(&mut self, neighbours: &Neighbours) {
        for (image, own) in (0..).zip(0..neighbours.len()) {
            for (other, _) in
                neighbours.of(own).filter(|&(other, distance)| other != image && distance <= self.threshold)
            {
                self.near[image as usize].push(other);
                self.near[other as usize].push(image);
            }
        }
        for image in 0..self.near.len() {
            let near = &mut self.near[image];
            near.sort_unstable();
            near.dedup();
            near.shrink_to_fit();
        }
        for image in (0..).take(self.near.len()) {
            for at in 0..self.near[image as usize].len() {
                let other = self.near[image as usize][at];
                if image < other {
                    self.consider(image, other);
                }
            }
        }
    }

    /// Mean squared distance of the images of one cluster and those of another.
    fn distance(&self, a: u32, b: u32) -> f32 {
        let [a, b] = [a as usize, b as usize];
        let sum = |at: usize| &self.sums[at * self.dim..][..self.dim];
        let (product, sizes) = (dot(sum(a), sum(b)), self.sizes[a] * self.sizes[b]);
        (self.squares[a] / self.sizes[a] + self.squares[b] / self.sizes[b] - 2.0 * product / sizes).max(0.0)
    }

    /// Makes two clusters a candidate if they are close enough; says whether they are.
    fn consider(&mut self, a: u32, b: u32) -> bool {
        let distance = self.distance(a, b);
        let close = distance <= self.threshold;
        if close {
            let clusters = [a.min(b), a.max(b)];
            let versions = clusters.map(|at| self.versions[at as usize]);
            self.heap.push(Reverse(Candidate { distance: distance.to_bits(), clusters, versions }));
        }
        close
    }

    fn run(&mut self) {
        while let Some(Reverse(Candidate { clusters: [a, b], versions, .. })) = self.heap.pop() {
            if [a, b].map(|at| self.versions[at as usize]) == versions {
                self.merge(a, b);
            }
        }
    }

    /// Merges cluster `b` into `a`, whose image is the lower one.
    fn merge(&mut self, a: u32, b: u32) {
        self.sets.join(a, b);
        let [into, from] = [a as usize, b as usize];
        let (left, right) = self.sums.split_at_mut(from * self.dim);
        left[into * self.dim..][..self.dim].iter_mut().zip(&right[..self.dim]).for_each(|(sum, x)| *sum += x);
        self.squares[into] += self.squares[from];
        self.sizes[into] += self.sizes[from];
        for at in [into, from] {
            self.versions[at] += 1;
        }
        let mut near = std::mem::take(&mut self.near[into]);
        near.append(&mut self.near[from]);
        near.iter_mut().for_each(|image| *image = self.sets.of(*image));
        near.sort_unstable();
        near.dedup();
        near.retain(|&other| other != a && self.consider(a, other));
        self.near[into] = near;
    }
}

/// The product of two rows, in eight sums, which processors can compute side by side.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, b) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0_f32; 8];
    for (a, b) in a.0.iter().zip(b.0) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + a.1.iter().zip(b.1).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{around, unit_rows};
    use crate::cluster::{Linkage, agglomerative};

    fn of_cpu(e: &Embeddings, k: u32) -> Neighbours {
        neighbours(&Engine::Cpu, e, k, |_, _| ControlFlow::Continue(())).unwrap().unwrap()
    }

    #[test]
    fn with_all_images_as_neighbours_the_clusters_are_those_of_average_linkage() {
        let e = Embeddings::new(6, unit_rows(150, 6, 11)).unwrap();
        let all = of_cpu(&e, 1000);
        assert_eq!(all.k, 149);
        for threshold in [0.0, 0.2, 0.5, 0.8, 1.3, 2.0, 4.0] {
            let right = agglomerative(&e, Linkage::Average, threshold, 1 << 20).unwrap();
            assert_eq!(graph(&e, &all, threshold).unwrap(), right, "at {threshold}");
        }
    }

    #[test]
    fn a_person_with_far_more_images_than_neighbours_is_one_cluster() {
        let centre = |at: usize| (0..16).map(|i| f32::from(u8::from(i == at))).collect::<Vec<_>>();
        let centres: Vec<Vec<f32>> =
            (0..400).map(|image| centre(if image < 300 { 0 } else { 1 + image % 10 })).collect();
        let e = Embeddings::new(16, around(&centres, 0.08, 2)).unwrap();
        let found = graph(&e, &of_cpu(&e, 5), 0.7).unwrap();
        assert_eq!(found.sizes, [&[300][..], &[10; 10]].concat());
    }

    #[test]
    fn only_neighbours_are_merged() {
        // Three equal images; the second is nobody's neighbour.
        let e = Embeddings::new(1, vec![1.0; 3]).unwrap();
        let found = Neighbours { k: 1, index: vec![2, u32::MAX, 0], distance: vec![0.0, f32::INFINITY, 0.0] };
        assert_eq!(graph(&e, &found, 1.0).unwrap().labels, [0, 1, 0]);
    }

    #[test]
    fn one_image_is_a_cluster_and_what_does_not_fit_is_refused() {
        let one = Embeddings::new(2, vec![0.6, 0.8]).unwrap();
        assert_eq!(graph(&one, &of_cpu(&one, 5), 1.0).unwrap().labels, [0]);
        let e = Embeddings::new(2, unit_rows(4, 2, 1)).unwrap();
        assert!(graph(&e, &of_cpu(&one, 5), 1.0).unwrap_err().to_string().contains("not those of these 4"));
        assert!(graph(&e, &of_cpu(&e, 5), -1.0).unwrap_err().to_string().contains("`threshold`"));
        let none = neighbours(&Engine::Cpu, &e, 0, |_, _| ControlFlow::Continue(()));
        assert!(none.unwrap_err().to_string().contains("at least 1"));
        let stopped = neighbours(&Engine::Cpu, &Embeddings::new(2, unit_rows(3000, 2, 1)).unwrap(), 1, |_, _| {
            ControlFlow::Break(())
        });
        assert!(stopped.unwrap().is_none());
    }
}
