//! The ways in which the CPU device computes convolutions and their gradients.

use super::Conv2dParams;
use super::twins::{self, End, Method};
use crate::cpu::Call;
use crate::plan::{Asked, Way};

/// The ways of `conv2d` and `conv2d_nobias`.
pub(super) static FORWARD: [Way; Method::ALL.len()] = [
    forward::<7>(),
    forward::<6>(),
    forward::<5>(),
    forward::<4>(),
    forward::<3>(),
    forward::<2>(),
    forward::<1>(),
    forward::<0>(),
];

/// The ways of `conv2d_dx`.
pub(super) static DX: [Way; Method::ALL.len()] =
    [dx::<7>(), dx::<6>(), dx::<5>(), dx::<4>(), dx::<3>(), dx::<2>(), dx::<1>(), dx::<0>()];

/// The ways of `conv2d_dw`.
pub(super) static DW: [Way; Method::ALL.len()] =
    [dw::<7>(), dw::<6>(), dw::<5>(), dw::<4>(), dw::<3>(), dw::<2>(), dw::<1>(), dw::<0>()];

/// The way of [`FORWARD`] that should be the fastest.
pub(super) fn best_forward(asked: &Asked<'_>) -> &'static str {
    twins::forward_method(&asked.params()).name()
}

/// The way of [`DX`] that should be the fastest.
pub(super) fn best_dx(asked: &Asked<'_>) -> &'static str {
    twins::dx_method(&asked.params()).name()
}

/// The way of [`DW`] that should be the fastest.
pub(super) fn best_dw(asked: &Asked<'_>) -> &'static str {
    twins::dw_method(&asked.params()).name()
}

const fn forward<const M: usize>() -> Way {
    let run = |call: Call<'_, f32>| {
        let p: Conv2dParams = call.params();
        let (relu, accumulate, scale) = (call.flag("RELU"), call.flag("ACCUMULATE"), call.scale());
        let mut args = call.args.into_iter();
        let mut next = || args.next().expect("buffers x, w, y and perhaps b");
        let (x, w, y) = (next(), next(), next());
        let (kept, bias) = (w.kept(), args.next().map(|b| b.f()));
        let end = End { bias, accumulate, scale, relu };
        twins::forward(Method::ALL[M], &p, end, x.f(), (w.f(), kept), y.f_mut());
    };
    Way { name: Method::ALL[M].name(), suits: |asked| twins::suits_forward(Method::ALL[M], &asked.params()), run }
}

const fn dx<const M: usize>() -> Way {
    let run = |call: Call<'_, f32>| {
        let (p, accumulate): (Conv2dParams, bool) = (call.params(), call.flag("ACCUMULATE"));
        let [dy, flipped, dx] = call.args();
        twins::dx(Method::ALL[M], &p, accumulate, dy.f(), flipped.f(), dx.f_mut());
    };
    Way { name: Method::ALL[M].name(), suits: |asked| twins::suits_dx(Method::ALL[M], &asked.params()), run }
}

const fn dw<const M: usize>() -> Way {
    let run = |call: Call<'_, f32>| {
        let (p, accumulate): (Conv2dParams, bool) = (call.params(), call.flag("ACCUMULATE"));
        let [x, dy, part] = call.args();
        twins::dw(Method::ALL[M], &p, accumulate, x.f(), dy.f(), part.f_mut());
    };
    Way { name: Method::ALL[M].name(), suits: |asked| twins::suits_dw(Method::ALL[M], &asked.params()), run }
}
