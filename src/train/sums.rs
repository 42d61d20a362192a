//! Sums over the steps of an epoch, from which its report is made. They survive a break in the middle of an epoch.

use serde::{Deserialize, Serialize};

use super::{EpochReport, StepReport};

/// Sums over the steps of an epoch so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EpochSums {
    /// Steps that chose triplets from their batch.
    online: Sums,
    /// Steps on triplets that were chosen offline.
    offline: Sums,
    /// Steps that count for nothing: their loss was NaN or Inf.
    lost: usize,
    /// Images that second passes left out.
    skipped: f64,
    /// Learning rate of the last step.
    learning_rate: f32,
    /// Seconds that the steps took.
    pub(super) seconds: f64,
    /// Seconds of these that were spent waiting for images.
    pub(super) waited: f64,
}

/// Sums over steps of one kind, weighted by what each value is a mean of: a step without an active triplet has no loss and
/// no d(a,n) to count.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sums {
    steps: usize,
    pairs: f64,
    active: f64,
    loss: f64,
    loss_all: f64,
    skipped_pairs: f64,
    candidates: f64,
    easy: f64,
    semi_hard: f64,
    hard: f64,
    d_ap: f64,
    d_ap_std: f64,
    d_an: f64,
    d_an_std: f64,
    d_different: f64,
    mean_length: f64,
    class_accuracy: f64,
}

impl Sums {
    fn add(&mut self, r: &StepReport) {
        let (pairs, active) = (f64::from(r.pairs), f64::from(r.active));
        self.steps += 1;
        self.pairs += pairs;
        self.active += active;
        self.loss += f64::from(r.loss) * active;
        self.loss_all += f64::from(r.loss_all) * pairs;
        self.skipped_pairs += f64::from(r.skipped_pairs);
        self.candidates += f64::from(r.candidates);
        self.easy += f64::from(r.easy);
        self.semi_hard += f64::from(r.semi_hard);
        self.hard += f64::from(r.hard);
        self.d_ap += f64::from(r.d_ap) * pairs;
        self.d_ap_std += f64::from(r.d_ap_std) * pairs;
        self.d_an += f64::from(r.d_an) * active;
        self.d_an_std += f64::from(r.d_an_std) * active;
        self.d_different += f64::from(r.d_different);
        self.mean_length += f64::from(r.mean_length);
        self.class_accuracy += f64::from(r.class_accuracy);
    }
}

impl EpochSums {
    pub(super) fn add(&mut self, r: &StepReport) {
        if r.offline { &mut self.offline } else { &mut self.online }.add(r);
        self.skipped += r.skipped as f64;
        self.learning_rate = r.learning_rate;
    }

    /// A step whose loss was NaN or Inf.
    pub(super) fn skip(&mut self) {
        self.lost += 1;
    }

    /// Steps so far.
    pub(super) fn steps(&self) -> usize {
        self.online.steps + self.offline.steps + self.lost
    }

    /// The means over the steps, each of `batch` images; what is known only after the epoch's evaluation is empty. Of pairs
    /// and triplets they tell what the steps met that chose from their batch, if there are any.
    pub(super) fn report(&self, epoch: u32, step: usize, batch: usize) -> EpochReport {
        let s = if self.online.steps > 0 { &self.online } else { &self.offline };
        let mean = |sum: f64, count: f64| if count > 0.0 { sum / count } else { 0.0 };
        let (pairs, active) = (|sum| mean(sum, s.pairs), |sum| mean(sum, s.active));
        let (of_kind, steps) = (|sum| mean(sum, s.steps as f64), self.steps() as f64);
        EpochReport {
            epoch,
            step,
            loss: active(s.loss),
            loss_all: pairs(s.loss_all),
            active: pairs(s.pairs - s.skipped_pairs),
            candidates: pairs(s.candidates),
            easy: pairs(s.easy),
            semi_hard: pairs(s.semi_hard),
            hard: pairs(s.hard),
            d_ap: pairs(s.d_ap),
            d_ap_std: pairs(s.d_ap_std),
            d_an: active(s.d_an),
            d_an_std: active(s.d_an_std),
            d_different: of_kind(s.d_different),
            mean_length: of_kind(s.mean_length),
            class_accuracy: of_kind(s.class_accuracy),
            skipped: mean(self.skipped, steps),
            offline: mean(self.offline.steps as f64, steps),
            learning_rate: self.learning_rate,
            images_per_second: mean(steps * batch as f64, self.seconds),
            data_wait: mean(self.waited, self.seconds),
            ..EpochReport::default()
        }
    }
}
