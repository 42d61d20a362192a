//! Optimisers: what turns gradients into new weights, one kernel each.

mod adagrad;
mod adam;
mod average;
mod clip;
mod rate;
mod rmsprop;
mod sgd;

pub use adagrad::AdaGrad;
pub use adam::Adam;
pub use average::{AVERAGE, Averaged};
pub use clip::Clipped;
pub use rate::Rate;
pub use rmsprop::RmsProp;
pub use sgd::Sgd;

use crate::cpu::Float;
use crate::plan::Declared;

/// The optimisers' kernels, for tests that look at every shader.
pub static KERNELS: &[&dyn Declared] = &[
    &adagrad::ADAGRAD,
    &adam::ADAM,
    &average::WEIGHT_AVERAGE,
    &clip::CLIP_NORM,
    &clip::GRADIENT_NORM,
    &rmsprop::RMSPROP,
    &sgd::SGD,
];

/// Whether the loss lets an update through.
fn finite<T: Float>(loss: &[T]) -> bool {
    loss[0].is_finite()
}
