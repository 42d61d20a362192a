//! Rows of a matrix by number: how the rows of a chunk come into those of a batch, and out of them. No op: nothing here
//! has a gradient.

use rayon::prelude::*;

use crate::cpu::{Call, Float};
use crate::graph::Recorder;
use crate::plan::{Buf, Kernel, Wide};
use crate::{kernel, params};

params! {
    /// Parameters of all kernels.
    pub(super) struct RowsParams {
        /// Rows that are gathered or scattered.
        rows: u32,
        /// Rows of the matrix that they come from or go to.
        total: u32,
        /// Columns.
        dim: u32,
    }
}

/// Buffers `x`, `at`, `y`.
pub(super) static GATHER: Wide =
    kernel!(wide, "gather_rows", ["rows.wgsl"], RowsParams, |p, w| w.floats(p.rows * p.dim), gather);
/// Buffers `x`, `at`, `y`.
pub(super) static SCATTER: Wide =
    kernel!(wide, "scatter_rows", ["rows.wgsl"], RowsParams, |p, w| w.floats(p.rows * p.dim), scatter);
/// Buffers `x`, `active`.
pub(super) static ACTIVE: Kernel =
    kernel!("active_rows", ["active_rows.wgsl", "index.wgsl"], RowsParams, |p, w| w.items(p.total), active);

/// Records `y[i] = x[at[i]]` for rows: `x` `[total, dim]`, `at` `[rows]` (integers), `y` `[rows, dim]`. A row that `x`
/// does not have is zero.
pub fn gather_rows(r: &mut Recorder<'_>, x: Buf, at: Buf, y: Buf) {
    let p = RowsParams { rows: r.shape(y).rows(), total: r.shape(x).rows(), dim: r.shape(x).channels() };
    r.dispatch(GATHER.of(&[p.dim]), &p, &[], &[x, at, y]);
}

/// Records `y[at[i]] = x[i]` for rows: `x` `[rows, dim]`, `at` `[rows]` (integers), `y` `[total, dim]`. A row that `y`
/// does not have goes nowhere. No row of `y` may be named twice.
pub fn scatter_rows(r: &mut Recorder<'_>, x: Buf, at: Buf, y: Buf) {
    let p = RowsParams { rows: r.shape(x).rows(), total: r.shape(y).rows(), dim: r.shape(x).channels() };
    r.dispatch(SCATTER.of(&[p.dim]), &p, &[], &[x, at, y]);
}

/// Records `active[i] = 1` where row `i` of `x` `[total, dim]` holds anything but zeros, else 0; `active` `[total]`
/// holds integers.
pub fn active_rows(r: &mut Recorder<'_>, x: Buf, active: Buf) {
    let total = r.shape(x).rows();
    r.dispatch(&ACTIVE, &RowsParams { rows: total, total, dim: r.shape(x).channels() }, &[], &[x, active]);
}

fn gather<T: Float>(call: Call<'_, T>) {
    let p: RowsParams = call.params();
    let dim = p.dim as usize;
    let [x, at, y] = call.args();
    let (x, at) = (x.f(), at.u());
    y.f_mut().par_chunks_exact_mut(dim).zip(at).for_each(|(y, &from)| {
        if from < p.total {
            y.copy_from_slice(&x[from as usize * dim..][..dim]);
        } else {
            y.fill(T::zero());
        }
    });
}

fn scatter<T: Float>(call: Call<'_, T>) {
    let p: RowsParams = call.params();
    let dim = p.dim as usize;
    let [x, at, y] = call.args();
    let y = y.f_mut();
    for (x, &to) in x.f().chunks_exact(dim).zip(at.u()).filter(|(_, to)| **to < p.total) {
        y[to as usize * dim..][..dim].copy_from_slice(x);
    }
}

fn active<T: Float>(call: Call<'_, T>) {
    let dim = call.params::<RowsParams>().dim as usize;
    let [x, active] = call.args();
    let rows = x.f().par_chunks_exact(dim).zip(active.u_mut());
    rows.for_each(|(x, active)| *active = u32::from(x.iter().any(|x| *x != T::zero())));
}
