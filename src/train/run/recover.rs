//! What a run does when something goes wrong: a collapse, a loss that is NaN or Inf, an error in the middle of an epoch.

use super::Run;
use crate::train::OnCollapse;
use crate::train::diagnose::first_bad_tensor;
use crate::{Error, Result};

/// Times that a run returns to older weights because the loss is NaN or Inf.
const RESCUES: u32 = 3;

impl Run<'_> {
    /// Does what was asked for in case of a collapse, which a sentence describes.
    pub(super) fn collapsed(&mut self, step: usize, collapse: &str) -> Result<()> {
        let sound = match self.checkpoints.sound_step() {
            0 => "the starting weights".to_string(),
            step => format!("the weights of step {step}, from before it,"),
        };
        match self.config().on_collapse {
            OnCollapse::Warn => self.observer.warning(&format!("step {step}: {collapse}")),
            OnCollapse::Stop => {
                self.checkpoints.return_to_sound();
                self.save_good()?;
                let place = self.output.last_place();
                return Err(Error::Collapsed(format!("stopped at step {step}: {collapse}; {sound} are in {place}")));
            }
            OnCollapse::BackOff => {
                let weights = self.checkpoints.return_to_sound();
                self.start_again_from(&weights)?;
                let rate = self.rate.at(self.done);
                let message =
                    format!("step {step}: {collapse}; back to {sound} with half the learning rate, {rate:.2e}");
                self.observer.warning(&message);
            }
        }
        Ok(())
    }

    /// Goes on with older weights, a fresh optimiser and half the learning rate.
    fn start_again_from(&mut self, weights: &crate::weights::Weights) -> Result<()> {
        self.parts.trainer.load(weights, "the weights of an earlier step".as_ref())?;
        // Its momentum would go on in the direction of the collapse.
        self.parts.trainer.reset_optimiser()?;
        self.rate.back_off();
        self.guard.start_again();
        Ok(())
    }

    /// After a loss or an embedding that is NaN or Inf: returns to the last good weights with half the learning rate, a few
    /// times. Steps that are under way began with the bad weights; what they say is dropped.
    pub(super) fn return_to_good(&mut self, step: usize) -> Result<()> {
        let source = self.bad_tensor();
        if self.rescues == RESCUES {
            return Err(self.not_finite(step, &source)?);
        }
        self.rescues += 1;
        while let Some(flight) = self.in_flight.pop_front() {
            flight.statistics.wait()?;
            self.sums.skip();
        }
        let (good, weights) = self.checkpoints.return_to_good();
        self.start_again_from(&weights)?;
        let from = if good == 0 { "the starting weights".to_string() } else { format!("the weights of step {good}") };
        let rate = self.rate.at(self.done);
        self.observer.warning(&format!(
            "step {step}: the loss is NaN or Inf, and the first tensor that is not finite is {source}; back to {from} with \
             half the learning rate, {rate:.2e} ({} of {RESCUES} times)",
            self.rescues
        ));
        Ok(())
    }

    /// Saves the weights in the middle of an epoch, after the user has asked to stop.
    pub(super) fn save_unfinished(&mut self) -> Result<()> {
        let weights = self.parts.trainer.weights()?;
        if !weights.is_finite() {
            let source = self.bad_tensor();
            return Err(self.not_finite(self.done, &source)?);
        }
        let weights = self.stamped(weights, self.epochs(), None);
        self.checkpoints.keep(self.done, weights);
        self.save_good()?;
        self.save_state()
    }

    /// Saves the good weights as the last.
    fn save_good(&mut self) -> Result<()> {
        let (_, weights) = self.checkpoints.good();
        self.output.save_last(&weights)
    }

    /// After an error in the middle of an epoch: saves what can be saved and hands the error on.
    pub(super) fn rescue(&mut self, error: Error) -> Error {
        if !matches!(error, Error::NotFinite(_) | Error::Collapsed(_)) && self.done > 0 {
            // The first error is the one that the user must hear of.
            if self.save_unfinished().is_err() {
                let _ = self.save_good();
            }
        }
        error
    }

    /// Where the first value that is NaN or Inf appears. The update of a step is skipped on the device while its loss is not
    /// finite, so the weights are still those that the step met.
    fn bad_tensor(&self) -> String {
        let found = self.last_batch.as_ref().and_then(|batch| {
            let store = self.parts.trainer.store();
            first_bad_tensor(self.model, store, self.config(), self.set, batch).unwrap_or_default()
        });
        found.unwrap_or_else(|| "the embedding of an image outside the last batch".to_string())
    }

    /// Saves what is good and explains what is not.
    fn not_finite(&mut self, step: usize, source: &str) -> Result<Error> {
        self.save_good()?;
        let kept = match self.checkpoints.good_step() {
            0 => "only the starting weights were good, and they".to_string(),
            step => format!("the last good weights, those of step {step},"),
        };
        Ok(Error::NotFinite(format!(
            "the loss is NaN or Inf at step {step}, after the learning rate was halved {RESCUES} times: the first tensor that \
             is not finite is {source}; {kept} are in {}; try a lower `learning_rate` than {:?}",
            self.output.last_place(),
            self.config().learning_rate()
        )))
    }
}
