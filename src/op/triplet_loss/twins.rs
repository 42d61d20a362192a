//! The kernels of the triplet loss in plain Rust. Inner loops run over [`LANES`] floats side by side, which the compiler
//! turns into whatever vectors the processor has.

mod distances;
mod loss;
mod pairs;
mod select;

pub(super) use distances::{centre, distances, transpose};
pub(super) use loss::{dx, stats};
pub(super) use pairs::{hardest, order, pairs};
pub(super) use select::{all, closest, random};

use crate::cpu::Float;

/// Floats that inner loops take at a time.
const LANES: usize = 16;

/// A mean, 0 of nothing.
fn mean<T: Float>(sum: T, count: T) -> T {
    if count == T::zero() { T::zero() } else { sum / count }
}

/// The sum of squared distances from `mean`.
fn squares<T: Float>(values: impl Iterator<Item = T>, mean: T) -> T {
    values.map(|v| (v - mean) * (v - mean)).sum()
}
