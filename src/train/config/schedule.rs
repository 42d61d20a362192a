//! How the learning rate changes over a run.

use serde::{Deserialize, Serialize};

use super::Config;
use crate::{Error, Result};

/// How the learning rate changes over the run, after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "program", derive(clap::ValueEnum), value(rename_all = "lowercase"))]
pub enum Schedule {
    /// It stays
    Constant,
    /// It falls to zero along half a cosine
    Cosine,
    /// It is multiplied by --decay every --decay-every epochs
    Step,
    /// It falls evenly, by --decay in --decay-every epochs
    Exponential,
}

/// A learning rate from an epoch on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateFrom {
    /// The epoch, counted from 0.
    pub epoch: u32,
    /// The rate.
    pub rate: f32,
}

impl Config {
    /// Learning rate of step `step` (counted from 0) of `steps`, of which an epoch has `epoch_steps`: a function of these
    /// alone, so that a run that goes on meets the same rates. A run that is prolonged has more steps, which stretches the
    /// cosine.
    pub fn learning_rate_at(&self, step: usize, epoch_steps: usize, steps: usize) -> f32 {
        let (warm_up, full) = (self.warm_up() as usize, self.learning_rate());
        let warm = if step < warm_up { (step + 1) as f32 / warm_up as f32 } else { 1.0 };
        if !self.rates.is_empty() {
            let epoch = u32::try_from(step / epoch_steps.max(1)).unwrap_or(u32::MAX);
            let rate = self.rates.iter().rev().find(|from| from.epoch <= epoch).map_or(full, |from| from.rate);
            return warm * rate;
        }
        let epochs = step as f32 / (epoch_steps.max(1) as f32 * self.decay_every as f32);
        let part = match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Cosine => {
                let progress = step.saturating_sub(warm_up) as f32 / steps.saturating_sub(warm_up).max(1) as f32;
                0.5 * (1.0 + (std::f32::consts::PI * progress).cos())
            }
            Schedule::Step => self.decay.powf(epochs.floor()),
            Schedule::Exponential => self.decay.powf(epochs),
        };
        if step < warm_up { warm * full } else { full * part }
    }
}

/// Reads what facenet calls a learning rate schedule: a line for each change, `epoch: rate`, with comments behind `#`.
///
/// # Errors
/// A line that is something else; the message names it.
pub fn read_rates(text: &str) -> Result<Vec<RateFrom>> {
    let mut rates: Vec<RateFrom> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let fail = |what: &str| Error::Data(format!("line {number}: \"{line}\" {what}"));
        let (epoch, rate) = line.split_once(':').ok_or_else(|| fail("is no line such as \"65: 0.01\""))?;
        let epoch = epoch.trim().parse().map_err(|_| fail("does not begin with the number of an epoch"))?;
        let rate: f32 = rate.trim().parse().map_err(|_| fail("does not end with a learning rate"))?;
        if !(rate.is_finite() && rate > 0.0) {
            return Err(fail("has a rate that is not above 0; `epochs` ends a run"));
        }
        if rates.last().is_some_and(|last| last.epoch >= epoch) {
            return Err(fail("is not later than the line before it"));
        }
        rates.push(RateFrom { epoch, rate });
    }
    match rates.first() {
        None => Err(Error::Data("there is no line such as \"0: 0.05\"".into())),
        Some(first) if first.epoch > 1 => Err(Error::Data("the first line must be that of epoch 0".into())),
        Some(_) => Ok(rates),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(change: impl FnOnce(&mut Config), steps: &[usize]) -> Vec<f32> {
        let config = Config::default().with(|c| c.learning_rate = Some(1.0)).with(change);
        steps.iter().map(|&step| config.learning_rate_at(step, 10, 100)).collect()
    }

    #[test]
    fn schedules_are_functions_of_the_step() {
        assert_eq!(rates(|c| c.schedule = Schedule::Constant, &[0, 99]), [1.0, 1.0]);
        let cosine = rates(|c| c.schedule = Schedule::Cosine, &[0, 50, 100]);
        assert!((cosine[1] - 0.5).abs() < 1e-6 && cosine[0] == 1.0 && cosine[2].abs() < 1e-6, "{cosine:?}");
        let step = |c: &mut Config| (c.schedule, c.decay, c.decay_every) = (Schedule::Step, 0.5, 2);
        assert_eq!(rates(step, &[0, 19, 20, 40]), [1.0, 1.0, 0.5, 0.25]);
        let exponential = |c: &mut Config| (c.schedule, c.decay, c.decay_every) = (Schedule::Exponential, 0.25, 1);
        assert_eq!(rates(exponential, &[0, 5, 10]), [1.0, 0.5, 0.25]);
    }

    #[test]
    fn a_warm_up_grows_evenly_and_the_schedule_follows_it() {
        let warm = |c: &mut Config| (c.schedule, c.warm_up) = (Schedule::Cosine, Some(4));
        let got = rates(warm, &[0, 1, 3, 4, 52, 100]);
        assert_eq!(got[..4], [0.25, 0.5, 1.0, 1.0]);
        assert!((got[4] - 0.5).abs() < 1e-6 && got[5].abs() < 1e-6, "{got:?}");
    }

    #[test]
    fn a_file_of_facenet_gives_the_rate_of_each_epoch() {
        let text = "# Learning rate schedule\n# Maps an epoch number to a learning rate\n0:  0.05\n2:0.005 # lower\n\n 5: 5e-4\n";
        let from = read_rates(text).unwrap();
        let got = rates(|c| c.rates = from, &[0, 19, 20, 49, 50, 99]);
        assert_eq!(got, [0.05, 0.05, 0.005, 0.005, 5e-4, 5e-4]);
        for (text, part) in [
            ("", "there is no line"),
            ("0 0.1", "line 1: \"0 0.1\" is no line such as"),
            ("\nx: 1", "line 2: \"x: 1\" does not begin with"),
            ("0: fast", "does not end with a learning rate"),
            ("0: -1", "not above 0"),
            ("0: 1\n0: 2", "is not later"),
            ("3: 1", "must be that of epoch 0"),
        ] {
            let text = read_rates(text).unwrap_err().to_string();
            assert!(text.contains(part), "\"{part}\" is missing in: {text}");
        }
    }
}
