//! Convolution in `f32` on register tiles, without an expanded matrix: the runs of a window are contiguous in a padded
//! copy of a few image rows (or in the image itself), so that the tiles read their left factor from there.

use super::Conv2dParams;
use super::phases::Blocks;
use super::product::{End, Weights, packed, product};
use super::window::{Axis, Windows};
use crate::cpu::tile::Tiles;

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
