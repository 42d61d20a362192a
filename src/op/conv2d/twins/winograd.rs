//! Convolution with fewer multiplications (Winograd's minimal filtering, Lavin and Gray, 2015), for stride 1: tiles of the
//! input and kernels are transformed, multiplied value by value, which makes one product of matrices for each value, and the
//! sums are transformed back. `F(4x4, 3x3)` needs 36 multiplications where the direct way needs 144.

use std::ops::Range;

use rayon::prelude::*;

use super::Conv2dParams;
use super::product::{End, even, padded_bias};
use crate::cpu::tile::{HIGHEST, Rows, Tiles};
use crate::cpu::winograd::{Input, Output, Size, kernel_transform};
use crate::cpu::{Shared, scratch};

/// Floats of transformed tiles that a task holds at a time, with their sums: they stay in the second-level cache.
const BLOCK: usize = 160 << 10;

/// One of the ways to cut an output into tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::op::conv2d) struct Scheme {
    /// Pixels of the output that it computes at a time, and of the kernel.
    pub(super) name: &'static str,
    /// Pixels that a transform takes and gives, rows and columns.
    pub(super) size: Size,
}

impl Scheme {
    /// `F(2x2, 3x3)`: 2.25 times fewer multiplications.
    pub(super) const F2: Self = Self { name: "winograd 2x2, 3x3", size: [[4, 2], [4, 2]] };
    /// `F(4x4, 3x3)`: 4 times fewer.
    pub(super) const F4: Self = Self { name: "winograd 4x4, 3x3", size: [[6, 4], [6, 4]] };
    /// `F(2x2, 5x5)`: 2.8 times fewer.
    pub(super) const F2_5: Self = Self { name: "winograd 2x2, 5x5", size: [[6, 2], [6, 2]] };
    /// `F(1x2, 1x7)`: 1.75 times fewer.
    pub(super) const F2_1X7: Self = Self { name: "winograd 1x2, 1x7", size: [[1, 1], [8, 2]] };
    /// `F(2x1, 7x1)`.
    pub(super) const F2_7X1: Self = Self { name: "winograd 2x1, 7x1", size: [[8, 2], [1, 1]] };

    /// Rows and columns of the kernels that it computes.
    pub(super) fn kernel(&self) -> [usize; 2] {
        self.size.map(|[t, m]| t + 1 - m)
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
    fn grid(&self, [h_out, w_out]: [usize; 2]) -> [usize; 2] {
        let [m_h, m_w] = self.size.map(|[_, m]| m);
        [h_out.div_ceil(m_h), w_out.div_ceil(m_w)]
    }

    /// Blocks into which `count` tiles of `c_in` channels are cut: whole tiles of the register kernels as far as the cache
    /// holds them, and at least one for each thread.
    pub(super) fn blocks(&self, tiles: &Tiles, c_in: usize, count: usize, threads: usize) -> usize {
        let per_tile = self.values() * (c_in + tiles.panel());
        let most = (BLOCK / per_tile / tiles.height).max(1) * tiles.height;
        count.div_ceil(most).next_multiple_of(threads).min(count)
    }

    /// Kernels `w` `[k_h, k_w, c_in, c_out]`, transformed and in panels: for each panel of columns, for each value, a row for each
    /// channel of the input.
    pub(super) fn weights(&self, tiles: &Tiles, [c_in, c_out]: [usize; 2], w: &[f32], factor: &mut Vec<f32>) {
        let [t_h, t_w] = self.size.map(|[t, _]| t);
        let [k_h, k_w] = self.kernel();
        let (g_h, g_w) = (kernel_transform(t_h, k_h), kernel_transform(t_w, k_w));
        let padded = c_out.next_multiple_of(tiles.lanes);
        let values = t_h * t_w;
        factor.resize(values * c_in * padded, 0.0);
        factor.par_chunks_mut(values * c_in * tiles.panel()).enumerate().for_each(|(panel, factor)| {
            let width = factor.len() / (values * c_in);
            let begin = panel * tiles.panel();
            let len = width.min(c_out - begin);
            for (v, rows) in factor.chunks_exact_mut(c_in * width).enumerate() {
                let (g_h, g_w) = (&g_h[v / t_w * k_h..][..k_h], &g_w[v % t_w * k_w..][..k_w]);
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
        let blocks = self.blocks(tiles, source.c, count, rayon::current_num_threads());
        padded_bias(tiles, end.bias, |bias| {
            let end = End { bias, ..end };
            let y = Shared::new(y);
            (0..blocks).into_par_iter().for_each(|i| {
                let block = i * count / blocks..(i + 1) * count / blocks;
                // SAFETY: no other task has these tiles.
                unsafe { self.block(tiles, source, factor, end, &y, c_out, block, [high, wide]) };
            });
        });
    }

    /// Some tiles of the output.
    ///
    /// # Safety
    /// Their pixels are the caller's alone.
    #[expect(clippy::too_many_arguments, reason = "one task of `product`")]
    unsafe fn block(
        &self,
        tiles: &Tiles,
        source: &Source<'_>,
        factor: &[f32],
        end: End<'_>,
        y: &Shared<'_>,
        c_out: usize,
        block: Range<usize>,
        [high, wide]: [usize; 2],
    ) {
        let (count, values, c_in) = (block.len(), self.values(), source.c);
        let [m_h, m_w] = self.size.map(|[_, m]| m);
        let [h_out, w_out] = source.out;
        let place = |tile: usize| (tile / (high * wide), tile / wide % high * m_h, tile % wide * m_w);
        scratch::lend_floats(values * count * c_in, |input| {
            for (i, tile) in block.clone().enumerate() {
                tiles.transforms.input(
                    self.size,
                    &source.tile(self.size, place(tile), [i * c_in, count * c_in]),
                    input,
                );
            }
            scratch::lend_floats(values * count * tiles.panel(), |sums| {
                let padded = c_out.next_multiple_of(tiles.lanes);
                for begin in (0..padded).step_by(tiles.panel()) {
                    let width = tiles.panel().min(padded - begin);
                    let panel = &factor[values * c_in * begin..][..values * c_in * width];
                    for (v, b) in panel.chunks_exact(c_in * width).enumerate() {
                        let a = &input[v * count * c_in..][..count * c_in];
                        let sums = &mut sums[v * count * width..][..count * width];
                        let job = Rows {
                            a,
                            pitch: 0,
                            runs: 1,
                            len: c_in,
                            width,
                            b,
                            bias: None,
                            relu: false,
                            accumulate: false,
                            ahead: None,
                        };
                        for rows in even(count, tiles.height) {
                            let (mut at, mut to) = ([0; HIGHEST], [0; HIGHEST]);
                            for (m, row) in rows.clone().enumerate() {
                                (at[m], to[m]) = (row * c_in, row * width);
                            }
                            tiles.rows(&job, &at[..rows.len()], sums, &to[..rows.len()]);
                        }
                    }
                    for (i, tile) in block.clone().enumerate() {
                        let (image, row, col) = place(tile);
                        let job = Output {
                            sums,
                            at: i * width,
                            step: count * width,
                            width,
                            bias: end.bias.map(|b| &b[begin..]),
                            relu: end.relu,
                            accumulate: end.accumulate,
                            to: ((image * h_out + row) * w_out + col) * c_out + begin,
                            pitch: w_out * c_out,
                            pixel: c_out,
                            pixels: [m_h.min(h_out - row), m_w.min(w_out - col)],
                            channels: width.min(c_out - begin),
                        };
                        // SAFETY: the caller's.
                        unsafe { tiles.transforms.output(self.size, &job, y) };
                    }
                }
            });
        });
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
}

impl<'a> Source<'a> {
    /// What the gradient of the input reads, if it is a convolution as others are: `dy` and the flipped weights.
    pub(super) fn backward(p: &Conv2dParams, dy: &'a [f32]) -> Option<Self> {
        let [h_in, w_in, h_out, w_out, c] = [p.h_in, p.w_in, p.h_out, p.w_out, p.c_out].map(|x| x as usize);
        let pad = [(p.k_h - 1).checked_sub(p.pad_top)?, (p.k_w - 1).checked_sub(p.pad_left)?].map(|x| x as usize);
        (p.stride == 1).then_some(Self { x: dy, size: [h_out, w_out], c, pad, out: [h_in, w_in] })
    }

    /// What the forward pass reads.
    pub(super) fn forward(p: &Conv2dParams, x: &'a [f32]) -> Self {
        let [h_in, w_in, h_out, w_out, c, top, left] =
            [p.h_in, p.w_in, p.h_out, p.w_out, p.c_in, p.pad_top, p.pad_left].map(|x| x as usize);
        Self { x, size: [h_in, w_in], c, pad: [top, left], out: [h_out, w_out] }
    }

    /// The tile of which the first output pixel is at `row` and `col` of an image.
    fn tile(&self, size: Size, (image, row, col): (usize, usize, usize), [to, step]: [usize; 2]) -> Input<'a> {
        let begin = |at: usize, pad: usize| at.cast_signed() - pad.cast_signed();
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
