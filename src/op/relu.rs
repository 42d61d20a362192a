//! Rectified linear unit.

use rayon::prelude::*;

use crate::cpu::{Call, Float, put};
use crate::graph::{Grad, Io, Op, Recorder};
use crate::op::{Case, Entry, Values};
use crate::plan::{Buf, Kernel, Shape};
use crate::{Result, kernel, params};

/// `y = max(x, 0)`, elementwise.
#[derive(Debug, Clone, Copy)]
pub struct Relu;

params! {
    /// Parameters of the elementwise kernels.
    pub(super) struct ReluParams {
        /// Elements.
        len: u32,
    }
}

static RELU: Kernel = kernel!("relu", ["relu.wgsl", "index.wgsl"], ReluParams, |p, w| w.items(p.len), relu);
static RELU_DX: Kernel = kernel!("relu_dx", ["relu.wgsl", "index.wgsl"], ReluParams, |p, w| w.items(p.len), relu_dx);
/// Buffers `out`, `dz`.
static RELU_DY: Kernel = kernel!("relu_dy", ["relu.wgsl", "index.wgsl"], ReluParams, |p, w| w.items(p.len), relu_dy);
/// The same for lengths that are multiples of four.
static RELU_DY4: Kernel =
    kernel!("relu_dy4", ["relu.wgsl", "index.wgsl"], ReluParams, |p, w| w.items(p.len / 4), relu_dy);

/// Masks the gradient `dy` of an op with a fused ReLU and the output `y` in place.
pub(super) fn mask_dy(r: &mut Recorder<'_>, y: Buf, dy: Buf, len: u32) {
    let kernel = if len.is_multiple_of(4) { &RELU_DY4 } else { &RELU_DY };
    r.dispatch(kernel, &ReluParams { len }, &[], &[y, dy]);
}

pub(super) static ENTRY: Entry =
    Entry { name: "relu", kernels: &[&RELU, &RELU_DX, &RELU_DY, &RELU_DY4], cases, bench_cases };

impl Op for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        super::expect_inputs("relu", x, 1)?;
        Ok(x[0])
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        r.dispatch(&RELU, &ReluParams { len: io.y_shape.len_u32() }, &[], &[io.x[0], io.y]);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        if let Some(grad) = dx[0] {
            let p = ReluParams { len: io.y_shape.len_u32() };
            r.dispatch(&RELU_DX, &p, &grad.overrides(), &[io.y, dy, grad.buf]);
        }
    }
}

/// Floats that one thread of the CPU device takes at a time.
const CHUNK: usize = 1 << 14;

fn relu<T: Float>(call: Call<'_, T>) {
    let [x, y] = call.args();
    y.f_mut().par_chunks_mut(CHUNK).zip(x.f().par_chunks(CHUNK)).for_each(|(y, x)| {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = if x < T::zero() { T::zero() } else { x }; // not max: a NaN must stay one
        }
    });
}

fn relu_dx<T: Float>(call: Call<'_, T>) {
    let accumulate = call.flag("ACCUMULATE");
    let [out, dy, dx] = call.args();
    let inputs = out.f().par_chunks(CHUNK).zip(dy.f().par_chunks(CHUNK));
    dx.f_mut().par_chunks_mut(CHUNK).zip(inputs).for_each(|(dx, (out, dy))| {
        for ((dx, &out), &dy) in dx.iter_mut().zip(out).zip(dy) {
            put(accumulate, dx, if out > T::zero() { dy } else { T::zero() });
        }
    });
}

fn relu_dy<T: Float>(call: Call<'_, T>) {
    let [out, dz] = call.args();
    dz.f_mut().par_chunks_mut(CHUNK).zip(out.f().par_chunks(CHUNK)).for_each(|(dz, out)| {
        for (dz, &out) in dz.iter_mut().zip(out) {
            // A choice of values, not of stores: vectors can do that.
            *dz = if out <= T::zero() { T::zero() } else { *dz };
        }
    });
}

fn cases() -> Vec<Case> {
    [&[1][..], &[55], &[257], &[2, 7, 5, 3]].map(|dims| Case::new(Relu, &[(dims, Values::Normal)])).into()
}

fn bench_cases() -> Vec<Case> {
    vec![Case::new(Relu, &[(&[16, 56, 56, 64], Values::Normal)])]
}
