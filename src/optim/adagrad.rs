//! AdaGrad.

use rayon::prelude::*;

use super::finite;
use crate::cpu::{Call, Float, vectorized};
use crate::graph::{Optimiser, Recorder, Update};
use crate::op::elementwise::CHUNK;
use crate::plan::{Shape, Wide};
use crate::{kernel, params};

/// AdaGrad (Duchi et al., 2011), FaceNet's optimiser, in PyTorch's formula: `g = dw + weight_decay * w`,
/// `sum += g^2`, `w -= learning_rate * g / (sqrt(sum) + eps)`, where the sum starts at `initial_accumulator`.
///
/// The sum is kept with the parameter as its state `sum`, without the initial value: the state starts at zero and the
/// kernel adds it. While the loss is not finite, neither the sum nor the parameter changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaGrad {
    /// What the sum of squared gradients starts at. With 0, the first step moves every weight by the learning rate,
    /// however small its gradient is.
    pub initial_accumulator: f32,
    /// Keeps the divisor from zero.
    pub eps: f32,
    /// Pull towards zero, for the parameters that it applies to; 0 is none.
    pub weight_decay: f32,
}

impl Default for AdaGrad {
    /// Initial accumulator 0.1, eps 1e-10, no weight decay. The FaceNet paper states none of them: this is our choice.
    fn default() -> Self {
        Self { initial_accumulator: 0.1, eps: 1e-10, weight_decay: 0.0 }
    }
}

params! {
    /// Parameters of the kernel.
    struct AdaGradParams {
        /// Elements.
        len: u32,
        /// What the sum starts at.
        initial: f32,
        /// Keeps the divisor from zero.
        eps: f32,
        /// Weight decay, 0 where it does not apply.
        weight_decay: f32,
        /// What the learning rate is multiplied by.
        factor: f32,
    }
}

pub(super) static ADAGRAD: Wide =
    kernel!(wide, "adagrad", ["adagrad.wgsl", "finite.wgsl"], AdaGradParams, |p, w| w.floats(p.len), adagrad);

impl Optimiser for AdaGrad {
    fn record(&self, r: &mut Recorder<'_>, update: &Update) {
        let &Update { w, dw, len, decay, rate, factor, loss } = update;
        let sum = r.state("sum", Shape::vector(len));
        let weight_decay = if decay { self.weight_decay } else { 0.0 };
        let p = AdaGradParams { len, initial: self.initial_accumulator, eps: self.eps, weight_decay, factor };
        r.dispatch(ADAGRAD.of(&[len]), &p, &[], &[w, dw, sum, rate, loss]);
    }
}

fn adagrad<T: Float>(call: Call<'_, T>) {
    let AdaGradParams { initial, eps, weight_decay, factor, .. } = call.params();
    let [initial, eps, weight_decay, factor] = [initial, eps, weight_decay, factor].map(|v| T::of(f64::from(v)));
    let [w, dw, sum, rate, loss] = call.args();
    if !finite(loss.f()) {
        return;
    }
    let rate = rate.f();
    let (learning_rate, scale) = (factor * rate[0], rate[3]);
    let chunks = w.f_mut().par_chunks_mut(CHUNK).zip(dw.f().par_chunks(CHUNK)).zip(sum.f_mut().par_chunks_mut(CHUNK));
    chunks.for_each(|((w, dw), sum)| {
        vectorized(|| {
            for ((w, &dw), sum) in w.iter_mut().zip(dw).zip(sum) {
                let g = scale * dw + weight_decay * *w;
                *sum += g * g;
                *w -= learning_rate * g / ((initial + *sum).sqrt() + eps);
            }
        });
    });
}
