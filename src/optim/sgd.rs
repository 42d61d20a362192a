//! Stochastic gradient descent.

use rayon::prelude::*;

use crate::cpu::{Call, Float};
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
    /// Pull towards zero, for the parameters that it applies to; 0 is none.
    pub weight_decay: f32,
}

impl Default for Sgd {
    /// Momentum 0.9, no weight decay.
    fn default() -> Self {
        Self { momentum: 0.9, weight_decay: 0.0 }
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
    }
}

pub(super) static SGD: Wide = kernel!(wide, "sgd", ["sgd.wgsl", "finite.wgsl"], SgdParams, |p, w| w.floats(p.len), sgd);

impl Optimiser for Sgd {
    fn record(&self, r: &mut Recorder<'_>, update: &Update) {
        let &Update { w, dw, len, decay, learning_rate, loss } = update;
        let velocity = r.state("velocity", Shape::vector(len));
        let weight_decay = if decay { self.weight_decay } else { 0.0 };
        let p = SgdParams { len, momentum: self.momentum, weight_decay };
        r.dispatch(SGD.of(&[len]), &p, &[], &[w, dw, velocity, learning_rate, loss]);
    }
}

fn sgd<T: Float>(call: Call<'_, T>) {
    let SgdParams { momentum, weight_decay, .. } = call.params();
    let (momentum, weight_decay) = (T::of(f64::from(momentum)), T::of(f64::from(weight_decay)));
    let [w, dw, velocity, learning_rate, loss] = call.args();
    if !loss.f()[0].is_finite() {
        return;
    }
    let learning_rate = learning_rate.f()[0];
    let chunks = w.f_mut().par_chunks_mut(CHUNK).zip(dw.f().par_chunks(CHUNK));
    chunks.zip(velocity.f_mut().par_chunks_mut(CHUNK)).for_each(|((w, dw), velocity)| {
        for ((w, &dw), v) in w.iter_mut().zip(dw).zip(velocity) {
            *v = momentum * *v + dw + weight_decay * *w;
            *w -= learning_rate * *v;
        }
    });
}
