//! The optimiser, the learning rate and the warm-up that suit a network, for runs that say nothing else.

use serde::{Deserialize, Serialize};

use super::OptimiserKind;

/// What a network is trained with unless the settings say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Recipe {
    /// Optimiser.
    pub optimiser: OptimiserKind,
    /// Learning rate after the warm-up.
    pub learning_rate: f32,
    /// Steps in which the learning rate grows from zero.
    pub warm_up: u32,
    /// The longest that the gradient of all parameters together may be; longer ones are scaled down.
    pub clip_norm: Option<f32>,
}

impl Recipe {
    /// That of the paper's optimiser, which suits shallow networks and those with batch normalisation.
    pub const ADAGRAD: Self =
        Self { optimiser: OptimiserKind::AdaGrad, learning_rate: 0.1, warm_up: 0, clip_norm: None };

    /// For deep networks without batch normalisation. Their embeddings start near one point: AdaGrad's first steps, as
    /// large for all parameters, throw them onto it for good, and smaller ones never leave.
    pub const ADAM: Self =
        Self { optimiser: OptimiserKind::Adam, learning_rate: 1e-4, warm_up: 100, clip_norm: Some(1.0) };

    /// The recipe of a network.
    pub fn of(network: &str) -> Self {
        match network {
            "nn1" | "nn2" | "nn3" | "nn4" => Self::ADAM,
            _ => Self::ADAGRAD,
        }
    }
}
