//! What every step tells the optimisers beside gradients.

use crate::graph::RATE_LEN;

/// The content of [`Update::rate`](crate::graph::Update) before step `step` (counted from 1) of an optimiser that began with
/// nothing to remember: the learning rate, Adam's two bias corrections, 1, which gradients are multiplied by unless they are
/// clipped, and the part of the weights' average that survives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The learning rate.
    pub learning_rate: f32,
    /// Steps since the optimiser began, this one included.
    pub step: u64,
    /// Decay of Adam's mean gradient and mean squared gradient.
    pub betas: [f32; 2],
    /// Decay of the weights' moving average.
    pub average: f32,
}

impl Rate {
    /// As floats: the learning rate, `1 - beta1^t`, `sqrt(1 - beta2^t)`, 1, and the decay of the average, 0 in the first step.
    pub fn floats(self) -> [f32; RATE_LEN as usize] {
        let power = i32::try_from(self.step).unwrap_or(i32::MAX);
        let [first, second] = self.betas.map(|beta| 1.0 - f64::from(beta).powi(power));
        #[expect(clippy::cast_possible_truncation, reason = "rounding to the precision of the kernels is meant")]
        let corrections = [first as f32, second.sqrt() as f32];
        let average = if self.step <= 1 { 0.0 } else { self.average };
        [self.learning_rate, corrections[0], corrections[1], 1.0, average]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrections_begin_at_what_the_betas_leave_and_reach_one() {
        let at = |step| Rate { learning_rate: 0.1, step, betas: [0.9, 0.999], average: 0.99 }.floats();
        let [rate, first, second, scale, average] = at(1);
        assert_eq!((rate, scale, average), (0.1, 1.0, 0.0));
        assert!((first - 0.1).abs() < 1e-7 && (second - 0.001f32.sqrt()).abs() < 1e-6, "{first} {second}");
        assert_eq!(at(1_000_000), [0.1, 1.0, 1.0, 1.0, 0.99]);
        assert_eq!(at(u64::MAX)[1..3], [1.0, 1.0]);
    }
}
