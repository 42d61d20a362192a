//! What the output of the loss holds, and the sums of each anchor that it is made of.

slots! {
    /// Slots of the output of [`TripletLoss`](super::TripletLoss): index it by them. A mean over nothing is 0. A pair is an
    /// anchor and a positive that was selected for it; which pairs are easy, semi-hard or hard does not depend on how
    /// negatives are selected.
    pub enum Stat {
        /// Mean loss over the active triplets. NaN if any distance of the batch is not finite.
        Loss = "STAT_LOSS",
        /// Sum of the losses divided by all pairs, so that pairs already learnt count as 0; with
        /// [`Mining::BatchAll`](super::Mining::BatchAll) divided by [`Triplets`](Self::Triplets). NaN if any distance of
        /// the batch is not finite.
        LossPerPair = "STAT_LOSS_PER_PAIR",
        /// Pairs. With all positives each two images of one person are two of them.
        Pairs = "STAT_PAIRS",
        /// Active triplets: those that make the loss. At most one of a pair, except with batch-all.
        Active = "STAT_ACTIVE",
        /// Mean squared distance of the pairs.
        PositiveDistance = "STAT_POSITIVE_DISTANCE",
        /// Mean squared distance between the anchors and the negatives of the active triplets.
        NegativeDistance = "STAT_NEGATIVE_DISTANCE",
        /// Mean squared distance of all pairs of images of different people.
        DifferentDistance = "STAT_DIFFERENT_DISTANCE",
        /// Hard pairs: some image of another person is as close to the anchor as the positive, or closer. If all
        /// embeddings collapse to one point, every pair is hard.
        Hard = "STAT_HARD",
        /// Semi-hard pairs: the closest image of another person is farther than the positive, by less than the margin.
        SemiHard = "STAT_SEMI_HARD",
        /// Easy pairs: all images of other people are farther than the positive by the margin or more.
        Easy = "STAT_EASY",
        /// Candidates of all pairs: images that could have become the negative of an anchor and its positive.
        Candidates = "STAT_CANDIDATES",
        /// Pairs without a candidate: they are skipped.
        SkippedPairs = "STAT_SKIPPED_PAIRS",
        /// Standard deviation of the squared distances of the pairs.
        PositiveStd = "STAT_POSITIVE_STD",
        /// Standard deviation of the squared distances between the anchors and the negatives of the active triplets.
        NegativeStd = "STAT_NEGATIVE_STD",
        /// Length of the mean embedding. For embeddings of length 1 it is near 1 where all of them have collapsed to one
        /// point.
        MeanLength = "STAT_MEAN_LENGTH",
        /// What [`LossPerPair`](Self::LossPerPair) is a mean over: the pairs, or, with batch-all, every pair with every
        /// image of another person.
        Triplets = "STAT_TRIPLETS",
    }
}

impl Stat {
    /// The slots before this one have a gradient.
    pub const DIFFERENTIABLE: usize = 2;

    /// The sizes of the output.
    pub(in crate::op) fn shape() -> crate::plan::Shape {
        crate::plan::Shape::vector(u32::try_from(Self::COUNT).expect("a few slots"))
    }
}

slots! {
    /// Sums of each anchor over its pairs: what `triplet_pairs` shares.
    pub(super) enum PairSum {
        /// Number of positives.
        Count = "PAIR_COUNT",
        /// Of their distances.
        Distance = "PAIR_DISTANCE",
        /// Of the squares of what their distances differ from their mean by.
        Squares = "PAIR_SQUARES",
        /// Hard pairs.
        Hard = "PAIR_HARD",
        /// Semi-hard pairs.
        SemiHard = "PAIR_SEMI_HARD",
        /// Images of other people.
        Others = "PAIR_OTHERS",
        /// Of their distances.
        OtherDistance = "PAIR_OTHER_DISTANCE",
        /// Of the distances of all images: not finite if any is not.
        AllDistance = "PAIR_ALL_DISTANCE",
    }
}

slots! {
    /// Sums of each anchor over its triplets: what the selections share. A row has as many floats as that of [`PairSum`];
    /// the rest is 0.
    pub(super) enum TripletSum {
        /// Of the losses.
        Loss = "TRIPLET_LOSS",
        /// Number of triplets.
        Count = "TRIPLET_COUNT",
        /// Candidates of all positives.
        Candidates = "TRIPLET_CANDIDATES",
        /// Of the distances of the negatives.
        Distance = "TRIPLET_DISTANCE",
        /// Of the squares of what these differ from their mean by.
        Squares = "TRIPLET_SQUARES",
        /// Positives that have a candidate.
        Pairs = "TRIPLET_PAIRS",
        /// Triplets that could have been.
        Possible = "TRIPLET_POSSIBLE",
    }
}

#[cfg(test)]
mod tests {
    use super::super::SLOTS;
    use super::super::kernels::{CLOSEST, PAIRS, STATS};
    use super::*;
    use crate::op::slots::assert_same;

    #[test]
    fn statistics_and_sums_have_the_same_places_in_wgsl_and_in_rust() {
        assert_same(&STATS, "STAT_", &Stat::WGSL);
        for kernel in [&PAIRS, &CLOSEST, &STATS] {
            assert_same(kernel, "PAIR_", &PairSum::WGSL);
            assert_same(kernel, "TRIPLET_", &TripletSum::WGSL);
            assert_eq!(kernel.interface().constant("SLOTS"), SLOTS);
        }
    }

    #[test]
    fn a_row_is_indexed_by_name() {
        let mut row = [0.0; Stat::COUNT];
        row[Stat::Triplets] = 3.0;
        assert_eq!((row[15], Stat::Triplets.index(), Stat::ALL[15]), (3.0, 15, Stat::Triplets));
    }
}
