//! Two-dimensional convolution with bias and ReLU in one pass.

use std::sync::Arc;

use super::relu::mask_dy;
use super::sum_partials::{in_parts, splits};
use crate::cpu::conv2d::{self as twin, Conv2dParams};
use crate::cpu::{Call, Float};
use crate::graph::{Grad, Io, Op, Recorder};
use crate::op::{Case, Entry, Values};
use crate::plan::reflect::Interface;
use crate::plan::{Buf, Kernel, Shape, Type, grid};
use crate::{Error, Result, kernel};

/// Convolution of images `x` `[n, h_in, w_in, c_in]` with weights `w` `[k_h, k_w, c_in, c_out]`, plus a bias `b`
/// `[c_out]` if it is given as a third input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Kernel height and width.
    pub kernel: [u32; 2],
    /// Pixels from one window to the next, both ways.
    pub stride: u32,
    /// Rows of zeros above and below, columns of zeros left and right.
    pub pad: [u32; 2],
    /// `max(y, 0)` follows.
    pub relu: bool,
}

impl Conv2d {
    /// A square kernel.
    pub fn new(kernel: u32, stride: u32, pad: u32) -> Self {
        Self::rectangular([kernel, kernel], stride, [pad, pad])
    }

    /// A kernel of any height and width.
    pub fn rectangular(kernel: [u32; 2], stride: u32, pad: [u32; 2]) -> Self {
        Self { kernel, stride, pad, relu: false }
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

    /// Sizes for the kernels, of inputs whose shapes were checked.
    fn params(&self, x: &[Shape], y: Shape) -> Conv2dParams {
        let (x, y) = (x[0].dims(), y.dims());
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
            pad_h: self.pad[0],
            pad_w: self.pad[1],
            splits: 1,
        }
    }
}

/// Rows and columns that one workgroup computes.
type Tile = [u32; 2];

/// The tile of a product, which its WGSL states.
fn tile(w: &Interface) -> Tile {
    [w.constant("ROWS"), w.constant("COLS")]
}

/// Tiles of a product of `rows` by `cols`.
fn tiles(rows: u32, cols: u32, tile: Tile) -> u32 {
    rows.div_ceil(tile[0]) * cols.div_ceil(tile[1])
}

fn forward_tiles(p: &Conv2dParams, tile: Tile) -> [u32; 3] {
    grid::fold(tiles(p.n * p.h_out * p.w_out, p.c_out, tile))
}

fn dx_tiles(p: &Conv2dParams, tile: Tile) -> [u32; 3] {
    let per_phase = p.n * p.h_in.div_ceil(p.stride) * p.w_in.div_ceil(p.stride);
    grid::fold(p.stride * p.stride * tiles(per_phase, p.c_in, tile))
}

fn dw_tiles(p: &Conv2dParams, tile: Tile) -> [u32; 3] {
    grid::fold(p.splits * tiles(p.k_h * p.k_w * p.c_in, p.c_out, tile))
}

/// A kernel that is a matrix product, in three forms with one name. They differ only in how the subgroup variant loads
/// and stores.
struct Product {
    vec4: Kernel,
    right4: Kernel,
    any: Kernel,
}

/// The subgroup kernels load and store four floats at a time where the channels allow it: on both sides, on the right
/// side and the result only (images have three channels), or not at all.
macro_rules! product {
    ($entry:literal, $tiles:path, $twin:path) => {
        Product {
            vec4: product!($entry, $tiles, $twin, "conv2d_left_vec4.wgsl", "conv2d_right_vec4.wgsl"),
            right4: product!($entry, $tiles, $twin, "conv2d_left_any.wgsl", "conv2d_right_vec4.wgsl"),
            any: product!($entry, $tiles, $twin, "conv2d_left_any.wgsl", "conv2d_right_any.wgsl"),
        }
    };
    ($entry:literal, $tiles:path, $twin:path, $left:literal, $right:literal) => {
        kernel!(
            $entry,
            {
                Subgroup8: ["conv2d_subgroup.wgsl", $left, $right, "conv2d.wgsl", "index.wgsl"],
                Portable: ["conv2d.wgsl", "conv2d.wgsl", "index.wgsl"],
            },
            Conv2dParams,
            |p, w| $tiles(&p, tile(w)),
            $twin
        )
    };
}

impl Product {
    /// The form for these channels on the left side and on the right side with the result.
    fn suited(&'static self, left: u32, right: u32) -> &'static Kernel {
        match (left % 4, right % 4) {
            (0, 0) => &self.vec4,
            (_, 0) => &self.right4,
            _ => &self.any,
        }
    }
}

/// Forward: buffers `x`, `w`, `y`, `b`; override `RELU`.
static CONV2D: Product = product!("conv2d", forward_tiles, conv2d);
/// Forward without a bias: buffers `x`, `w`, `y`; override `RELU`.
static CONV2D_NOBIAS: Product = product!("conv2d_nobias", forward_tiles, conv2d_nobias);
/// Buffers `dy`, `flipped`, `dx`.
static CONV2D_DX: Product = product!("conv2d_dx", dx_tiles, conv2d_dx);
/// Buffers `x`, `dy`, `part`.
static CONV2D_DW: Product = product!("conv2d_dw", dw_tiles, conv2d_dw);

/// Buffers `w`, `flipped`.
static CONV2D_FLIP: Kernel = kernel!(
    "conv2d_flip",
    ["conv2d_backward.wgsl", "conv2d.wgsl", "index.wgsl"],
    Conv2dParams,
    |p, w| grid::fold(p.k_h * p.k_w * tiles(p.c_out, p.c_in, [w.constant("ROWS"), w.constant("LANES")])),
    conv2d_flip
);
/// Buffers `dy`, `part`.
static CONV2D_DB: Kernel = kernel!(
    "conv2d_db",
    ["conv2d_backward.wgsl", "conv2d.wgsl", "index.wgsl"],
    Conv2dParams,
    |p, w| grid::fold(p.splits * p.c_out.div_ceil(w.constant("LANES"))),
    conv2d_db
);

pub(super) static ENTRY: Entry = Entry {
    name: "conv2d",
    kernels: &[
        &CONV2D.vec4,
        &CONV2D.right4,
        &CONV2D.any,
        &CONV2D_NOBIAS.vec4,
        &CONV2D_NOBIAS.right4,
        &CONV2D_NOBIAS.any,
        &CONV2D_FLIP,
        &CONV2D_DX.vec4,
        &CONV2D_DX.right4,
        &CONV2D_DX.any,
        &CONV2D_DW.vec4,
        &CONV2D_DW.right4,
        &CONV2D_DW.any,
        &CONV2D_DB,
    ],
    cases,
    bench_cases,
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
        let [k_h, k_w] = self.kernel;
        if self.stride == 0 || k_h == 0 || k_w == 0 {
            return fail(format!(
                "expected a kernel and a stride of at least 1, got kernel {k_h}x{k_w}, stride {}",
                self.stride
            ));
        }
        let [.., c_out] = x[1].dims() else { unreachable!("a shape has at least one size") };
        if x[1].dims() != [k_h, k_w, c_in, *c_out] {
            return fail(format!("expected weights [{k_h}, {k_w}, {c_in}, c_out] for input {}, got {}", x[0], x[1]));
        }
        expect_bias("conv2d", x.get(2), *c_out)?;
        let [h_out, w_out] = [(h_in, k_h, self.pad[0]), (w_in, k_w, self.pad[1])].map(|(len, k, pad)| {
            let padded = u64::from(len) + 2 * u64::from(pad);
            padded.checked_sub(u64::from(k)).map_or(0, |room| room / u64::from(self.stride) + 1)
        });
        if h_out == 0 || w_out == 0 {
            return fail(format!(
                "expected an input of at least {k_h}x{k_w} with its padding, got {h_in}x{w_in} with padding {}x{}",
                self.pad[0], self.pad[1]
            ));
        }
        // The kernels tell positions outside the image by the top bit of an index into one image row.
        let row_in = (u64::from(w_in) + 2 * u64::from(self.pad[1])) * u64::from(c_in);
        let row_out = (w_out + u64::from(k_w)) * u64::from(*c_out);
        let column = u64::from(h_in) + 2 * u64::from(self.pad[0]);
        if [row_in, row_out, column].iter().any(|&len| len >= 1 << 31) {
            return fail(format!(
                "expected image rows of less than 2^31 floats with their padding, got input {}",
                x[0]
            ));
        }
        let fit = |len: u64| u32::try_from(len).expect("checked above");
        Shape::new(&[n, fit(h_out), fit(w_out), *c_out])
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        record_forward(r, io, &self.params(io.x_shapes, io.y_shape), self.relu);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        record_backward(r, io, &self.params(io.x_shapes, io.y_shape), self.relu, dy, dx);
    }

    fn summary(&self) -> String {
        let ([k_h, k_w], stride) = (self.kernel, self.stride);
        format!("{k_h}x{k_w}, {stride}")
    }

    fn with_relu(&self, relu: bool) -> Option<Arc<dyn Op>> {
        (!self.relu).then(|| Arc::new(Self { relu, ..*self }) as Arc<dyn Op>)
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

/// Multiply-adds of each of the three products: forward, gradient of the input, gradient of the weights.
fn macs(p: &Conv2dParams) -> u64 {
    let taps = u64::from(p.k_h) * u64::from(p.k_w) * u64::from(p.c_in) * u64::from(p.c_out);
    u64::from(p.n) * u64::from(p.h_out) * u64::from(p.w_out) * taps
}

/// Records the forward pass of a convolution with inputs `x`, `w` and perhaps `b`.
pub(super) fn record_forward(r: &mut Recorder<'_>, io: &Io<'_>, p: &Conv2dParams, relu: bool) {
    let overrides = [("RELU", f64::from(u8::from(relu)))];
    let step = match *io.x {
        [x, w, b] => r.dispatch(CONV2D.suited(p.c_in, p.c_out), p, &overrides, &[x, w, io.y, b]),
        _ => r.dispatch(CONV2D_NOBIAS.suited(p.c_in, p.c_out), p, &overrides, &[io.x[0], io.x[1], io.y]),
    };
    step.macs = macs(p);
}

/// Records the gradients of a convolution.
pub(super) fn record_backward(
    r: &mut Recorder<'_>,
    io: &Io<'_>,
    p: &Conv2dParams,
    relu: bool,
    dy: Buf,
    dx: &[Option<Grad>],
) {
    if relu {
        mask_dy(r, io.y, dy, io.y_shape.len_u32());
    }
    if let Some(grad) = dx[0] {
        let shape = Shape::new(&[p.k_h, p.k_w, p.c_out, p.c_in]).expect("the weights hold as many floats");
        let flipped = r.scratch("w flipped", shape, Type::F32);
        r.dispatch(&CONV2D_FLIP, p, &[], &[io.x[1], flipped]);
        r.dispatch(CONV2D_DX.suited(p.c_out, p.c_in), p, &grad.overrides(), &[dy, flipped, grad.buf]).macs = macs(p);
    }
    let pixels = p.n * p.h_out * p.w_out;
    if let Some(grad) = dx[1] {
        let (depth, len) = (p.k_h * p.k_w * p.c_in, io.x_shapes[1].len_u32());
        let p = Conv2dParams {
            splits: splits(len, tiles(depth, p.c_out, tile(&CONV2D_DW.any.interface())), pixels, 256),
            ..*p
        };
        in_parts(r, "dw parts", len, p.splits, grad, |r, to, overrides| {
            r.dispatch(CONV2D_DW.suited(p.c_in, p.c_out), &p, overrides, &[io.x[0], dy, to]).macs = macs(&p);
        });
    }
    if let Some(grad) = dx.get(2).copied().flatten() {
        let p = Conv2dParams {
            splits: splits(p.c_out, p.c_out.div_ceil(CONV2D_DB.interface().constant("LANES")), pixels, 128),
            ..*p
        };
        in_parts(r, "db parts", p.c_out, p.splits, grad, |r, to, overrides| {
            r.dispatch(&CONV2D_DB, &p, overrides, &[dy, to]);
        });
    }
}

fn conv2d<T: Float>(call: Call<'_, T>) {
    let (p, relu) = (call.params(), call.flag("RELU"));
    let [x, w, y, b] = call.args();
    twin::forward(&p, relu, x.f(), w.f(), Some(b.f()), y.f_mut());
}

fn conv2d_nobias<T: Float>(call: Call<'_, T>) {
    let (p, relu) = (call.params(), call.flag("RELU"));
    let [x, w, y] = call.args();
    twin::forward(&p, relu, x.f(), w.f(), None, y.f_mut());
}

fn conv2d_flip<T: Float>(call: Call<'_, T>) {
    let p = call.params();
    let [w, flipped] = call.args();
    twin::flip(&p, w.f(), flipped.f_mut());
}

fn conv2d_dx<T: Float>(call: Call<'_, T>) {
    let (p, accumulate) = (call.params(), call.flag("ACCUMULATE"));
    let [dy, flipped, dx] = call.args();
    twin::dx(&p, accumulate, dy.f(), flipped.f(), dx.f_mut());
}

fn conv2d_dw<T: Float>(call: Call<'_, T>) {
    let (p, accumulate) = (call.params(), call.flag("ACCUMULATE"));
    let [x, dy, part] = call.args();
    twin::dw(&p, accumulate, x.f(), dy.f(), part.f_mut());
}

fn conv2d_db<T: Float>(call: Call<'_, T>) {
    let (p, accumulate) = (call.params(), call.flag("ACCUMULATE"));
    let [dy, part] = call.args();
    twin::db(&p, accumulate, dy.f(), part.f_mut());
}

/// A case from the op, the sizes of its images, the channels of its output, and whether it has a bias.
fn case(op: Conv2d, x: [u32; 4], c_out: u32, bias: bool) -> Case {
    let w = [op.kernel[0], op.kernel[1], x[3], c_out];
    let inputs = [(&x[..], Values::Normal), (&w, Values::Normal), (&[c_out], Values::Normal)];
    Case::new(op, &inputs[..if bias { 3 } else { 2 }])
}

fn cases() -> Vec<Case> {
    vec![
        case(Conv2d::new(1, 1, 0), [1, 1, 1, 1], 1, true),
        case(Conv2d::same(3), [2, 7, 5, 3], 7, true),
        case(Conv2d::same(3).with_relu(), [1, 9, 11, 17], 32, true),
        case(Conv2d::same(5), [2, 5, 6, 3], 33, false),
        case(Conv2d::new(7, 2, 3).with_relu(), [1, 19, 15, 3], 65, true),
        case(Conv2d::new(3, 2, 1), [2, 8, 7, 5], 7, false),
        case(Conv2d::new(3, 2, 0), [3, 9, 10, 8], 33, true),
        case(Conv2d::new(1, 2, 0), [1, 7, 8, 33], 8, true),
        case(Conv2d::new(1, 1, 0).with_relu(), [3, 9, 5, 33], 65, false),
        case(Conv2d::new(1, 3, 1), [2, 7, 5, 8], 1, true),
        case(Conv2d::new(2, 3, 3), [1, 5, 8, 2], 3, true),
        case(Conv2d::same(3), [1, 2, 55, 8], 32, true),
        case(Conv2d::rectangular([1, 7], 1, [0, 3]), [2, 3, 13, 5], 7, true),
        case(Conv2d::rectangular([7, 1], 1, [3, 0]).with_relu(), [1, 10, 3, 8], 32, true),
        case(Conv2d::rectangular([3, 1], 2, [0, 1]), [1, 11, 9, 1], 65, false),
        case(Conv2d::rectangular([1, 3], 1, [0, 1]), [3, 3, 3, 12], 8, false),
        case(Conv2d::rectangular([3, 1], 1, [1, 0]).with_relu(), [2, 5, 3, 12], 9, true),
        case(Conv2d::new(5, 1, 0), [1, 5, 5, 7], 31, true),
        case(Conv2d::new(3, 2, 1).with_relu(), [2, 9, 8, 8], 36, true),
        // Enough pixels to split the sums of the gradients of weights and bias.
        case(Conv2d::same(3), [3, 17, 19, 3], 9, true),
        case(Conv2d::same(3), [2, 17, 16, 4], 12, false),
    ]
}

fn bench_cases() -> Vec<Case> {
    vec![
        case(Conv2d::same(3).with_relu(), [16, 28, 28, 96], 128, true),
        case(Conv2d::same(3).with_relu(), [16, 56, 56, 64], 192, true),
        case(Conv2d::same(1).with_relu(), [16, 28, 28, 192], 96, true),
        case(Conv2d::same(1).with_relu(), [16, 14, 14, 256], 96, true),
        case(Conv2d::new(7, 2, 3).with_relu(), [32, 96, 96, 3], 64, true),
        case(Conv2d::rectangular([1, 7], 1, [0, 3]), [16, 8, 8, 128], 128, false),
        case(Conv2d::rectangular([7, 1], 1, [3, 0]), [16, 8, 8, 128], 128, false),
        case(Conv2d::rectangular([1, 3], 1, [0, 1]), [16, 3, 3, 192], 192, false),
        case(Conv2d::rectangular([3, 1], 1, [1, 0]), [16, 3, 3, 192], 192, false),
        case(Conv2d::new(3, 2, 0), [16, 17, 17, 256], 384, false),
        case(Conv2d::new(5, 2, 2).with_relu(), [60, 64, 64, 3], 32, true),
        case(Conv2d::same(3).with_relu(), [60, 16, 16, 32], 64, true),
        case(Conv2d::same(3).with_relu(), [60, 8, 8, 64], 128, true),
        case(Conv2d::same(3).with_relu(), [60, 4, 4, 128], 128, true),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(op: Conv2d, inputs: &[&[u32]]) -> String {
        let shapes: Vec<Shape> = inputs.iter().map(|dims| Shape::new(dims).unwrap()).collect();
        op.output_shape(&shapes).unwrap_err().to_string()
    }

    #[test]
    fn the_output_shape_rounds_down() {
        let shapes = [[2, 224, 224, 3], [7, 7, 3, 64]].map(|dims| Shape::new(&dims).unwrap());
        assert_eq!(Conv2d::new(7, 2, 3).output_shape(&shapes).unwrap().dims(), [2, 112, 112, 64]);
    }

    #[test]
    fn inputs_that_do_not_fit_are_refused_with_both_sizes() {
        let e = refusal(Conv2d::new(7, 1, 1), &[&[1, 4, 9, 3], &[7, 7, 3, 8]]);
        assert!(e.contains("at least 7x7") && e.contains("got 4x9"), "{e}");
        let e = refusal(Conv2d::same(3), &[&[1, 4, 4, 3], &[3, 3, 4, 8]]);
        assert!(e.contains("[3, 3, 3, c_out]") && e.contains("got [3, 3, 4, 8]"), "{e}");
        let e = refusal(Conv2d::new(3, 0, 1), &[&[1, 4, 4, 3], &[3, 3, 3, 8]]);
        assert!(e.contains("stride 0"), "{e}");
        let e = refusal(Conv2d::same(3), &[&[1, 4, 4, 3], &[3, 3, 3, 8], &[7]]);
        assert!(e.contains("bias [8]") && e.contains("got [7]"), "{e}");
    }

    #[test]
    fn parts_of_a_sum_stay_bounded() {
        for (len, groups, terms) in [(1, 1, 1), (864 * 128, 28, 12_544), (3 << 20, 800, 1 << 20), (64, 2, 1 << 30)] {
            let splits = splits(len, groups, terms, 256);
            assert!(splits >= 1 && (splits == 1 || u64::from(splits) * u64::from(len) <= 4 << 20));
        }
    }
}
