//! Stochastic gradient descent.

use rayon::prelude::*;

use super::finite;
use crate::cpu::{Call, Float, vectorized};
use crate::graph::{Optimiser, Recorder, Update};
use crate::op::elementwise::CHUNK;
use crate::plan::{Shape, Wide};
use crate::{kernel, params};

/// Stochastic gradient descent with momentum, in PyTorch's formula: `g = dw + weight_decay * w`,
/// `v = momentum * v + g`, `w -= learning_rate * v`.
///
/// The velocity `v` starts at zero and is kept with the parameter as its state `velocity`. While the loss is not
/// finite, neither changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Share of the velocity that survives a step, 0 to 1; 0 is plain gradient descent.
    pub momentum: f32,
    /// The step looks ahead: `w -= learning_rate * (g + momentum * v)` (Nesterov, 1983).
    pub nesterov: bool,
    /// Pull towards zero, for the parameters that it applies to; 0 is none.
    pub weight_decay: f32,
}

impl Default for Sgd {
    /// Momentum 0.9, no weight decay.
    fn default() -> Self {
        Self { momentum: 0.9, nesterov: false, weight_decay: 0.0 }
    }
}

params! {
    /// Parameters of the kernel.
    struct SgdParams {
        /// Elements.
        len: u32,
        /// Share of the velocity that survives.
        momentum: f32,
        /// Weight decay, 0 where it does not apply.
        weight_decay: f32,
        /// 1 with Nesterov's momentum, else 0.
        nesterov: f32,
        /// What the learning rate is multiplied by.
        factor: f32,
    }
}

pub(super) static SGD: Wide = kernel!(wide, "sgd", ["sgd.wgsl", "finite.wgsl"], SgdParams, |p, w| w.floats(p.len), sgd);

impl Optimiser for Sgd {
    fn record(&self, r: &mut Recorder<'_>, update: &Update) {
        let &Update { w, dw, len, decay, rate, factor, loss } = update;
        let velocity = r.state("velocity", Shape::vector(len));
        let weight_decay = if decay { self.weight_decay } else { 0.0 };
        let nesterov = f32::from(u8::from(self.nesterov));
        let p = SgdParams { len, momentum: self.momentum, weight_decay, nesterov, factor };
        r.dispatch(SGD.of(&[len]), &p, &[], &[w, dw, velocity, rate, loss]);
    }
}

fn sgd<T: Float>(call: Call<'_, T>) {
    let SgdParams { momentum, weight_decay, nesterov, factor, .. } = call.params();
    let [momentum, weight_decay, factor] = [momentum, weight_decay, factor].map(|v| T::of(f64::from(v)));
    let [w, dw, velocity, rate, loss] = call.args();
    if !finite(loss.f()) {
        return;
    }
    let rate = rate.f();
    let (learning_rate, scale) = (factor * rate[0], rate[3]);
    let chunks = w.f_mut().par_chunks_mut(CHUNK).zip(dw.f().par_chunks(CHUNK));
    chunks.zip(velocity.f_mut().par_chunks_mut(CHUNK)).for_each(|((w, dw), velocity)| {
        vectorized(|| {
            for ((w, &dw), v) in w.iter_mut().zip(dw).zip(velocity) {
                let g = scale * dw;
                *v = momentum * *v + g + weight_decay * *w;
                let step = if nesterov == 0.0 { *v } else { g + weight_decay * *w + momentum * *v };
                *w -= learning_rate * step;
            }
        });
    });
}
