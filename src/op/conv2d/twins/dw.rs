//! The gradient of the weights in `f32` on register tiles: a product of the transposed windows and `dy`.

use std::ops::Range;

use rayon::prelude::*;

use super::Conv2dParams;
use super::product::{even, write_tile};
use super::window::{Axis, Windows};
use crate::cpu::scratch;
use crate::cpu::tile::{Cols, Tiles};

/// Pixels over which a tile is summed in one go: a packed tile of the windows stays in the first-level cache.
const BAND: usize = 256;
/// Panels of `dy` that are packed at a time: they stay in the second-level cache.
const PANELS: usize = 8;

/// The gradient of the weights, one set for each part of the pixels.
pub(super) fn dw(tiles: &Tiles, p: &Conv2dParams, accumulate: bool, x: &[f32], dy: &[f32], part: &mut [f32]) {
    let rows = Axis::forward(p.h_in, p.h_out, p.k_h, p.stride, p.pad_top);
    let cols = Axis::forward(p.w_in, p.w_out, p.k_w, p.stride, p.pad_left);
    let windows = Windows { x, c: p.c_in as usize, rows, cols };
    let depth = rows.taps * windows.run();
    let (c, splits) = (p.c_out as usize, p.splits as usize);
    let pixels = dy.len() / c;
    let per_split = pixels.div_ceil(splits);
    // Where the parts do not keep all threads busy, some rows of a part make a task.
    let pieces = (4 * rayon::current_num_threads()).div_ceil(splits);
    let piece = depth.div_ceil(pieces).next_multiple_of(tiles.height);
    let mut tasks = Vec::new();
    for (split, part) in part.chunks_exact_mut(depth * c).enumerate() {
        let begin = (split * per_split).min(pixels);
        let end = (begin + per_split).min(pixels);
        tasks.extend(part.chunks_mut(piece * c).enumerate().map(|(i, part)| (begin..end, i * piece, part)));
    }
    tasks.into_par_iter().for_each(|(pixels, first, part)| {
        if pixels.is_empty() && !accumulate {
            part.fill(0.0);
        }
        for (i, band) in even(pixels.len(), BAND).enumerate() {
            let band = pixels.start + band.start..pixels.start + band.end;
            add_band(tiles, &windows, dy, band, first, accumulate || i > 0, part, c);
        }
    });
}

/// Adds the pixels of a band to some rows of the weights' gradient, or sets it to their sum.
#[expect(clippy::too_many_arguments, reason = "one inner step of dw")]
fn add_band(
    tiles: &Tiles,
    windows: &Windows<'_>,
    dy: &[f32],
    band: Range<usize>,
    first: usize,
    accumulate: bool,
    part: &mut [f32],
    c: usize,
) {
    let (rows, cols) = (windows.rows, windows.cols);
    let lines: Vec<_> =
        (band.start / cols.count..band.end.div_ceil(cols.count)).map(|r| (r / rows.count, r % rows.count)).collect();
    let depth = first..first + part.len() / c;
    let padded = c.next_multiple_of(tiles.lanes);
    scratch::lend(|copy| {
        windows.band(&lines, copy, |a, pitch, starts| {
            let each = |&start: &usize| (0..cols.count).map(move |j| start + j * cols.stride * windows.c);
            let at: Vec<usize> = starts.iter().flat_map(each).skip(band.start % cols.count).take(band.len()).collect();
            scratch::lend_floats(band.len() * (PANELS * tiles.panel() + tiles.lanes), |packed| {
                let (left, right) = packed.split_at_mut(band.len() * tiles.lanes);
                let dy = &dy[band.start * c..band.end * c];
                for group in (0..padded).step_by(PANELS * tiles.panel()) {
                    let panels = || {
                        let end = padded.min(group + PANELS * tiles.panel());
                        (group..end).step_by(tiles.panel()).map(move |begin| (begin, tiles.panel().min(end - begin)))
                    };
                    for (begin, panel) in panels() {
                        let to = &mut right[(begin - group) * band.len()..][..panel * band.len()];
                        pack_panel(dy.chunks_exact(c), begin, panel, to);
                    }
                    for (offset, tile) in depth_tiles(depth.clone(), windows.run(), pitch, tiles.height) {
                        tiles.pack(a, &at, offset, tile.len(), left);
                        let to: Vec<usize> = tile.map(|k| (k - first) * c).collect();
                        for (begin, panel) in panels() {
                            let b = &right[(begin - group) * band.len()..][..panel * band.len()];
                            let job = Cols { a: left, width: panel, b, accumulate };
                            write_tile(c, begin, panel, &to, part, accumulate, |out, to| tiles.cols(&job, out, to));
                        }
                    }
                }
            });
        });
    });
}

/// Columns `begin..begin + panel` of some rows, zeros beyond the last.
pub(super) fn pack_panel<'a>(rows: impl Iterator<Item = &'a [f32]>, begin: usize, panel: usize, to: &mut [f32]) {
    for (row, to) in rows.zip(to.chunks_exact_mut(panel)) {
        let len = panel.min(row.len() - begin);
        to[..len].copy_from_slice(&row[begin..begin + len]);
        to[len..].fill(0.0);
    }
}

/// Cuts a range of the depth into tiles that do not cross a run, each with the distance of its first float from the
/// beginning of the window.
fn depth_tiles(
    depth: Range<usize>,
    run: usize,
    pitch: usize,
    height: usize,
) -> impl Iterator<Item = (usize, Range<usize>)> {
    (depth.start / run..depth.end.div_ceil(run)).flat_map(move |r| {
        let begin = depth.start.max(r * run);
        let end = depth.end.min((r + 1) * run);
        even(end - begin, height).map(move |tile| {
            let tile = begin + tile.start..begin + tile.end;
            (r * pitch + tile.start - r * run, tile)
        })
    })
}
