//! Convolution with fewer multiplications (Winograd's minimal filtering, Lavin and Gray, 2015): tiles of the
//! input and kernels are transformed, multiplied value by value, which makes one product of matrices for each value, and the
//! sums are transformed back. `F(4x4, 3x3)` needs 36 multiplications where the direct way needs 144.

use std::ops::Range;

use rayon::prelude::*;

use super::Conv2dParams;
use super::product::{End, even, padded_bias};
use crate::cpu::tile::{HIGHEST, Rows, Tiles, part_of_next};
use crate::cpu::winograd::{Input, Output, Size, distinct, kernel_transform};
use crate::cpu::{Shared, scratch};

/// Floats of transformed tiles that a task holds at a time, with their sums: they stay in the second-level cache.
const BLOCK: usize = 160 << 10;
/// Tasks for each thread, where threads share columns.
const TASKS: usize = 4;
/// Tiles that a thread transforms at a time, at least.
const TRANSFORMS: usize = 4;

/// One of the ways to cut an output into tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::op::conv2d) struct Scheme {
    /// Pixels of the output that it computes at a time, and of the kernel.
    pub(super) name: &'static str,
    /// Pixels that a transform takes and gives, rows and columns.
    pub(super) size: Size,
    /// Pixels of the input from one of the output to the next, both ways.
    pub(super) stride: usize,
}

impl Scheme {
    /// `F(2x2, 3x3)`: 2.25 times fewer multiplications.
    pub(super) const F2: Self = Self { name: "winograd 2x2, 3x3", size: [[4, 2], [4, 2]], stride: 1 };
    /// `F(4x4, 3x3)`: 4 times fewer.
    pub(super) const F4: Self = Self { name: "winograd 4x4, 3x3", size: [[6, 4], [6, 4]], stride: 1 };
    /// `F(2x2, 5x5)`: 2.8 times fewer.
    pub(super) const F2_5: Self = Self { name: "winograd 2x2, 5x5", size: [[6, 2], [6, 2]], stride: 1 };
    /// `F(1x4, 1x7)`: 2.8 times fewer.
    pub(super) const F4_1X7: Self = Self { name: "winograd 1x4, 1x7", size: [[1, 1], [10, 4]], stride: 1 };
    /// `F(4x1, 7x1)`.
    pub(super) const F4_7X1: Self = Self { name: "winograd 4x1, 7x1", size: [[10, 4], [1, 1]], stride: 1 };

    /// `F(2x2, 3x3)` with stride 2: 1.44 times fewer.
    pub(super) const F2_STRIDE2: Self = Self { name: "winograd 2x2, 3x3, stride 2", size: [[5, 2], [5, 2]], stride: 2 };
    /// `F(3x3, 3x3)` with stride 2: 1.65 times fewer.
    pub(super) const F3_STRIDE2: Self = Self { name: "winograd 3x3, 3x3, stride 2", size: [[7, 3], [7, 3]], stride: 2 };

    /// Rows and columns of the kernels that it computes.
    pub(super) fn kernel(&self) -> [usize; 2] {
        self.size.map(|[t, m]| t - (m - 1) * self.stride)
    }

    /// Values that have weights of their own, rows and columns.
    fn distinct(&self) -> [usize; 2] {
        self.size.map(|[t, _]| distinct(t))
    }

    /// Transformed weights for each pair of channels.
    pub(super) fn weights_len(&self) -> usize {
        self.distinct().iter().product()
    }

    /// Values of a tile.
    pub(super) fn values(&self) -> usize {
        self.size.iter().map(|[t, _]| t).product()
    }

    /// Tiles of some images.
    pub(super) fn tiles(&self, images: usize, out: [usize; 2]) -> usize {
        images * self.grid(out).iter().product::<usize>()
    }

    /// Rows and columns of tiles of an image.
    pub(super) fn grid(&self, [h_out, w_out]: [usize; 2]) -> [usize; 2] {
        let [m_h, m_w] = self.size.map(|[_, m]| m);
        [h_out.div_ceil(m_h), w_out.div_ceil(m_w)]
    }

    /// Image, row and column of the first output pixel of a tile.
    pub(super) fn place(&self, [high, wide]: [usize; 2], tile: usize) -> (usize, usize, usize) {
        let [m_h, m_w] = self.size.map(|[_, m]| m);
        (tile / (high * wide), tile / wide % high * m_h, tile % wide * m_w)
    }

    /// Blocks into which `count` tiles of `c_in` channels are cut: whole tiles of the register kernels as far as the cache
    /// holds them, and at least one for each of the threads that share the tiles.
    pub(super) fn blocks(&self, tiles: &Tiles, [c_in, c_out]: [usize; 2], count: usize, threads: usize) -> usize {
        let per_tile = self.values() * (c_in + tiles.panel());
        let most = (BLOCK / per_tile / tiles.height).max(1) * tiles.height;
        let blocks = count.div_ceil(most);
        if blocks < 2 * threads && c_out.div_ceil(tiles.panel()) >= threads {
            return blocks;
        }
        blocks.next_multiple_of(threads).min(count)
    }

    /// Kernels `w` `[k_h, k_w, c_in, c_out]`, transformed and in panels: for each panel of columns, for each value that has weights of its
    /// own, a row for each channel of the input.
    pub(super) fn weights(&self, tiles: &Tiles, [c_in, c_out]: [usize; 2], w: &[f32], factor: &mut Vec<f32>) {
        let [t_h, t_w] = self.size.map(|[t, _]| t);
        let [k_h, k_w] = self.kernel();
        let (g_h, g_w) = (kernel_transform(t_h, k_h), kernel_transform(t_w, k_w));
        let padded = c_out.next_multiple_of(tiles.lanes);
        let (values, [_, d_w]) = (self.weights_len(), self.distinct());
        factor.resize(values * c_in * padded, 0.0);
        factor.par_chunks_mut(values * c_in * tiles.panel()).enumerate().for_each(|(panel, factor)| {
            let width = factor.len() / (values * c_in);
            let begin = panel * tiles.panel();
            let len = width.min(c_out - begin);
            for (v, rows) in factor.chunks_exact_mut(c_in * width).enumerate() {
                let (g_h, g_w) = (&g_h[v / d_w * k_h..][..k_h], &g_w[v % d_w * k_w..][..k_w]);
                for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                    let mut sums = [0.0f64; crate::cpu::tile::WIDEST];
                    for (r, s) in (0..k_h).flat_map(|r| (0..k_w).map(move |s| (r, s))) {
                        let scale = g_h[r] * g_w[s];
                        if scale != 0.0 {
                            let w = &w[((r * k_w + s) * c_in + i) * c_out + begin..][..len];
                            sums.iter_mut().zip(w).for_each(|(sum, &w)| *sum += scale * f64::from(w));
                        }
                    }
                    #[expect(clippy::cast_possible_truncation, reason = "computed in f64, used in f32")]
                    row.iter_mut().zip(&sums[..len]).for_each(|(to, &sum)| *to = sum as f32);
                    row[len..].fill(0.0);
                }
            }
        });
    }

    /// The convolution, with weights of [`weights`](Self::weights).
    pub(super) fn product(
        &self,
        tiles: &Tiles,
        source: &Source<'_>,
        factor: &[f32],
        end: End<'_>,
        y: &mut [f32],
        c_out: usize,
    ) {
        let [h_out, w_out] = source.out;
        let [high, wide] = self.grid(source.out);
        let count = y.len() / (h_out * w_out * c_out) * high * wide;
        let blocks = self.blocks(tiles, [source.c, c_out], count, rayon::current_num_threads());
        let panels = c_out.div_ceil(tiles.panel());
        let threads = rayon::current_num_threads();
        padded_bias(tiles, end.bias, |bias| {
            let work =
                Work { tiles, source, factor, end: End { bias, ..end }, y: Shared::new(y), c_out, grid: [high, wide] };
            let piece = |i: usize| i * count / blocks..(i + 1) * count / blocks;
            if blocks >= 2 * threads || panels < threads {
                (0..blocks).into_par_iter().for_each(|i| {
                    let block = piece(i);
                    scratch::lend_floats(block.len() * self.pitch(source.c), |input| {
                        self.transform(&work, block.clone(), input);
                        // SAFETY: no other task has these tiles.
                        unsafe { self.multiply(&work, block, input, 0..panels) };
                    });
                });
                return;
            }
            // Few tiles: threads share the columns, so that all of the weights are read once.
            let groups = panels.min(TASKS * threads);
            for block in (0..blocks).map(piece) {
                scratch::lend_floats(block.len() * self.pitch(source.c), |input| {
                    self.transform(&work, block.clone(), input);
                    let input = &*input;
                    (0..groups).into_par_iter().for_each(|i| {
                        let panels = i * panels / groups..(i + 1) * panels / groups;
                        // SAFETY: no other task has these columns.
                        unsafe { self.multiply(&work, block.clone(), input, panels) };
                    });
                });
            }
        });
    }

    /// Floats from one transformed tile to the next: a row of channels for each value, and a cache line, without which the tiles would
    /// share few sets of the cache.
    pub(super) fn pitch(&self, c_in: usize) -> usize {
        self.values() * c_in + 16
    }

    /// The values, those together that have the same weights.
    fn values_by_weights(&self) -> impl Iterator<Item = Values> {
        let ([d_h, d_w], [[t_h, _], [t_w, _]]) = (self.distinct(), self.size);
        let those = move |d: usize, of: usize, t: usize| d..if d + 1 == of { t } else { d + 1 };
        (0..d_h).flat_map(move |h| {
            (0..d_w).map(move |w| Values { rows: those(h, d_h, t_h), cols: those(w, d_w, t_w), t_w })
        })
    }

    /// Transforms some tiles of the input. All values of a tile are near to each other: stores to as many pages as there are values
    /// are slow.
    fn transform(&self, work: &Work<'_>, block: Range<usize>, input: &mut [f32]) {
        let c_in = work.source.c;
        let input = Shared::new(input);
        block.clone().into_par_iter().with_min_len(TRANSFORMS).for_each(|tile| {
            let job =
                work.source.tile(self.size, work.place(self, tile), [(tile - block.start) * self.pitch(c_in), c_in]);
            // SAFETY: each tile has rows of its own.
            unsafe { work.tiles.transforms.input(self.size, &job, &input) };
        });
    }

    /// The products of some transformed tiles with some panels of the weights, transformed back into pixels of the output.
    ///
    /// # Safety
    /// These columns of the tiles' pixels are the caller's alone.
    unsafe fn multiply(&self, work: &Work<'_>, block: Range<usize>, input: &[f32], panels: Range<usize>) {
        let Work { tiles, source, factor, end, y, c_out, .. } = work;
        let (count, values, c_in) = (block.len(), self.values(), source.c);
        let [m_h, m_w] = self.size.map(|[_, m]| m);
        let [h_out, w_out] = source.out;
        let padded = c_out.next_multiple_of(tiles.lanes);
        scratch::lend_floats(values * count * tiles.panel(), |sums| {
            for begin in panels.map(|panel| panel * tiles.panel()) {
                let width = tiles.panel().min(padded - begin);
                for (v, those) in self.values_by_weights().enumerate() {
                    let from = self.weights_len() * c_in * begin + v * c_in * width;
                    let (b, behind) = factor[from..].split_at(c_in * width);
                    let next = &behind[..behind.len().min(b.len())];
                    let job = Rows {
                        a: input,
                        pitch: 0,
                        runs: 1,
                        len: c_in,
                        width,
                        b,
                        bias: None,
                        relu: false,
                        accumulate: false,
                        scale: 1.0,
                        ahead: None,
                        next: None,
                    };
                    let rows = those.len() * count;
                    let pieces = rows.div_ceil(tiles.height);
                    let mut row_of = those.iter().flat_map(|v| {
                        let row = move |tile| (tile * self.pitch(c_in) + v * c_in, (tile * values + v) * width);
                        (0..count).map(row)
                    });
                    for (i, rows) in even(rows, tiles.height).enumerate() {
                        let (mut at, mut to) = ([0; HIGHEST], [0; HIGHEST]);
                        for (m, row) in row_of.by_ref().take(rows.len()).enumerate() {
                            (at[m], to[m]) = row;
                        }
                        let job = Rows { next: part_of_next(next, i, pieces), ..job };
                        tiles.rows(&job, &at[..rows.len()], sums, &to[..rows.len()]);
                    }
                }
                for (i, tile) in block.clone().enumerate() {
                    let (image, row, col) = work.place(self, tile);
                    let job = Output {
                        sums,
                        at: i * values * width,
                        step: width,
                        width,
                        bias: end.bias.map(|b| &b[begin..]),
                        relu: end.relu,
                        accumulate: end.accumulate,
                        scale: end.scale,
                        to: ((image * h_out + row) * w_out + col) * c_out + begin,
                        pitch: w_out * c_out,
                        pixel: *c_out,
                        pixels: [m_h.min(h_out - row), m_w.min(w_out - col)],
                        channels: width.min(c_out - begin),
                    };
                    // SAFETY: the caller's.
                    unsafe { tiles.transforms.output(self.size, &job, y) };
                }
            }
        });
    }
}

/// Some values of a tile.
struct Values {
    rows: Range<usize>,
    cols: Range<usize>,
    /// Values of a row.
    t_w: usize,
}

impl Values {
    fn len(&self) -> usize {
        self.rows.len() * self.cols.len()
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.rows.clone().flat_map(move |h| self.cols.clone().map(move |w| h * self.t_w + w))
    }
}

/// One convolution, for all of its tasks.
struct Work<'a> {
    tiles: &'a Tiles,
    source: &'a Source<'a>,
    /// The transformed weights.
    factor: &'a [f32],
    end: End<'a>,
    y: Shared<'a>,
    c_out: usize,
    /// Rows and columns of tiles of an image.
    grid: [usize; 2],
}

impl Work<'_> {
    /// Image, row and column of the first pixel of a tile.
    fn place(&self, scheme: &Scheme, tile: usize) -> (usize, usize, usize) {
        scheme.place(self.grid, tile)
    }
}

/// Images, and the output that is made of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    /// The images.
    pub(super) x: &'a [f32],
    /// Their height and width.
    pub(super) size: [usize; 2],
    /// Their channels.
    pub(super) c: usize,
    /// Rows and columns of zeros before them.
    pub(super) pad: [usize; 2],
    /// Height and width of the output.
    pub(super) out: [usize; 2],
    /// From the window of one pixel of the output to the next, both ways.
    pub(super) stride: usize,
}

impl<'a> Source<'a> {
    /// What the gradient of the input reads, if it is a convolution as others are: `dy` and the flipped weights.
    pub(super) fn backward(p: &Conv2dParams, dy: &'a [f32]) -> Option<Self> {
        let [h_in, w_in, h_out, w_out, c] = [p.h_in, p.w_in, p.h_out, p.w_out, p.c_out].map(|x| x as usize);
        let pad = [(p.k_h - 1).checked_sub(p.pad_top)?, (p.k_w - 1).checked_sub(p.pad_left)?].map(|x| x as usize);
        (p.stride == 1).then_some(Self { x: dy, size: [h_out, w_out], c, pad, out: [h_in, w_in], stride: 1 })
    }

    /// What the forward pass reads.
    pub(super) fn forward(p: &Conv2dParams, x: &'a [f32]) -> Self {
        let [h_in, w_in, h_out, w_out, c, top, left, stride] =
            [p.h_in, p.w_in, p.h_out, p.w_out, p.c_in, p.pad_top, p.pad_left, p.stride].map(|x| x as usize);
        Self { x, size: [h_in, w_in], c, pad: [top, left], out: [h_out, w_out], stride }
    }

    /// The tile of which the first output pixel is at `row` and `col` of an image.
    pub(super) fn tile(
        &self,
        size: Size,
        (image, row, col): (usize, usize, usize),
        [to, step]: [usize; 2],
    ) -> Input<'a> {
        let begin = |at: usize, pad: usize| (at * self.stride).cast_signed() - pad.cast_signed();
        let (y, x) = (begin(row, self.pad[0]), begin(col, self.pad[1]));
        let inside = |from: isize, t: usize, size: usize| {
            let first = usize::try_from(-from).unwrap_or(0).min(t);
            let end = usize::try_from(size.cast_signed() - from).unwrap_or(0).min(t);
            first..end.max(first)
        };
        let [h, w] = self.size;
        let line = (image * h).cast_signed() + y;
        Input {
            x: self.x,
            at: (line * w.cast_signed() + x) * self.c.cast_signed(),
            pitch: w * self.c,
            channels: self.c,
            rows: inside(y, size[0][0], h),
            cols: inside(x, size[1][0], w),
            to,
            step,
        }
    }
}
