//! A moving average of the weights.

use rayon::prelude::*;

use super::finite;
use crate::cpu::{Call, Float, vectorized};
use crate::graph::{Optimiser, Recorder, Update};
use crate::op::elementwise::CHUNK;
use crate::plan::{Buf, Shape, Wide};
use crate::{kernel, params};

/// An optimiser that keeps an exponential moving average of each parameter beside it, as PyTorch's `AveragedModel` with
/// `get_ema_multi_avg_fn(decay)` does: a copy after the first step, then `average += (1 - decay) (w - average)` after each
/// one.
///
/// The average is the parameter's state [`AVERAGE`]. While the loss is not finite, it does not change.
#[derive(Debug)]
pub struct Averaged {
    /// What moves the parameters.
    pub optimiser: Box<dyn Optimiser>,
    /// Part of the average that survives a step, 0 to 1.
    pub decay: f32,
}

/// Name of the state that holds the average of a parameter.
pub const AVERAGE: &str = "average";

params! {
    /// Parameters of the kernel.
    struct AverageParams {
        /// Elements.
        len: u32,
    }
}

pub(super) static WEIGHT_AVERAGE: Wide = kernel!(
    wide,
    "weight_average",
    ["weight_average.wgsl", "finite.wgsl"],
    AverageParams,
    |p, w| w.floats(p.len),
    average
);

impl Optimiser for Averaged {
    fn record(&self, r: &mut Recorder<'_>, update: &Update) {
        self.optimiser.record(r, update);
        let &Update { w, len, rate, loss, .. } = update;
        let average = r.state(AVERAGE, Shape::vector(len));
        r.dispatch(WEIGHT_AVERAGE.of(&[len]), &AverageParams { len }, &[], &[w, average, rate, loss]);
    }

    fn prepare(&self, r: &mut Recorder<'_>, gradients: &[(Buf, u32)], rate: Buf) {
        self.optimiser.prepare(r, gradients, rate);
    }

    fn betas(&self) -> [f32; 2] {
        self.optimiser.betas()
    }

    fn average(&self) -> f32 {
        self.decay
    }
}

fn average<T: Float>(call: Call<'_, T>) {
    let [w, average, rate, loss] = call.args();
    if !finite(loss.f()) {
        return;
    }
    let new = T::one() - rate.f()[4];
    let chunks = average.f_mut().par_chunks_mut(CHUNK).zip(w.f().par_chunks(CHUNK));
    chunks.for_each(|(average, w)| {
        vectorized(|| {
            for (average, &w) in average.iter_mut().zip(w) {
                *average += new * (w - *average);
            }
        });
    });
}
