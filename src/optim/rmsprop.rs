//! RMSProp.

use rayon::prelude::*;

use super::finite;
use crate::cpu::{Call, Float, vectorized};
use crate::graph::{Optimiser, Recorder, Update};
use crate::op::elementwise::CHUNK;
use crate::plan::{Shape, Wide};
use crate::{kernel, params};

/// RMSProp (Tieleman & Hinton, 2012), in PyTorch's formula: `s = alpha s + (1 - alpha) g^2`,
/// `v = momentum v + g / (sqrt(s) + eps)`, `w -= learning_rate v`.
///
/// Both start at zero and are kept with the parameter as its states `square` and `velocity`. While the loss is not finite,
/// nothing changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsProp {
    /// Decay of the mean squared gradient.
    pub alpha: f32,
    /// Share of the velocity that survives a step, 0 to 1.
    pub momentum: f32,
    /// Keeps the divisor from zero.
    pub eps: f32,
    /// Pull towards zero, for the parameters that it applies to; 0 is none.
    pub weight_decay: f32,
}

impl Default for RmsProp {
    /// PyTorch's: alpha 0.99, eps 1e-8, no momentum, no weight decay.
    fn default() -> Self {
        Self { alpha: 0.99, momentum: 0.0, eps: 1e-8, weight_decay: 0.0 }
    }
}

params! {
    /// Parameters of the kernel.
    struct RmsPropParams {
        /// Elements.
        len: u32,
        /// Decay of the mean squared gradient.
        alpha: f32,
        /// Share of the velocity that survives.
        momentum: f32,
        /// Keeps the divisor from zero.
        eps: f32,
        /// Weight decay, 0 where it does not apply.
        weight_decay: f32,
        /// What the learning rate is multiplied by.
        factor: f32,
    }
}

pub(super) static RMSPROP: Wide =
    kernel!(wide, "rmsprop", ["rmsprop.wgsl", "finite.wgsl"], RmsPropParams, |p, w| w.floats(p.len), rmsprop);

impl Optimiser for RmsProp {
    fn record(&self, r: &mut Recorder<'_>, update: &Update) {
        let &Update { w, dw, len, decay, rate, factor, loss } = update;
        let [square, velocity] = ["square", "velocity"].map(|name| r.state(name, Shape::vector(len)));
        let weight_decay = if decay { self.weight_decay } else { 0.0 };
        let Self { alpha, momentum, eps, .. } = *self;
        let p = RmsPropParams { len, alpha, momentum, eps, weight_decay, factor };
        r.dispatch(RMSPROP.of(&[len]), &p, &[], &[w, dw, square, velocity, rate, loss]);
    }
}

fn rmsprop<T: Float>(call: Call<'_, T>) {
    let RmsPropParams { alpha, momentum, eps, weight_decay, factor, .. } = call.params();
    let [alpha, momentum, eps, weight_decay, factor] =
        [alpha, momentum, eps, weight_decay, factor].map(|v| T::of(f64::from(v)));
    let [w, dw, square, velocity, rate, loss] = call.args();
    if !finite(loss.f()) {
        return;
    }
    let rate = rate.f();
    let (learning_rate, scale) = (factor * rate[0], rate[3]);
    let weights = w.f_mut().par_chunks_mut(CHUNK).zip(dw.f().par_chunks(CHUNK));
    let states = square.f_mut().par_chunks_mut(CHUNK).zip(velocity.f_mut().par_chunks_mut(CHUNK));
    weights.zip(states).for_each(|((w, dw), (square, velocity))| {
        vectorized(|| {
            for ((w, &dw), (s, v)) in w.iter_mut().zip(dw).zip(square.iter_mut().zip(velocity)) {
                let g = scale * dw + weight_decay * *w;
                *s = alpha * *s + (T::one() - alpha) * g * g;
                *v = momentum * *v + g / (s.sqrt() + eps);
                *w -= learning_rate * *v;
            }
        });
    });
}
