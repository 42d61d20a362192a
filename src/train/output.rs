//! Where a run leaves its weights and its tables.

use super::{Baselines, EpochReport, SelectionReport, StepReport, Versions};
use crate::Result;
use crate::weights::Weights;

/// What a run writes to. The program's is `RunFolder`; [`InMemory`] writes nothing.
pub trait Output {
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

    /// Whether there are best weights already.
    fn has_best(&self) -> bool;

    /// Where the latest weights are, in words for messages.
    fn last_place(&self) -> String;

    /// After each step, in order.
    ///
    /// # Errors
    /// The row cannot be written.
    fn step(&mut self, _report: &StepReport) -> Result<()> {
        Ok(())
    }

    /// After each epoch; `history` holds the reports of all epochs, this one included.
    ///
    /// # Errors
    /// The row or the plot cannot be written.
    fn epoch(&mut self, _history: &[EpochReport], _baselines: Option<&Baselines>) -> Result<()> {
        Ok(())
    }

    /// After each offline selection.
    ///
    /// # Errors
    /// The row cannot be written.
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

/// Keeps the weights in memory.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct InMemory {
    /// The latest.
    pub last: Option<Weights>,
    /// The best.
    pub best: Option<Weights>,
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

    fn has_best(&self) -> bool {
        self.best.is_some()
    }

    fn last_place(&self) -> String {
        "memory".to_string()
    }
}
