//! Weights that a run keeps while it goes on: the latest ones that are known to be good, and the latest after which
//! nothing looked like a collapse.

use std::sync::Arc;

use super::Trainer;
use crate::Result;
use crate::executor::Pending;
use crate::model::Model;
use crate::session::initial_weights;
use crate::weights::{Metadata, Trained, Weights};

/// A copy of the weights is taken this often, so that a long epoch that ends in NaN or Inf costs little.
const KEEP_EVERY: usize = 100;
/// Steps without a sign of a collapse that prove the weights before them sound. Below
/// [`Config::MIN_EPOCH`](super::Config::MIN_EPOCH), so that those of each epoch get their chance before the next ones are
/// kept.
const PROOF: usize = 10;

/// Weights and the step after which they were taken.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) step: usize,
    /// `None` stands for the starting weights, which can be drawn again.
    weights: Option<Arc<Weights>>,
}

/// The weights that a run keeps.
#[derive(Debug)]
pub(super) struct Checkpoints {
    model: Model,
    metadata: Metadata,
    seed: u64,
    /// The latest weights that are known to be good.
    good: Kept,
    /// A download of weights that will be good if the next step's loss is finite.
    candidate: Option<(usize, Pending<Weights>)>,
    /// The latest good weights after which [`PROOF`] steps showed no sign of a collapse.
    sound: Kept,
    /// Good weights that will be sound after so many steps.
    proving: Option<Kept>,
}

impl Checkpoints {
    /// Nothing but the starting weights: `start`, or what is drawn from `seed`.
    pub(super) fn new(model: &Model, metadata: Metadata, seed: u64, start: Option<Arc<Weights>>) -> Self {
        let metadata = Metadata { training: Some(Trained::at(0)), ..metadata };
        let start = Kept { step: 0, weights: start };
        let (good, sound) = (start.clone(), start);
        Self { model: model.clone(), metadata, seed, good, candidate: None, sound, proving: None }
    }

    /// Takes the weights that an earlier run had reached after step `step` for good and sound ones.
    pub(super) fn go_on(&mut self, step: usize, weights: Weights) {
        self.keep(step, weights);
        (self.sound, self.proving) = (self.good.clone(), None);
    }

    /// The latest good weights.
    pub(super) fn good(&self) -> (usize, Arc<Weights>) {
        (self.good.step, self.weights(&self.good))
    }

    /// The step of the latest good weights.
    pub(super) fn good_step(&self) -> usize {
        self.good.step
    }

    /// The step of the latest sound weights.
    pub(super) fn sound_step(&self) -> usize {
        self.sound.step
    }

    /// The good weights, once the run returns to them: what came after is forgotten.
    pub(super) fn return_to_good(&mut self) -> (usize, Arc<Weights>) {
        (self.candidate, self.proving) = (None, None);
        self.good()
    }

    fn weights(&self, kept: &Kept) -> Arc<Weights> {
        let drawn = || Arc::new(initial_weights(&self.model, self.metadata.clone(), self.seed));
        kept.weights.clone().unwrap_or_else(drawn)
    }

    /// After step `step` was submitted: asks for a copy of the weights if it is time for one. Nothing waits.
    pub(super) fn submitted(&mut self, step: usize, trainer: &Trainer) -> Result<()> {
        if step.is_multiple_of(KEEP_EVERY) {
            self.candidate = Some((step, trainer.checkpoint()?));
        }
        Ok(())
    }

    /// After the loss of step `step` has turned out finite: a copy from before it is good.
    pub(super) fn finite(&mut self, step: usize) -> Result<()> {
        if let Some((taken, weights)) = self.candidate.take_if(|(taken, _)| *taken < step) {
            let mut weights = weights.wait()?;
            weights.metadata.training = Some(Trained::at(taken as u64));
            self.keep(taken, weights);
        }
        Ok(())
    }

    /// Keeps weights that were found good in another way.
    pub(super) fn keep(&mut self, step: usize, weights: Weights) {
        let kept = Kept { step, weights: Some(Arc::new(weights)) };
        self.proving = Some(kept.clone());
        self.good = kept;
    }

    /// The same for weights at the end of an epoch, which make a copy that is under way needless.
    pub(super) fn keep_measured(&mut self, step: usize, weights: Weights) {
        self.keep(step, weights);
        self.candidate = None;
    }

    /// After step `step`, which was the last of `calm` steps without a sign of a collapse: weights prove sound if the steps
    /// that follow them show none, and are given up at the first one.
    pub(super) fn prove(&mut self, step: usize, calm: usize) {
        let Some(kept) = self.proving.take() else { return };
        match calm {
            0 => {}
            calm if calm >= PROOF && step >= kept.step + PROOF => self.sound = kept,
            _ => self.proving = Some(kept),
        }
    }

    /// Takes the sound weights for the good ones and forgets what came after them.
    pub(super) fn return_to_sound(&mut self) -> Arc<Weights> {
        self.good = self.sound.clone();
        (self.candidate, self.proving) = (None, None);
        self.weights(&self.sound)
    }
}
