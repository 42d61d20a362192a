//! Convolution with groups of channels or holes in the kernel, in `f32` on register tiles. The windows of some pixels
//! are written out one after the other, a group at a time.

use rayon::prelude::*;

use super::plain::{self, Sizes};
use super::product::{End, even, write_tile};
use crate::cpu::tile::{Cols, Rows, Tiles, tiles};
use crate::cpu::{Float, scratch};
use crate::op::conv2d::GroupedParams;

/// Pixels whose windows are written out at a time.
const WINDOWS: usize = 56;
/// Pixels over which a tile of the weights' gradient is summed in one go.
const BAND: usize = 192;

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
            fast_forward(tiles(), p, end, x, w, T::f32s_mut(y).expect("one float type"));
        }
        _ => plain::forward(p, relu, x, w, b, y),
    }
}

/// The gradient of the input.
pub(in crate::op::conv2d) fn dx<T: Float>(p: &GroupedParams, accumulate: bool, dy: &[T], w: &[T], dx: &mut [T]) {
    match (T::f32s(dy), T::f32s(w)) {
        (Some(dy), Some(w)) => fast_dx(tiles(), p, accumulate, dy, w, T::f32s_mut(dx).expect("one float type")),
        _ => plain::dx(p, accumulate, dy, w, dx),
    }
}

/// The gradient of the weights, one set for each part of the pixels.
pub(in crate::op::conv2d) fn dw<T: Float>(p: &GroupedParams, accumulate: bool, x: &[T], dy: &[T], part: &mut [T]) {
    match (T::f32s(x), T::f32s(dy)) {
        (Some(x), Some(dy)) => fast_dw(tiles(), p, accumulate, x, dy, T::f32s_mut(part).expect("one float type")),
        _ => plain::dw(p, accumulate, x, dy, part),
    }
}

pub(super) fn fast_forward(tiles: &Tiles, p: &GroupedParams, end: End<'_>, x: &[f32], w: &[f32], y: &mut [f32]) {
    let sizes = Sizes::from(p);
    let read = |pixel: usize, r: usize, s: usize| sizes.input_pixel(pixel, r, s);
    let weight = |tap: usize, group: usize, i: usize, o: usize| {
        w[(tap * sizes.c_group + i) * sizes.c_out + group * sizes.o_group + o]
    };
    let side = [sizes.c_group, sizes.o_group];
    product(tiles, &sizes, side, end, x, y, read, weight);
}

pub(super) fn fast_dx(tiles: &Tiles, p: &GroupedParams, accumulate: bool, dy: &[f32], w: &[f32], dx: &mut [f32]) {
    let sizes = Sizes::from(p);
    let read = |pixel: usize, r: usize, s: usize| sizes.output_pixel(pixel, r, s);
    let weight = |tap: usize, group: usize, o: usize, i: usize| {
        w[(tap * sizes.c_group + i) * sizes.c_out + group * sizes.o_group + o]
    };
    let side = [sizes.o_group, sizes.c_group];
    product(tiles, &sizes, side, End { accumulate, ..End::default() }, dy, dx, read, weight);
}

/// Products of windows and weights. `read` tells the pixel of the source that a pixel of `to` reads through a kernel
/// position, `weight` the factor of a kernel position, a group, a channel of the source and one of `to` within it.
#[expect(clippy::too_many_arguments, reason = "forward and dx are one loop that differs in these")]
fn product(
    tiles: &Tiles,
    sizes: &Sizes,
    [c_from, c_to]: [usize; 2],
    end: End<'_>,
    source: &[f32],
    to: &mut [f32],
    read: impl Fn(usize, usize, usize) -> Option<usize> + Sync,
    weight: impl Fn(usize, usize, usize, usize) -> f32 + Sync,
) {
    let groups = sizes.c_in / sizes.c_group;
    let depth = sizes.k_h * sizes.k_w * c_from;
    let padded = c_to.next_multiple_of(tiles.lanes);
    let panels = |group: usize| {
        (0..padded).step_by(tiles.panel()).map(move |begin| (begin, tiles.panel().min(padded - begin), group))
    };
    scratch::lend(|packed| {
        // The weights of each group by panels, then the bias.
        packed.resize(groups * (depth + 1) * padded, 0.0);
        let (factors, bias) = packed.split_at_mut(groups * depth * padded);
        factors.par_chunks_mut(depth * padded).enumerate().for_each(|(group, factor)| {
            for (begin, panel, _) in panels(group) {
                for (k, row) in factor[depth * begin..][..depth * panel].chunks_exact_mut(panel).enumerate() {
                    for (column, value) in row.iter_mut().enumerate().take(c_to - begin) {
                        *value = weight(k / c_from, group, k % c_from, begin + column);
                    }
                }
            }
        });
        if let Some(b) = end.bias {
            for (bias, b) in bias.chunks_exact_mut(padded).zip(b.chunks_exact(c_to)) {
                bias[..c_to].copy_from_slice(b);
            }
        }
        let (factors, bias) = (&*factors, &*bias);
        to.par_chunks_mut(WINDOWS * groups * c_to).enumerate().for_each(|(task, to)| {
            let pixels = to.len() / (groups * c_to);
            scratch::lend(|windows| {
                for group in 0..groups {
                    windows.clear();
                    for pixel in task * WINDOWS..task * WINDOWS + pixels {
                        for (_, r, s) in sizes.taps() {
                            match read(pixel, r, s) {
                                Some(from) => {
                                    windows.extend_from_slice(&source[(from * groups + group) * c_from..][..c_from]);
                                }
                                None => windows.resize(windows.len() + c_from, 0.0),
                            }
                        }
                    }
                    for (begin, panel, group) in panels(group) {
                        let job = Rows {
                            a: windows,
                            pitch: depth,
                            runs: 1,
                            len: depth,
                            width: panel,
                            b: &factors[(group * padded + begin) * depth..][..depth * panel],
                            bias: end.bias.map(|_| &bias[group * padded + begin..]),
                            relu: end.relu,
                            accumulate: end.accumulate,
                            scale: end.scale,
                            ahead: None,
                            next: None,
                        };
                        for tile in even(pixels, tiles.height) {
                            let at: Vec<usize> = tile.clone().map(|m| m * depth).collect();
                            let rows: Vec<usize> = tile.map(|m| (m * groups + group) * c_to).collect();
                            write_tile(c_to, begin, panel, &rows, to, end.accumulate, |out, rows| {
                                tiles.rows(&job, &at, out, rows);
                            });
                        }
                    }
                }
            });
        });
    });
}

pub(super) fn fast_dw(tiles: &Tiles, p: &GroupedParams, accumulate: bool, x: &[f32], dy: &[f32], part: &mut [f32]) {
    let sizes = Sizes::from(p);
    let groups = sizes.c_in / sizes.c_group;
    let (taps, c) = (sizes.k_h * sizes.k_w, sizes.o_group);
    let padded = c.next_multiple_of(tiles.lanes);
    part.par_chunks_mut(sizes.c_group * sizes.c_out).enumerate().for_each(|(at, part)| {
        let (split, r, s) = (at / taps, at % taps / sizes.k_w, at % sizes.k_w);
        let read = |pixel: usize| sizes.input_pixel(pixel, r, s).map(|from| (from * sizes.c_in, pixel * sizes.c_out));
        let (from, with): (Vec<usize>, Vec<usize>) = sizes.part(split).filter_map(read).unzip();
        if from.is_empty() && !accumulate {
            part.fill(0.0);
        }
        let mut use_scratch = |packed: &mut Vec<f32>, left: &mut [f32]| {
            for (i, band) in even(from.len(), BAND).enumerate() {
                let (accumulate, left) = (accumulate || i > 0, &mut left[..band.len() * tiles.lanes]);
                for (group, begin) in (0..groups).flat_map(|g| (0..padded).step_by(tiles.panel()).map(move |b| (g, b)))
                {
                    let panel = tiles.panel().min(padded - begin);
                    packed.clear();
                    for &with in &with[band.clone()] {
                        let row = &dy[with + group * c..][..c];
                        packed.extend_from_slice(&row[begin..(begin + panel).min(c)]);
                        packed.resize(packed.len().next_multiple_of(panel), 0.0);
                    }
                    for tile in even(sizes.c_group, tiles.height) {
                        let first = group * sizes.c_group + tile.start;
                        tiles.pack(x, &from[band.clone()], first, tile.len(), left);
                        let job = Cols { a: left, width: panel, b: packed, accumulate };
                        let rows: Vec<usize> = tile.map(|i| i * sizes.c_out + group * c).collect();
                        write_tile(c, begin, panel, &rows, part, accumulate, |out, rows| tiles.cols(&job, out, rows));
                    }
                }
            }
        };
        scratch::lend(|packed| scratch::lend_floats(BAND * tiles.lanes, |left| use_scratch(packed, left)));
    });
}
