//! Every setting of a training run, with its default and its reason.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::OnCollapse;
use crate::data::augment::Augment;
use crate::data::sampler::PkConfig;
use crate::graph::{Optimiser, Purpose};
use crate::op::{Mining, Positives, TripletLoss};
use crate::optim::{AdaGrad, Sgd};
use crate::train::Offline;
use crate::weights::Origin;
use crate::{Error, Result};

/// Which optimiser turns gradients into new weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserKind {
    /// AdaGrad, the paper's.
    AdaGrad,
    /// Stochastic gradient descent with momentum.
    Sgd,
}

/// How the learning rate changes over the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// It falls to zero along half a cosine: "lowered to finalise the model", as the paper says without details.
    Cosine,
}

/// The settings of a run, as written to `args.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Name of the network.
    pub network: String,
    /// Height and width of the images, pixels; `None` is the network's own.
    pub input: Option<[u32; 2]>,
    /// Floats of an embedding; `None` is the network's own.
    pub embedding: Option<u32>,
    /// P: people per batch.
    pub people: usize,
    /// K: images per person.
    pub images: usize,
    /// M: random images of other people in each batch.
    pub negatives: usize,
    /// Images of a batch; `None` is P x K + M. If given, M is what P x K leaves of it, whatever P and K the data allow.
    pub batch: Option<usize>,
    /// Images that go through the network at a time; `None` is as many as the device has memory for, the whole batch if
    /// it can. A batch that is larger goes through in chunks: see [`Trainer`](super::Trainer).
    pub chunk: Option<u32>,
    /// Passes over the data. An epoch shows as many images as there are to train on, and lasts
    /// [`Config::MIN_EPOCH`] steps at least, so that small folders are not measured at every other step.
    pub epochs: u32,
    /// The triplet loss's margin; the paper's is 0.2.
    pub margin: f32,
    /// Which negatives are selected.
    pub mining: Mining,
    /// Which positives make pairs; `None` is what the mining prescribes, else all.
    pub positives: Option<Positives>,
    /// What happens if training collapses.
    pub on_collapse: OnCollapse,
    /// Optimiser.
    pub optimiser: OptimiserKind,
    /// Learning rate at the start.
    pub learning_rate: f32,
    /// How it changes.
    pub schedule: Schedule,
    /// Momentum of SGD.
    pub momentum: f32,
    /// Weight decay, on weights only.
    pub weight_decay: f32,
    /// Share of the features before the embedding that dropout sets to zero, where the network has dropout.
    pub dropout: f32,
    /// Batch normalisation uses the running statistics of the starting weights and leaves them alone.
    pub frozen_statistics: bool,
    /// Part of the people that is kept for measuring.
    pub held_out: f64,
    /// Random changes of the training images.
    pub augment: Augment,
    /// Decides about everything random: starting weights, split, batches.
    pub seed: u64,
    /// Triplets are also chosen offline, over a part of the training set: see [`Offline`].
    pub offline: Option<Offline>,
    /// Weights of an old network that the new embeddings must stay comparable with.
    pub compatible_with: Option<PathBuf>,
    /// The images, in words, for the weights file.
    pub dataset: Option<String>,
    /// The licence of the weights, for the weights file.
    pub license: Option<String>,
}

impl Default for Config {
    /// What `facenet-gpu train` does without flags.
    fn default() -> Self {
        Self {
            network: "zf64".to_string(),
            input: None,
            embedding: None,
            people: 16,
            images: 4,
            negatives: 0,
            batch: None,
            chunk: None,
            epochs: 10,
            margin: 0.2,
            mining: Mining::SemiHard,
            positives: None,
            on_collapse: OnCollapse::Warn,
            optimiser: OptimiserKind::AdaGrad,
            learning_rate: 0.1,
            schedule: Schedule::Cosine,
            momentum: 0.9,
            weight_decay: 0.0,
            dropout: 0.0,
            frozen_statistics: false,
            held_out: 0.25,
            augment: Augment { flip: true, shift: 3 },
            seed: 0,
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

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// A setting that makes no sense; the message names it and its range.
    pub fn check(&self) -> Result<()> {
        let usage = |what: &str| Err(Error::Usage(what.to_string()));
        if self.people < 2 || self.images < 2 {
            return usage(&format!(
                "batches with P = {} and K = {} hold no triplet; give at least 2 people (-P) and 2 images of each (-K)",
                self.people, self.images
            ));
        }
        if !(self.margin.is_finite() && self.margin > 0.0) {
            return usage("the margin must be a number above 0; the paper's is 0.2");
        }
        if let (Some(own), Some(asked)) = (self.mining.positives(), self.positives)
            && own != asked
        {
            return usage("batch-hard takes the hardest positive of each anchor; for all positives take --mining hard");
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return usage("the learning rate must be a number above 0");
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return usage("the momentum must be at least 0 and below 1");
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return usage("the weight decay must be a number of at least 0");
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return usage("the dropout must be at least 0 and below 1");
        }
        if !(0.0..1.0).contains(&self.held_out) {
            return usage("the held-out part must be at least 0 and below 1");
        }
        if self.chunk == Some(0) {
            return usage("a chunk must hold at least one image");
        }
        if let Some(offline) = &self.offline {
            offline.check()?;
            if self.compatible_with.is_some() {
                return usage(
                    "offline selection knows one network only; leave out --offline-every or --compatible-with",
                );
            }
        }
        if self.epochs == 0 {
            return usage("training needs at least one epoch");
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

    /// The loss with its selection.
    ///
    /// # Errors
    /// The margin makes no sense.
    pub fn loss(&self) -> Result<TripletLoss> {
        Ok(TripletLoss::new(self.margin)?.with_mining(self.mining).with_positives(self.positives()))
    }

    /// What the weights file says of where its weights come from.
    pub fn origin(&self) -> Origin {
        let Self { network, seed, epochs, .. } = self;
        let version = env!("CARGO_PKG_VERSION");
        let provenance = format!("{network} trained by facenet-gpu {version}, seed {seed}, {epochs} epochs");
        Origin { provenance: Some(provenance), license: self.license.clone(), dataset: self.dataset.clone() }
    }

    /// The optimiser with its settings.
    pub fn optimiser(&self) -> Box<dyn Optimiser> {
        match self.optimiser {
            OptimiserKind::AdaGrad => Box::new(AdaGrad { weight_decay: self.weight_decay, ..AdaGrad::default() }),
            OptimiserKind::Sgd => Box::new(Sgd { momentum: self.momentum, weight_decay: self.weight_decay }),
        }
    }

    /// Learning rate of step `step` of `steps`.
    pub fn learning_rate_at(&self, step: usize, steps: usize) -> f32 {
        match self.schedule {
            Schedule::Constant => self.learning_rate,
            Schedule::Cosine => {
                let progress = step as f32 / steps.max(1) as f32;
                self.learning_rate * 0.5 * (1.0 + (std::f32::consts::PI * progress).cos())
            }
        }
    }
}
