//! Convolution in `f32` on register tiles, without an expanded matrix: the runs of a window are contiguous in a padded
//! copy of a few image rows (or in the image itself), so that the tiles read their left factor from there.

use std::ops::Range;

use rayon::prelude::*;

use super::Conv2dParams;
use super::phases::Blocks;
use super::product::{End, Weights, even, packed, product, write_tile};
use super::window::{Axis, Windows};
use crate::cpu::scratch;
use crate::cpu::tile::{Cols, Tiles};

/// Pixels over which a tile of the weights' gradient is summed in one go: a panel of `dy` stays in the first-level
/// cache.
const BAND: usize = 192;

/// `y = x * w`, and what `end` says.
pub(super) fn forward(tiles: &Tiles, p: &Conv2dParams, end: End<'_>, x: &[f32], w: Weights<'_>, y: &mut [f32]) {
    product(tiles, &[windows(p, x)], w, end, y, [p.h_out, p.w_out, p.c_out].map(|x| x as usize));
}

/// The weights of [`forward`] in the order in which its tiles read them.
pub(super) fn forward_weights(tiles: &Tiles, p: &Conv2dParams, w: &[f32], factor: &mut Vec<f32>) {
    packed(tiles, &[windows(p, &[])], w, p.k_w as usize, p.c_out as usize, factor);
}

fn windows<'a>(p: &Conv2dParams, x: &'a [f32]) -> Windows<'a> {
    let rows = Axis::forward(p.h_in, p.h_out, p.k_h, p.stride, p.pad_top);
    let cols = Axis::forward(p.w_in, p.w_out, p.k_w, p.stride, p.pad_left);
    Windows { x, c: p.c_in as usize, rows, cols }
}

/// The gradient of the input, from the flipped weights.
pub(super) fn dx(tiles: &Tiles, p: &Conv2dParams, accumulate: bool, dy: &[f32], flipped: &[f32], dx: &mut [f32]) {
    let rows = Axis::backward(p.h_out, p.h_in, p.k_h, p.stride, p.pad_top);
    let cols = Axis::backward(p.w_out, p.w_in, p.k_w, p.stride, p.pad_left);
    let [height, width, c, c_out] = [p.h_in, p.w_in, p.c_in, p.c_out].map(|x| x as usize);
    if let Some(blocks) = Blocks::if_less_work(tiles, [&rows, &cols], dy, c_out, c) {
        return blocks.dx(tiles, flipped, accumulate, dx, [height, width, c]);
    }
    let phases: Vec<_> =
        rows.iter().flat_map(|&rows| cols.iter().map(move |&cols| Windows { x: dy, c: c_out, rows, cols })).collect();
    let end = End { accumulate, ..End::default() };
    product(tiles, &phases, Weights::Plain(flipped, p.k_w as usize), end, dx, [height, width, c]);
}

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
    scratch::lend(|copy| {
        windows.band(&lines, copy, |a, pitch, starts| {
            let each = |&start: &usize| (0..cols.count).map(move |j| start + j * cols.stride * windows.c);
            let at: Vec<usize> = starts.iter().flat_map(each).skip(band.start % cols.count).take(band.len()).collect();
            scratch::lend(|packed| {
                let depth = first..first + part.len() / c;
                let padded = c.next_multiple_of(tiles.lanes);
                for begin in (0..padded).step_by(tiles.panel()) {
                    let panel = tiles.panel().min(padded - begin);
                    packed.clear();
                    for dy in dy[band.start * c..band.end * c].chunks_exact(c) {
                        packed.extend_from_slice(&dy[begin..(begin + panel).min(c)]);
                        packed.resize(packed.len().next_multiple_of(panel), 0.0);
                    }
                    for (offset, tile) in depth_tiles(depth.clone(), windows.run(), pitch, tiles.height) {
                        let job = Cols { a, at: &at, first: offset, width: panel, b: packed, accumulate };
                        let to: Vec<usize> = tile.map(|k| (k - first) * c).collect();
                        write_tile(c, begin, panel, &to, part, accumulate, |out, to| tiles.cols(&job, out, to));
                    }
                }
            });
        });
    });
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
