//! Optimisers: what turns gradients into new weights, one kernel each.

mod adagrad;
mod sgd;

pub use adagrad::AdaGrad;
pub use sgd::Sgd;

use crate::plan::Declared;

/// The optimisers' kernels, for tests that look at every shader.
pub static KERNELS: &[&dyn Declared] = &[&adagrad::ADAGRAD, &sgd::SGD];
