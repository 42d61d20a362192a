//! Two-dimensional convolution with bias and ReLU in one pass.

mod cases;
mod dense;
mod grouped;
mod padding;
mod params;
mod proof;
mod residual;
#[cfg(test)]
mod tests;
mod twins;
mod ways;

use std::sync::Arc;

pub(super) use dense::{record_backward, record_forward};
pub use padding::Padding;
pub(super) use params::Conv2dParams;
pub use proof::prove_convolutions;

use crate::graph::{Grad, Io, Op, Recorder};
use crate::op::Entry;
use crate::plan::{Buf, Shape};
use crate::{Error, Result};
use params::GroupedParams;
use residual::ResidualConv2d;

/// Convolution of images `x` `[n, h_in, w_in, c_in]` with weights `w` `[k_h, k_w, c_in / groups, c_out]`, plus a bias `b`
/// `[c_out]` if it is given as a third input. The output has `(h_in + top + bottom - dilation * (k_h - 1) - 1) / stride +
/// 1` rows, rounded down, and columns likewise.
///
/// The channels of the output are cut into as many groups as those of the input, and a channel sees its own group only.
/// As many groups as channels make a depthwise convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Kernel height and width.
    pub kernel: [u32; 2],
    /// Pixels from one window to the next, both ways.
    pub stride: u32,
    /// Rows and columns of zeros around the images.
    pub pad: Padding,
    /// Input rows from one kernel row to the next, and columns likewise; 1 is a kernel without holes.
    pub dilation: [u32; 2],
    /// Groups of channels.
    pub groups: u32,
    /// `max(y, 0)` follows.
    pub relu: bool,
}

impl Conv2d {
    /// A square kernel, with `pad` rows and columns of zeros on every side.
    pub fn new(kernel: u32, stride: u32, pad: u32) -> Self {
        Self::rectangular([kernel, kernel], stride, [pad, pad])
    }

    /// A kernel of any height and width, with `pad` rows of zeros above and below and columns left and right.
    pub fn rectangular(kernel: [u32; 2], stride: u32, pad: [u32; 2]) -> Self {
        Self { kernel, stride, pad: pad.into(), dilation: [1, 1], groups: 1, relu: false }
    }

    /// A square kernel of odd size with stride 1, whose output is as large as its input.
    pub fn same(kernel: u32) -> Self {
        Self::new(kernel, 1, kernel / 2)
    }

    /// Followed by a ReLU.
    #[must_use]
    pub fn with_relu(mut self) -> Self {
        self.relu = true;
        self
    }

    /// With another padding, such as one that differs from side to side.
    #[must_use]
    pub fn with_padding(mut self, pad: Padding) -> Self {
        self.pad = pad;
        self
    }

    /// With `dilation` input pixels from one kernel position to the next, both ways.
    #[must_use]
    pub fn with_dilation(mut self, dilation: u32) -> Self {
        self.dilation = [dilation; 2];
        self
    }

    /// With the channels in groups.
    #[must_use]
    pub fn with_groups(mut self, groups: u32) -> Self {
        self.groups = groups;
        self
    }

    /// Whether the kernels for all channels and a kernel without holes can run it.
    fn is_dense(&self) -> bool {
        self.groups == 1 && self.kernel.iter().zip(self.dilation).all(|(&k, dilation)| k == 1 || dilation == 1)
    }

    /// Sizes for the dense kernels, of inputs whose shapes were checked.
    fn dense(&self, io: &Io<'_>) -> Conv2dParams {
        let (x, y) = (io.x_shapes[0].dims(), io.y_shape.dims());
        Conv2dParams {
            n: x[0],
            h_in: x[1],
            w_in: x[2],
            c_in: x[3],
            h_out: y[1],
            w_out: y[2],
            c_out: y[3],
            k_h: self.kernel[0],
            k_w: self.kernel[1],
            stride: self.stride,
            pad_top: self.pad.top,
            pad_left: self.pad.left,
            splits: 1,
        }
    }

    /// Sizes for the kernels of groups.
    fn grouped(&self, io: &Io<'_>) -> GroupedParams {
        GroupedParams::new(self.dense(io), self.dilation, self.groups)
    }

    /// Height and width of the output; zero where a window does not fit.
    fn windows(&self, h_in: u32, w_in: u32) -> [u64; 2] {
        let Padding { top, bottom, left, right } = self.pad;
        let [reach_h, reach_w] = self.reach();
        [(h_in, top, bottom, reach_h), (w_in, left, right, reach_w)].map(|(len, before, after, reach)| {
            let padded = u64::from(len) + u64::from(before) + u64::from(after);
            padded.checked_sub(reach).map_or(0, |rest| rest / u64::from(self.stride) + 1)
        })
    }

    /// Pixels from the first kernel position to the last.
    fn reach(&self) -> [u64; 2] {
        [0, 1].map(|i| u64::from(self.kernel[i] - 1) * u64::from(self.dilation[i]) + 1)
    }
}

pub(super) static ENTRY: Entry = Entry {
    name: "conv2d",
    kernels: &[
        &dense::CONV2D.vec4,
        &dense::CONV2D.right4,
        &dense::CONV2D.any,
        &dense::CONV2D_NOBIAS.vec4,
        &dense::CONV2D_NOBIAS.right4,
        &dense::CONV2D_NOBIAS.any,
        &dense::CONV2D_FLIP,
        &dense::CONV2D_DX.vec4,
        &dense::CONV2D_DX.right4,
        &dense::CONV2D_DX.any,
        &dense::CONV2D_DW.vec4,
        &dense::CONV2D_DW.right4,
        &dense::CONV2D_DW.any,
        &dense::CONV2D_DB,
        &grouped::GROUPED.forward,
        &grouped::GROUPED.forward_nobias,
        &grouped::GROUPED.dx,
        &grouped::GROUPED.dw,
        &grouped::DEPTHWISE.forward,
        &grouped::DEPTHWISE.forward_nobias,
        &grouped::DEPTHWISE.dx,
        &grouped::DEPTHWISE.dw,
    ],
    cases: cases::cases,
    bench_cases: cases::bench_cases,
};

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        let fail = |message: String| Err(Error::shape("conv2d", message));
        if !(2..=3).contains(&x.len()) {
            return fail(format!("expected inputs x, w and perhaps b, got {} inputs", x.len()));
        }
        let [n, h_in, w_in, c_in] = x[0].nhwc("conv2d")?;
        let ([k_h, k_w], [dilation_h, dilation_w], groups) = (self.kernel, self.dilation, self.groups);
        if self.stride == 0 || k_h == 0 || k_w == 0 {
            return fail(format!(
                "expected a kernel and a stride of at least 1, got kernel {k_h}x{k_w}, stride {}",
                self.stride
            ));
        }
        if dilation_h == 0 || dilation_w == 0 {
            return fail(format!("expected a dilation of at least 1, got {dilation_h}x{dilation_w}"));
        }
        let c_out = x[1].channels();
        if groups == 0 || !c_in.is_multiple_of(groups) || !c_out.is_multiple_of(groups) {
            return fail(format!(
                "expected groups that divide the channels of input and output, got {groups} groups for {c_in} and {c_out}"
            ));
        }
        let c_group = c_in / groups;
        if x[1].dims() != [k_h, k_w, c_group, c_out] {
            let groups = if groups == 1 { String::new() } else { format!(" in {groups} groups") };
            return fail(format!(
                "expected weights [{k_h}, {k_w}, {c_group}, c_out] for input {}{groups}, got {}",
                x[0], x[1]
            ));
        }
        expect_bias("conv2d", x.get(2), c_out)?;
        let [h_out, w_out] = self.windows(h_in, w_in);
        if h_out == 0 || w_out == 0 {
            let [reach_h, reach_w] = self.reach();
            return fail(format!(
                "expected an input of at least {reach_h}x{reach_w} with its padding, got {h_in}x{w_in} with padding {}",
                self.pad
            ));
        }
        // The kernels tell positions outside the image by the top bit of an index into one image row.
        let padded = |len: u32, before: u32, after: u32| u64::from(len) + u64::from(before) + u64::from(after);
        let row_in = padded(w_in, self.pad.left, self.pad.right).saturating_mul(u64::from(c_in));
        let row_out = (w_out + u64::from(k_w)).saturating_mul(u64::from(c_out));
        let column = padded(h_in, self.pad.top, self.pad.bottom);
        if [row_in, row_out, column].iter().any(|&len| len >= 1 << 31) {
            return fail(format!(
                "expected image rows of less than 2^31 floats with their padding, got input {}",
                x[0]
            ));
        }
        let fit = |len: u64| u32::try_from(len).expect("checked above");
        Shape::new(&[n, fit(h_out), fit(w_out), c_out])
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        if self.is_dense() {
            record_forward(r, io, &self.dense(io), self.relu);
        } else {
            grouped::record_forward(r, io, self);
        }
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        if self.is_dense() {
            record_backward(r, io, &self.dense(io), self.relu, dy, dx);
        } else {
            grouped::record_backward(r, io, self, dy, dx);
        }
    }

    fn summary(&self) -> String {
        let ([k_h, k_w], [dilation_h, dilation_w]) = (self.kernel, self.dilation);
        let mut text = format!("{k_h}x{k_w}, {}", self.stride);
        if [dilation_h, dilation_w] != [1, 1] {
            text += &format!(", dilation {dilation_h}x{dilation_w}");
        }
        if self.groups > 1 {
            text += &format!(", {} groups", self.groups);
        }
        text
    }

    fn with_relu(&self, relu: bool) -> Option<Arc<dyn Op>> {
        (!self.relu).then(|| Arc::new(Self { relu, ..*self }) as Arc<dyn Op>)
    }

    fn with_residual(&self, scale: f32, relu: bool) -> Option<Arc<dyn Op>> {
        let conv = Self { relu, ..*self };
        (!self.relu && self.is_dense()).then(|| Arc::new(ResidualConv2d { conv, scale }) as Arc<dyn Op>)
    }

    fn macs(&self, x: &[Shape]) -> u64 {
        let taps = x[1].len() as u64;
        self.output_shape(x).map_or(0, |y| u64::from(y.rows()) * taps)
    }
}

/// Checks a bias, if there is one.
pub(super) fn expect_bias(op: &str, b: Option<&Shape>, c_out: u32) -> Result<()> {
    match b {
        Some(b) if b.dims() != [c_out] => Err(Error::shape(op, format!("expected a bias [{c_out}], got {b}"))),
        _ => Ok(()),
    }
}
