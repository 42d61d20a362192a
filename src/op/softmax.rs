//! Softmax along the last size.

use super::rowwise::{self, LONG_ROW, Rows};
use crate::cpu::{Call, Float, put};
use crate::kernel;
use crate::op::{Case, Entry, Values};
use crate::plan::reflect::Interface;
use crate::plan::{Kernel, grid};

/// `y = exp(x) / sum of exp(x)` for every row along the last size: `[.., dim]` to `[.., dim]`. PyTorch's `Softmax(dim=-1)`.
/// A NaN or an infinity makes its whole row NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Softmax;

static SOFTMAX: Kernel = kernel!(
    "softmax",
    {
        Shared if is_long: ["softmax.wgsl", "row_shared.wgsl", "index.wgsl"],
        Portable: ["softmax.wgsl", "row.wgsl", "index.wgsl"],
    },
    Rows,
    |p, _w| grid::fold(p.rows),
    softmax
);
static SOFTMAX_DX: Kernel = kernel!(
    "softmax_dx",
    {
        Shared if is_long: ["softmax.wgsl", "row_shared.wgsl", "index.wgsl"],
        Portable: ["softmax.wgsl", "row.wgsl", "index.wgsl"],
    },
    Rows,
    |p, _w| grid::fold(p.rows),
    softmax_dx
);

fn is_long(p: &Rows, _: &Interface) -> bool {
    p.dim >= LONG_ROW
}

pub(super) static ENTRY: Entry = Entry { name: "softmax", kernels: &[&SOFTMAX, &SOFTMAX_DX], cases, bench_cases };
op!(Softmax, "softmax", rowwise, SOFTMAX, SOFTMAX_DX);

fn softmax<T: Float>(call: Call<'_, T>) {
    let p: Rows = call.params();
    let [x, y] = call.args();
    rowwise::each(p.dim, x.f(), y.f_mut(), |x, y| {
        let most = x.iter().fold(x[0], |most, &x| if x > most { x } else { most });
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - most).exp());
        let sum: T = y.iter().copied().sum();
        y.iter_mut().for_each(|y| *y = *y / sum);
    });
}

fn softmax_dx<T: Float>(call: Call<'_, T>) {
    let (p, accumulate): (Rows, bool) = (call.params(), call.flag("ACCUMULATE"));
    let [out, dy, dx] = call.args();
    rowwise::each2(p.dim, out.f(), dy.f(), dx.f_mut(), |out, dy, dx| {
        let along: T = out.iter().zip(dy).map(|(&out, &dy)| out * dy).sum();
        for ((dx, &out), &dy) in dx.iter_mut().zip(out).zip(dy) {
            put(accumulate, dx, out * (dy - along));
        }
    });
}

fn case(dims: &[u32], x: Values) -> Case {
    Case::new(Softmax, &[(dims, x)]).inexact()
}

fn cases() -> Vec<Case> {
    // No row of one float: its gradient is zero, a difference of equal numbers that no relative bound can hold.
    let sizes: [&[u32]; 6] = [&[2], &[55, 3], &[7, 128], &[300, 65], &[2, 3, 5, 64], &[1, 1009]];
    let normal = sizes.map(|dims| case(dims, Values::Normal));
    // Exponentials that no float holds.
    normal.into_iter().chain([case(&[5, 33], Values::Around(200.0)), case(&[5, 33], Values::Around(-200.0))]).collect()
}

fn bench_cases() -> Vec<Case> {
    vec![case(&[16, 23, 23, 2], Values::Normal), case(&[64, 8631], Values::Normal)] // MTCNN; the people of VGGFace2
}
