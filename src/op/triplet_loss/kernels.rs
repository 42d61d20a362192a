//! The kernels of the triplet loss: distances, pairs, one of three selections, statistics, gradient.
//!
//! What a selection hands on is the matrix `pull`: row `a` holds, for each image, how many of anchor `a`'s triplets pull it
//! close, less how many push it away. Anchors own their rows, and the gradient needs nothing else.

use super::{TripletParams, twins};
use crate::plan::{Family, Kernel, Params, Variant, grid};
use crate::{grid, shader, twin};

/// Images per workgroup of `triplet_distances`: LANES * COLUMNS columns, ROWS rows.
const TILE: [u32; 2] = [128, 8];
/// Columns of the embeddings per workgroup of `triplet_loss_dx`: `DX_LANES` * `DX_COLUMNS`.
const DX_TILE: u32 = 128;

/// A kernel: name and entry point, shader file and libraries, grid, twin. No grid but those that are `linear` folds:
/// b * b < 2^32 keeps b below 65,536.
macro_rules! kernel {
    ($name:literal, [$file:literal $(, $lib:literal)*], |$p:ident| $grid:expr, $twin:path) => {
        Kernel {
            name: $name,
            params: TripletParams::FIELDS,
            variants: &[Variant {
                family: Family::Portable,
                file: $file,
                source: shader!($file $(, $lib)*),
                entry: $name,
                grid: grid!(TripletParams, |$p| $grid),
            }],
            twin: twin!($twin),
        }
    };
}

pub(super) static TRANSPOSE: Kernel = kernel!(
    "triplet_transpose",
    ["triplet_loss_distances.wgsl", "index.wgsl"],
    |p| grid::linear(p.b * p.dim, 256),
    twins::transpose
);
pub(super) static DISTANCES: Kernel = kernel!(
    "triplet_distances",
    ["triplet_loss_distances.wgsl", "index.wgsl"],
    |p| [p.b.div_ceil(TILE[0]), p.b.div_ceil(TILE[1]), 1],
    twins::distances
);
pub(super) static CENTRE: Kernel = kernel!(
    "triplet_centre",
    ["triplet_loss_distances.wgsl", "index.wgsl"],
    |p| grid::linear(p.dim, 64),
    twins::centre
);
pub(super) static ORDER: Kernel =
    kernel!("triplet_order", ["triplet_loss_pairs.wgsl"], |p| [p.b.div_ceil(64), 1, 1], twins::order);
pub(super) static HARDEST: Kernel =
    kernel!("triplet_hardest", ["triplet_loss_pairs.wgsl"], |p| [p.b.div_ceil(64), 1, 1], twins::hardest);
pub(super) static PAIRS: Kernel = kernel!("triplet_pairs", ["triplet_loss_pairs.wgsl"], |p| [p.b, 1, 1], twins::pairs);
pub(super) static CLOSEST: Kernel =
    kernel!("triplet_closest", ["triplet_loss_closest.wgsl", "triplet.wgsl"], |p| [p.b, 1, 1], twins::closest);
pub(super) static RANDOM: Kernel = kernel!(
    "triplet_random",
    ["triplet_loss_random.wgsl", "triplet.wgsl", "philox.wgsl"],
    |p| [p.b, 1, 1],
    twins::random
);
pub(super) static ALL: Kernel =
    kernel!("triplet_all", ["triplet_loss_all.wgsl", "triplet.wgsl"], |p| [p.b, 1, 1], twins::all);
pub(super) static STATS: Kernel = kernel!("triplet_stats", ["triplet_loss.wgsl"], |_p| [1, 1, 1], twins::stats);
pub(super) static DX: Kernel =
    kernel!("triplet_loss_dx", ["triplet_loss.wgsl"], |p| [p.b, p.dim.div_ceil(DX_TILE), 1], twins::dx);
