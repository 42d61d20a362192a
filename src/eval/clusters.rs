//! How well a clustering agrees with what is known: precision and recall of pairs and of images, and mutual information.

use std::collections::BTreeMap;

use crate::{Error, Result};

/// Precision, recall and their harmonic mean, each from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrecisionRecall {
    /// Part of what was put together that belongs together; 1 where nothing was put together.
    pub precision: f64,
    /// Part of what belongs together that was put together; 1 where nothing belongs together.
    pub recall: f64,
    /// `2 precision recall / (precision + recall)`.
    pub f: f64,
}

impl PrecisionRecall {
    fn new(precision: f64, recall: f64) -> Self {
        let sum = precision + recall;
        Self { precision, recall, f: if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 } }
    }
}

/// Agreement of two partitions of the same images.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Agreement {
    /// Images.
    pub images: usize,
    /// People who are known.
    pub people: usize,
    /// Clusters that were found.
    pub clusters: usize,
    /// Over all pairs of images: a pair is right where both or neither partition put it together.
    pub pairwise: PrecisionRecall,
    /// B-cubed (Bagga and Baldwin, 1998): for each image the part of its cluster that is of its person, and the part of its
    /// person that is in its cluster; means over all images, and the harmonic mean of the two means.
    pub b_cubed: PrecisionRecall,
    /// Normalised mutual information: by the arithmetic mean of both entropies, as scikit-learn's
    /// `normalized_mutual_info_score`.
    pub nmi: f64,
}

/// Compares the clusters `found` with the people of the same images, `truth`. What the labels are does not matter, only which
/// are equal.
///
/// # Errors
/// There are no images, or not as many labels of either kind.
pub fn agreement<T: Ord, F: Ord>(truth: &[T], found: &[F]) -> Result<Agreement> {
    if truth.len() != found.len() || truth.is_empty() {
        let message =
            format!("expected a person and a cluster for each image, got {} and {}", truth.len(), found.len());
        return Err(Error::Data(message));
    }
    let (mut people, mut clusters, mut both) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (person, cluster) in truth.iter().zip(found) {
        *people.entry(person).or_insert(0_u64) += 1;
        *clusters.entry(cluster).or_insert(0_u64) += 1;
        *both.entry((person, cluster)).or_insert(0_u64) += 1;
    }
    let n = truth.len() as f64;
    let part = |right: u64, of: u64| if of == 0 { 1.0 } else { right as f64 / of as f64 };
    let [right, claimed, wanted] = [pairs(both.values()), pairs(clusters.values()), pairs(people.values())];
    let (mut precision, mut recall, mut information) = (0.0, 0.0, 0.0);
    for ((person, cluster), &count) in &both {
        let (count, person, cluster) = (count as f64, people[person] as f64, clusters[cluster] as f64);
        precision += count * count / cluster;
        recall += count * count / person;
        information += count / n * (n * count / (person * cluster)).ln();
    }
    let entropies = entropy(people.values(), n) + entropy(clusters.values(), n);
    Ok(Agreement {
        images: truth.len(),
        people: people.len(),
        clusters: clusters.len(),
        pairwise: PrecisionRecall::new(part(right, claimed), part(right, wanted)),
        b_cubed: PrecisionRecall::new(precision / n, recall / n),
        // Two partitions without any entropy are the same.
        nmi: if entropies == 0.0 { 1.0 } else { (2.0 * information / entropies).clamp(0.0, 1.0) },
    })
}

/// Pairs inside sets of these sizes.
fn pairs<'a>(sizes: impl Iterator<Item = &'a u64>) -> u64 {
    sizes.map(|size| size * (size - 1) / 2).sum()
}

/// Entropy in nats of a partition of `n` images into sets of these sizes.
fn entropy<'a>(sizes: impl ExactSizeIterator<Item = &'a u64>, n: f64) -> f64 {
    if sizes.len() == 1 {
        return 0.0;
    }
    sizes.map(|&size| size as f64 / n).map(|part| -part * part.ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: u32 = 300;

    /// Person and cluster of an image.
    type Case = fn(u32) -> (u32, u32);

    /// `CASES` of `tests/golden/make_clusters.py`, which printed the figures: of pairs, B-cubed, NMI.
    #[expect(clippy::type_complexity, reason = "a table")]
    const CASES: [(&str, Case, [f64; 3], [f64; 3], f64); 4] = [
        (
            "unlike",
            |i| (i * i % 11, (i * 7 + i / 5) % 13),
            [0.143_891_402_714_932_12, 0.062_426_383_981_154_3, 0.087_075_575_027_382_25],
            [0.181_029_863_855_950_6, 0.080_638_287_638_287_69, 0.111_575_964_819_376_5],
            0.011_299_464_626_150_385,
        ),
        (
            "alike",
            |i| (i / 7, if i % 10 > 0 { i / 7 } else { 1000 + i % 4 }),
            [0.773_462_783_171_521_1, 0.799_331_103_678_929_8, 0.786_184_210_526_315_8],
            [0.906_666_666_666_666_5, 0.828_571_428_571_43, 0.865_861_690_450_055_7],
            0.925_991_961_076_177_5,
        ),
        (
            "one cluster",
            |i| (i / 50, 0),
            [0.163_879_598_662_207_36, 1.0, 0.281_609_195_402_298_84],
            [0.166_666_666_666_666_1, 1.0, 0.285_714_285_714_284_87],
            0.0,
        ),
        (
            "alone",
            |i| (i / 3, i),
            [1.0, 0.0, 0.0],
            [1.0, 0.333_333_333_333_332_2, 0.499_999_999_999_998_7],
            0.893_431_241_287_759_7,
        ),
    ];

    #[test]
    fn figures_are_those_of_scikit_learn() {
        for (name, labels, pairwise, b_cubed, nmi) in CASES {
            let (truth, found): (Vec<u32>, Vec<u32>) = (0..N).map(labels).unzip();
            let got = agreement(&truth, &found).unwrap();
            let close = |what: &str, got: f64, right: f64| {
                assert!((got - right).abs() < 1e-9, "{name}: {what} is {got}, not {right}");
            };
            for (what, got, right) in [("pairs", got.pairwise, pairwise), ("B-cubed", got.b_cubed, b_cubed)] {
                close(&format!("precision of {what}"), got.precision, right[0]);
                close(&format!("recall of {what}"), got.recall, right[1]);
                close(&format!("F of {what}"), got.f, right[2]);
            }
            close("NMI", got.nmi, nmi);
        }
    }

    #[test]
    fn equal_partitions_agree_wholly_whatever_their_labels() {
        let got = agreement(&["b", "a", "b", "c"], &[1, 7, 1, 0]).unwrap();
        let whole = PrecisionRecall { precision: 1.0, recall: 1.0, f: 1.0 };
        assert_eq!((got.pairwise, got.b_cubed, got.images, got.people, got.clusters), (whole, whole, 4, 3, 3));
        assert!((got.nmi - 1.0).abs() < 1e-12);
        assert_eq!(agreement(&[1], &[1]).unwrap().nmi, 1.0);
    }

    #[test]
    fn labels_that_do_not_pair_up_are_refused() {
        assert!(agreement(&[1, 2], &[1]).unwrap_err().to_string().contains("got 2 and 1"));
        assert!(agreement::<u8, u8>(&[], &[]).is_err());
    }
}
