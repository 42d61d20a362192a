//! The learning rate of a run.

use super::Config;

/// The schedule's rate, and what the run has made of it.
#[derive(Debug, Clone)]
pub(super) struct LearningRate {
    config: Config,
    /// Steps of an epoch.
    epoch_steps: usize,
    /// Steps of the whole run.
    steps: usize,
    /// What the schedule's rate is multiplied by: halved each time that the run backs off.
    scale: f32,
}

impl LearningRate {
    pub(super) fn new(config: &Config, epoch_steps: usize, steps: usize) -> Self {
        Self { config: config.clone(), epoch_steps, steps, scale: 1.0 }
    }

    /// What the schedule's rate is multiplied by.
    pub(super) fn scale(&self) -> f32 {
        self.scale
    }

    /// Goes on with the scale of an earlier run.
    pub(super) fn go_on(&mut self, scale: f32) {
        self.scale = scale;
    }

    /// The rate of a step, counted from 0.
    pub(super) fn at(&self, step: usize) -> f32 {
        self.scale * self.config.learning_rate_at(step, self.epoch_steps, self.steps)
    }

    /// The rate that the schedule starts from.
    pub(super) fn start(&self) -> f32 {
        self.scale * self.config.learning_rate()
    }

    /// Halves the rate from here on.
    pub(super) fn back_off(&mut self) {
        self.scale *= 0.5;
    }
}
