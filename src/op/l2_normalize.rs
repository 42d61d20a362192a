//! Rows of unit length.

use crate::cpu::{Call, Float, put};
use crate::graph::{Grad, Io, Op, Recorder, Saved};
use crate::op::{Case, Entry, Values};
use crate::plan::{Buf, Kernel, Shape, Type, grid};
use crate::{Error, Result, kernel, params};

/// `y = x / max(|x|, eps)` for every row along the last size, as PyTorch's `F.normalize(x, dim=-1)`: `[.., dim]` to
/// `[.., dim]`.
///
/// The gradient of a row not longer than `eps` is zero. PyTorch's is `dy / eps` there, 10^12 times too large to train
/// with; a row without length has no direction to turn. A row whose length is past the largest float becomes NaN, not
/// zero: the network has diverged, and the loss must show it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct L2Normalize {
    /// Shorter rows are divided by this instead of by their length. Positive, finite.
    pub eps: f32,
}

impl Default for L2Normalize {
    /// PyTorch's `eps`, 1e-12.
    fn default() -> Self {
        Self { eps: 1e-12 }
    }
}

params! {
    /// Parameters of the normalisation kernels.
    struct L2NormalizeParams {
        /// Rows: all sizes but the last, multiplied.
        rows: u32,
        /// Floats of a row.
        dim: u32,
        /// Least divisor.
        eps: f32,
    }
}

static L2_NORMALIZE: Kernel = kernel!(
    "l2_normalize",
    ["l2_normalize.wgsl", "row.wgsl", "index.wgsl", "finite.wgsl"],
    L2NormalizeParams,
    |p, _w| grid::fold(p.rows),
    l2_normalize
);
static L2_NORMALIZE_DX: Kernel = kernel!(
    "l2_normalize_dx",
    ["l2_normalize.wgsl", "row.wgsl", "index.wgsl", "finite.wgsl"],
    L2NormalizeParams,
    |p, _w| grid::fold(p.rows),
    l2_normalize_dx
);

pub(super) static ENTRY: Entry =
    Entry { name: "l2_normalize", kernels: &[&L2_NORMALIZE, &L2_NORMALIZE_DX], cases, bench_cases };

impl L2Normalize {
    fn params(&self, x: Shape) -> L2NormalizeParams {
        L2NormalizeParams { rows: x.rows(), dim: x.channels(), eps: self.eps }
    }
}

impl Op for L2Normalize {
    fn name(&self) -> &'static str {
        "l2_normalize"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        super::expect_inputs("l2_normalize", x, 1)?;
        if !(self.eps.is_normal() && self.eps > 0.0) {
            let message =
                format!("expected a positive, finite eps of at least {:e}, got {:e}", f32::MIN_POSITIVE, self.eps);
            return Err(Error::shape("l2_normalize", message));
        }
        Ok(x[0])
    }

    fn saved(&self, x: &[Shape]) -> Vec<Saved> {
        vec![("norm", Shape::vector(x[0].rows()), Type::F32)]
    }

    fn summary(&self) -> String {
        "L2".to_string()
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        r.dispatch(&L2_NORMALIZE, &self.params(io.y_shape), &[], &[io.x[0], io.y, io.saved[0]]);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        if let Some(grad) = dx[0] {
            let buffers = [io.y, io.saved[0], dy, grad.buf];
            r.dispatch(&L2_NORMALIZE_DX, &self.params(io.y_shape), &grad.overrides(), &buffers);
        }
    }
}

fn l2_normalize<T: Float>(call: Call<'_, T>) {
    let L2NormalizeParams { dim, eps, .. } = call.params();
    let (dim, eps) = (dim as usize, T::of(f64::from(eps)));
    let [x, y, norm] = call.args();
    for ((x, y), norm) in x.f().chunks_exact(dim).zip(y.f_mut().chunks_exact_mut(dim)).zip(norm.f_mut()) {
        *norm = x.iter().map(|&x| x * x).sum::<T>().sqrt();
        let divisor = if norm.is_finite() { norm.max(eps) } else { T::nan() };
        for (y, &x) in y.iter_mut().zip(x) {
            *y = x / divisor;
        }
    }
}

fn l2_normalize_dx<T: Float>(call: Call<'_, T>) {
    let L2NormalizeParams { dim, eps, .. } = call.params();
    let (dim, eps) = (dim as usize, T::of(f64::from(eps)));
    let accumulate = call.flag("ACCUMULATE");
    let [out, norms, dy, dx] = call.args();
    let rows = out.f().chunks_exact(dim).zip(dy.f().chunks_exact(dim)).zip(norms.f());
    for (((out, dy), &norm), dx) in rows.zip(dx.f_mut().chunks_exact_mut(dim)) {
        let along: T = out.iter().zip(dy).map(|(&out, &dy)| out * dy).sum();
        for ((dx, &out), &dy) in dx.iter_mut().zip(out).zip(dy) {
            put(accumulate, dx, if norm <= eps { T::zero() } else { (dy - out * along) / norm });
        }
    }
}

fn case(dims: &[u32]) -> Case {
    Case::new(L2Normalize::default(), &[(dims, Values::Normal)]).inexact()
}

fn cases() -> Vec<Case> {
    // No row of one float: its gradient is zero, a difference of equal numbers that no relative bound can hold.
    vec![case(&[1, 2]), case(&[55, 3]), case(&[7, 128]), case(&[300, 65]), case(&[2, 3, 5, 64]), case(&[1, 1009])]
}

fn bench_cases() -> Vec<Case> {
    vec![case(&[64, 128]), case(&[1800, 128]), case(&[1800, 512])]
}
