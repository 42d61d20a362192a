//! Slots of the output of [`TripletLoss`](super::TripletLoss). A mean over nothing is 0. A pair is an anchor and a positive
//! that was selected for it; which pairs are easy, semi-hard or hard does not depend on how negatives are selected.

/// Mean loss over the active triplets. NaN if any distance of the batch is not finite.
pub const LOSS: usize = 0;
/// Sum of the losses divided by all pairs, so that pairs already learnt count as 0; with
/// [`Mining::BatchAll`](super::Mining::BatchAll) divided by [`TRIPLETS`]. NaN if any distance of the batch is not finite.
pub const LOSS_PER_PAIR: usize = 1;
/// Pairs. With all positives each two images of one person are two of them.
pub const PAIRS: usize = 2;
/// Active triplets: those that make the loss. At most one of a pair, except with batch-all.
pub const ACTIVE: usize = 3;
/// Mean squared distance of the pairs.
pub const POSITIVE_DISTANCE: usize = 4;
/// Mean squared distance between the anchors and the negatives of the active triplets.
pub const NEGATIVE_DISTANCE: usize = 5;
/// Mean squared distance of all pairs of images of different people.
pub const DIFFERENT_DISTANCE: usize = 6;
/// Hard pairs: some image of another person is as close to the anchor as the positive, or closer. If all embeddings
/// collapse to one point, every pair is hard.
pub const HARD: usize = 7;
/// Semi-hard pairs: the closest image of another person is farther than the positive, by less than the margin.
pub const SEMI_HARD: usize = 8;
/// Easy pairs: all images of other people are farther than the positive by the margin or more.
pub const EASY: usize = 9;
/// Candidates of all pairs: images that could have become the negative of an anchor and its positive.
pub const CANDIDATES: usize = 10;
/// Pairs without a candidate: they are skipped.
pub const SKIPPED_PAIRS: usize = 11;
/// Standard deviation of the squared distances of the pairs.
pub const POSITIVE_SPREAD: usize = 12;
/// Standard deviation of the squared distances between the anchors and the negatives of the active triplets.
pub const NEGATIVE_SPREAD: usize = 13;
/// Length of the mean embedding. For embeddings of length 1 it is near 1 where all of them have collapsed to one point.
pub const MEAN_LENGTH: usize = 14;
/// What [`LOSS_PER_PAIR`] is a mean over: the pairs, or, with batch-all, every pair with every image of another person.
pub const TRIPLETS: usize = 15;
/// Number of slots.
pub const COUNT: usize = 16;
/// The slots before this one have a gradient.
pub const DIFFERENTIABLE: usize = 2;

/// [`COUNT`] as sizes are counted.
pub(super) const COUNT_U32: u32 = 16;
