//! The kernels of the triplet loss: distances, pairs, one of three selections, statistics, gradient.
//!
//! What a selection hands on is the matrix `pull`: row `a` holds, for each image, how many of anchor `a`'s triplets pull it
//! close, less how many push it away. Anchors own their rows, and the gradient needs nothing else.

use super::{TripletParams, twins};
use crate::kernel;
use crate::plan::Kernel;

// No grid but those of `w.items` and `w.results` folds: b * b < 2^32 keeps b below 65,536.

pub(super) static TRANSPOSE: Kernel = kernel!(
    "triplet_transpose",
    ["triplet_loss_distances.wgsl", "triplet_params.wgsl", "index.wgsl"],
    TripletParams,
    |p, w| w.items(p.b * p.dim),
    twins::transpose
);
pub(super) static DISTANCES: Kernel = kernel!(
    "triplet_distances",
    ["triplet_loss_distances.wgsl", "triplet_params.wgsl", "index.wgsl"],
    TripletParams,
    |p, w| {
        let columns = w.constant("LANES") * w.constant("COLUMNS");
        [p.b.div_ceil(columns), p.b.div_ceil(w.constant("ROWS")), 1]
    },
    twins::distances
);
pub(super) static CENTRE: Kernel = kernel!(
    "triplet_centre",
    {
        Shared: [
            "triplet_loss_distances_shared.wgsl",
            "triplet_params.wgsl",
            "columns.wgsl",
            "lanes1.wgsl",
            "index.wgsl",
        ],
        Portable: ["triplet_loss_distances.wgsl", "triplet_params.wgsl", "index.wgsl"],
    },
    TripletParams,
    |p, w| w.results(p.dim),
    twins::centre
);
pub(super) static ORDER: Kernel = kernel!(
    "triplet_order",
    {
        Shared: ["triplet_loss_pairs_shared.wgsl", "triplet_params.wgsl"],
        Portable: ["triplet_loss_pairs.wgsl", "triplet_params.wgsl", "triplet_sums.wgsl"],
    },
    TripletParams,
    |p, w| w.results(p.b),
    twins::order
);
pub(super) static HARDEST: Kernel = kernel!(
    "triplet_hardest",
    {
        Shared: ["triplet_loss_pairs_shared.wgsl", "triplet_params.wgsl"],
        Portable: ["triplet_loss_pairs.wgsl", "triplet_params.wgsl", "triplet_sums.wgsl"],
    },
    TripletParams,
    |p, w| w.results(p.b),
    twins::hardest
);
pub(super) static PAIRS: Kernel = kernel!(
    "triplet_pairs",
    ["triplet_loss_pairs.wgsl", "triplet_params.wgsl", "triplet_sums.wgsl"],
    TripletParams,
    |p, _w| [p.b, 1, 1],
    twins::pairs
);
pub(super) static CLOSEST: Kernel = kernel!(
    "triplet_closest",
    {
        Shared: [
            "triplet_loss_closest_shared.wgsl",
            "triplet_params.wgsl",
            "triplet_sums.wgsl",
            "triplet.wgsl",
            "triplet_shared.wgsl",
            "triplet_pair.wgsl",
            "triplet_closest.wgsl",
        ],
        Portable: [
            "triplet_loss_closest.wgsl",
            "triplet_params.wgsl",
            "triplet_sums.wgsl",
            "triplet.wgsl",
            "triplet_each.wgsl",
            "triplet_pair.wgsl",
            "triplet_closest.wgsl",
        ],
    },
    TripletParams,
    |p, _w| [p.b, 1, 1],
    twins::closest
);
pub(super) static RANDOM: Kernel = kernel!(
    "triplet_random",
    {
        Shared: [
            "triplet_loss_random_shared.wgsl",
            "triplet_params.wgsl",
            "triplet_sums.wgsl",
            "triplet.wgsl",
            "triplet_shared.wgsl",
            "triplet_counts.wgsl",
            "triplet_pair.wgsl",
            "triplet_drawn.wgsl",
            "philox.wgsl",
        ],
        Portable: [
            "triplet_loss_random.wgsl",
            "triplet_params.wgsl",
            "triplet_sums.wgsl",
            "triplet.wgsl",
            "triplet_each.wgsl",
            "triplet_pair.wgsl",
            "triplet_drawn.wgsl",
            "philox.wgsl",
        ],
    },
    TripletParams,
    |p, _w| [p.b, 1, 1],
    twins::random
);
pub(super) static ALL: Kernel = kernel!(
    "triplet_all",
    {
        Shared: [
            "triplet_loss_all_shared.wgsl",
            "triplet_params.wgsl",
            "triplet_sums.wgsl",
            "triplet.wgsl",
            "triplet_shared.wgsl",
            "triplet_counts.wgsl",
            "triplet_negatives.wgsl",
        ],
        Portable: [
            "triplet_loss_all.wgsl",
            "triplet_params.wgsl",
            "triplet_sums.wgsl",
            "triplet.wgsl",
            "triplet_each.wgsl",
            "triplet_negatives.wgsl",
        ],
    },
    TripletParams,
    |p, _w| [p.b, 1, 1],
    twins::all
);
pub(super) static STATS: Kernel = kernel!(
    "triplet_stats",
    ["triplet_loss.wgsl", "triplet_params.wgsl", "triplet_sums.wgsl", "triplet_dx.wgsl", "stat.wgsl"],
    TripletParams,
    |_p, _w| [1, 1, 1],
    twins::stats
);
pub(super) static DX: Kernel = kernel!(
    "triplet_loss_dx",
    {
        Shared: ["triplet_loss_shared.wgsl", "triplet_params.wgsl", "stat.wgsl"],
        Portable: ["triplet_loss.wgsl", "triplet_params.wgsl", "triplet_sums.wgsl", "triplet_dx.wgsl", "stat.wgsl"],
    },
    TripletParams,
    |p, w| [p.b, p.dim.div_ceil(w.constant("DX_LANES") * w.constant("DX_COLUMNS")), 1],
    twins::dx
);
