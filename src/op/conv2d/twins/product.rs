//! The product of windows and weights on register tiles: what the forward pass and the gradient of the input share.

use std::ops::Range;

use rayon::prelude::*;

use super::window::Windows;
use crate::cpu::scratch;
use crate::cpu::tile::{Rows, Tiles};

/// Pixels of the destination that a task computes, about: enough to use a panel of the weights often while it is in
/// the second-level cache, few enough to keep all threads busy.
const TASK: usize = 224;
/// What happens to the sums at the end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct End<'a> {
    pub(super) bias: Option<&'a [f32]>,
    pub(super) relu: bool,
    pub(super) accumulate: bool,
}

/// Products of windows and weights, written to the pixels of `y` that the windows belong to.
pub(super) fn product(
    tiles: &Tiles,
    windows: &[Windows<'_>],
    w: &[f32],
    k_w: usize,
    end: End<'_>,
    y: &mut [f32],
    [height, width, c]: [usize; 3],
) {
    let lanes = tiles.lanes;
    let padded = c.next_multiple_of(lanes);
    let depths: Vec<usize> = windows.iter().map(|w| w.rows.taps * w.run()).collect();
    scratch::lend(|packed| {
        packed.resize((1 + depths.iter().sum::<usize>()) * padded, 0.0);
        let (bias, mut rest) = packed.split_at_mut(padded);
        if let Some(b) = end.bias {
            bias[..c].copy_from_slice(b);
        }
        let mut factors = Vec::with_capacity(windows.len());
        for (windows, depth) in windows.iter().zip(&depths) {
            let (factor, others) = rest.split_at_mut(depth * padded);
            pack(tiles, windows, w, k_w, c, factor);
            factors.push(&*factor);
            rest = others;
        }
        let end = End { bias: end.bias.map(|_| &*bias), ..end };
        let lines = y.len() / (width * c);
        // More threads than full tasks: smaller ones.
        let phases = windows.len();
        let share = lines.div_ceil(4 * rayon::current_num_threads());
        let per_task = (TASK * phases).div_ceil(width).min(share).max((tiles.height * 2).div_ceil(width));
        y.par_chunks_mut(per_task * width * c).enumerate().for_each(|(task, y)| {
            let first = task * per_task;
            let lines = first..first + y.len() / (width * c);
            for (windows, factor) in windows.iter().zip(&factors) {
                task_product(tiles, windows, factor, end, y, lines.clone(), [height, width, c]);
            }
        });
    });
}

/// Panels of the weights that belong to some windows, columns beyond the last filled with zeros.
fn pack(tiles: &Tiles, windows: &Windows<'_>, w: &[f32], k_w: usize, c: usize, packed: &mut [f32]) {
    let (rows, cols) = (windows.rows, windows.cols);
    let run = windows.run();
    let depth = rows.taps * run;
    if depth == 0 {
        return;
    }
    packed.par_chunks_mut(depth * tiles.panel()).enumerate().for_each(|(panel, packed)| {
        let width = packed.len() / depth;
        let begin = panel * tiles.panel();
        let len = width.min(c - begin);
        for (at, to) in packed.chunks_exact_mut(width).enumerate() {
            let (r, k) = (at / run, at % run);
            let from = ((rows.tap + r) * k_w + cols.tap) * windows.c + k;
            to[..len].copy_from_slice(&w[from * c + begin..][..len]);
            to[len..].fill(0.0);
        }
    });
}

/// The product for some rows of pixels.
fn task_product(
    tiles: &Tiles,
    windows: &Windows<'_>,
    factor: &[f32],
    end: End<'_>,
    y: &mut [f32],
    rows: Range<usize>,
    [height, width, c]: [usize; 3],
) {
    let cols = windows.cols;
    let mut lines = Vec::with_capacity(rows.len());
    let mut to = Vec::with_capacity(rows.len() * cols.count);
    for row in rows.clone() {
        if let Some(i) = windows.rows.window_of(row % height) {
            lines.push((row / height, i));
            to.extend((0..cols.count).map(|j| ((row - rows.start) * width + cols.first + j * cols.step) * c));
        }
    }
    if to.is_empty() {
        return;
    }
    scratch::lend(|copy| {
        windows.band(&lines, copy, |a, pitch, starts| {
            let each = |&start: &usize| (0..cols.count).map(move |j| start + j * cols.stride * windows.c);
            let depth = windows.rows.taps * windows.run();
            // A phase without taps reads nothing: its sums are zero.
            let (runs, at): (_, Vec<usize>) = if depth == 0 {
                (0, vec![0; to.len()])
            } else {
                (windows.rows.taps, starts.iter().flat_map(each).collect())
            };
            let padded = c.next_multiple_of(tiles.lanes);
            for begin in (0..padded).step_by(tiles.panel()) {
                let panel = tiles.panel().min(padded - begin);
                let job = Rows {
                    a,
                    pitch,
                    runs,
                    len: windows.run(),
                    width: panel,
                    b: &factor[depth * begin..][..depth * panel],
                    bias: end.bias.map(|b| &b[begin..]),
                    relu: end.relu,
                    accumulate: end.accumulate,
                    ahead: None,
                };
                // Pixels that follow each other in memory are too many streams for the processor to foresee.
                let dense = begin == 0 && a.len() == windows.x.len() && runs == 1 && cols.stride == 1;
                for tile in even(at.len(), tiles.height) {
                    let ahead = dense.then(|| at[tile.end - 1] + job.len);
                    let job = Rows { ahead, ..job };
                    write_tile(c, begin, panel, &to[tile.clone()], y, job.accumulate, |out, to| {
                        tiles.rows(&job, &at[tile.clone()], out, to);
                    });
                }
            }
        });
    });
}

/// Lets a tile write its panel of the rows that begin at `to`, through a buffer where the panel is wider than what is
/// left of a row.
pub(super) fn write_tile(
    c: usize,
    begin: usize,
    panel: usize,
    to: &[usize],
    y: &mut [f32],
    accumulate: bool,
    tile: impl FnOnce(&mut [f32], &[usize]),
) {
    const HEIGHT: usize = crate::cpu::tile::HIGHEST;
    const WIDTH: usize = crate::cpu::tile::WIDEST;
    let mut at = [0; HEIGHT];
    let at = &mut at[..to.len()];
    let len = panel.min(c - begin);
    if len == panel {
        at.iter_mut().zip(to).for_each(|(at, to)| *at = to + begin);
        return tile(y, at);
    }
    let mut buffer = [0.0; HEIGHT * WIDTH];
    for (m, (at, to)) in at.iter_mut().zip(to).enumerate() {
        *at = m * panel;
        if accumulate {
            buffer[*at..][..len].copy_from_slice(&y[to + begin..][..len]);
        }
    }
    tile(&mut buffer, at);
    for (at, to) in at.iter().zip(to) {
        y[to + begin..][..len].copy_from_slice(&buffer[*at..][..len]);
    }
}

/// Cuts `0..len` into the fewest pieces of at most `most`, as even as can be.
pub(super) fn even(len: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let pieces = len.div_ceil(most);
    (0..pieces).map(move |i| i * len / pieces..(i + 1) * len / pieces)
}
