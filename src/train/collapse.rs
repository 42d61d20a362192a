//! The collapse guard: notices from the statistics of recent steps that training no longer teaches anything.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Config, StepReport};

/// What a run does once the guard has noticed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum OnCollapse {
    /// Say so once and go on
    #[default]
    Warn,
    /// End with an error; the weights from before are saved
    Stop,
    /// Return to the weights from before with half the learning rate
    BackOff,
}

/// How training comes to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Collapse {
    /// All embeddings have been equal since the first step: nothing has collapsed, there was nothing to tell apart.
    Equal,
    /// All embeddings fall onto one point.
    Point,
    /// The loss sits at the margin: negatives are as close as positives, and stay so.
    Margin,
}

/// Steps that must all look alike before the guard speaks. Fewer would mistake the start for a collapse: untrained
/// networks see little difference between faces, too.
const STEPS: usize = 50;
/// The mean of embeddings on one point is as long as they are: nearly 1.
const LENGTH: f32 = 0.997;
/// Part of the margin that different people are apart on average, where all are on one point.
const APART: f32 = 0.05;
/// Part of the margin that a loss at the margin is away from it, at most.
const NEAR: f32 = 0.03;
/// Part of the pairs that is hard then, at least.
const HARD: f32 = 0.7;
/// Mean squared distance of different people up to which their embeddings are equal but for rounding.
pub(super) const EQUAL: f32 = 1e-9;
/// Embeddings that come apart by this factor within the steps that are looked at are on their way out.
const ON_THE_WAY_OUT: f32 = 1.5;

/// What the guard keeps of a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Seen {
    loss_all: f32,
    hard: f32,
    pairs: f32,
    d_different: f32,
    mean_length: f32,
    /// What is wrong with it.
    sign: Option<Collapse>,
}

impl Seen {
    /// `equal` says that no embeddings have differed so far, those of this step included.
    fn of(r: &StepReport, margin: f32, equal: bool) -> Self {
        let &StepReport { loss_all, hard, pairs, d_different, mean_length, .. } = r;
        let point = mean_length > LENGTH && d_different < APART * margin;
        let at_margin = (loss_all - margin).abs() < NEAR * margin && hard > HARD * pairs;
        let collapse = point.then_some(Collapse::Point).or(at_margin.then_some(Collapse::Margin));
        let sign = if equal { Some(Collapse::Equal) } else { collapse };
        Self { loss_all, hard, pairs, d_different, mean_length, sign }
    }
}

/// Watches the statistics of a run. It is a part of the training state.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Guard {
    margin: f32,
    /// The last [`STEPS`] steps, or fewer.
    recent: VecDeque<Seen>,
    /// What was spoken of already.
    told: Vec<Collapse>,
    /// Steps in a row without a sign.
    calm: usize,
    /// Embeddings of different people have differed in some step.
    #[serde(default)]
    differed: bool,
}

impl Guard {
    pub(super) fn new(margin: f32) -> Self {
        Self { margin, recent: VecDeque::new(), told: Vec::new(), calm: 0, differed: false }
    }

    /// Takes the statistics of the next step. A sentence says what is going on, the first time that it is sure; `rate` is
    /// the learning rate that it advises against.
    pub(super) fn step(&mut self, report: &StepReport, config: &Config, rate: f32) -> Option<String> {
        self.differed |= report.d_different > EQUAL;
        let seen = Seen::of(report, self.margin, !self.differed);
        self.calm = if seen.sign.is_none() { self.calm + 1 } else { 0 };
        self.recent.push_back(seen);
        if self.recent.len() > STEPS {
            self.recent.pop_front();
        }
        let sign = seen.sign?;
        let all_alike = self.recent.len() == STEPS && self.recent.iter().all(|seen| seen.sign.is_some());
        if !all_alike || self.on_the_way_out() || self.told.contains(&sign) {
            return None;
        }
        self.told.push(sign);
        Some(self.say(sign, config, rate))
    }

    /// Steps in a row, up to the last one, that show no sign.
    pub(super) fn calm_steps(&self) -> usize {
        self.calm
    }

    /// Forgets the past, after the run has returned to older weights.
    pub(super) fn start_again(&mut self) {
        self.recent.clear();
        self.told.clear();
        self.calm = 0;
    }

    /// The last steps saw people farther apart than the first ones.
    fn on_the_way_out(&self) -> bool {
        let apart =
            |steps: &mut dyn Iterator<Item = &Seen>| -> f32 { steps.take(STEPS / 5).map(|s| s.d_different).sum() };
        apart(&mut self.recent.iter().rev()) > ON_THE_WAY_OUT * apart(&mut self.recent.iter())
    }

    fn say(&self, sign: Collapse, config: &Config, rate: f32) -> String {
        let mean = |of: fn(&Seen) -> f32| self.recent.iter().map(of).sum::<f32>() / self.recent.len().max(1) as f32;
        let what = match sign {
            Collapse::Equal => {
                let weights = if config.init.is_some() {
                    ", or the weights of `init` give one embedding for all of them"
                } else {
                    ""
                };
                return format!(
                    "the images do not differ: since the first step the embeddings of different people have been equal; look \
                     at the images that a batch holds{weights}"
                );
            }
            Collapse::Point => format!(
                "the embeddings fall onto one point: for {STEPS} steps images of different people were only {:.1e} apart, \
                 and the mean embedding had the length {:.4}",
                mean(|r| r.d_different),
                mean(|r| r.mean_length)
            ),
            Collapse::Margin => format!(
                "the loss sits at the margin: for {STEPS} steps it was {:.4} at a margin of {}, and {:.0} % of the pairs \
                 were hard, so the network tells nobody apart",
                mean(|r| r.loss_all),
                self.margin,
                100.0 * mean(|r| r.hard / r.pairs)
            ),
        };
        // Steps on triplets chosen offline know neither `mining` nor the people of a batch.
        let offline = config.offline.filter(|offline| offline.hardest);
        let online = config.offline.is_none_or(|offline| offline.share < 1.0);
        let gentler = if config.mining.takes_hard() && online { "`mining` semi-hard, " } else { "" };
        let closest = if offline.is_some() { "no `offline.hardest`, " } else { "" };
        let people = if online { ", or more people in a batch (`people`)" } else { ", or a larger `offline.subset`" };
        format!("{what}; try {closest}{gentler}a lower `learning_rate` than {rate:?}{people}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Mining, Stat};
    use crate::train::Offline;

    /// The report of a step of 100 pairs.
    fn report(loss: f32, hard: f32, d_different: f32, mean_length: f32) -> StepReport {
        let mut s = [0.0; Stat::COUNT];
        s[Stat::LossPerPair] = loss;
        s[Stat::Pairs] = 100.0;
        s[Stat::Hard] = hard;
        s[Stat::DifferentDistance] = d_different;
        s[Stat::MeanLength] = mean_length;
        StepReport::new(1, 1, &s, 0.1, 0.0)
    }

    /// What the guard says over these steps, each with its number from 1.
    fn said(config: &Config, steps: impl IntoIterator<Item = StepReport>) -> Vec<(usize, String)> {
        let mut guard = Guard::new(config.margin);
        let steps = (1..).zip(steps);
        steps
            .filter_map(|(number, report)| Some((number, guard.step(&report, config, config.learning_rate())?)))
            .collect()
    }

    #[test]
    fn embeddings_on_one_point_are_noticed_once() {
        let config = Config { mining: Mining::Hard, ..Config::default() };
        let hard = said(&config, std::iter::repeat_n(report(0.2, 100.0, 1e-6, 0.999_99), 500));
        assert_eq!(hard.len(), 1);
        assert_eq!(hard[0].0, STEPS);
        for part in ["fall onto one point", "1.0e-6 apart", "`mining` semi-hard", "lower `learning_rate` than 0.1"] {
            assert!(hard[0].1.contains(part), "\"{part}\" is missing in: {}", hard[0].1);
        }
        // Semi-hard mining has no loss there and is not advised to those who use it.
        let config = Config::default();
        let gentle = said(&config, std::iter::repeat_n(report(0.0, 100.0, 1e-6, 1.0), 500));
        assert_eq!(gentle.len(), 1);
        assert!(!gentle[0].1.contains("`mining`"), "{}", gentle[0].1);
    }

    #[test]
    fn images_that_do_not_differ_are_not_blamed_on_the_learning_rate() {
        let equal = report(0.0, 100.0, 0.0, 1.0);
        let told = said(&Config::default(), std::iter::repeat_n(equal, 500));
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].0, STEPS);
        assert!(told[0].1.starts_with("the images do not differ"), "{}", told[0].1);
        assert!(!told[0].1.contains("learning_rate"), "{}", told[0].1);
        let init = Config { init: Some("m.safetensors".into()), ..Config::default() };
        assert!(said(&init, std::iter::repeat_n(equal, 60))[0].1.contains("the weights of `init`"));
        // Embeddings that differed once have collapsed since.
        let collapsed = std::iter::once(report(0.1, 40.0, 0.5, 0.7)).chain(std::iter::repeat_n(equal, 60));
        assert!(said(&Config::default(), collapsed)[0].1.contains("fall onto one point"));
    }

    #[test]
    fn the_advice_is_about_what_has_chosen_the_triplets() {
        let offline = |share, hardest| {
            let offline = Some(Offline { every: 10, subset: 100, share, hardest });
            let config = Config { mining: Mining::Hard, offline, ..Config::default() };
            said(&config, std::iter::repeat_n(report(0.2, 100.0, 1e-6, 0.999_99), 500)).remove(0).1
        };
        let only = offline(1.0, true);
        assert!(
            only.ends_with("try no `offline.hardest`, a lower `learning_rate` than 0.1, or a larger `offline.subset`")
        );
        let mixed = offline(0.5, true);
        assert!(
            mixed.contains("no `offline.hardest`, `mining` semi-hard, ") && mixed.contains("(`people`)"),
            "{mixed}"
        );
        assert!(!offline(1.0, false).contains("`offline.hardest`"));
    }

    #[test]
    fn a_loss_at_the_margin_is_noticed_once() {
        let config = Config { mining: Mining::BatchHard, ..Config::default() };
        let steps = (0..500).map(|step| report(if step % 2 == 0 { 0.197 } else { 0.203 }, 85.0, 0.3, 0.8));
        let said = said(&config, steps);
        assert_eq!(said.len(), 1);
        for part in ["sits at the margin", "0.2000 at a margin of 0.2", "85 % of the pairs"] {
            assert!(said[0].1.contains(part), "\"{part}\" is missing in: {}", said[0].1);
        }
    }

    #[test]
    fn training_that_goes_on_is_left_alone() {
        let config = Config::default();
        let healthy = [
            report(0.1, 40.0, 0.5, 0.7),     // in the middle of training
            report(0.0, 0.0, 1.9, 0.1),      // at its end
            report(0.2, 50.0, 0.3, 0.8),     // at the margin by chance: half of the pairs are not hard
            report(0.15, 99.0, 0.02, 0.99),  // at the start of a network that sees little difference
            report(0.5, 100.0, 0.02, 0.995), // far above the margin: the gradient is large
        ];
        for report in healthy {
            assert!(said(&config, std::iter::repeat_n(report, 500)).is_empty(), "{report:?}");
        }
    }

    #[test]
    fn a_deep_network_that_starts_near_one_point_is_given_time_while_it_leaves_it() {
        let growing = (0..150).map(|step| report(0.19, 90.0, 1e-4 * 1.02f32.powi(step), 0.9999));
        assert!(said(&Config::default(), growing).is_empty());
        let stuck = (0..150).map(|step| report(0.19, 90.0, 1e-4 * 1.002f32.powi(step), 0.9999));
        assert_eq!(said(&Config::default(), stuck).len(), 1);
    }

    #[test]
    fn one_good_step_among_the_last_keeps_it_quiet() {
        let bad = report(0.2, 100.0, 0.0, 1.0);
        let steps = (1..500).map(|step| if step % STEPS == 0 { report(0.1, 40.0, 0.5, 0.7) } else { bad });
        assert!(said(&Config::default(), steps).is_empty());
    }

    #[test]
    fn calm_is_counted_from_the_last_sign_and_from_a_new_start() {
        let config = Config::default();
        let mut guard = Guard::new(config.margin);
        let (good, bad) = (report(0.1, 40.0, 0.5, 0.7), report(0.2, 100.0, 1e-6, 1.0));
        let calm = |guard: &mut Guard, report| {
            guard.step(report, &config, 0.1);
            guard.calm_steps()
        };
        assert_eq!([&good, &good, &bad, &good].map(|report| calm(&mut guard, report)), [1, 2, 0, 1]);
        guard.start_again();
        assert_eq!(guard.calm_steps(), 0);
        let mut guard = Guard::new(config.margin);
        let mut said = || (0..STEPS).filter_map(|_| guard.step(&bad, &config, 0.1)).count();
        assert_eq!(said(), 1);
        guard.start_again();
        let again = (0..STEPS).filter_map(|_| guard.step(&bad, &config, 0.1)).count();
        assert_eq!(again, 1, "after a new start it speaks again");
    }
}
