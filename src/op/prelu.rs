//! Parametric rectified linear unit (He et al., 2015).

use super::channelwise::{self, Channels};
use crate::cpu::{Call, Float};
use crate::kernel;
use crate::op::{Case, Entry, Values};
use crate::plan::Wide;

/// `y = x` where `x` is positive, else `slope * x`: `x` `[.., c]`, `slope` `[c]`. PyTorch's `PReLU`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prelu;

static PRELU: Wide =
    kernel!(wide, "prelu", ["prelu.wgsl", "channelwise.wgsl"], Channels, |p, w| w.floats(p.len()), prelu);
static PRELU_DX: Wide =
    kernel!(wide, "prelu_dx", ["prelu.wgsl", "channelwise.wgsl"], Channels, |p, w| w.floats(p.parts()), prelu_dx);

pub(super) static ENTRY: Entry = Entry { name: "prelu", kernels: &[&PRELU, &PRELU_DX], cases, bench_cases };
op!(Prelu, "prelu", channelwise, PRELU, PRELU_DX, "slope");

fn prelu<T: Float>(call: Call<'_, T>) {
    channelwise::map(call, |x, slope| if x > T::zero() { x } else { slope * x });
}

fn prelu_dx<T: Float>(call: Call<'_, T>) {
    channelwise::gradients(call, |x, slope, dy| if x > T::zero() { (dy, T::zero()) } else { (slope * dy, dy * x) });
}

fn case(dims: &[u32]) -> Case {
    Case::new(Prelu, &[(dims, Values::Normal), (&dims[dims.len() - 1..], Values::Normal)])
}

fn cases() -> Vec<Case> {
    // One float, one channel at a time, four at a time, and enough rows for sums in several parts.
    [&[1][..], &[7, 5], &[3, 12], &[2, 7, 5, 3], &[3, 17, 19, 8], &[2, 33, 31, 1]].map(case).into()
}

fn bench_cases() -> Vec<Case> {
    vec![case(&[16, 46, 46, 28]), case(&[16, 112, 112, 64])] // MTCNN's second network, and the first layer of SphereFace
}
