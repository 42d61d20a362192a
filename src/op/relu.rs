//! Rectified linear unit.

use super::elementwise::{self, Elements, each};
use crate::cpu::{Call, Float};
use crate::graph::Recorder;
use crate::kernel;
use crate::op::{Case, Entry, Values};
use crate::plan::{Buf, Wide};

/// `y = max(x, 0)`, elementwise. A NaN stays one, and passes the gradient on, as in PyTorch.
#[derive(Debug, Clone, Copy)]
pub struct Relu;

static RELU: Wide = kernel!(wide, "relu", ["relu.wgsl", "rectified.wgsl"], Elements, |p, w| w.floats(p.len), relu);
static RELU_DX: Wide =
    kernel!(wide, "relu_dx", ["relu.wgsl", "rectified.wgsl"], Elements, |p, w| w.floats(p.len), relu_dx);
/// Buffers `out`, `dz`.
static RELU_DY: Wide =
    kernel!(wide, "relu_dy", ["relu.wgsl", "rectified.wgsl"], Elements, |p, w| w.floats(p.len), relu_dy);

/// Masks the gradient `dy` of an op with a fused ReLU and the output `y` in place.
pub(super) fn mask_dy(r: &mut Recorder<'_>, y: Buf, dy: Buf, len: u32) {
    r.dispatch(RELU_DY.of(&[len]), &Elements { len }, &[], &[y, dy]);
}

pub(super) static ENTRY: Entry = Entry { name: "relu", kernels: &[&RELU, &RELU_DX, &RELU_DY], cases, bench_cases };

op!(Relu, "relu", elementwise, RELU, RELU_DX);

fn relu<T: Float>(call: Call<'_, T>) {
    elementwise::map(call, |x| if x < T::zero() { T::zero() } else { x }); // not max: a NaN must stay one
}

/// The gradient of `x`: a NaN in the output passes `dy` on, as in PyTorch's `threshold_backward`.
fn masked<T: Float>(out: T, dy: T) -> T {
    if out <= T::zero() { T::zero() } else { dy }
}

fn relu_dx<T: Float>(call: Call<'_, T>) {
    elementwise::gradient(call, masked);
}

fn relu_dy<T: Float>(call: Call<'_, T>) {
    let [out, dz] = call.args();
    each(out.f(), dz.f_mut(), |dz, out| *dz = masked(out, *dz));
}

fn cases() -> Vec<Case> {
    [&[1][..], &[55], &[257], &[2, 7, 5, 3]].map(|dims| Case::new(Relu, &[(dims, Values::Normal)])).into()
}

fn bench_cases() -> Vec<Case> {
    vec![Case::new(Relu, &[(&[16, 56, 56, 64], Values::Normal)])]
}
