//! Convolution of all channels with all, without dilation: its kernels are matrix products on tiles.

use super::twins::direct;
use super::{Conv2dParams, twins, ways};
use crate::cpu::{Call, Float};
use crate::graph::{Grad, Io, Recorder};
use crate::kernel;
use crate::op::relu::mask_dy;
use crate::op::sum_partials::{in_parts, splits};
use crate::plan::reflect::Interface;
use crate::plan::{Buf, Kernel, Shape, Type, grid};

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

/// Products of so many rows and columns each.
struct Size {
    products: u32,
    rows: u32,
    cols: u32,
}

impl Size {
    fn forward(p: &Conv2dParams) -> Self {
        Self { products: 1, rows: p.n * p.h_out * p.w_out, cols: p.c_out }
    }

    fn dx(p: &Conv2dParams) -> Self {
        let rows = p.n * p.h_in.div_ceil(p.stride) * p.w_in.div_ceil(p.stride);
        Self { products: p.stride * p.stride, rows, cols: p.c_in }
    }

    fn dw(p: &Conv2dParams) -> Self {
        Self { products: p.splits, rows: p.k_h * p.k_w * p.c_in, cols: p.c_out }
    }

    fn grid(&self, w: &Interface) -> [u32; 3] {
        grid::fold(self.products * tiles(self.rows, self.cols, tile(w)))
    }

    /// Whether the tiles of this kernel are enough to fill a GPU, one for each multiprocessor of a large one, and lie on the
    /// product by two thirds at least.
    fn fills(&self, w: &Interface) -> bool {
        const GROUPS: u32 = 128;
        let tile = tile(w);
        let tiles = tiles(self.rows, self.cols, tile);
        let covered = u64::from(tiles) * u64::from(tile[0]) * u64::from(tile[1]);
        self.products * tiles >= GROUPS && 3 * u64::from(self.rows) * u64::from(self.cols) >= 2 * covered
    }
}

fn forward_fills(p: &Conv2dParams, w: &Interface) -> bool {
    Size::forward(p).fills(w)
}

fn dx_fills(p: &Conv2dParams, w: &Interface) -> bool {
    Size::dx(p).fills(w)
}

fn dw_fills(p: &Conv2dParams, w: &Interface) -> bool {
    Size::dw(p).fills(w)
}

/// A kernel that is a matrix product, in three forms with one name. They differ only in how all variants but the portable
/// one load and store.
pub(super) struct Product {
    pub(super) vec4: Kernel,
    pub(super) right4: Kernel,
    pub(super) any: Kernel,
}

/// The kernels but for the portable one load and store four floats at a time where the channels allow it: on both sides, on
/// the right side and the result only (images have three channels), or not at all. `f16` kernels have families that round their
/// factors, for devices that were opened for it; gradients have no such families, because they are often too small for 16 bits.
macro_rules! product {
    ($factors:ident $entry:literal, $size:path, $fills:path, ($($twin:tt)+)) => {
        Product {
            vec4: product!($factors $entry, $size, $fills, ($($twin)+), "conv2d_left_vec4.wgsl", "conv2d_right_vec4.wgsl"),
            right4: product!($factors $entry, $size, $fills, ($($twin)+), "conv2d_left_any.wgsl", "conv2d_right_vec4.wgsl"),
            any: product!($factors $entry, $size, $fills, ($($twin)+), "conv2d_left_any.wgsl", "conv2d_right_any.wgsl"),
        }
    };
    (f16 $entry:literal, $size:path, $fills:path, ($($twin:tt)+), $left:literal, $right:literal) => {
        product!(with {
            Matrix128 if $fills: [
                "conv2d_tiles.wgsl", "conv2d_tile128.wgsl", "conv2d_sums_matrices.wgsl", "conv2d_factors_f16.wgsl", $left, $right,
                "conv2d.wgsl", "lanes4.wgsl", "rectified.wgsl", "index.wgsl"
            ],
            Matrix64 if $fills: [
                "conv2d_tiles.wgsl", "conv2d_tile64.wgsl", "conv2d_sums_matrices.wgsl", "conv2d_factors_f16.wgsl", $left, $right,
                "conv2d.wgsl", "lanes4.wgsl", "rectified.wgsl", "index.wgsl"
            ],
            Half128 if $fills: [
                "conv2d_tiles.wgsl", "conv2d_tile128.wgsl", "conv2d_sums_lanes.wgsl", "conv2d_factors_f16.wgsl", $left, $right,
                "conv2d.wgsl", "lanes4.wgsl", "rectified.wgsl", "index.wgsl"
            ],
            Half64 if $fills: [
                "conv2d_tiles.wgsl", "conv2d_tile64.wgsl", "conv2d_sums_lanes.wgsl", "conv2d_factors_f16.wgsl", $left, $right,
                "conv2d.wgsl", "lanes4.wgsl", "rectified.wgsl", "index.wgsl"
            ],
            Half32: [
                "conv2d_tiles.wgsl", "conv2d_tile32.wgsl", "conv2d_sums_lanes.wgsl", "conv2d_factors_f16.wgsl", $left, $right,
                "conv2d.wgsl", "lanes4.wgsl", "rectified.wgsl", "index.wgsl"
            ],
        } $entry, $size, $fills, ($($twin)+), $left, $right)
    };
    (f32 $entry:literal, $size:path, $fills:path, ($($twin:tt)+), $left:literal, $right:literal) => {
        product!(with {} $entry, $size, $fills, ($($twin)+), $left, $right)
    };
    (
        with { $($half:tt)* }
        $entry:literal, $size:path, $fills:path, ($($twin:tt)+), $left:literal, $right:literal
    ) => {
        kernel!(
            $entry,
            {
                $($half)*
                Subgroup8: ["conv2d_subgroup.wgsl", $left, $right, "conv2d.wgsl", "lanes4.wgsl", "rectified.wgsl", "index.wgsl"],
                Tiles128 if $fills: [
                    "conv2d_tiles.wgsl", "conv2d_tile128.wgsl", "conv2d_sums_lanes.wgsl", "conv2d_factors_f32.wgsl", $left, $right,
                    "conv2d.wgsl", "lanes4.wgsl", "rectified.wgsl", "index.wgsl"
                ],
                Tiles64 if $fills: [
                    "conv2d_tiles.wgsl", "conv2d_tile64.wgsl", "conv2d_sums_lanes.wgsl", "conv2d_factors_f32.wgsl", $left, $right,
                    "conv2d.wgsl", "lanes4.wgsl", "rectified.wgsl", "index.wgsl"
                ],
                Tiles32: [
                    "conv2d_tiles.wgsl", "conv2d_tile32.wgsl", "conv2d_sums_lanes.wgsl", "conv2d_factors_f32.wgsl", $left, $right,
                    "conv2d.wgsl", "lanes4.wgsl", "rectified.wgsl", "index.wgsl"
                ],
                Portable: ["conv2d.wgsl", "conv2d.wgsl", "lanes4.wgsl", "rectified.wgsl", "index.wgsl"],
            },
            Conv2dParams,
            |p, w| $size(&p).grid(w),
            $($twin)+
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
pub(super) static CONV2D: Product =
    product!(f16 "conv2d", Size::forward, forward_fills, (ways &ways::FORWARD, prefer ways::best_forward, conv2d));
/// Forward without a bias: buffers `x`, `w`, `y`; override `RELU`.
pub(super) static CONV2D_NOBIAS: Product = product!(
    f16 "conv2d_nobias",
    Size::forward,
    forward_fills,
    (ways &ways::FORWARD, prefer ways::best_forward, conv2d_nobias)
);
/// Buffers `dy`, `flipped`, `dx`.
pub(super) static CONV2D_DX: Product =
    product!(f32 "conv2d_dx", Size::dx, dx_fills, (ways &ways::DX, prefer ways::best_dx, conv2d_dx));
/// Buffers `x`, `dy`, `part`.
pub(super) static CONV2D_DW: Product =
    product!(f32 "conv2d_dw", Size::dw, dw_fills, (ways &ways::DW, prefer ways::best_dw, conv2d_dw));

/// Buffers `w`, `flipped`.
pub(super) static CONV2D_FLIP: Kernel = kernel!(
    "conv2d_flip",
    ["conv2d_backward.wgsl", "conv2d.wgsl", "index.wgsl"],
    Conv2dParams,
    |p, w| grid::fold(p.k_h * p.k_w * tiles(p.c_out, p.c_in, [w.constant("ROWS"), w.constant("LANES")])),
    conv2d_flip
);
/// Buffers `dy`, `part`.
pub(super) static CONV2D_DB: Kernel = kernel!(
    "conv2d_db",
    ["conv2d_backward.wgsl", "conv2d.wgsl", "index.wgsl"],
    Conv2dParams,
    |p, w| grid::fold(p.splits * p.c_out.div_ceil(w.constant("LANES"))),
    conv2d_db
);

/// Multiply-adds of each of the three products: forward, gradient of the input, gradient of the weights.
fn macs(p: &Conv2dParams) -> u64 {
    let taps = u64::from(p.k_h) * u64::from(p.k_w) * u64::from(p.c_in) * u64::from(p.c_out);
    u64::from(p.n) * u64::from(p.h_out) * u64::from(p.w_out) * taps
}

/// Records the forward pass of a convolution with inputs `x`, `w` and perhaps `b`.
pub(in crate::op) fn record_forward(r: &mut Recorder<'_>, io: &Io<'_>, p: &Conv2dParams, relu: bool) {
    record_product(r, io.x, io.y, p, &[("RELU", f64::from(u8::from(relu)))]);
}

/// Records `y += scale * (x * w + b)` for inputs `x`, `w` and perhaps `b`.
pub(super) fn record_sum(r: &mut Recorder<'_>, x: &[Buf], y: Buf, p: &Conv2dParams, scale: f32, relu: bool) {
    let overrides = [("ACCUMULATE", 1.0), ("RELU", f64::from(u8::from(relu))), ("SCALE", f64::from(scale))];
    record_product(r, x, y, p, &overrides);
}

fn record_product(r: &mut Recorder<'_>, x: &[Buf], y: Buf, p: &Conv2dParams, overrides: &[(&'static str, f64)]) {
    let step = match *x {
        [x, w, b] => r.dispatch(CONV2D.suited(p.c_in, p.c_out), p, overrides, &[x, w, y, b]),
        _ => r.dispatch(CONV2D_NOBIAS.suited(p.c_in, p.c_out), p, overrides, &[x[0], x[1], y]),
    };
    step.macs = macs(p);
}

/// Records the gradients of a convolution.
pub(in crate::op) fn record_backward(
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
    if let Some(grad) = dx[1] {
        let pixels = p.n * p.h_out * p.w_out;
        let (depth, len) = (p.k_h * p.k_w * p.c_in, io.x_shapes[1].len_u32());
        let tiles = tiles(depth, p.c_out, tile(&CONV2D_DW.any.interface()));
        let p = Conv2dParams { splits: splits(len, tiles, pixels, 256), ..*p };
        in_parts(r, "dw parts", len, p.splits, grad, |r, to, overrides| {
            r.dispatch(CONV2D_DW.suited(p.c_in, p.c_out), &p, overrides, &[io.x[0], dy, to]).macs = macs(&p);
        });
    }
    if let Some(grad) = dx.get(2).copied().flatten() {
        record_db(r, p, dy, grad);
    }
}

/// Records the gradient of the bias.
pub(super) fn record_db(r: &mut Recorder<'_>, p: &Conv2dParams, dy: Buf, grad: Grad) {
    let pixels = p.n * p.h_out * p.w_out;
    let groups = p.c_out.div_ceil(CONV2D_DB.interface().constant("LANES"));
    let p = Conv2dParams { splits: splits(p.c_out, groups, pixels, 128), ..*p };
    in_parts(r, "db parts", p.c_out, p.splits, grad, |r, to, overrides| {
        r.dispatch(&CONV2D_DB, &p, overrides, &[dy, to]);
    });
}

fn conv2d(call: Call<'_, f64>) {
    let (p, end) = (call.params(), direct::End::of(&call));
    let [x, w, y, b] = call.args();
    direct::forward(&p, end, x.f(), w.f(), Some(b.f()), y.f_mut());
}

fn conv2d_nobias(call: Call<'_, f64>) {
    let (p, end) = (call.params(), direct::End::of(&call));
    let [x, w, y] = call.args();
    direct::forward(&p, end, x.f(), w.f(), None, y.f_mut());
}

fn conv2d_flip<T: Float>(call: Call<'_, T>) {
    let p = call.params();
    let [w, flipped] = call.args();
    twins::flip(&p, w.f(), flipped.f_mut());
}

fn conv2d_dx(call: Call<'_, f64>) {
    let (p, accumulate) = (call.params(), call.flag("ACCUMULATE"));
    let [dy, flipped, dx] = call.args();
    direct::dx(&p, accumulate, dy.f(), flipped.f(), dx.f_mut());
}

fn conv2d_dw(call: Call<'_, f64>) {
    let (p, accumulate) = (call.params(), call.flag("ACCUMULATE"));
    let [x, dy, part] = call.args();
    direct::dw(&p, accumulate, x.f(), dy.f(), part.f_mut());
}

fn conv2d_db<T: Float>(call: Call<'_, T>) {
    let (p, accumulate) = (call.params(), call.flag("ACCUMULATE"));
    let [dy, part] = call.args();
    twins::db(&p, accumulate, dy.f(), part.f_mut());
}
