//! Every setting of a training run, with its default.

#[cfg(feature = "program")]
mod file;
#[cfg(feature = "program")]
mod flags;
mod groups;
mod optimiser;
mod schedule;

#[cfg(feature = "program")]
pub(crate) use flags::image_size;

pub use schedule::{RateFrom, Schedule, read_rates};

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::OnCollapse;
use crate::data::augment::Augment;
use crate::data::decode::MIN_SIDE;
use crate::data::folder::Layout;
use crate::data::preprocess::{Crop, Normalise};
use crate::data::sampler::PkConfig;
use crate::graph::Purpose;
use crate::op::{MarginCrossEntropy, Mining, Positives, TripletLoss};
use crate::train::Offline;
use crate::weights::Origin;
use crate::{Error, Result};

/// Which optimiser turns gradients into new weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "program", derive(clap::ValueEnum), value(rename_all = "lowercase"))]
pub enum OptimiserKind {
    /// AdaGrad, the paper's
    AdaGrad,
    /// Stochastic gradient descent with momentum
    Sgd,
    /// RMSProp
    RmsProp,
    /// Adam
    Adam,
    /// Adam with weight decay apart from the gradient
    AdamW,
}

/// What training minimises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "program", derive(clap::ValueEnum), value(rename_all = "lowercase"))]
pub enum LossKind {
    /// Triplet loss, the paper's
    #[default]
    Triplet,
    /// Softmax over the people
    Softmax,
    /// Softmax with an additive angular margin (ArcFace)
    ArcFace,
}

/// A time in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seconds(pub u64);

impl Seconds {
    /// As a floating-point number.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64
    }
}

/// A number, or `None` for "as it fits". The flag says the latter with a word, which the name `Option` would hide from clap.
type Automatic = Option<u32>;

/// Lists that one flag gives as a whole, which `Vec` would hide from clap.
type Rates = Vec<RateFrom>;
type Betas = [f32; 2];

/// Every setting of a training run, defined once: `args.toml` holds the fields under their names, the program has a flag for
/// each, with the texts below as help, and messages name them in backticks. [`Config::with`] changes some of them:
///
/// ```
/// # use facenet_gpu::train::Config;
/// let config = Config::default().with(|c| {
///     c.people = 8;
///     c.margin = 0.3;
/// });
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "program", derive(clap::Args))]
#[non_exhaustive]
pub struct Config {
    /// Network: one of those that `summary` lists.
    #[cfg_attr(feature = "program", arg(long = "net", value_name = "NAME", default_value_t = Self::default().network))]
    pub network: String,

    /// Height and width of the images in pixels, such as 96x96 [default: the network's own].
    #[cfg_attr(feature = "program", arg(long, value_name = "HxW", value_parser = flags::image_size))]
    pub input: Option<[u32; 2]>,

    /// Dimensions of an embedding [default: the network's own, 128 for most].
    #[cfg_attr(feature = "program", arg(long, value_name = "DIM", value_parser = clap::value_parser!(u32).range(2..=4096)))]
    pub embedding: Option<u32>,

    /// How bytes become floats [default: fixed, or that of the starting weights].
    #[cfg_attr(feature = "program", arg(long, value_enum))]
    pub normalise: Option<Normalise>,

    /// Part of the images that the network sees, such as center:150 for a square of 150 pixels in the middle; kept in the
    /// weights file [default: all, or that of the starting weights].
    #[cfg_attr(feature = "program", arg(long, value_name = "center:N"))]
    pub crop: Option<Crop>,

    /// Weights file to start from, in place of random weights; also its network and sizes, where they are not given.
    #[cfg_attr(feature = "program", arg(long, value_name = "WEIGHTS"))]
    pub init: Option<PathBuf>,

    /// P: people per batch; lowered, with a warning, where there are fewer [default: 16; with a given batch as many as fit].
    #[cfg_attr(feature = "program",
               arg(short = 'P', long, value_name = "P", default_value_t = Self::default().people, hide_default_value = true))]
    pub people: usize,

    /// K: images per person in a batch; who has fewer gives all, and other people fill the batch.
    #[cfg_attr(feature = "program", arg(short = 'K', long, value_name = "K", default_value_t = Self::default().images))]
    pub images: usize,

    /// M: random images of other people in each batch, beside the P x K; lowered, with a warning, where there are fewer
    /// [default: people with a single image, as many as P; with a given batch what P x K leaves].
    #[cfg_attr(feature = "program", arg(long, value_name = "M"))]
    pub negatives: Option<usize>,

    /// Which folders are people.
    #[cfg_attr(feature = "program", arg(long, value_enum, default_value_t = Self::default().layout))]
    pub layout: Layout,

    /// Images of a batch; what P x K leaves goes to images of other people, also where P or K are lowered
    /// [default: P x K + M].
    #[cfg_attr(feature = "program", arg(long, value_name = "B"))]
    pub batch: Option<usize>,

    /// Epochs: each shows as many images as there are to train on, in 20 steps at least.
    #[cfg_attr(feature = "program", arg(long, value_name = "N", default_value_t = Self::default().epochs,
                                        value_parser = flags::epochs))]
    pub epochs: u32,

    /// Time that training may take, such as 90m or 6h; the weights are measured and saved at its end.
    #[cfg_attr(feature = "program", arg(long, value_name = "TIME", value_parser = flags::duration,
                                        allow_hyphen_values = true))]
    pub time: Option<Seconds>,

    /// End after so many epochs that are no better than the best one.
    #[cfg_attr(feature = "program", arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..)))]
    pub patience: Option<u32>,

    /// Save the state of the run every N steps, beside the end of each epoch [default: every 5 minutes].
    #[cfg_attr(feature = "program", arg(long, value_name = "N",
                                        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..)))]
    pub save_every: Option<usize>,

    /// Loss: over triplets, or over the people as classes.
    #[cfg_attr(feature = "program", arg(long, value_enum, default_value_t = Self::default().loss))]
    pub loss: LossKind,

    /// What the losses softmax and arcface multiply cosines by.
    #[cfg_attr(feature = "program", arg(long, value_name = "SCALE", default_value_t = Self::default().loss_scale))]
    pub loss_scale: f32,

    /// Margin of the loss arcface, an angle in radians.
    #[cfg_attr(feature = "program", arg(long, value_name = "ANGLE", default_value_t = Self::default().angular_margin))]
    pub angular_margin: f32,

    /// Number of classes that the losses softmax and arcface tell apart: the people of the set. Training sets it.
    #[serde(skip)]
    #[cfg_attr(feature = "program", arg(skip))]
    pub classes: u32,

    /// Margin of the triplet loss.
    #[cfg_attr(feature = "program", arg(long, value_name = "ALPHA", default_value_t = Self::default().margin))]
    pub margin: f32,

    /// Negatives of an anchor-positive pair; a pair without a candidate is skipped and counted.
    #[cfg_attr(feature = "program", arg(long, value_enum, default_value_t = Self::default().mining))]
    pub mining: Mining,

    /// Positives of an anchor [default: all; with batch-hard: hardest].
    #[cfg_attr(feature = "program", arg(long, value_enum))]
    pub positives: Option<Positives>,

    /// Optimiser [default: what suits the network].
    #[cfg_attr(feature = "program", arg(long, visible_alias = "optimizer", value_enum))]
    pub optimiser: Option<OptimiserKind>,

    /// Learning rate, after any warm-up [default: what suits the network].
    #[cfg_attr(feature = "program", arg(long, value_name = "RATE"))]
    pub learning_rate: Option<f32>,

    /// Steps in which the learning rate grows from zero [default: what suits the network].
    #[cfg_attr(feature = "program", arg(long, value_name = "STEPS"))]
    pub warm_up: Option<u32>,

    /// How the learning rate changes over the run.
    #[cfg_attr(feature = "program", arg(long, value_enum, default_value_t = Self::default().schedule))]
    pub schedule: Schedule,

    /// Learning rates from epochs on, in place of a schedule; the flag names a file with lines such as "65: 0.01".
    #[cfg_attr(feature = "program", arg(long = "schedule-file", value_name = "FILE", value_parser = flags::rates,
                                        default_value = "", hide_default_value = true))]
    pub rates: Rates,

    /// What the schedules step and exponential multiply the rate by.
    #[cfg_attr(feature = "program", arg(long, value_name = "FACTOR", default_value_t = Self::default().decay))]
    pub decay: f32,

    /// Epochs in which the schedules step and exponential do so once.
    #[cfg_attr(feature = "program", arg(long, value_name = "N", default_value_t = Self::default().decay_every,
                                        value_parser = clap::value_parser!(u32).range(1..)))]
    pub decay_every: u32,

    /// Momentum of SGD and RMSProp [default: 0.9 of SGD, 0 of RMSProp].
    #[cfg_attr(feature = "program", arg(long, value_name = "M"))]
    pub momentum: Option<f32>,

    /// Nesterov's momentum, with SGD.
    #[cfg_attr(feature = "program", arg(long))]
    pub nesterov: bool,

    /// How the mean gradient and the mean squared gradient of Adam decay.
    #[cfg_attr(feature = "program", arg(long, value_name = "BETA1,BETA2", value_parser = flags::betas,
                                        default_value = "0.9,0.999"))]
    pub betas: Betas,

    /// Weight decay: L2 penalty on weights, not on biases.
    #[cfg_attr(feature = "program", arg(long, value_name = "D", default_value_t = Self::default().weight_decay))]
    pub weight_decay: f32,

    /// Scale the gradient of all parameters down to this length where it is longer; 0 never does [default: what suits the
    /// network].
    #[cfg_attr(feature = "program", arg(long, value_name = "LENGTH"))]
    pub clip_norm: Option<f32>,

    /// Measure and save a moving average of the weights, which keeps this part of itself in a step, such as 0.999; 0 is no
    /// average.
    #[cfg_attr(feature = "program", arg(long, value_name = "DECAY", default_value_t = Self::default().ema))]
    pub ema: f32,

    /// Layers or parameters that stay as they are, such as 'conv*', or '!fc*' for all but these; may be given several times.
    #[cfg_attr(feature = "program", arg(long, value_name = "PATTERN"))]
    pub freeze: Vec<String>,

    /// Multiply the learning rate of layers, such as 'conv*=0.1'; may be given several times.
    #[cfg_attr(feature = "program", arg(long, value_name = "PATTERN=FACTOR"))]
    pub rate_of: Vec<String>,

    /// Dropout before the embedding, for networks that have it: the part that is set to zero.
    #[cfg_attr(feature = "program", arg(long, value_name = "PART", default_value_t = Self::default().dropout))]
    pub dropout: f32,

    /// Part of the people that is held out for measuring, from 0 to below 1.
    #[cfg_attr(feature = "program", arg(long, value_name = "PART", default_value_t = Self::default().held_out))]
    pub held_out: f64,

    /// LFW's list of pairs to measure after each epoch, beside the held-out people and at their threshold.
    #[cfg_attr(feature = "program", arg(long, value_name = "FILE", requires = "eval_data"))]
    pub eval_pairs: Option<PathBuf>,

    /// Folder with the images of that list, a folder per person.
    #[cfg_attr(feature = "program", arg(long, value_name = "DIR", requires = "eval_pairs"))]
    pub eval_data: Option<PathBuf>,

    /// Random changes of the training images.
    #[cfg_attr(feature = "program", command(flatten))]
    pub augment: Augment,

    /// Decides about everything random; the same seed on the same device gives the same weights, byte for byte.
    #[cfg_attr(feature = "program", arg(long, value_name = "SEED", default_value_t = Self::default().seed,
                                        value_parser = flags::seed))]
    pub seed: u64,

    /// Images that go through the network at a time: a number, or auto, the whole batch if there is memory for it.
    #[cfg_attr(feature = "program", arg(long, value_name = "C", default_value = "auto", value_parser = flags::chunk))]
    pub chunk: Automatic,

    /// Batch normalisation uses running statistics, those of fresh weights (mean 0, variance 1), and leaves them alone.
    #[cfg_attr(feature = "program", arg(long))]
    pub frozen_statistics: bool,

    /// What to do if the embeddings fall onto one point or the loss stays at the margin.
    #[cfg_attr(feature = "program", arg(long, value_enum, default_value_t = Self::default().on_collapse))]
    pub on_collapse: OnCollapse,

    /// Triplets are also chosen offline, over a part of the training set.
    #[cfg_attr(feature = "program", command(flatten))]
    pub offline: Option<Offline>,

    /// Weights of an older network: new embeddings stay comparable with its embeddings (not with offline selection).
    #[cfg_attr(feature = "program", arg(long, value_name = "OLD.safetensors"))]
    pub compatible_with: Option<PathBuf>,

    /// What the images are, kept in the weights file [default: the folder's name].
    #[cfg_attr(feature = "program", arg(long, value_name = "TEXT"))]
    pub dataset: Option<String>,

    /// Licence of the weights, kept in the weights file.
    #[cfg_attr(feature = "program", arg(long, value_name = "TEXT"))]
    pub license: Option<String>,
}

impl Default for Config {
    /// What `facenet-gpu train` does without flags.
    fn default() -> Self {
        Self {
            network: "zf64".to_string(),
            input: None,
            embedding: None,
            normalise: None,
            crop: None,
            init: None,
            people: 16,
            images: 4,
            negatives: None,
            layout: Layout::Auto,
            batch: None,
            epochs: 10,
            time: None,
            patience: None,
            save_every: None,
            loss: LossKind::Triplet,
            loss_scale: 30.0,
            // ArcFace's.
            angular_margin: 0.5,
            classes: 0,
            // The paper's.
            margin: 0.2,
            mining: Mining::SemiHard,
            positives: None,
            optimiser: None,
            learning_rate: None,
            warm_up: None,
            // The paper lowers the rate "to finalise the model" and gives no details.
            schedule: Schedule::Cosine,
            rates: Vec::new(),
            decay: 0.1,
            decay_every: 10,
            momentum: None,
            nesterov: false,
            betas: [0.9, 0.999],
            weight_decay: 0.0,
            clip_norm: None,
            ema: 0.0,
            freeze: Vec::new(),
            rate_of: Vec::new(),
            dropout: 0.0,
            held_out: 0.25,
            eval_pairs: None,
            eval_data: None,
            augment: Augment::TRAINING,
            seed: 0,
            chunk: None,
            frozen_statistics: false,
            on_collapse: OnCollapse::Warn,
            offline: None,
            compatible_with: None,
            dataset: None,
            license: None,
        }
    }
}

impl Config {
    /// Fewest steps of an epoch.
    pub const MIN_EPOCH: usize = 20;

    /// These settings with changes.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// A setting that makes no sense; the message names it and its range.
    pub fn check(&self) -> Result<()> {
        let usage = |what: &str| Err(Error::Setting(what.to_string()));
        if self.people < 2 || self.images < 2 {
            return usage(&format!(
                "batches with P = {} and K = {} hold no triplet; give at least 2 people (`people`) and 2 images of each (`images`)",
                self.people, self.images
            ));
        }
        if self.embedding.is_some_and(|dimensions| dimensions < 2) {
            return usage("`embedding` must be at least 2: a unit vector of one dimension is 1 or -1; 128 is usual");
        }
        // Squared distances of embeddings of length 1 are at most 4.
        if !(self.margin > 0.0 && self.margin <= 4.0) {
            return usage(
                "`margin` must be above 0 and at most 4, as far as embeddings can be apart; the paper's is 0.2",
            );
        }
        if let (Some(own), Some(asked)) = (self.mining.positives(), self.positives)
            && own != asked
        {
            return usage("batch-hard takes the hardest positive of each anchor; for all positives take `mining` hard");
        }
        self.check_optimiser()?;
        if !(0.0..1.0).contains(&self.dropout) {
            return usage("`dropout` must be at least 0 and below 1");
        }
        if !(0.0..1.0).contains(&self.held_out) {
            let percent = self.held_out > 1.0 && self.held_out < 100.0;
            let meant = if percent { format!("; did you mean {}?", self.held_out / 100.0) } else { String::new() };
            return usage(&format!(
                "`held_out`, the part of the people that is held out, must be at least 0 and below 1{meant}"
            ));
        }
        if self.loss != LossKind::Triplet {
            MarginCrossEntropy::new(self.loss_scale, self.angular_margin)?;
            if self.offline.is_some() || self.compatible_with.is_some() {
                return usage(
                    "offline selection and an old network need `loss` triplet; leave out `offline.every` and `compatible_with`",
                );
            }
        }
        if self.chunk == Some(0) {
            return usage("`chunk` must be at least one image");
        }
        if let Some(offline) = &self.offline {
            offline.check()?;
            if self.compatible_with.is_some() {
                return usage(
                    "offline selection cannot be combined with an old network; leave out `offline.every` or `compatible_with`",
                );
            }
        }
        if self.input.is_some_and(|sides| sides.iter().any(|&side| side < MIN_SIDE)) {
            return usage(&format!("`input` must be at least {MIN_SIDE}x{MIN_SIDE} pixels, or no face can be seen"));
        }
        if self.epochs == 0 {
            return usage("`epochs` must be at least 1");
        }
        Ok(())
    }

    /// What the batches look like.
    pub fn sampling(&self) -> PkConfig {
        let Self { people, images, negatives, batch, seed, augment, .. } = *self;
        PkConfig { people, images, negatives, batch, seed, augment }
    }

    /// What the model's graph is for.
    pub fn purpose(&self) -> Purpose {
        Purpose::Training { dropout: self.dropout, frozen: self.frozen_statistics }
    }

    /// Which positives make pairs.
    pub fn positives(&self) -> Positives {
        self.positives.or(self.mining.positives()).unwrap_or_default()
    }

    /// The triplet loss with its selection.
    ///
    /// # Errors
    /// The margin makes no sense.
    pub fn triplet_loss(&self) -> Result<TripletLoss> {
        Ok(TripletLoss::new(self.margin)?.with_mining(self.mining).with_positives(self.positives()))
    }

    /// What the weights file says of where its weights come from.
    pub fn origin(&self) -> Origin {
        let Self { network, seed, .. } = self;
        let version = env!("CARGO_PKG_VERSION");
        let mut provenance = format!("{network} trained by facenet-gpu {version}, seed {seed}");
        if let Some(name) = self.init.as_ref().and_then(|path| path.file_name()) {
            provenance += &format!(", from {}", name.to_string_lossy());
        }
        Origin { provenance: Some(provenance), license: self.license.clone(), dataset: self.dataset.clone() }
    }
}

#[cfg(all(test, feature = "program"))]
mod tests;
