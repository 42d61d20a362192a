//! Convolution with the channels in groups or holes in the kernel. Where each channel is a group of its own, with one
//! channel of output, its kernels are those called depthwise.

use super::dense::record_db;
use super::{Conv2d, GroupedParams, twins};
use crate::cpu::{Call, Float};
use crate::graph::{Grad, Io, Recorder};
use crate::kernel;
use crate::op::relu::mask_dy;
use crate::op::sum_partials::{in_parts, splits};
use crate::plan::{Buf, Wide};

/// The kernels of one kind.
pub(super) struct Kernels {
    /// Buffers `x`, `w`, `y`, `b`; override `RELU`.
    pub(super) forward: Wide,
    /// Buffers `x`, `w`, `y`; override `RELU`.
    pub(super) forward_nobias: Wide,
    /// Buffers `dy`, `w`, `dx`.
    pub(super) dx: Wide,
    /// Buffers `x`, `dy`, `part`.
    pub(super) dw: Wide,
}

const fn len_out(p: &GroupedParams) -> u32 {
    p.n * p.h_out * p.w_out * p.c_out
}

const fn len_in(p: &GroupedParams) -> u32 {
    p.n * p.h_in * p.w_in * p.c_in
}

const fn len_w(p: &GroupedParams) -> u32 {
    p.k_h * p.k_w * (p.c_in / p.groups) * p.c_out
}

macro_rules! grouped {
    ($name:literal, $file:literal, |$p:ident| $floats:expr, $twin:path) => {
        kernel!(
            wide,
            $name,
            [$file, "conv2d_grouped.wgsl", "rectified.wgsl"],
            GroupedParams,
            |$p, w| w.floats($floats),
            $twin
        )
    };
}

/// The gradient of the input, which reads `LANES` floats at a time and writes one.
macro_rules! grouped_dx {
    ($lanes:literal) => {
        kernel!(
            "conv2d_grouped_dx",
            ["conv2d_grouped.wgsl", "conv2d_grouped.wgsl", $lanes, "rectified.wgsl", "index.wgsl"],
            GroupedParams,
            |p, w| w.items(len_in(&p)),
            grouped_dx
        )
    };
}

pub(super) static GROUPED: Kernels = Kernels {
    forward: grouped!("conv2d_grouped", "conv2d_grouped.wgsl", |p| len_out(&p), grouped),
    forward_nobias: grouped!("conv2d_grouped_nobias", "conv2d_grouped.wgsl", |p| len_out(&p), grouped_nobias),
    dx: Wide { one: grouped_dx!("lanes1.wgsl"), four: grouped_dx!("lanes4.wgsl") },
    dw: grouped!("conv2d_grouped_dw", "conv2d_grouped.wgsl", |p| p.splits * len_w(&p), grouped_dw),
};

pub(super) static DEPTHWISE: Kernels = Kernels {
    forward: grouped!("conv2d_depthwise", "conv2d_depthwise.wgsl", |p| len_out(&p), depthwise),
    forward_nobias: grouped!("conv2d_depthwise_nobias", "conv2d_depthwise.wgsl", |p| len_out(&p), depthwise_nobias),
    dx: grouped!("conv2d_depthwise_dx", "conv2d_depthwise.wgsl", |p| len_in(&p), depthwise_dx),
    dw: grouped!("conv2d_depthwise_dw", "conv2d_depthwise.wgsl", |p| p.splits * len_w(&p), depthwise_dw),
};

/// The kernels for these groups.
fn kernels(p: &GroupedParams) -> &'static Kernels {
    if p.groups == p.c_in && p.groups == p.c_out { &DEPTHWISE } else { &GROUPED }
}

/// Channels that lie side by side and are treated alike: those of a group, or all where each is a group.
fn alike(p: &GroupedParams) -> u32 {
    if p.groups == p.c_in && p.groups == p.c_out { p.c_out } else { p.c_out / p.groups }
}

/// Multiply-adds of each of the three products.
fn macs(p: &GroupedParams) -> u64 {
    u64::from(p.n) * u64::from(p.h_out) * u64::from(p.w_out) * u64::from(len_w(p))
}

/// Records the forward pass with inputs `x`, `w` and perhaps `b`.
pub(super) fn record_forward(r: &mut Recorder<'_>, io: &Io<'_>, op: &Conv2d) {
    let overrides = [("RELU", f64::from(u8::from(op.relu)))];
    let p = &op.grouped(io);
    let (kernels, alike) = (kernels(p), [alike(p)]);
    let step = match *io.x {
        [x, w, b] => r.dispatch(kernels.forward.of(&alike), p, &overrides, &[x, w, io.y, b]),
        _ => r.dispatch(kernels.forward_nobias.of(&alike), p, &overrides, &[io.x[0], io.x[1], io.y]),
    };
    step.macs = macs(p);
}

/// Records the gradients.
pub(super) fn record_backward(r: &mut Recorder<'_>, io: &Io<'_>, op: &Conv2d, dy: Buf, dx: &[Option<Grad>]) {
    let p = &op.grouped(io);
    let (kernels, alike) = (kernels(p), [alike(p)]);
    if op.relu {
        mask_dy(r, io.y, dy, io.y_shape.len_u32());
    }
    if let Some(grad) = dx[0] {
        r.dispatch(kernels.dx.of(&alike), p, &grad.overrides(), &[dy, io.x[1], grad.buf]).macs = macs(p);
    }
    if let Some(grad) = dx[1] {
        let len = len_w(p);
        let groups = len.div_ceil(kernels.dw.one.interface().invocations());
        let p = GroupedParams { splits: splits(len, groups, p.n * p.h_out * p.w_out, 256), ..*p };
        in_parts(r, "dw parts", len, p.splits, grad, |r, to, overrides| {
            r.dispatch(kernels.dw.of(&alike), &p, overrides, &[io.x[0], dy, to]).macs = macs(&p);
        });
    }
    if let Some(grad) = dx.get(2).copied().flatten() {
        record_db(r, &op.dense(io), dy, grad);
    }
}

/// The twins of one kind: forward with and without bias, gradients of input and weights.
macro_rules! twins {
    ($kind:ident, $forward:ident, $forward_nobias:ident, $dx:ident, $dw:ident) => {
        fn $forward<T: Float>(call: Call<'_, T>) {
            let (p, relu) = (call.params(), call.flag("RELU"));
            let [x, w, y, b] = call.args();
            twins::$kind::forward(&p, relu, x.f(), w.f(), Some(b.f()), y.f_mut());
        }

        fn $forward_nobias<T: Float>(call: Call<'_, T>) {
            let (p, relu) = (call.params(), call.flag("RELU"));
            let [x, w, y] = call.args();
            twins::$kind::forward(&p, relu, x.f(), w.f(), None, y.f_mut());
        }

        fn $dx<T: Float>(call: Call<'_, T>) {
            let (p, accumulate) = (call.params(), call.flag("ACCUMULATE"));
            let [dy, w, dx] = call.args();
            twins::$kind::dx(&p, accumulate, dy.f(), w.f(), dx.f_mut());
        }

        fn $dw<T: Float>(call: Call<'_, T>) {
            let (p, accumulate) = (call.params(), call.flag("ACCUMULATE"));
            let [x, dy, part] = call.args();
            twins::$kind::dw(&p, accumulate, x.f(), dy.f(), part.f_mut());
        }
    };
}

twins!(grouped, grouped, grouped_nobias, grouped_dx, grouped_dw);
twins!(depthwise, depthwise, depthwise_nobias, depthwise_dx, depthwise_dw);
