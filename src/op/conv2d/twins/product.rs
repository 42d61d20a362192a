//! The product of windows and weights on register tiles: what the forward pass and the gradient of the input share.

use std::ops::Range;

use rayon::prelude::*;

use super::window::Windows;
use crate::cpu::tile::{HIGHEST as HEIGHT, Rows, Tiles, WIDEST as WIDTH, part_of_next};
use crate::cpu::{Shared, scratch};

/// Pixels of the destination that a task computes, about: enough to use a panel of the weights often while it is in
/// the second-level cache, few enough to keep all threads busy.
const TASK: usize = 224;
/// Tasks for each thread: enough that none waits long for the last one.
const TASKS: usize = 4;

/// What happens to the sums at the end.
#[derive(Debug, Clone, Copy)]
pub(in crate::op::conv2d) struct End<'a> {
    pub(in crate::op::conv2d) bias: Option<&'a [f32]>,
    /// The sums with their bias, times `scale`, are added to what stands in the output.
    pub(in crate::op::conv2d) accumulate: bool,
    pub(in crate::op::conv2d) scale: f32,
    /// `max(y, 0)` in the end.
    pub(in crate::op::conv2d) relu: bool,
}

impl Default for End<'_> {
    fn default() -> Self {
        Self { bias: None, accumulate: false, scale: 1.0, relu: false }
    }
}

/// The right factor of a product.
#[derive(Debug, Clone, Copy)]
pub(super) enum Weights<'a> {
    /// As a model has it, `[k_h, k_w, c_in, c_out]`, and its `k_w`.
    Plain(&'a [f32], usize),
    /// As [`packed`] has it.
    Packed(&'a [f32]),
}

/// Products of windows and weights, written to the pixels of `y` that the windows belong to.
pub(super) fn product(
    tiles: &Tiles,
    windows: &[Windows<'_>],
    w: Weights<'_>,
    end: End<'_>,
    y: &mut [f32],
    [height, width, c]: [usize; 3],
) {
    scratch::lend(|own| {
        let factor = match w {
            Weights::Packed(factor) => factor,
            Weights::Plain(w, k_w) => {
                packed(tiles, windows, w, k_w, c, own);
                &*own
            }
        };
        padded_bias(tiles, end.bias, |bias| {
            let end = End { bias, ..end };
            let padded = c.next_multiple_of(tiles.lanes);
            let lines = y.len() / (width * c);
            let grid = Grid::new(tiles, [lines, width], windows.len(), padded.div_ceil(tiles.panel()));
            let y = Shared::new(y);
            grid.for_each(|lines, panels| {
                let piece = (lines, panels.start * tiles.panel()..padded.min(panels.end * tiles.panel()));
                let mut rest = factor;
                for windows in windows {
                    let (factor, others) = rest.split_at(windows.depth() * padded);
                    rest = others;
                    // SAFETY: no other task has these lines and these columns.
                    unsafe { task_product(tiles, windows, factor, end, &y, &piece, [height, width, c]) };
                }
            });
        });
    });
}

/// How a product is cut into tasks: lines of pixels, and panels of columns where the lines do not keep all threads busy.
#[derive(Debug)]
struct Grid {
    lines: usize,
    per_task: usize,
    panels: usize,
    per_group: usize,
}

impl Grid {
    fn new(tiles: &Tiles, [lines, width]: [usize; 2], phases: usize, panels: usize) -> Self {
        let tasks = TASKS * rayon::current_num_threads();
        let mut per_task = (TASK * phases).div_ceil(width).min(lines);
        let mut groups = 1;
        if lines.div_ceil(per_task) < tasks && tasks > TASKS {
            // Panels first: then each thread reads its own part of the weights, and that once.
            groups = tasks.div_ceil(lines.div_ceil(per_task)).min(panels);
            let share = lines.div_ceil(tasks.div_ceil(groups));
            per_task = per_task.min(share.max(tiles.height.div_ceil(width)));
        }
        Self { lines, per_task, panels, per_group: panels.div_ceil(groups) }
    }

    /// Calls `task` for each piece with its lines and its panels.
    fn for_each(&self, task: impl Fn(Range<usize>, Range<usize>) + Sync) {
        let rows = self.lines.div_ceil(self.per_task.max(1));
        let groups = self.panels.div_ceil(self.per_group.max(1));
        (0..rows * groups).into_par_iter().for_each(|i| {
            let (group, row) = (i / rows * self.per_group, i % rows * self.per_task);
            task(row..self.lines.min(row + self.per_task), group..self.panels.min(group + self.per_group));
        });
    }
}

/// Lends a bias that is filled up with zeros to whole vectors.
pub(super) fn padded_bias<R>(tiles: &Tiles, bias: Option<&[f32]>, use_it: impl FnOnce(Option<&[f32]>) -> R) -> R {
    match bias {
        Some(bias) if !bias.len().is_multiple_of(tiles.lanes) => scratch::lend(|padded| {
            padded.extend_from_slice(bias);
            padded.resize(bias.len().next_multiple_of(tiles.lanes), 0.0);
            use_it(Some(padded))
        }),
        bias => use_it(bias),
    }
}

/// The weights of some windows in panels as the tiles read them: for each windows all rows of its depth, a panel wide, then
/// the next panel; columns beyond the last are zeros.
pub(super) fn packed(tiles: &Tiles, windows: &[Windows<'_>], w: &[f32], k_w: usize, c: usize, factor: &mut Vec<f32>) {
    let padded = c.next_multiple_of(tiles.lanes);
    factor.resize(windows.iter().map(Windows::depth).sum::<usize>() * padded, 0.0);
    let mut rest = &mut factor[..];
    for windows in windows {
        let (factor, others) = rest.split_at_mut(windows.depth() * padded);
        pack(tiles, windows, w, k_w, c, factor);
        rest = others;
    }
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

/// The product for some lines of pixels and some columns, whole panels.
///
/// # Safety
/// These columns of these lines are the caller's alone.
unsafe fn task_product(
    tiles: &Tiles,
    windows: &Windows<'_>,
    factor: &[f32],
    end: End<'_>,
    y: &Shared<'_>,
    (rows, columns): &(Range<usize>, Range<usize>),
    [height, width, c]: [usize; 3],
) {
    let cols = windows.cols;
    let mut lines = Vec::with_capacity(rows.len());
    let mut to = Vec::with_capacity(rows.len() * cols.count);
    for row in rows.clone() {
        if let Some(i) = windows.rows.window_of(row % height) {
            lines.push((row / height, i));
            to.extend((0..cols.count).map(|j| (row * width + cols.first + j * cols.step) * c));
        }
    }
    if to.is_empty() {
        return;
    }
    scratch::lend(|copy| {
        windows.band(&lines, copy, |a, pitch, starts| {
            let each = |&start: &usize| (0..cols.count).map(move |j| start + j * cols.stride * windows.c);
            let depth = windows.depth();
            // A phase without taps reads nothing: its sums are zero.
            let (runs, at): (_, Vec<usize>) = if depth == 0 {
                (0, vec![0; to.len()])
            } else {
                (windows.rows.taps, starts.iter().flat_map(each).collect())
            };
            for begin in columns.clone().step_by(tiles.panel()) {
                let panel = tiles.panel().min(columns.end - begin);
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
                    scale: end.scale,
                    ahead: None,
                    next: None,
                };
                let next =
                    &factor[depth * (begin + panel).min(columns.end)..depth * (begin + 2 * panel).min(columns.end)];
                // Pixels that follow each other in memory are too many streams for the processor to foresee.
                let dense = begin == 0 && a.len() == windows.x.len() && runs == 1 && cols.stride == 1;
                let count = at.len().div_ceil(tiles.height);
                for (i, tile) in even(at.len(), tiles.height).enumerate() {
                    let ahead = dense.then(|| at[tile.end - 1] + job.len);
                    let job = Rows { ahead, next: part_of_next(next, i, count), ..job };
                    // SAFETY: the caller's.
                    unsafe { write_rows(tiles, &job, &at[tile.clone()], y, &to[tile], begin, c) };
                }
            }
        });
    });
}

/// Computes a tile and writes its panel, which begins at column `begin` of `c`, of the rows that begin at `to`.
///
/// # Safety
/// These columns of these rows are the caller's alone.
unsafe fn write_rows(
    tiles: &Tiles,
    job: &Rows<'_>,
    at: &[usize],
    y: &Shared<'_>,
    to: &[usize],
    begin: usize,
    c: usize,
) {
    let len = job.width.min(c - begin);
    let mut rows = [0; HEIGHT];
    let rows = &mut rows[..to.len()];
    if len == job.width {
        rows.iter_mut().zip(to).for_each(|(row, to)| *row = to + begin);
        // SAFETY: the caller's.
        return unsafe { tiles.rows_of(job, at, y, rows) };
    }
    // The panel is wider than what is left of a row.
    let mut buffer = [0.0; HEIGHT * WIDTH];
    // SAFETY: the caller's.
    let row_of = |to: &usize| unsafe { y.floats(to + begin, len) };
    for (m, (row, to)) in rows.iter_mut().zip(to).enumerate() {
        *row = m * job.width;
        if job.accumulate {
            buffer[*row..][..len].copy_from_slice(row_of(to));
        }
    }
    tiles.rows(job, at, &mut buffer, rows);
    for (row, to) in rows.iter().zip(to) {
        row_of(to).copy_from_slice(&buffer[*row..][..len]);
    }
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
