//! A learning rate range test (Smith, 2017): the rate grows from step to step, and the loss tells which rates work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::ready::Ready;
use super::{Config, Observer, Pace, StepReport};
use crate::data::faces::FaceSet;
use crate::data::prefetch::{Prefetcher, depth};
use crate::model::Model;
use crate::{Engine, Error, Result};

/// The rates of the first and of the last step.
const LOWEST: f64 = 1e-6;
const HIGHEST: f64 = 10.0;
/// Part of the mean loss that survives a step.
const SMOOTHING: f64 = 0.9;
/// The loss has grown to so many times its start: larger rates will not do better.
const DIVERGED: f64 = 3.0;
/// The loss must have fallen by this part of itself to have fallen at all.
const FALL: f64 = 0.03;

/// One step of the test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RateStep {
    /// Number, from 1.
    pub step: usize,
    /// Learning rate.
    pub learning_rate: f64,
    /// Loss of the batch: with triplets the mean over all pairs.
    pub loss: f64,
    /// Its exponential moving average, corrected for its start at zero.
    pub smoothed: f64,
    /// Length of the mean embedding: near 1 where all fall onto one point.
    pub mean_length: f64,
}

/// What a test has found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RateSearch {
    /// All steps, with growing rates.
    pub steps: Vec<RateStep>,
    /// The rate at which the smoothed loss falls fastest; `None` where it does not fall.
    pub steepest: Option<f64>,
    /// The rate at which the smoothed loss is lowest: larger ones do harm.
    pub lowest: Option<f64>,
}

/// Trains `model` on `set` for `steps` steps, with a learning rate that grows from 1e-6 to 10; neither a schedule nor a
/// warm-up nor offline selection takes part. The test ends early where the loss is no longer finite or has grown to three
/// times its start, or if `stop` is set. Nothing is kept of the weights.
///
/// # Errors
/// The settings or the data cannot be used, or the device fails.
pub fn find_rate(
    engine: &Engine,
    model: &Model,
    config: &Config,
    set: &Arc<FaceSet>,
    steps: usize,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<RateSearch> {
    if config.compatible_with.is_some() {
        return Err(Error::Setting("a search of the learning rate takes no `compatible_with`; leave it out".into()));
    }
    let config = config.clone().with(|c| c.offline = None);
    let Ready { sampler, mut trainer, batch, .. } =
        Ready::new(engine, model, &config, set, config.init.as_deref(), observer)?;
    let mut batches = Prefetcher::start(set.clone(), sampler.batches(0).take(steps), depth(set, batch as usize))?;
    let mut found: Vec<RateStep> = Vec::new();
    let (begin, mut mean) = (std::time::Instant::now(), 0.0);
    for step in 1..=steps {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let Some(batch) = batches.next_batch() else { break };
        let batch = batch?;
        let learning_rate = rate_at(step, steps);
        #[expect(clippy::cast_possible_truncation, reason = "the precision of the kernels is meant")]
        let statistics = trainer.step(&batch, learning_rate as f32)?.wait()?;
        #[expect(clippy::cast_possible_truncation, reason = "as above")]
        let report = StepReport::new(step, 1, &statistics, learning_rate as f32, begin.elapsed().as_secs_f64());
        let loss = f64::from(report.loss_all);
        if !loss.is_finite() {
            break;
        }
        let images = (step * batch.labels.len()) as f64;
        observer.step(&report, &Pace { images_per_second: images / begin.elapsed().as_secs_f64(), data_wait: 0.0 });
        mean = SMOOTHING * mean + (1.0 - SMOOTHING) * loss;
        let smoothed = mean / (1.0 - SMOOTHING.powi(i32::try_from(step).unwrap_or(i32::MAX)));
        let mean_length = f64::from(report.mean_length);
        found.push(RateStep { step, learning_rate, loss, smoothed, mean_length });
        if smoothed > DIVERGED * found[0].smoothed {
            break;
        }
    }
    Ok(judge(found))
}

/// The rate of a step, from 1: equal factors from step to step.
fn rate_at(step: usize, steps: usize) -> f64 {
    let part = (step - 1) as f64 / (steps.max(2) - 1) as f64;
    LOWEST * (HIGHEST / LOWEST).powf(part)
}

/// Where the loss falls fastest, and where it is lowest.
fn judge(steps: Vec<RateStep>) -> RateSearch {
    // Of the first steps the mean still follows every batch.
    let settled = steps.len() / 10;
    let loss = |at: usize| steps[at].smoothed;
    let lowest = (settled..steps.len()).min_by(|&a, &b| loss(a).total_cmp(&loss(b)));
    let fell = lowest.filter(|&lowest| {
        let before = (settled..=lowest).map(loss).fold(0.0, f64::max);
        loss(lowest) < (1.0 - FALL) * before
    });
    let Some(lowest) = fell else { return RateSearch { steps, steepest: None, lowest: None } };
    // Slopes over a few steps: those of single ones are noise.
    let width = (steps.len() / 20).max(1);
    let slope = |at: usize| loss((at + width).min(lowest)) - loss(at.saturating_sub(width).max(settled));
    let steepest = (settled..=lowest).min_by(|&a, &b| slope(a).total_cmp(&slope(b)));
    let rate = |at: usize| steps[at].learning_rate;
    let (steepest, lowest) = (steepest.map(rate), Some(rate(lowest)));
    RateSearch { steps, steepest, lowest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(loss: impl Fn(f64) -> f64) -> Vec<RateStep> {
        let step = |step| {
            let learning_rate = rate_at(step, 100);
            let loss = loss(learning_rate.log10());
            RateStep { step, learning_rate, loss, smoothed: loss, mean_length: 0.5 }
        };
        (1..=100).map(step).collect()
    }

    #[test]
    fn rates_grow_by_equal_factors_over_seven_powers_of_ten() {
        assert!((rate_at(1, 100) - 1e-6).abs() < 1e-12 && (rate_at(100, 100) - 10.0).abs() < 1e-9);
        let factors: Vec<f64> = (1..100).map(|step| rate_at(step + 1, 100) / rate_at(step, 100)).collect();
        assert!(factors.iter().all(|factor| (factor - factors[0]).abs() < 1e-9));
    }

    #[test]
    fn the_steepest_fall_lies_before_the_lowest_loss() {
        // Falls around 1e-2, is lowest at 1e-1, and grows again.
        let curve = |power: f64| 1.0 - 0.8 / (1.0 + (-4.0 * (power + 2.0)).exp()) + (power + 1.0).max(0.0);
        let RateSearch { steepest, lowest, .. } = judge(steps(curve));
        let (steepest, lowest) = (steepest.unwrap().log10(), lowest.unwrap().log10());
        assert!((steepest + 2.0).abs() < 0.3 && (lowest + 1.0).abs() < 0.3, "{steepest} {lowest}");
    }

    #[test]
    fn a_loss_that_does_not_fall_gives_no_rate() {
        for curve in [|_| 0.2, |power: f64| 1.0 + power.max(0.0)] {
            assert_eq!(judge(steps(curve)).steepest, None);
        }
        assert_eq!(judge(Vec::new()).lowest, None);
    }
}
