//! The optimiser, the learning rate and the warm-up that suit a network, for runs that say nothing else.

use serde::{Deserialize, Serialize};

use super::{LossKind, OptimiserKind};

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

    /// For losses over classes, with which AdaGrad's first steps throw all embeddings onto one point.
    pub const CLASSES: Self =
        Self { optimiser: OptimiserKind::Adam, learning_rate: 1e-3, warm_up: 100, clip_norm: None };

    /// The recipe of a network with a loss.
    pub fn of(network: &str, loss: LossKind) -> Self {
        match (network, loss) {
            ("nn1" | "nn2" | "nn3" | "nn4" | "nns1", _) => Self::ADAM,
            (_, LossKind::Triplet) => Self::ADAGRAD,
            (_, LossKind::Softmax | LossKind::ArcFace) => Self::CLASSES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::NETWORKS;
    use crate::train::Config;

    #[test]
    fn what_the_settings_leave_open_comes_from_the_network_and_the_loss_and_is_written_down() {
        for network in NETWORKS {
            let config = Config::default().with(|c| c.network = network.name.to_string());
            let recipe = Recipe::of(network.name, LossKind::Triplet);
            let resolved = config.clone().with_recipe();
            assert_eq!(resolved.optimiser, Some(recipe.optimiser));
            assert_eq!((resolved.learning_rate, resolved.warm_up), (Some(recipe.learning_rate), Some(recipe.warm_up)));
            assert_eq!(resolved.clip_norm(), recipe.clip_norm);
            assert_eq!(resolved.clone().with_recipe(), resolved);
            config.check().unwrap();
        }
        let classes = Config::default().with(|c| c.loss = LossKind::Softmax);
        assert_eq!((classes.optimiser_kind(), classes.learning_rate()), (OptimiserKind::Adam, 1e-3));
        // Of another optimiser than the recipe's, its rate would be no advice.
        let sgd = Config::default().with(|c| (c.network, c.optimiser) = ("nn4".into(), Some(OptimiserKind::Sgd)));
        assert_eq!(sgd.learning_rate(), 0.1);
    }
}
