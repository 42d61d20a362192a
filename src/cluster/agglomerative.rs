//! Agglomerative clustering: the two closest clusters become one, again and again, until none are close enough.

use super::clusters::{Clusters, Sets, check_threshold};
use super::condensed::{matrix_bytes, squared_distances, too_large};
use crate::text::shown;
use crate::{Embeddings, Error, Result};

/// How far the squared length of an embedding may be from 1: bytes in place of floats are that coarse.
const UNIT: f32 = 0.02;

/// The distance of two clusters, from the squared distances of their images.
///
/// Ward's criterion is not among them: it grows with the size of clusters, so that no threshold for two images suits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum Linkage {
    /// The mean over all pairs of images
    #[default]
    Average,
    /// That of the farthest images
    Complete,
    /// That of the closest images
    Single,
}

impl Linkage {
    fn method(self) -> kodama::Method {
        match self {
            Self::Average => kodama::Method::Average,
            Self::Complete => kodama::Method::Complete,
            Self::Single => kodama::Method::Single,
        }
    }
}

/// Every merge of an agglomerative clustering, from which the clusters of any threshold follow.
#[derive(Debug, Clone)]
pub struct Dendrogram {
    images: usize,
    /// The two clusters, by an image of each, and their squared distance, which never falls.
    merges: Vec<(u32, u32, f32)>,
    unit_length: bool,
}

impl Dendrogram {
    /// Merges all images into one cluster by the crate `kodama` (Muellner's algorithms), in a time that grows with the square of
    /// the number of images, and in [`matrix_bytes`] of memory, `budget` bytes at most.
    ///
    /// # Errors
    /// [`Error::Data`] where there is no image or an embedding is not of unit length, [`Error::NotFinite`] where one is NaN or Inf, [`Error::Setting`]
    /// where the memory does not suffice: then [`graph`](super::graph()) is for so many images.
    pub fn new(embeddings: &Embeddings, linkage: Linkage, budget: u64) -> Result<Self> {
        let images = embeddings.len();
        check_embeddings(embeddings)?;
        if matrix_bytes(images) > budget {
            return Err(too_large(images, Some(budget)));
        }
        let mut matrix = squared_distances(embeddings)?;
        let steps = kodama::linkage(&mut matrix, images, linkage.method());
        drop(matrix);
        // kodama numbers a new cluster behind the images and the clusters before it; one of its images stands for it here.
        let count = |n: usize| u32::try_from(n).expect("images are counted in u32");
        let mut image_of: Vec<u32> = (0..count(images)).collect();
        let mut merges = Vec::with_capacity(steps.len());
        for step in steps.steps() {
            let (a, b) = (image_of[step.cluster1], image_of[step.cluster2]);
            merges.push((a, b, step.dissimilarity));
            image_of.push(a);
        }
        Ok(Self { images, merges, unit_length: embeddings.unit_length() })
    }

    /// The clusters whose distances are all above `threshold`, a squared distance: 0 to 4 for embeddings of unit length.
    ///
    /// # Errors
    /// [`Error::Setting`] for any other threshold.
    pub fn cut(&self, threshold: f32) -> Result<Clusters> {
        check_threshold(threshold, self.unit_length)?;
        let mut sets = Sets::new(self.images);
        for &(a, b, _) in self.merges.iter().take_while(|(_, _, distance)| *distance <= threshold) {
            sets.join(a, b);
        }
        Ok(sets.clusters())
    }
}

/// Clusters embeddings until the distances of all clusters, as `linkage` defines them, are above `threshold`, a squared
/// distance: 0 to 4 for embeddings of unit length. It needs [`matrix_bytes`] of memory, `budget` bytes at most.
///
/// # Errors
/// As [`Dendrogram::new`] and [`Dendrogram::cut`].
pub fn agglomerative(embeddings: &Embeddings, linkage: Linkage, threshold: f32, budget: u64) -> Result<Clusters> {
    check_threshold(threshold, embeddings.unit_length())?;
    Dendrogram::new(embeddings, linkage, budget)?.cut(threshold)
}

/// Checks that embeddings can be clustered.
///
/// # Errors
/// There are none, or one is NaN, Inf or not of unit length where it should be.
pub(super) fn check_embeddings(embeddings: &Embeddings) -> Result<()> {
    if embeddings.is_empty() {
        return Err(Error::Data("there is no embedding to cluster".into()));
    }
    if u32::try_from(embeddings.len()).is_err() {
        return Err(Error::Data(format!("{} embeddings are more than can be counted", embeddings.len())));
    }
    for (at, row) in embeddings.rows().enumerate() {
        let square: f32 = row.iter().map(|x| x * x).sum();
        if !square.is_finite() {
            return Err(Error::NotFinite(format!("the embedding of {} holds NaN or Inf", shown(&embeddings.id(at)))));
        }
        if embeddings.unit_length() && (square - 1.0).abs() > UNIT {
            return Err(Error::Data(format!(
                "the embedding of {} has the length {:.3} instead of 1; divide each embedding by its length",
                shown(&embeddings.id(at)),
                square.sqrt()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{around, unit_rows};

    const PLENTY: u64 = 1 << 30;

    /// Merges the two closest clusters by the definition, until none are within the threshold.
    fn plain(e: &Embeddings, linkage: Linkage, threshold: f64) -> Vec<Vec<usize>> {
        let pair = |i: usize, j: usize| e[i].iter().zip(&e[j]).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        let distance = |a: &Vec<usize>, b: &Vec<usize>| {
            let all = a.iter().flat_map(|&i| b.iter().map(move |&j| pair(i, j)));
            match linkage {
                Linkage::Average => all.sum::<f64>() / (a.len() * b.len()) as f64,
                Linkage::Complete => all.fold(0.0, f64::max),
                Linkage::Single => all.fold(9.0, f64::min),
            }
        };
        let mut clusters: Vec<Vec<usize>> = (0..e.len()).map(|i| vec![i]).collect();
        loop {
            let pairs = (0..clusters.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
            let closest =
                pairs.map(|(a, b)| (distance(&clusters[a], &clusters[b]), a, b)).min_by(|x, y| x.0.total_cmp(&y.0));
            match closest {
                Some((d, a, b)) if d <= threshold => {
                    let other = clusters.remove(b);
                    clusters[a].extend(other);
                    clusters[a].sort_unstable();
                }
                _ => break,
            }
        }
        clusters.sort_by_key(|members| (std::cmp::Reverse(members.len()), members[0]));
        clusters
    }

    #[test]
    fn clusters_are_those_of_the_definition_at_every_threshold() {
        let e = Embeddings::new(5, unit_rows(40, 5, 3)).unwrap();
        for linkage in [Linkage::Average, Linkage::Complete, Linkage::Single] {
            let dendrogram = Dendrogram::new(&e, linkage, PLENTY).unwrap();
            for threshold in [0.0_f32, 0.1, 0.3, 0.6, 1.0, 1.7, 2.5, 4.0] {
                let right = plain(&e, linkage, f64::from(threshold));
                assert_eq!(dendrogram.cut(threshold).unwrap().members(), right, "{linkage:?} at {threshold}");
            }
        }
    }

    #[test]
    fn planted_clusters_and_outsiders_are_found() {
        let centres =
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]];
        let e = Embeddings::new(3, around(&centres.map(Vec::from), 0.05, 7)).unwrap();
        let found = agglomerative(&e, Linkage::Average, 0.5, PLENTY).unwrap();
        assert_eq!(found.labels, [0, 1, 1, 0, 0, 2]);
        assert_eq!((found.len(), found.singletons()), (3, 1));
    }

    #[test]
    fn one_image_is_a_cluster_and_copies_are_one() {
        let one = Embeddings::new(2, vec![0.6, 0.8]).unwrap();
        assert_eq!(agglomerative(&one, Linkage::Average, 1.0, 0).unwrap().labels, [0]);
        let copies = Embeddings::new(2, [0.6, 0.8].repeat(5)).unwrap();
        assert_eq!(agglomerative(&copies, Linkage::Complete, 1e-6, PLENTY).unwrap().sizes, [5]);
    }

    #[test]
    fn what_cannot_be_clustered_is_refused_in_words() {
        let e = Embeddings::new(3, unit_rows(50, 3, 1)).unwrap();
        let refused = |e: &Embeddings, threshold, budget| {
            agglomerative(e, Linkage::Average, threshold, budget).unwrap_err().to_string()
        };
        assert!(refused(&e, 5.0, PLENTY).contains("`threshold` is a squared distance between 0"));
        let text = refused(&e, 1.0, 4 * 1225 - 1);
        assert!(text.contains("50 images") && text.contains("`method` graph"), "{text}");
        agglomerative(&e, Linkage::Average, 1.0, 4 * 1225).unwrap();
        assert!(refused(&Embeddings::new(3, vec![]).unwrap(), 1.0, PLENTY).contains("no embedding"));
        assert!(
            refused(&Embeddings::new(2, vec![3.0, 4.0]).unwrap(), 1.0, PLENTY)
                .contains("the length 5.000 instead of 1")
        );
    }
}
