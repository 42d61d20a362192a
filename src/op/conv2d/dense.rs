//! Convolution of all channels with all, without dilation: its kernels are matrix products on tiles.

use super::{Conv2dParams, twins};
use crate::cpu::{Call, Float};
use crate::graph::{Grad, Io, Recorder};
use crate::op::relu::mask_dy;
use crate::op::sum_partials::{in_parts, splits};
use crate::plan::{Buf, Family, Kernel, Params, Shape, Type, Variant, grid};
use crate::{grid, shader, twin};

const PORTABLE: &str = shader!("conv2d.wgsl", "conv2d.wgsl", "index.wgsl");
const BACKWARD: &str = shader!("conv2d_backward.wgsl", "conv2d.wgsl", "index.wgsl");
/// The subgroup kernels load and store four floats at a time where the channels allow it: on both sides, on the right
/// side and the result only (images have three channels), or not at all.
const SUBGROUP_VEC4: &str =
    shader!("conv2d_subgroup.wgsl", "conv2d_left_vec4.wgsl", "conv2d_right_vec4.wgsl", "conv2d.wgsl", "index.wgsl");
const SUBGROUP_RIGHT4: &str =
    shader!("conv2d_subgroup.wgsl", "conv2d_left_any.wgsl", "conv2d_right_vec4.wgsl", "conv2d.wgsl", "index.wgsl");
const SUBGROUP_ANY: &str =
    shader!("conv2d_subgroup.wgsl", "conv2d_left_any.wgsl", "conv2d_right_any.wgsl", "conv2d.wgsl", "index.wgsl");

/// Rows and columns that one workgroup computes.
type Tile = [u32; 2];
const SUBGROUP_TILE: Tile = [32, 32];
const PORTABLE_TILE: Tile = [64, 64];

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
pub(super) struct Product {
    pub(super) vec4: Kernel,
    pub(super) right4: Kernel,
    pub(super) any: Kernel,
}

macro_rules! product {
    ($entry:literal, $tiles:path, $twin:path) => {
        Product {
            vec4: product!($entry, $tiles, $twin, SUBGROUP_VEC4),
            right4: product!($entry, $tiles, $twin, SUBGROUP_RIGHT4),
            any: product!($entry, $tiles, $twin, SUBGROUP_ANY),
        }
    };
    ($entry:literal, $tiles:path, $twin:path, $subgroup:expr) => {
        Kernel {
            name: $entry,
            params: Conv2dParams::FIELDS,
            variants: &[
                Variant {
                    family: Family::Subgroup8,
                    file: "conv2d_subgroup.wgsl",
                    source: $subgroup,
                    entry: $entry,
                    grid: grid!(Conv2dParams, |p| $tiles(&p, SUBGROUP_TILE)),
                },
                Variant {
                    family: Family::Portable,
                    file: "conv2d.wgsl",
                    source: PORTABLE,
                    entry: $entry,
                    grid: grid!(Conv2dParams, |p| $tiles(&p, PORTABLE_TILE)),
                },
            ],
            twin: twin!($twin),
        }
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
pub(super) static CONV2D: Product = product!("conv2d", forward_tiles, conv2d);
/// Forward without a bias: buffers `x`, `w`, `y`; override `RELU`.
pub(super) static CONV2D_NOBIAS: Product = product!("conv2d_nobias", forward_tiles, conv2d_nobias);
/// Buffers `dy`, `flipped`, `dx`.
pub(super) static CONV2D_DX: Product = product!("conv2d_dx", dx_tiles, conv2d_dx);
/// Buffers `x`, `dy`, `part`.
pub(super) static CONV2D_DW: Product = product!("conv2d_dw", dw_tiles, conv2d_dw);

const fn plain(entry: &'static str, grid: fn(&[u8]) -> [u32; 3]) -> Variant {
    Variant { family: Family::Portable, file: "conv2d_backward.wgsl", source: BACKWARD, entry, grid }
}

/// Buffers `w`, `flipped`.
pub(super) static CONV2D_FLIP: Kernel = Kernel {
    name: "conv2d_flip",
    params: Conv2dParams::FIELDS,
    variants: &[plain(
        "conv2d_flip",
        grid!(Conv2dParams, |p| grid::fold(p.k_h * p.k_w * tiles(p.c_out, p.c_in, [16, 32]))),
    )],
    twin: twin!(conv2d_flip),
};
/// Buffers `dy`, `part`.
pub(super) static CONV2D_DB: Kernel = Kernel {
    name: "conv2d_db",
    params: Conv2dParams::FIELDS,
    variants: &[plain("conv2d_db", grid!(Conv2dParams, |p| grid::fold(p.splits * p.c_out.div_ceil(32))))],
    twin: twin!(conv2d_db),
};

/// Multiply-adds of each of the three products: forward, gradient of the input, gradient of the weights.
fn macs(p: &Conv2dParams) -> u64 {
    let taps = u64::from(p.k_h) * u64::from(p.k_w) * u64::from(p.c_in) * u64::from(p.c_out);
    u64::from(p.n) * u64::from(p.h_out) * u64::from(p.w_out) * taps
}

/// Records the forward pass of a convolution with inputs `x`, `w` and perhaps `b`.
pub(in crate::op) fn record_forward(r: &mut Recorder<'_>, io: &Io<'_>, p: &Conv2dParams, relu: bool) {
    let overrides = [("RELU", f64::from(u8::from(relu)))];
    let step = match *io.x {
        [x, w, b] => r.dispatch(CONV2D.suited(p.c_in, p.c_out), p, &overrides, &[x, w, io.y, b]),
        _ => r.dispatch(CONV2D_NOBIAS.suited(p.c_in, p.c_out), p, &overrides, &[io.x[0], io.x[1], io.y]),
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
        let p = Conv2dParams { splits: splits(len, tiles(depth, p.c_out, PORTABLE_TILE), pixels, 256), ..*p };
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
    let p = Conv2dParams { splits: splits(p.c_out, p.c_out.div_ceil(32), pixels, 128), ..*p };
    in_parts(r, "db parts", p.c_out, p.splits, grad, |r, to, overrides| {
        r.dispatch(&CONV2D_DB, &p, overrides, &[dy, to]);
    });
}

fn conv2d<T: Float>(call: Call<'_, T>) {
    let (p, relu) = (call.params(), call.flag("RELU"));
    let [x, w, y, b] = call.args();
    twins::forward(&p, relu, x.f(), w.f(), Some(b.f()), y.f_mut());
}

fn conv2d_nobias<T: Float>(call: Call<'_, T>) {
    let (p, relu) = (call.params(), call.flag("RELU"));
    let [x, w, y] = call.args();
    twins::forward(&p, relu, x.f(), w.f(), None, y.f_mut());
}

fn conv2d_flip<T: Float>(call: Call<'_, T>) {
    let p = call.params();
    let [w, flipped] = call.args();
    twins::flip(&p, w.f(), flipped.f_mut());
}

fn conv2d_dx<T: Float>(call: Call<'_, T>) {
    let (p, accumulate) = (call.params(), call.flag("ACCUMULATE"));
    let [dy, flipped, dx] = call.args();
    twins::dx(&p, accumulate, dy.f(), flipped.f(), dx.f_mut());
}

fn conv2d_dw<T: Float>(call: Call<'_, T>) {
    let (p, accumulate) = (call.params(), call.flag("ACCUMULATE"));
    let [x, dy, part] = call.args();
    twins::dw(&p, accumulate, x.f(), dy.f(), part.f_mut());
}

fn conv2d_db<T: Float>(call: Call<'_, T>) {
    let (p, accumulate) = (call.params(), call.flag("ACCUMULATE"));
    let [dy, part] = call.args();
    twins::db(&p, accumulate, dy.f(), part.f_mut());
}
