//! Columns of unit length: the weights of classes whose scores are cosines.

use rayon::prelude::*;

use super::sum_partials::MANY_ELEMENTS;
use crate::cpu::{Call, Float};
use crate::graph::{Grad, Io, Op, Recorder, Saved};
use crate::op::{Case, Entry, Values};
use crate::plan::reflect::Interface;
use crate::plan::{Buf, Kernel, Shape, Type};
use crate::{Result, kernel, params};

/// `y[i,j] = x[i,j] / max(|x[:,j]|, 1e-12)`: `[rows, dim]` to `[rows, dim]`, PyTorch's `F.normalize(x, dim=0)`. The
/// gradient of a column that is not longer is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NormalizeColumns;

/// Shorter columns are divided by this.
const SHORTEST: f64 = 1e-12;

params! {
    /// Parameters of both kernels.
    struct ColumnsParams {
        /// Rows.
        rows: u32,
        /// Columns.
        dim: u32,
    }
}

static FORWARD: Kernel = kernel!(
    "normalize_columns",
    {
        Shared if has_few_columns: [
            "normalize_columns_shared.wgsl",
            "columns.wgsl",
            "lanes1.wgsl",
            "index.wgsl",
            "finite.wgsl",
        ],
        Portable: ["normalize_columns.wgsl", "index.wgsl", "finite.wgsl"],
    },
    ColumnsParams,
    |p, w| w.results(p.dim),
    forward
);
static DX: Kernel = kernel!(
    "normalize_columns_dx",
    {
        Shared if has_few_columns: [
            "normalize_columns_shared.wgsl",
            "columns.wgsl",
            "lanes1.wgsl",
            "index.wgsl",
            "finite.wgsl",
        ],
        Portable: ["normalize_columns.wgsl", "index.wgsl", "finite.wgsl"],
    },
    ColumnsParams,
    |p, w| w.results(p.dim),
    backward
);

/// Whether there are too few columns to fill a GPU with an invocation each.
fn has_few_columns(p: &ColumnsParams, _: &Interface) -> bool {
    p.dim < MANY_ELEMENTS
}

pub(super) static ENTRY: Entry = Entry { name: "normalize_columns", kernels: &[&FORWARD, &DX], cases, bench_cases };

impl Op for NormalizeColumns {
    fn name(&self) -> &'static str {
        "normalize_columns"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        super::expect_inputs("normalize_columns", x, 1)?;
        x[0].matrix("normalize_columns").map(|_| x[0])
    }

    fn saved(&self, x: &[Shape]) -> Vec<Saved> {
        vec![("norm", Shape::vector(x[0].channels()), Type::F32)]
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        let p = ColumnsParams { rows: io.y_shape.rows(), dim: io.y_shape.channels() };
        r.dispatch(&FORWARD, &p, &[], &[io.x[0], io.y, io.saved[0]]);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        if let Some(grad) = dx[0] {
            let p = ColumnsParams { rows: io.y_shape.rows(), dim: io.y_shape.channels() };
            r.dispatch(&DX, &p, &grad.overrides(), &[io.y, io.saved[0], dy, grad.buf]);
        }
    }
}

fn forward<T: Float>(call: Call<'_, T>) {
    let dim = call.params::<ColumnsParams>().dim as usize;
    let [x, y, norm] = call.args();
    let (x, norm) = (x.f(), norm.f_mut());
    norm.fill(T::zero());
    for row in x.chunks_exact(dim) {
        norm.iter_mut().zip(row).for_each(|(norm, &x)| *norm += x * x);
    }
    norm.iter_mut().for_each(|norm| *norm = norm.sqrt());
    let norm = &*norm;
    y.f_mut().par_chunks_exact_mut(dim).zip(x.par_chunks_exact(dim)).for_each(|(y, x)| {
        for ((y, &x), &norm) in y.iter_mut().zip(x).zip(norm) {
            *y = x / norm.max(T::of(SHORTEST));
        }
    });
}

fn backward<T: Float>(call: Call<'_, T>) {
    let (dim, accumulate) = (call.params::<ColumnsParams>().dim as usize, call.flag("ACCUMULATE"));
    let [out, length, dy, dx] = call.args();
    let (out, length, dy) = (out.f(), length.f(), dy.f());
    let mut along = vec![T::zero(); dim];
    for (out, dy) in out.chunks_exact(dim).zip(dy.chunks_exact(dim)) {
        along.iter_mut().zip(out.iter().zip(dy)).for_each(|(along, (&out, &dy))| *along += out * dy);
    }
    let rows = out.par_chunks_exact(dim).zip(dy.par_chunks_exact(dim));
    dx.f_mut().par_chunks_exact_mut(dim).zip(rows).for_each(|(dx, (out, dy))| {
        for (j, dx) in dx.iter_mut().enumerate() {
            let short = length[j] <= T::of(SHORTEST);
            let g = if short { T::zero() } else { (dy[j] - out[j] * along[j]) / length[j] };
            crate::cpu::put(accumulate, dx, g);
        }
    });
}

fn case(dims: &[u32]) -> Case {
    Case::new(NormalizeColumns, &[(dims, Values::Normal)]).inexact()
}

fn cases() -> Vec<Case> {
    vec![case(&[2, 1]), case(&[3, 55]), case(&[128, 7]), case(&[65, 300])]
}

/// The people of LFW's View 1 and of VGGFace2.
fn bench_cases() -> Vec<Case> {
    vec![case(&[128, 888]), case(&[512, 8631])]
}
