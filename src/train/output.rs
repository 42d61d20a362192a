//! Where a run leaves its weights and its tables.

use std::sync::Arc;

use super::{Baselines, Config, EpochReport, HeldOutPairs, SelectionReport, StepReport, TrainingState, Versions};
use crate::Result;
use crate::data::faces::FaceSet;
use crate::data::sampler::Batch;
use crate::data::skipped::SkippedImage;
use crate::weights::Weights;

/// What a run begins with.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Begun<'a> {
    /// The images.
    pub set: &'a Arc<FaceSet>,
    /// People held out, as places in the set's list.
    pub held_out: &'a [usize],
    /// The settings, with what was chosen for the device.
    pub config: &'a Config,
    /// The first batch.
    pub first_batch: &'a Batch,
}

/// What a run writes to. The program's is `RunFolder`; [`InMemory`] writes nothing.
pub trait Output {
    /// Before the first step.
    ///
    /// # Errors
    /// What tells of the data cannot be written.
    fn begin(&mut self, _begun: &Begun<'_>) -> Result<()> {
        Ok(())
    }

    /// At the end of a run, for what is to be looked at: what the best of its weights make of the held-out people, if there
    /// are any and the weights are of this part of the run.
    ///
    /// # Errors
    /// It cannot be written.
    fn pictures(&mut self, _found: Option<&HeldOutPairs>) -> Result<()> {
        Ok(())
    }

    /// Keeps the latest weights.
    ///
    /// # Errors
    /// They cannot be written; older ones stay.
    fn save_last(&mut self, weights: &Weights) -> Result<()>;

    /// Keeps the best weights so far.
    ///
    /// # Errors
    /// They cannot be written; older ones stay.
    fn save_best(&mut self, weights: &Weights) -> Result<()>;

    /// Where the latest weights are, in words for messages.
    fn last_place(&self) -> String;

    /// The state that an earlier run of the same settings has left here: training goes on from it, and not from its first
    /// step.
    ///
    /// # Errors
    /// It cannot be read.
    fn state(&mut self) -> Result<Option<TrainingState>> {
        Ok(None)
    }

    /// Whether [`save_state`](Self::save_state) is to be called.
    fn keeps_state(&self) -> bool {
        false
    }

    /// Keeps the state, at the end of each epoch, in the middle of long ones, and where the run ends.
    ///
    /// # Errors
    /// It cannot be written; an older one stays.
    fn save_state(&mut self, _state: TrainingState) -> Result<()> {
        Ok(())
    }

    /// At the end of the run.
    ///
    /// # Errors
    /// Something that is still to be written cannot be written.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    /// An image can no longer be read; another one took its place.
    ///
    /// # Errors
    /// The row cannot be written; it is kept and written with the next one.
    fn skipped(&mut self, _image: &SkippedImage) -> Result<()> {
        Ok(())
    }

    /// After each step, in order.
    ///
    /// # Errors
    /// The row cannot be written; it is kept and written with the next one.
    fn step(&mut self, _report: &StepReport) -> Result<()> {
        Ok(())
    }

    /// After each epoch, before its weights are kept.
    ///
    /// # Errors
    /// The row or the plot cannot be written.
    fn epoch(&mut self, _report: &EpochReport, _baselines: Option<&Baselines>) -> Result<()> {
        Ok(())
    }

    /// After each offline selection.
    ///
    /// # Errors
    /// The row cannot be written; it is kept and written with the next one.
    fn selection(&mut self, _report: &SelectionReport) -> Result<()> {
        Ok(())
    }

    /// At the end of a run whose embeddings are to stay comparable with old ones.
    ///
    /// # Errors
    /// The file cannot be written.
    fn versions(&mut self, _versions: &Versions) -> Result<()> {
        Ok(())
    }
}

/// Keeps the weights in memory, and the training state if [`resumable`](Self::resumable).
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct InMemory {
    /// The latest.
    pub last: Option<Weights>,
    /// The best.
    pub best: Option<Weights>,
    /// The state at the end of the last epoch. A run that begins with one goes on from it.
    pub state: Option<TrainingState>,
    keeps_state: bool,
}

impl InMemory {
    /// Goes on from `state`, or begins anew, and keeps the state at the end of each epoch. The settings, the data and the
    /// device must be those of the run that the state is from; the best weights of that run stay where it left them.
    pub fn resumable(state: Option<TrainingState>) -> Self {
        Self { state, keeps_state: true, ..Self::default() }
    }
}

impl Output for InMemory {
    fn save_last(&mut self, weights: &Weights) -> Result<()> {
        self.last = Some(weights.clone());
        Ok(())
    }

    fn save_best(&mut self, weights: &Weights) -> Result<()> {
        self.best = Some(weights.clone());
        Ok(())
    }

    fn state(&mut self) -> Result<Option<TrainingState>> {
        Ok(self.state.clone())
    }

    fn keeps_state(&self) -> bool {
        self.keeps_state
    }

    fn save_state(&mut self, state: TrainingState) -> Result<()> {
        self.state = Some(state);
        Ok(())
    }

    fn last_place(&self) -> String {
        "memory".to_string()
    }
}
