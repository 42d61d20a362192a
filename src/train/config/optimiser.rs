//! The optimiser of a run, from the settings and from what suits the network.

use super::{Config, OptimiserKind, Schedule};
use crate::graph::Optimiser;
use crate::optim::{AdaGrad, Adam, Averaged, Clipped, RmsProp, Sgd};
use crate::text::{counted, listed};
use crate::train::Recipe;
use crate::{Error, Result};

/// The largest weight decay: with a rate of 1 it takes a weight to zero in one step.
const MOST_DECAY: f32 = 1.0;

impl Config {
    /// What suits the network where the settings say nothing.
    fn recipe(&self) -> Recipe {
        Recipe::of(&self.network, self.loss)
    }

    /// These settings with what suits the network in place of what they leave open.
    #[must_use]
    pub fn with_recipe(self) -> Self {
        let (optimiser, learning_rate) = (self.optimiser_kind(), self.learning_rate());
        let (warm_up, clip_norm) = (self.warm_up(), self.clip_norm().unwrap_or(0.0));
        self.with(|c| {
            (c.optimiser, c.learning_rate) = (Some(optimiser), Some(learning_rate));
            (c.warm_up, c.clip_norm) = (Some(warm_up), Some(clip_norm));
        })
    }

    /// Which optimiser it is.
    pub fn optimiser_kind(&self) -> OptimiserKind {
        self.optimiser.unwrap_or(self.recipe().optimiser)
    }

    /// The learning rate after the warm-up. Where only the optimiser was given, that of the network's recipe does not suit
    /// it: then it is what is usual for the optimiser.
    pub fn learning_rate(&self) -> f32 {
        let recipe = self.recipe();
        let usual = match self.optimiser_kind() {
            kind if kind == recipe.optimiser => recipe.learning_rate,
            OptimiserKind::AdaGrad | OptimiserKind::Sgd => 0.1,
            OptimiserKind::RmsProp | OptimiserKind::Adam | OptimiserKind::AdamW => 1e-3,
        };
        self.learning_rate.unwrap_or(usual)
    }

    /// Steps of the warm-up.
    pub fn warm_up(&self) -> u32 {
        self.warm_up.unwrap_or(self.recipe().warm_up)
    }

    /// The longest that the gradient may be, if there is a limit.
    pub fn clip_norm(&self) -> Option<f32> {
        self.clip_norm.or(self.recipe().clip_norm).filter(|&most| most > 0.0)
    }

    /// The optimiser with its settings.
    pub fn optimiser(&self) -> Box<dyn Optimiser> {
        let mut optimiser = self.unclipped();
        if let Some(most) = self.clip_norm() {
            optimiser = Box::new(Clipped { optimiser, most });
        }
        if self.ema > 0.0 {
            optimiser = Box::new(Averaged { optimiser, decay: self.ema });
        }
        optimiser
    }

    /// The optimiser, its rate and how that changes, and what else decides about updates, in words.
    pub fn recipe_in_words(&self) -> String {
        let kind = match self.optimiser_kind() {
            OptimiserKind::AdaGrad => "AdaGrad",
            OptimiserKind::Sgd => "SGD",
            OptimiserKind::RmsProp => "RMSProp",
            OptimiserKind::Adam => "Adam",
            OptimiserKind::AdamW => "AdamW",
        };
        let schedule = match self.schedule {
            _ if !self.rates.is_empty() => "rates of a file".to_string(),
            Schedule::Constant => "constant".to_string(),
            Schedule::Cosine => "cosine to 0".to_string(),
            Schedule::Step => format!("times {} every {}", self.decay, counted(self.decay_every as usize, "epoch")),
            Schedule::Exponential => {
                format!("falling to {} of itself in {}", self.decay, counted(self.decay_every as usize, "epoch"))
            }
        };
        let mut words = format!("{kind}, learning rate {}, {schedule}", self.learning_rate());
        match self.warm_up() {
            0 => words += ", no warm-up",
            steps => words += &format!(", warm-up of {}", counted(steps as usize, "step")),
        }
        if let Some(most) = self.clip_norm() {
            words += &format!(", gradient clipped to {most}");
        }
        if self.weight_decay > 0.0 {
            words += &format!(", weight decay {}", self.weight_decay);
        }
        if self.ema > 0.0 {
            words += &format!(", weights averaged ({})", self.ema);
        }
        if !self.freeze.is_empty() {
            words += &format!(", frozen {}", listed(&self.freeze));
        }
        if !self.rate_of.is_empty() {
            words += &format!(", rates of layers {}", listed(&self.rate_of));
        }
        words
    }

    fn unclipped(&self) -> Box<dyn Optimiser> {
        let (weight_decay, [beta1, beta2]) = (self.weight_decay, self.betas);
        let adam = |decoupled| Adam { beta1, beta2, weight_decay, decoupled, ..Adam::default() };
        match self.optimiser_kind() {
            OptimiserKind::AdaGrad => Box::new(AdaGrad { weight_decay, ..AdaGrad::default() }),
            OptimiserKind::Sgd => {
                let momentum = self.momentum.unwrap_or(Sgd::default().momentum);
                Box::new(Sgd { momentum, nesterov: self.nesterov, weight_decay })
            }
            OptimiserKind::RmsProp => {
                let momentum = self.momentum.unwrap_or(RmsProp::default().momentum);
                Box::new(RmsProp { momentum, weight_decay, ..RmsProp::default() })
            }
            OptimiserKind::Adam => Box::new(adam(false)),
            OptimiserKind::AdamW => Box::new(adam(true)),
        }
    }

    /// Checks what is about the optimiser and its rate.
    pub(super) fn check_optimiser(&self) -> Result<()> {
        let usage = |what: String| Err(Error::Setting(what));
        let rate = self.learning_rate();
        if !(rate.is_finite() && rate > 0.0) {
            return usage("`learning_rate` must be a number above 0".into());
        }
        let kind = self.optimiser_kind();
        let name = format!("{kind:?}");
        if let Some(momentum) = self.momentum {
            if !matches!(kind, OptimiserKind::Sgd | OptimiserKind::RmsProp) {
                return usage(format!("{name} has no momentum; leave `momentum` out, or take `optimiser` sgd"));
            }
            if !(0.0..1.0).contains(&momentum) {
                return usage("`momentum` must be at least 0 and below 1".into());
            }
        }
        if self.nesterov && (kind != OptimiserKind::Sgd || self.momentum == Some(0.0)) {
            return usage("`nesterov` is a kind of momentum of `optimiser` sgd".into());
        }
        if self.betas != Self::default().betas && !matches!(kind, OptimiserKind::Adam | OptimiserKind::AdamW) {
            return usage(format!("{name} has no betas; leave `betas` out, or take `optimiser` adam"));
        }
        if self.betas.iter().any(|beta| !(0.0..1.0).contains(beta)) {
            return usage("both `betas` must be at least 0 and below 1".into());
        }
        if !(0.0..=MOST_DECAY).contains(&self.weight_decay) {
            return usage(format!("`weight_decay` must be from 0 to {MOST_DECAY}; 1e-4 is usual"));
        }
        if self.clip_norm.is_some_and(|most| !(most.is_finite() && most >= 0.0)) {
            return usage("`clip_norm` must be a number of at least 0".into());
        }
        if !(0.0..1.0).contains(&self.ema) {
            return usage("`ema` must be at least 0 and below 1; 0.999 is usual".into());
        }
        if !(self.decay > 0.0 && self.decay <= 1.0) {
            return usage("`decay` must be above 0 and at most 1".into());
        }
        self.rate_of.iter().try_for_each(|group| super::groups::rate_of(group).map(drop))
    }
}
