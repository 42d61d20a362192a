//! What ops share that are elementwise but for one learned number per channel: their shape rule, their parameters, how they
//! are recorded, and the loops of their twins. The gradient of these numbers is a sum over all rows (all sizes but the last,
//! multiplied), which is taken in parts.

use rayon::prelude::*;

use super::rowwise;
use super::sum_partials::{SUM_PARTIALS, SumPartialsParams, part_rows, splits};
use crate::cpu::{Call, Float, put};
use crate::graph::{Grad, Io, Recorder};
use crate::plan::{Buf, Shape, Type, Wide};
use crate::{Error, Result, params};

params! {
    /// Parameters of the kernels.
    pub(super) struct Channels {
        /// Rows: all sizes but the last, multiplied.
        rows: u32,
        /// Channels.
        c: u32,
        /// Parts that the sums over the rows are taken in.
        splits: u32,
    }
}

impl Channels {
    fn of(x: Shape) -> Self {
        let (rows, c) = (x.rows(), x.channels());
        Self { rows, c, splits: splits(c, 1, rows, 32) }
    }

    /// Elements.
    pub(super) fn len(&self) -> u32 {
        self.rows * self.c
    }

    /// Sums: each part's of every channel.
    pub(super) fn parts(&self) -> u32 {
        self.splits * self.c
    }
}

/// The shape rule of inputs `x` `[.., c]` and `[c]`, which `name` names.
pub(super) fn output_shape(op: &str, x: &[Shape], name: &str) -> Result<Shape> {
    super::expect_inputs(op, x, 2)?;
    let c = x[0].channels();
    if x[1].dims() != [c] {
        return Err(Error::shape(op, format!("expected {name} [{c}] for input {}, got {}", x[0], x[1])));
    }
    Ok(x[0])
}

/// Records `y` from `x` and `w`: buffers `x`, `w`, `y`.
pub(super) fn forward(r: &mut Recorder<'_>, kernel: &'static Wide, io: &Io<'_>) {
    let p = Channels::of(io.y_shape);
    r.dispatch(kernel.of(&[p.c]), &p, &[], &[io.x[0], io.x[1], io.y]);
}

/// Records the gradients of `x` and `w` with a kernel that writes both, that of `w` in parts: buffers `x`, `w`, `dy`, `dx`,
/// `part`.
pub(super) fn backward(r: &mut Recorder<'_>, kernel: &'static Wide, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
    let p = Channels::of(io.y_shape);
    let part = r.scratch("parts", Shape::new(&[p.splits, p.c]).expect("parts are bounded by splits"), Type::F32);
    let unused = |r: &mut Recorder<'_>| Grad { buf: r.scratch("dx", io.y_shape, Type::F32), accumulate: false };
    let to = dx[0].unwrap_or_else(|| unused(r));
    r.dispatch(kernel.of(&[p.c]), &p, &to.overrides(), &[io.x[0], io.x[1], dy, to.buf, part]);
    if let Some(grad) = dx[1] {
        let p = SumPartialsParams { len: p.c, splits: p.splits };
        r.dispatch(&SUM_PARTIALS, &p, &grad.overrides(), &[part, grad.buf]);
    }
}

/// The twin of a [`forward`]: `y[r,c] = of(x[r,c], w[c])`.
pub(super) fn map<T: Float>(call: Call<'_, T>, of: impl Fn(T, T) -> T + Sync) {
    let p: Channels = call.params();
    let [x, w, y] = call.args();
    let w = w.f();
    rowwise::each(p.c, x.f(), y.f_mut(), |x, y| {
        for ((y, &x), &w) in y.iter_mut().zip(x).zip(w) {
            *y = of(x, w);
        }
    });
}

/// The twin of a [`backward`]: `(dx[r,c] (+)=, dw[c] +=)` the two of `of(x[r,c], w[c], dy[r,c])`.
pub(super) fn gradients<T: Float>(call: Call<'_, T>, of: impl Fn(T, T, T) -> (T, T) + Sync) {
    let (p, accumulate): (Channels, bool) = (call.params(), call.flag("ACCUMULATE"));
    let [x, w, dy, dx, part] = call.args();
    let (c, x, w, dy, mut dx) = (p.c as usize, x.f(), w.f(), dy.f(), dx.f_mut());
    let mut parts = Vec::new();
    for (t, sum) in part.f_mut().chunks_exact_mut(c).enumerate() {
        let rows = part_rows(p.rows, p.splits, t);
        let (own, rest) = dx.split_at_mut(rows.len() * c);
        dx = rest;
        parts.push((rows, own, sum));
    }
    parts.into_par_iter().for_each(|(rows, dx, sum)| {
        sum.fill(T::zero());
        let inputs = x[rows.start * c..].chunks_exact(c).zip(dy[rows.start * c..].chunks_exact(c));
        for (dx, (x, dy)) in dx.chunks_exact_mut(c).zip(inputs) {
            for (((dx, sum), &w), (&x, &dy)) in dx.iter_mut().zip(&mut *sum).zip(w).zip(x.iter().zip(dy)) {
                let (own, shared) = of(x, w, dy);
                put(accumulate, dx, own);
                *sum += shared;
            }
        }
    });
}
