//! Convolution of each channel with a kernel of its own, in `f32`: vectors of channels, and sums of a few neighbouring
//! pixels in registers. Images are read where they lie; pixels at an edge, which read fewer kernel positions, make runs
//! of their own.

use rayon::prelude::*;

use super::plain::{self, Sizes};
use super::product::End;
use crate::cpu::Float;
use crate::cpu::tile::{Taps, Tiles, tiles};
use crate::op::conv2d::GroupedParams;

/// Floats of the destination that a task computes, about.
const TASK: usize = 1 << 15;

/// `y = x * w + b`, then `max(y, 0)` if `relu`.
pub(in crate::op::conv2d) fn forward<T: Float>(
    p: &GroupedParams,
    relu: bool,
    x: &[T],
    w: &[T],
    b: Option<&[T]>,
    y: &mut [T],
) {
    match (T::f32s(x), T::f32s(w), b.map(T::f32s)) {
        (Some(x), Some(w), b) => {
            let end = End { bias: b.flatten(), relu, ..End::default() };
            product(tiles(), &Direction::forward(p), end, x, w, T::f32s_mut(y).expect("one float type"));
        }
        _ => plain::forward(p, relu, x, w, b, y),
    }
}

/// The gradient of the input.
pub(in crate::op::conv2d) fn dx<T: Float>(p: &GroupedParams, accumulate: bool, dy: &[T], w: &[T], dx: &mut [T]) {
    match (T::f32s(dy), T::f32s(w)) {
        (Some(dy), Some(w)) => {
            let end = End { accumulate, ..End::default() };
            product(tiles(), &Direction::backward(p), end, dy, w, T::f32s_mut(dx).expect("one float type"));
        }
        _ => plain::dx(p, accumulate, dy, w, dx),
    }
}

/// The gradient of the weights, one set for each part of the pixels.
pub(in crate::op::conv2d) fn dw<T: Float>(p: &GroupedParams, accumulate: bool, x: &[T], dy: &[T], part: &mut [T]) {
    match (T::f32s(x), T::f32s(dy)) {
        (Some(x), Some(dy)) => parts(tiles(), p, accumulate, x, dy, T::f32s_mut(part).expect("one float type")),
        _ => plain::dw(p, accumulate, x, dy, part),
    }
}

/// What a row or a column of the destination reads: kernel positions, each with a row or column of the source.
type Reads = Vec<(usize, usize)>;

/// Columns of the destination that read the same kernel positions, from places that move on evenly.
#[derive(Debug)]
struct Run {
    /// First column of the destination.
    first: usize,
    /// Columns.
    count: usize,
    /// Leftmost column of the source that the first one reads.
    source: usize,
    /// Kernel columns, each with how far right of `source` it reads.
    taps: Reads,
}

/// Which pixels of the source each pixel of the destination reads.
#[derive(Debug)]
pub(super) struct Direction {
    /// Of each row of the destination.
    rows: Vec<Reads>,
    runs: Vec<Run>,
    /// From one column of a run to the next.
    step: usize,
    /// From the column of the source that one reads to that of the next.
    advance: usize,
    /// Height and width of the source.
    source: [usize; 2],
    /// Width of the destination.
    width: usize,
    k_w: usize,
    c: usize,
}

impl Direction {
    /// From input to output.
    pub(super) fn forward(p: &GroupedParams) -> Self {
        let sizes = Sizes::from(p);
        let reads = |axis: usize, i: usize, k: usize, size: usize| {
            (i * sizes.stride + k * sizes.dilation[axis]).checked_sub(sizes.pad[axis]).filter(|&at| at < size)
        };
        Self {
            rows: all_reads(sizes.h_out, sizes.k_h, |h, r| reads(0, h, r, sizes.h_in)),
            runs: runs(&all_reads(sizes.w_out, sizes.k_w, |w, s| reads(1, w, s, sizes.w_in)), 1, sizes.stride),
            step: 1,
            advance: sizes.stride,
            source: [sizes.h_in, sizes.w_in],
            width: sizes.w_out,
            k_w: sizes.k_w,
            c: sizes.c_in,
        }
    }

    /// From the gradient of the output to that of the input.
    pub(super) fn backward(p: &GroupedParams) -> Self {
        let sizes = Sizes::from(p);
        let reads = |axis: usize, i: usize, k: usize, size: usize| {
            let past = (i + sizes.pad[axis]).checked_sub(k * sizes.dilation[axis])?;
            Some(past / sizes.stride).filter(|&at| past % sizes.stride == 0 && at < size)
        };
        let columns = all_reads(sizes.w_in, sizes.k_w, |w, s| reads(1, w, s, sizes.w_out));
        Self {
            rows: all_reads(sizes.h_in, sizes.k_h, |h, r| reads(0, h, r, sizes.h_out)),
            runs: runs(&columns, sizes.stride, 1),
            step: sizes.stride,
            advance: 1,
            source: [sizes.h_out, sizes.w_out],
            width: sizes.w_in,
            k_w: sizes.k_w,
            c: sizes.c_in,
        }
    }
}

fn all_reads(count: usize, k: usize, reads: impl Fn(usize, usize) -> Option<usize>) -> Vec<Reads> {
    (0..count).map(|i| (0..k).filter_map(|k| reads(i, k).map(|at| (k, at))).collect()).collect()
}

/// Cuts the columns of each of `step` phases into runs.
fn runs(columns: &[Reads], step: usize, advance: usize) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for phase in 0..step {
        let begin = runs.len();
        for first in (phase..columns.len()).step_by(step) {
            let source = columns[first].iter().map(|&(_, at)| at).min().unwrap_or(0);
            let taps: Reads = columns[first].iter().map(|&(k, at)| (k, at - source)).collect();
            match runs[begin..].last_mut() {
                Some(run) if run.taps == taps && (taps.is_empty() || source == run.source + run.count * advance) => {
                    run.count += 1;
                }
                _ => runs.push(Run { first, count: 1, source, taps }),
            }
        }
    }
    runs
}

/// Computes every pixel of the destination from those of the source that it reads.
pub(super) fn product(tiles: &Tiles, d: &Direction, end: End<'_>, source: &[f32], w: &[f32], to: &mut [f32]) {
    let (c, line) = (d.c, d.width * d.c);
    let lines = to.len() / line;
    let share = lines.div_ceil(4 * rayon::current_num_threads());
    let per_task = TASK.div_ceil(line).min(share).max(1);
    to.par_chunks_mut(per_task * line).enumerate().for_each(|(task, to)| {
        let (mut from, mut with) = (Vec::new(), Vec::new());
        for (number, to) in to.chunks_exact_mut(line).enumerate() {
            let row = task * per_task + number;
            let image = row / d.rows.len() * d.source[0];
            for run in &d.runs {
                from.clear();
                with.clear();
                for &(r, y) in &d.rows[row % d.rows.len()] {
                    from.extend(run.taps.iter().map(|&(_, x)| ((image + y) * d.source[1] + x) * c));
                    with.extend(run.taps.iter().map(|&(s, _)| (r * d.k_w + s) * c));
                }
                let job = Taps {
                    a: source,
                    first: run.source * c,
                    step: d.advance * c,
                    count: run.count,
                    from: &from,
                    b: w,
                    with: &with,
                    channels: c,
                    bias: end.bias,
                    relu: end.relu,
                    accumulate: end.accumulate,
                    to: run.first * c,
                    to_step: d.step * c,
                    // The row of the source that the next row of the destination reads first of all.
                    ahead: d.rows[row % d.rows.len()].iter().map(|&(_, y)| (image + y + 1) * d.source[1] * c).max(),
                };
                tiles.taps(&job, to);
            }
        }
    });
}

/// The gradient of the weights: the kernel columns of a run take the place of neighbouring pixels, and its pixels that of
/// the kernel positions.
pub(super) fn parts(tiles: &Tiles, p: &GroupedParams, accumulate: bool, x: &[f32], dy: &[f32], part: &mut [f32]) {
    let (sizes, d) = (Sizes::from(p), Direction::forward(p));
    let (c, width) = (d.c, d.width);
    part.par_chunks_mut(sizes.k_w * c).enumerate().for_each(|(at, part)| {
        let (split, r) = (at / sizes.k_h, at % sizes.k_h);
        if !accumulate {
            part.fill(0.0);
        }
        let pixels = sizes.part(split);
        let (mut from, mut with) = (Vec::new(), Vec::new());
        for row in pixels.start / width..pixels.end.div_ceil(width) {
            let Some(&(_, y)) = d.rows[row % d.rows.len()].iter().find(|&&(k, _)| k == r) else { continue };
            let line = (row / d.rows.len() * d.source[0] + y) * d.source[1];
            // The first and the last row of a part may be cut.
            let columns = pixels.start.max(row * width) - row * width..pixels.end.min((row + 1) * width) - row * width;
            for run in d.runs.iter().filter(|run| !run.taps.is_empty()) {
                let begin = columns.start.max(run.first);
                let end = columns.end.min(run.first + run.count);
                if begin >= end {
                    continue;
                }
                from.clear();
                with.clear();
                from.extend((begin..end).map(|w| (line + run.source + (w - run.first) * d.advance) * c));
                with.extend((begin..end).map(|w| (row * width + w) * c));
                let job = Taps {
                    a: x,
                    first: 0,
                    // The kernel columns that a run reads follow each other.
                    step: sizes.dilation[1] * c,
                    count: run.taps.len(),
                    from: &from,
                    b: dy,
                    with: &with,
                    channels: c,
                    bias: None,
                    relu: false,
                    accumulate: true,
                    to: run.taps[0].0 * c,
                    to_step: c,
                    ahead: None,
                };
                tiles.taps(&job, part);
            }
        }
    });
}
