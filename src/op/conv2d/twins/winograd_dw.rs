//! The gradient of weights with fewer multiplications: `F(3x3, 4x4)`, `F(1x7, 1x4)` and `F(7x1, 4x1)`, the convolution of tiles of the
//! input with tiles of the output's gradient. Both are transformed, multiplied value by value and summed over all tiles, which makes one
//! product of matrices for each value, and the sums are transformed into the gradient.

use std::ops::Range;

use rayon::prelude::*;

use super::Conv2dParams;
use super::dw::pack_panel;
use super::method::{Method, Sizes};
use super::product::even;
use super::winograd::{Scheme, Source};
use crate::cpu::tile::{Cols, HIGHEST, Tiles};
use crate::cpu::winograd::Output;
use crate::cpu::{Shared, scratch};

/// How inputs are transformed; tiles of the output's gradient have as many pixels as tiles of the output would. For each size of kernel
/// there is one at most.
const SCHEMES: [Scheme; 3] = [Scheme::F4, Scheme::F4_1X7, Scheme::F4_7X1];
/// Tiles that are transformed at a time: enough to read and write the sums seldom, few enough to stay near.
const BLOCK: usize = 128;

/// The way for these sizes, if there is one.
pub(super) fn of(s: &Sizes) -> Option<Scheme> {
    SCHEMES.into_iter().find(|&scheme| Method::Winograd(scheme).suits(s))
}

/// Whether it should be faster than the direct way, by a count of what both do.
pub(super) fn pays(scheme: Scheme, s: &Sizes) -> bool {
    /// Multiply-adds that take as long as transforming one float and reading it again.
    const TRANSFORMED: usize = 40;
    /// With fewer channels the transforms cost what they save.
    const CHANNELS: usize = 24;
    let ([pixels, taps], [c_in, c_out]) = ([s.out, s.kernel].map(|[h, w]| h * w), s.channels);
    let products = scheme.values() * scheme.tiles(1, s.out) * (c_in * c_out + TRANSFORMED * (c_in + c_out));
    c_in.min(c_out) >= CHANNELS && products < pixels * taps * c_in * c_out * 9 / 10
}

/// The gradient of the weights, one set for each part of the tiles.
pub(super) fn dw(
    scheme: Scheme,
    tiles: &Tiles,
    p: &Conv2dParams,
    accumulate: bool,
    x: &[f32],
    dy: &[f32],
    part: &mut [f32],
) {
    let work = Work::new(scheme, tiles, p, x, dy);
    let splits = p.splits as usize;
    let parallel = splits >= 2 * rayon::current_num_threads();
    let count = scheme.tiles(p.n as usize, work.x.out);
    let taps = scheme.kernel().iter().product::<usize>();
    let parts = part.par_chunks_exact_mut(taps * work.x.c * work.dy.c).enumerate();
    let one = |(split, part): (usize, &mut [f32])| {
        let tiles = split * count / splits..(split + 1) * count / splits;
        work.part(tiles, !parallel, accumulate, part);
    };
    if parallel { parts.for_each(one) } else { part_by_part(parts, one) }
}

/// Parts one after the other: then the threads share each.
fn part_by_part<'a>(
    parts: impl IndexedParallelIterator<Item = (usize, &'a mut [f32])>,
    one: impl Fn((usize, &'a mut [f32])),
) {
    parts.collect::<Vec<_>>().into_iter().for_each(one);
}

/// Calls `each` for all numbers below `count`, on several threads if `parallel`.
fn for_all(parallel: bool, count: usize, each: impl Fn(usize) + Send + Sync) {
    if parallel { (0..count).into_par_iter().for_each(each) } else { (0..count).for_each(each) }
}

struct Work<'a> {
    scheme: Scheme,
    tiles: &'a Tiles,
    /// Tiles of the input, for an output that is the gradient's.
    x: Source<'a>,
    /// Tiles of the gradient, which lie side by side.
    dy: Source<'a>,
    /// Rows and columns of tiles of an image.
    grid: [usize; 2],
}

impl<'a> Work<'a> {
    fn new(scheme: Scheme, tiles: &'a Tiles, p: &Conv2dParams, x: &'a [f32], dy: &'a [f32]) -> Self {
        let x = Source::forward(p, x);
        let dy = Source { x: dy, size: x.out, c: p.c_out as usize, pad: [0, 0], ..x };
        Self { scheme, tiles, x, dy, grid: scheme.grid(x.out) }
    }

    /// The gradient from some tiles, of which `all` threads compute a share or this one everything.
    fn part(&self, those: Range<usize>, all: bool, accumulate: bool, part: &mut [f32]) {
        let (values, [c_in, c_out]) = (self.scheme.values(), [self.x.c, self.dy.c]);
        let kernel = self.scheme.kernel();
        if those.is_empty() {
            if !accumulate {
                part.fill(0.0);
            }
            return;
        }
        let padded = c_out.next_multiple_of(self.tiles.lanes);
        scratch::lend_floats(values * c_in * padded, |sums| {
            for (i, block) in even(those.len(), BLOCK).enumerate() {
                let block = those.start + block.start..those.start + block.end;
                self.add(block, all, i > 0, sums);
            }
            let part = Shared::new(part);
            let size = [0, 1].map(|way| [self.scheme.size[way][0], kernel[way]]);
            for_all(all, c_in, |i| {
                for begin in (0..padded).step_by(self.tiles.panel()) {
                    let width = self.tiles.panel().min(padded - begin);
                    let job = Output {
                        sums,
                        at: i * padded + begin,
                        step: c_in * padded,
                        width,
                        bias: None,
                        relu: false,
                        accumulate,
                        scale: 1.0,
                        to: i * c_out + begin,
                        pitch: kernel[1] * c_in * c_out,
                        pixel: c_in * c_out,
                        pixels: kernel,
                        channels: width.min(c_out - begin),
                    };
                    // SAFETY: each channel of the input has rows of its own.
                    unsafe { self.tiles.transforms.output(size, &job, &part) };
                }
            });
        });
    }

    /// Adds the products of a block of tiles to the sums, or sets them.
    fn add(&self, block: Range<usize>, all: bool, accumulate: bool, sums: &mut [f32]) {
        let (count, pitches) = (block.len(), [self.x.c, self.dy.c].map(|c| self.scheme.pitch(c)));
        scratch::lend_floats(count * pitches[0], |left| {
            scratch::lend_floats(count * pitches[1], |right| {
                let (to_left, to_right) = (Shared::new(left), Shared::new(right));
                for_all(all, count, |i| {
                    let place = self.scheme.place(self.grid, block.start + i);
                    let (size, transforms) = (self.scheme.size, self.tiles.transforms);
                    let x = self.x.tile(size, place, [i * pitches[0], self.x.c]);
                    let dy = self.dy.tile(size.map(|[_, m]| [m, m]), place, [i * pitches[1], self.dy.c]);
                    // SAFETY: each tile has rows of its own.
                    unsafe {
                        transforms.input(size, &x, &to_left);
                        transforms.gradient(size, &dy, &to_right);
                    }
                });
                let (left, right) = (&*left, &*right);
                let floats = sums.len() / self.scheme.values();
                let sums = Shared::new(sums);
                for_all(all, self.scheme.values(), |v| {
                    // SAFETY: each value has sums of its own.
                    let sums = unsafe { sums.floats(v * floats, floats) };
                    self.multiply(v, left, right, accumulate, sums);
                });
            });
        });
    }

    /// The product of the transposed values number `v` of a block's input and of its gradient.
    fn multiply(&self, v: usize, left: &[f32], right: &[f32], accumulate: bool, sums: &mut [f32]) {
        let (tiles, [c_in, c_out]) = (self.tiles, [self.x.c, self.dy.c]);
        let [left_pitch, right_pitch] = [c_in, c_out].map(|c| self.scheme.pitch(c));
        let (count, padded) = (left.len() / left_pitch, c_out.next_multiple_of(tiles.lanes));
        let at: Vec<usize> = (0..count).map(|tile| tile * left_pitch + v * c_in).collect();
        scratch::lend_floats(count * (padded + tiles.lanes), |packed| {
            let (columns, panels) = packed.split_at_mut(count * tiles.lanes);
            let widths = || (0..padded).step_by(tiles.panel()).map(|begin| (begin, tiles.panel().min(padded - begin)));
            for (begin, width) in widths() {
                let rows = right.chunks_exact(right_pitch).map(|tile| &tile[v * c_out..][..c_out]);
                pack_panel(rows, begin, width, &mut panels[begin * count..][..width * count]);
            }
            for channels in even(c_in, tiles.height) {
                tiles.pack(left, &at, channels.start, channels.len(), columns);
                for (begin, width) in widths() {
                    let b = &panels[begin * count..][..width * count];
                    let mut to = [0; HIGHEST];
                    to.iter_mut().zip(channels.clone()).for_each(|(to, i)| *to = i * padded + begin);
                    tiles.cols(&Cols { a: columns, width, b, accumulate }, sums, &to[..channels.len()]);
                }
            }
        });
    }
}
