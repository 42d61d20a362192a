//! What a run writes, and what it does where that fails: a disk that is full for a moment must not end a run of days.

use std::time::{Duration, Instant};

use super::Run;
use crate::train::Output;
use crate::weights::Weights;
use crate::{Error, Result};

/// Moments in a row at which saving fails before the run ends.
const PATIENCE: u32 = 3;
/// A long epoch is saved this often.
const SAVE_EVERY: Duration = Duration::from_secs(300);

/// What was saved when, and what could not be saved yet.
#[derive(Debug)]
pub(super) struct Saving {
    last: Instant,
    /// Something was saved.
    any: bool,
    /// Moments in a row at which something could not be written.
    failures: u32,
    /// The step of the last of them.
    failed_at: Option<usize>,
    /// The latest weights could not be written.
    last_missing: bool,
    /// The best weights, as long as they could not be written.
    best: Option<Box<Weights>>,
    /// A row could not be written, and that was told.
    rows_missing: bool,
}

impl Default for Saving {
    fn default() -> Self {
        Self {
            last: Instant::now(),
            any: false,
            failures: 0,
            failed_at: None,
            last_missing: false,
            best: None,
            rows_missing: false,
        }
    }
}

impl Saving {
    /// That of a run that goes on from what was saved.
    pub(super) fn go_on() -> Self {
        Self { any: true, ..Self::default() }
    }

    /// Whether the state is to be saved after step `done`, in the middle of an epoch: every so many steps, or every few
    /// minutes.
    pub(super) fn due(&self, done: usize, every: Option<usize>) -> bool {
        every.map_or_else(|| self.last.elapsed() >= SAVE_EVERY, |every| done.is_multiple_of(every.max(1)))
    }
}

impl Run<'_> {
    /// Writes a row. Where that fails, the output keeps the row and writes it with the next one; the user is told once.
    pub(super) fn row(&mut self, write: impl FnOnce(&mut dyn Output) -> Result<()>) {
        match write(self.output) {
            Ok(()) => self.saving.rows_missing = false,
            Err(e) if !self.saving.rows_missing => {
                self.saving.rows_missing = true;
                self.observer.warning(&format!("{e}; training goes on, and this will be tried again"));
            }
            Err(_) => {}
        }
    }

    /// Saves the latest weights, and with `better` as the best, too.
    ///
    /// # Errors
    /// Saving has failed several times in a row.
    pub(super) fn save_weights(&mut self, weights: &Weights, better: bool) -> Result<()> {
        let last = self.output.save_last(weights);
        self.saving.last_missing = last.is_err();
        self.attempt(last)?;
        if better {
            self.saving.best = None;
            let best = self.output.save_best(weights);
            if best.is_err() {
                self.saving.best = Some(Box::new(weights.clone()));
            }
            self.attempt(best)?;
        } else if let Some(best) = self.saving.best.take() {
            let saved = self.output.save_best(&best);
            if saved.is_err() {
                self.saving.best = Some(best);
            }
            self.attempt(saved)?;
        }
        if !self.output.keeps_state() && !self.saving.last_missing && self.saving.best.is_none() {
            self.saving.failures = 0;
        }
        Ok(())
    }

    /// Saves the training state, if the output keeps it.
    ///
    /// # Errors
    /// Saving has failed several times in a row, or the device is lost.
    pub(super) fn save_state(&mut self) -> Result<()> {
        self.saving.last = Instant::now();
        if !self.output.keeps_state() {
            return Ok(());
        }
        let state = self.state()?;
        let saved = self.output.save_state(state);
        if saved.is_ok() && !self.saving.last_missing && self.saving.best.is_none() {
            self.saving.failures = 0;
        }
        self.attempt(saved)
    }

    /// Tells what could not be written, or hands the error on if that has happened too often.
    fn attempt(&mut self, saved: Result<()>) -> Result<()> {
        let Err(e) = saved else {
            self.saving.any = true;
            return Ok(());
        };
        if self.saving.failed_at != Some(self.done) {
            self.saving.failed_at = Some(self.done);
            self.saving.failures += 1;
        }
        if self.saving.failures >= PATIENCE || !matches!(e, Error::Io { .. }) {
            return Err(e);
        }
        let before = match self.saving.any {
            true => format!("what was saved before stays ({})", self.output.last_place()),
            false => "nothing has been saved yet".to_string(),
        };
        let step = self.done;
        self.observer.warning(&format!("step {step}: {e}; {before}, training goes on, and this will be tried again"));
        Ok(())
    }

    /// Writes what could not be written before.
    ///
    /// # Errors
    /// It still cannot be written.
    pub(super) fn last_save(&mut self) -> Result<()> {
        if self.saving.last_missing {
            let (_, weights) = self.checkpoints.good();
            self.output.save_last(&weights)?;
        }
        if let Some(best) = self.saving.best.take() {
            self.output.save_best(&best)?;
        }
        self.output.finish()
    }
}
