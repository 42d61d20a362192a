//! The gradient of an input with few channels, where the convolution has a stride: alone, a phase of the input would
//! fill a fraction of a vector, so all phases of a block of pixels become the columns of one product.

use rayon::prelude::*;

use super::product::{End, Weights, product};
use super::window::{Axis, Windows};
use crate::cpu::put;
use crate::cpu::scratch;
use crate::cpu::tile::Tiles;

/// The phases of both directions, to be computed together.
pub(super) struct Blocks<'a> {
    rows: &'a [Axis],
    cols: &'a [Axis],
    windows: Windows<'a>,
}

impl<'a> Blocks<'a> {
    /// The blocks, if computing them at once is less work than each phase alone; `c` are the input's channels.
    pub(super) fn if_less_work(
        tiles: &Tiles,
        [rows, cols]: [&'a [Axis]; 2],
        dy: &'a [f32],
        c_out: usize,
        c: usize,
    ) -> Option<Self> {
        let windows = Windows { x: dy, c: c_out, rows: union(rows), cols: union(cols) };
        let taps = |axes: &[Axis]| axes.iter().map(|a| a.taps).sum::<usize>();
        let alone = taps(rows) * taps(cols) * c.next_multiple_of(tiles.lanes);
        let block = (rows.len() * cols.len() * c).next_multiple_of(tiles.lanes);
        let together = windows.rows.taps * windows.cols.taps * block;
        (together < alone).then_some(Self { rows, cols, windows })
    }

    /// Computes the gradient of an input of `height` x `width` pixels of `c` channels.
    pub(super) fn dx(
        &self,
        tiles: &Tiles,
        flipped: &[f32],
        accumulate: bool,
        dx: &mut [f32],
        [height, width, c]: [usize; 3],
    ) {
        let (stride, windows) = (self.rows.len(), &self.windows);
        let block = stride * stride * c;
        let (rows, cols) = (windows.rows, windows.cols);
        scratch::lend(|w| {
            w.resize(rows.taps * cols.taps * windows.c * block, 0.0);
            self.gather(flipped, c, w);
            scratch::lend(|blocks| {
                let images = dx.len() / (height * width * c);
                blocks.resize(images * rows.count * cols.count * block, 0.0);
                let w = Weights::Plain(w, cols.taps);
                product(tiles, &[*windows], w, End::default(), blocks, [rows.count, cols.count, block]);
                dx.par_chunks_mut(width * c).enumerate().for_each(|(row, dx)| {
                    let (image, h) = (row / height, row % height);
                    let line = (image * rows.count + h / stride) * cols.count;
                    for (x, dx) in dx.chunks_exact_mut(c).enumerate() {
                        let from = (line + x / stride) * block + (h % stride * stride + x % stride) * c;
                        for (dx, &sum) in dx.iter_mut().zip(&blocks[from..]) {
                            put(accumulate, dx, sum);
                        }
                    }
                });
            });
        });
    }

    /// The weights of all phases side by side, zeros where a phase lacks a tap that another one has.
    fn gather(&self, flipped: &[f32], c: usize, w: &mut [f32]) {
        let (stride, windows) = (self.rows.len(), &self.windows);
        let k_w: usize = self.cols.iter().map(|a| a.taps).sum();
        for (rows, cols) in self.rows.iter().flat_map(|r| self.cols.iter().map(move |c| (r, c))) {
            let row = (rows.from - windows.rows.from).unsigned_abs();
            let col = (cols.from - windows.cols.from).unsigned_abs();
            for (r, s) in (0..rows.taps).flat_map(|r| (0..cols.taps).map(move |s| (r, s))) {
                let from = ((rows.tap + r) * k_w + cols.tap + s) * windows.c;
                let to = ((row + r) * windows.cols.taps + col + s) * windows.c;
                for o in 0..windows.c {
                    let at = ((to + o) * stride * stride + rows.first * stride + cols.first) * c;
                    w[at..at + c].copy_from_slice(&flipped[(from + o) * c..][..c]);
                }
            }
        }
    }
}

/// Windows that hold those of every phase.
fn union(phases: &[Axis]) -> Axis {
    let used = || phases.iter().filter(|a| a.taps > 0);
    let from = used().map(|a| a.from).min().unwrap_or(0);
    let end = used().map(|a| a.from + a.taps.cast_signed()).max().unwrap_or(0);
    let count = phases.iter().map(|a| a.count).max().unwrap_or(0);
    Axis { from, taps: (end - from).unsigned_abs(), tap: 0, count, first: 0, step: 1, ..phases[0] }
}
