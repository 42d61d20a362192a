//! What ops share whose rows (all sizes but the last, multiplied) know nothing of one another: parameters, and the loops of
//! their twins, which threads share by rows.

use rayon::prelude::*;

use super::elementwise::CHUNK;
use crate::cpu::{Float, vectorized};
use crate::graph::{Grad, Io, Recorder};
use crate::params;
use crate::plan::{Buf, Kernel, Shape};

params! {
    /// Parameters of kernels that need none but the sizes.
    pub(super) struct Rows {
        /// Rows: all sizes but the last, multiplied.
        rows: u32,
        /// Floats of a row.
        dim: u32,
    }
}

/// From so many floats on, a row is for all the invocations that a workgroup may have: four floats for each.
pub(super) const LONG_ROW: u32 = 1024;

impl Rows {
    fn of(x: Shape) -> Self {
        Self { rows: x.rows(), dim: x.channels() }
    }
}

/// The shape rule of one input of any sizes.
pub(super) use super::elementwise::output_shape;

/// Records `y` from `x`: buffers `x`, `y`.
pub(super) fn forward(r: &mut Recorder<'_>, kernel: &'static Kernel, io: &Io<'_>) {
    r.dispatch(kernel, &Rows::of(io.y_shape), &[], &[io.x[0], io.y]);
}

/// Records the gradient of `x` from the output and its gradient: buffers `out`, `dy`, `dx`.
pub(super) fn backward(r: &mut Recorder<'_>, kernel: &'static Kernel, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
    if let Some(grad) = dx[0] {
        r.dispatch(kernel, &Rows::of(io.y_shape), &grad.overrides(), &[io.y, dy, grad.buf]);
    }
}

/// Rows of `dim` floats that one thread of the CPU device takes at a time, at least.
pub(super) fn at_once(dim: usize) -> usize {
    (CHUNK / dim).max(1)
}

/// Calls `each` with every row of `a` and of `to`.
pub(super) fn each<T: Float>(dim: u32, a: &[T], to: &mut [T], each: impl Fn(&[T], &mut [T]) + Sync) {
    let dim = dim as usize;
    let rows = a.par_chunks_exact(dim).zip(to.par_chunks_exact_mut(dim)).with_min_len(at_once(dim));
    rows.for_each(|(a, to)| vectorized(|| each(a, to)));
}

/// Calls `each` with every row of `a`, `b` and `to`.
pub(super) fn each2<T: Float>(dim: u32, a: &[T], b: &[T], to: &mut [T], each: impl Fn(&[T], &[T], &mut [T]) + Sync) {
    let dim = dim as usize;
    let rows = a.par_chunks_exact(dim).zip(b.par_chunks_exact(dim)).zip(to.par_chunks_exact_mut(dim));
    rows.with_min_len(at_once(dim)).for_each(|((a, b), to)| vectorized(|| each(a, b, to)));
}
