//! What a run tells while it goes on: rows of `metrics.jsonl` and `metrics.csv`, and an observer's view of them.

use serde::{Deserialize, Serialize};

use super::collapse::EQUAL;
use super::{Baselines, Versions};
use crate::data::faces::FaceSet;
use crate::eval::verification::Accuracy;
use crate::op::Stat;

/// One step, as the observer and `metrics.jsonl` see it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepReport {
    /// Number, from 1.
    pub step: usize,
    /// Epoch, from 1.
    pub epoch: u32,
    /// Mean loss over active triplets.
    pub loss: f32,
    /// Mean loss over all anchor-positive pairs.
    pub loss_all: f32,
    /// Anchor-positive pairs.
    pub pairs: f32,
    /// Active triplets: pairs that have a negative; with batch-all, each candidate of a pair makes one.
    pub active: f32,
    /// Images that could have become the negative of a pair, over all pairs.
    pub candidates: f32,
    /// Pairs without a candidate.
    pub skipped_pairs: f32,
    /// Pairs whose closest negative is farther than the positive by the margin or more.
    pub easy: f32,
    /// Pairs whose closest negative is farther than the positive, by less than the margin.
    pub semi_hard: f32,
    /// Pairs whose closest negative is as close as the positive, or closer.
    pub hard: f32,
    /// Mean squared distance of anchor and positive.
    pub d_ap: f32,
    /// Its standard deviation.
    pub d_ap_std: f32,
    /// Mean squared distance of anchor and the chosen negative.
    pub d_an: f32,
    /// Its standard deviation.
    pub d_an_std: f32,
    /// Mean squared distance of images of different people.
    pub d_different: f32,
    /// Length of the mean embedding: near 1 where all fall onto one point.
    pub mean_length: f32,
    /// Images that the second pass left out, having no gradient.
    pub skipped: usize,
    /// Part of the images whose person a loss over classes tells rightly, 0 to 1; 0 with the triplet loss.
    pub class_accuracy: f32,
    /// The triplets were chosen offline: each is a pair, and what is said of pairs is said of these alone.
    pub offline: bool,
    /// Learning rate.
    pub learning_rate: f32,
    /// Seconds since training began.
    pub seconds: f64,
}

impl StepReport {
    /// A row from the statistics of the triplet loss (see [`Stat`]).
    pub(super) fn new(step: usize, epoch: u32, s: &[f32], learning_rate: f32, seconds: f64) -> Self {
        Self {
            step,
            epoch,
            loss: s[Stat::Loss],
            loss_all: s[Stat::LossPerPair],
            pairs: s[Stat::Pairs],
            active: s[Stat::Active],
            candidates: s[Stat::Candidates],
            skipped_pairs: s[Stat::SkippedPairs],
            easy: s[Stat::Easy],
            semi_hard: s[Stat::SemiHard],
            hard: s[Stat::Hard],
            d_ap: s[Stat::PositiveDistance],
            d_ap_std: s[Stat::PositiveStd],
            d_an: s[Stat::NegativeDistance],
            d_an_std: s[Stat::NegativeStd],
            d_different: s[Stat::DifferentDistance],
            mean_length: s[Stat::MeanLength],
            skipped: 0,
            class_accuracy: s.get(Stat::COUNT).copied().unwrap_or(0.0),
            offline: false,
            learning_rate,
            seconds,
        }
    }
}

/// One offline selection, as the observer and `selections.csv` see it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SelectionReport {
    /// Steps that were done before.
    pub step: usize,
    /// Images that were selected from.
    pub images: usize,
    /// Triplets found.
    pub triplets: usize,
    /// Triplets that the steps until the next selection train on: as many as fit into their batches.
    pub used: usize,
    /// Mean squared distance of anchor and positive.
    pub d_ap: f64,
    /// Mean squared distance of anchor and negative.
    pub d_an: f64,
    /// Seconds that it took.
    pub seconds: f64,
}

/// One epoch, as the observer and `metrics.csv` see it. Of pairs and triplets it tells what the steps met that chose from
/// their batch, if there are any.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EpochReport {
    /// Number, from 1.
    pub epoch: u32,
    /// Steps so far.
    pub step: usize,
    /// Mean loss over active triplets.
    pub loss: f64,
    /// Mean loss over all pairs.
    pub loss_all: f64,
    /// Part of the pairs that have a negative, 0 to 1.
    pub active: f64,
    /// Images that could have become the negative of a pair, per pair.
    pub candidates: f64,
    /// Part of the pairs that is easy.
    pub easy: f64,
    /// Part of the pairs that is semi-hard.
    pub semi_hard: f64,
    /// Part of the pairs that is hard.
    pub hard: f64,
    /// Mean squared distance of anchor and positive.
    pub d_ap: f64,
    /// Its standard deviation in a batch, on average.
    pub d_ap_std: f64,
    /// Mean squared distance of anchor and the chosen negative.
    pub d_an: f64,
    /// Its standard deviation in a batch, on average.
    pub d_an_std: f64,
    /// Mean squared distance of images of different people.
    pub d_different: f64,
    /// Length of a batch's mean embedding, on average.
    pub mean_length: f64,
    /// Images that a step's second pass left out, having no gradient: mean of the steps.
    pub skipped: f64,
    /// Part of the images whose person a loss over classes tells rightly; 0 with the triplet loss.
    pub class_accuracy: f64,
    /// Part of the steps that trained on triplets chosen offline.
    pub offline: f64,
    /// Verification accuracy on held-out people, 0 to 1; empty without any.
    pub accuracy: Option<f64>,
    /// Lower end of its 95 % confidence interval.
    pub accuracy_low: Option<f64>,
    /// Upper end.
    pub accuracy_high: Option<f64>,
    /// Threshold that suits all pairs best; empty without held-out people.
    pub threshold: Option<f32>,
    /// Accuracy on pairs of other images, at that threshold, 0 to 1; empty without any.
    pub pairs_accuracy: Option<f64>,
    /// Lower end of its 95 % confidence interval.
    pub pairs_accuracy_low: Option<f64>,
    /// Upper end.
    pub pairs_accuracy_high: Option<f64>,
    /// No epoch before was better.
    pub best: bool,
    /// Learning rate of the last step.
    pub learning_rate: f32,
    /// Training images per second in this epoch, evaluation apart.
    pub images_per_second: f64,
    /// Part of the training time spent waiting for images, 0 to 1.
    pub data_wait: f64,
    /// Seconds since training began.
    pub seconds: f64,
}

impl EpochReport {
    /// Embeddings of different people were equal but for rounding in all steps.
    pub fn all_equal(&self) -> bool {
        self.d_different <= f64::from(EQUAL)
    }
}

/// What will be trained on, known once the data is split and the baselines are measured.
#[derive(Debug)]
#[non_exhaustive]
pub struct Setup<'a> {
    /// The data.
    pub set: &'a FaceSet,
    /// People to train on.
    pub train_people: usize,
    /// Their images.
    pub train_images: usize,
    /// People held out, as places in the set's list.
    pub held_out: &'a [usize],
    /// P, after any lowering.
    pub people: usize,
    /// K, after any lowering.
    pub images: usize,
    /// M, after any lowering.
    pub negatives: usize,
    /// Images that go through the network at a time, at most the batch.
    pub chunk: usize,
    /// Steps in all.
    pub steps: usize,
    /// Steps that were done before, by the run that this one goes on from.
    pub first: usize,
    /// Trained parameters.
    pub params: u64,
    /// Multiply-adds of one image.
    pub macs: u64,
    /// Bytes of a step's plan on the device, and of the evaluation beside it.
    pub bytes: u64,
    /// Pairs of an evaluation; 0 without held-out people.
    pub pairs: usize,
    /// What is reached without training; `None` without held-out people.
    pub baselines: Option<Baselines>,
}

/// How fast the steps of an epoch are so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Pace {
    /// Training images per second.
    pub images_per_second: f64,
    /// Part of the time spent waiting for images, 0 to 1.
    pub data_wait: f64,
}

/// What happens is told to an observer as it happens.
pub trait Observer {
    /// Before the first step.
    fn begin(&mut self, _setup: &Setup<'_>) {}
    /// What of a weights file the starting weights are, and what was drawn.
    fn starting(&mut self, _said: &str) {}
    /// Something that the user should know.
    fn warning(&mut self, _message: &str) {}
    /// While many images are embedded outside of steps: how many of `of` are done. `what` says what they are for.
    fn embedding(&mut self, _what: &str, _done: usize, _of: usize) {}
    /// After each offline selection.
    fn selected(&mut self, _report: &SelectionReport) {}
    /// After each step, a step or two late.
    fn step(&mut self, _report: &StepReport, _pace: &Pace) {}
    /// After each epoch.
    fn epoch(&mut self, _report: &EpochReport) {}
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// All epochs are done.
    Done,
    /// The caller asked to stop.
    Stopped,
    /// The time that it may take is over.
    TimeOver,
    /// So many epochs were no better than the best one.
    NoBetter(u32),
}

/// Whether training has helped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The accuracy is above both baselines, and so is its whole confidence interval.
    Better,
    /// It is above both, and its confidence interval is not: more held-out people would tell.
    Unclear,
    /// It is not above both.
    #[serde(rename = "not better")]
    NotBetter,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Steps that were run, those before a break included.
    pub steps: usize,
    /// Epochs that are complete.
    pub epochs: u32,
    /// Accuracy of the best epoch; `None` without held-out people or before the first evaluation.
    pub best: Option<Accuracy>,
    /// The baselines.
    pub baselines: Option<Baselines>,
    /// Accuracy within and across versions, of the best weights; `None` unless they are to stay comparable.
    pub versions: Option<Versions>,
    /// The embeddings of different people were equal in the last epoch: the images do not differ.
    pub all_equal: bool,
    /// Why it ended.
    pub end: End,
    /// Seconds, evaluations and the time before a break included.
    pub seconds: f64,
}

impl Summary {
    /// Nothing was trained.
    pub(super) fn stopped_before_the_first_step() -> Self {
        let (best, baselines, versions) = (None, None, None);
        Self { steps: 0, epochs: 0, best, baselines, versions, all_equal: false, end: End::Stopped, seconds: 0.0 }
    }

    /// What the accuracy of the best weights says beside the better of both baselines; `None` where nothing was measured.
    pub fn verdict(&self) -> Option<Verdict> {
        let (best, baselines) = (self.best?, self.baselines?);
        let baseline = baselines.pixels.accuracy.max(baselines.untrained.accuracy);
        Some(match best.interval() {
            _ if best.accuracy <= baseline => Verdict::NotBetter,
            [low, _] if low <= baseline => Verdict::Unclear,
            _ => Verdict::Better,
        })
    }

    /// Whether the caller asked to stop early.
    pub fn stopped(&self) -> bool {
        self.end == End::Stopped
    }
}
