//! Flags that are given and decide about nothing.

use crate::cli::words::with_flags;
use crate::train::{Config, LossKind, OptimiserKind, Schedule};

/// A sentence for each flag that has no effect beside the other settings.
pub(super) fn unused(config: &Config, given: impl Fn(&str) -> bool) -> Vec<String> {
    let over_classes = config.loss != LossKind::Triplet;
    let kind = config.optimiser_kind();
    let adam = matches!(kind, OptimiserKind::Adam | OptimiserKind::AdamW);
    let momentum = matches!(kind, OptimiserKind::Sgd | OptimiserKind::RmsProp);
    let decays = matches!(config.schedule, Schedule::Step | Schedule::Exponential) && config.rates.is_empty();
    let of_classes = "is for the losses softmax and arcface";
    let of_triplets = "is for the loss triplet";
    let table = [
        ("loss_scale", !over_classes, of_classes),
        ("angular_margin", config.loss != LossKind::ArcFace, "is for the loss arcface"),
        ("mining", over_classes, of_triplets),
        ("positives", over_classes, of_triplets),
        ("schedule", !config.rates.is_empty(), "is replaced by the rates of a file"),
        ("decay", !decays, "is for the schedules step and exponential"),
        ("decay_every", !decays, "is for the schedules step and exponential"),
        ("momentum", !momentum, "is for the optimisers sgd and rmsprop"),
        ("betas", !adam, "is for the optimisers adam and adamw"),
    ];
    let idle = table.into_iter().filter(|&(flag, idle, _)| idle && given(flag));
    idle.map(|(flag, _, why)| with_flags(&format!("`{flag}` has no effect here: it {why}")).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_without_an_effect_are_told_and_others_are_not() {
        let all = |_: &str| true;
        let triplet = unused(&Config::default(), all).join("\n");
        for flag in ["--loss-scale", "--angular-margin", "--decay", "--decay-every", "--momentum", "--betas"] {
            assert!(triplet.contains(&format!("{flag} has no effect here")), "{triplet}");
        }
        assert!(!triplet.contains("--mining") && !triplet.contains("--schedule"), "{triplet}");
        let arcface = Config::default().with(|c| {
            (c.loss, c.schedule) = (LossKind::ArcFace, Schedule::Step);
        });
        let arcface = unused(&arcface, all).join("\n");
        assert!(arcface.contains("--mining") && !arcface.contains("--loss-scale") && !arcface.contains("--decay"));
        assert!(unused(&Config::default(), |_| false).is_empty());
    }
}
