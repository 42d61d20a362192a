//! Adam and AdamW.

use rayon::prelude::*;

use super::finite;
use crate::cpu::{Call, Float, vectorized};
use crate::graph::{Optimiser, Recorder, Update};
use crate::op::elementwise::CHUNK;
use crate::plan::{Shape, Wide};
use crate::{kernel, params};

/// Adam (Kingma & Ba, 2015) and AdamW (Loshchilov & Hutter, 2019), in PyTorch's formula: `m = beta1 m + (1 - beta1) g`,
/// `v = beta2 v + (1 - beta2) g^2`, `w -= learning_rate (m / c1) / (sqrt(v) / sqrt(c2) + eps)` with the bias corrections
/// `c = 1 - beta^t`. Weight decay is added to the gradient, or, decoupled, shrinks the weight by
/// `learning_rate * weight_decay` before.
///
/// Both means start at zero and are kept with the parameter as its states `mean` and `square`. While the loss is not
/// finite, nothing changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Decay of the mean gradient.
    pub beta1: f32,
    /// Decay of the mean squared gradient.
    pub beta2: f32,
    /// Keeps the divisor from zero.
    pub eps: f32,
    /// Pull towards zero, for the parameters that it applies to; 0 is none.
    pub weight_decay: f32,
    /// The pull is not a part of the gradient: AdamW.
    pub decoupled: bool,
}

impl Default for Adam {
    /// PyTorch's: betas 0.9 and 0.999, eps 1e-8, no weight decay.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false }
    }
}

params! {
    /// Parameters of the kernel.
    struct AdamParams {
        /// Elements.
        len: u32,
        /// Decay of the mean gradient.
        beta1: f32,
        /// Decay of the mean squared gradient.
        beta2: f32,
        /// Keeps the divisor from zero.
        eps: f32,
        /// Weight decay as a part of the gradient, 0 where it does not apply.
        weight_decay: f32,
        /// Decoupled weight decay, 0 where it does not apply.
        decoupled: f32,
        /// What the learning rate is multiplied by.
        factor: f32,
    }
}

pub(super) static ADAM: Wide =
    kernel!(wide, "adam", ["adam.wgsl", "finite.wgsl"], AdamParams, |p, w| w.floats(p.len), adam);

impl Optimiser for Adam {
    fn record(&self, r: &mut Recorder<'_>, update: &Update) {
        let &Update { w, dw, len, decay, rate, factor, loss } = update;
        let [mean, square] = ["mean", "square"].map(|name| r.state(name, Shape::vector(len)));
        let applied = if decay { self.weight_decay } else { 0.0 };
        let (weight_decay, decoupled) = if self.decoupled { (0.0, applied) } else { (applied, 0.0) };
        let Self { beta1, beta2, eps, .. } = *self;
        let p = AdamParams { len, beta1, beta2, eps, weight_decay, decoupled, factor };
        r.dispatch(ADAM.of(&[len]), &p, &[], &[w, dw, mean, square, rate, loss]);
    }

    fn betas(&self) -> [f32; 2] {
        [self.beta1, self.beta2]
    }
}

fn adam<T: Float>(call: Call<'_, T>) {
    let AdamParams { beta1, beta2, eps, weight_decay, decoupled, factor, .. } = call.params();
    let [beta1, beta2, eps, weight_decay, decoupled, factor] =
        [beta1, beta2, eps, weight_decay, decoupled, factor].map(|v| T::of(f64::from(v)));
    let [w, dw, mean, square, rate, loss] = call.args();
    if !finite(loss.f()) {
        return;
    }
    let rate = rate.f();
    let (learning_rate, first, second, scale) = (factor * rate[0], rate[1], rate[2], rate[3]);
    let one = T::one();
    let weights = w.f_mut().par_chunks_mut(CHUNK).zip(dw.f().par_chunks(CHUNK));
    let means = mean.f_mut().par_chunks_mut(CHUNK).zip(square.f_mut().par_chunks_mut(CHUNK));
    weights.zip(means).for_each(|((w, dw), (mean, square))| {
        vectorized(|| {
            for ((w, &dw), (m, v)) in w.iter_mut().zip(dw).zip(mean.iter_mut().zip(square)) {
                let shrunk = *w - learning_rate * decoupled * *w;
                let g = scale * dw + weight_decay * *w;
                *m = beta1 * *m + (one - beta1) * g;
                *v = beta2 * *v + (one - beta2) * g * g;
                *w = shrunk - learning_rate * (*m / first) / (v.sqrt() / second + eps);
            }
        });
    });
}
