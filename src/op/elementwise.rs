//! What elementwise ops share: their parameters, how they are recorded, and the loops of their twins, which threads share
//! by chunks.

use rayon::prelude::*;

use crate::cpu::{Call, Float, put, vectorized};
use crate::graph::{Grad, Io, Recorder};
use crate::plan::{Buf, Shape, Wide};
use crate::{Result, params};

params! {
    /// Parameters of kernels that need none but the number of elements.
    pub(super) struct Elements {
        /// Elements.
        len: u32,
    }
}

/// Floats that one thread of the CPU device takes at a time.
pub(crate) const CHUNK: usize = 1 << 14;

/// The shape rule of one input of any sizes.
pub(super) fn output_shape(op: &str, x: &[Shape]) -> Result<Shape> {
    super::expect_inputs(op, x, 1)?;
    Ok(x[0])
}

/// Records `y` from `x`: buffers `x`, `y`.
pub(super) fn forward(r: &mut Recorder<'_>, kernel: &'static Wide, io: &Io<'_>) {
    let p = Elements { len: io.y_shape.len_u32() };
    r.dispatch(kernel.of(&[p.len]), &p, &[], &[io.x[0], io.y]);
}

/// Records the gradient of `x` from the output and its gradient: buffers `out`, `dy`, `dx`.
pub(super) fn backward(r: &mut Recorder<'_>, kernel: &'static Wide, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
    if let Some(grad) = dx[0] {
        let p = Elements { len: io.y_shape.len_u32() };
        r.dispatch(kernel.of(&[p.len]), &p, &grad.overrides(), &[io.y, dy, grad.buf]);
    }
}

/// The twin of a [`forward`]: `y[i] = of(x[i])`.
pub(super) fn map<T: Float>(call: Call<'_, T>, of: impl Fn(T) -> T + Sync) {
    let [x, y] = call.args();
    each(x.f(), y.f_mut(), |y, x| *y = of(x));
}

/// The twin of a [`backward`]: `dx[i] (+)= of(out[i], dy[i])`.
pub(super) fn gradient<T: Float>(call: Call<'_, T>, of: impl Fn(T, T) -> T + Sync) {
    let accumulate = call.flag("ACCUMULATE");
    let [out, dy, dx] = call.args();
    each2(out.f(), dy.f(), dx.f_mut(), |dx, out, dy| put(accumulate, dx, of(out, dy)));
}

/// Calls `set` with every element of `to` and that of `a`.
pub(super) fn each<T: Float>(a: &[T], to: &mut [T], set: impl Fn(&mut T, T) + Sync) {
    to.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).for_each(|(to, a)| {
        vectorized(|| {
            for (to, &a) in to.iter_mut().zip(a) {
                set(to, a);
            }
        });
    });
}

/// Calls `set` with every element of `to` and those of `a` and `b`.
pub(super) fn each2<T: Float>(a: &[T], b: &[T], to: &mut [T], set: impl Fn(&mut T, T, T) + Sync) {
    let inputs = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK));
    to.par_chunks_mut(CHUNK).zip(inputs).for_each(|(to, (a, b))| {
        vectorized(|| {
            for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
                set(to, a, b);
            }
        });
    });
}
