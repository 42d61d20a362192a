//! Convolution on the CPU device: forward, the three gradients, and the weights' other order. `f32` runs on register tiles, window by
//! window ([`fast`], [`dw`](mod@dw)) or in Winograd's way ([`winograd`], [`winograd_dw`]); `f64`, the oracle, on plain loops ([`direct`])
//! that share no code with them. Groups and dilation have functions of their own ([`grouped`], [`depthwise`]), and plain loops likewise
//! ([`plain`]).

pub(super) mod depthwise;
pub(super) mod direct;
mod dw;
mod fast;
pub(super) mod grouped;
mod method;
mod phases;
mod plain;
mod product;
#[cfg(test)]
mod tests;
mod window;
mod winograd;
mod winograd_dw;

use rayon::prelude::*;

use super::Conv2dParams;
use crate::cpu::tile::{self, Tiles};
use crate::cpu::{Float, put, scratch};
use crate::plan::Kept;
pub(super) use method::Method;
use method::Sizes;
pub(super) use product::End;
use product::Weights;
use winograd::Source;

/// Where kernel position `r` of `k` stands in the flipped weights: positions are grouped by their phase `r % stride`
/// and reversed within it.
fn place(k: usize, stride: usize, r: usize) -> usize {
    let len = |phase: usize| (k - phase).div_ceil(stride);
    let phase = r % stride;
    (0..phase).map(len).sum::<usize>() + len(phase) - 1 - r / stride
}

/// Weights, and what is kept of them from run to run if they stay the same.
pub(super) type Right<'a> = (&'a [f32], Option<&'a Kept>);

/// `y = x * w` by a method that suits it, and what `end` says.
pub(super) fn forward(method: Method, p: &Conv2dParams, end: End<'_>, x: &[f32], w: Right<'_>, y: &mut [f32]) {
    forward_by(tile::tiles(), method, p, end, x, w, y);
}

/// The method for the forward pass that should be the fastest.
pub(super) fn forward_method(p: &Conv2dParams) -> Method {
    Method::choose(tile::tiles(), &forward_sizes(p))
}

/// Whether a method computes the forward pass.
pub(super) fn suits_forward(method: Method, p: &Conv2dParams) -> bool {
    method.suits(&forward_sizes(p))
}

fn forward_sizes(p: &Conv2dParams) -> Sizes {
    let [h_out, w_out, k_h, k_w, c_in, c_out, stride] =
        [p.h_out, p.w_out, p.k_h, p.k_w, p.c_in, p.c_out, p.stride].map(|x| x as usize);
    Sizes { out: [h_out, w_out], kernel: [k_h, k_w], channels: [c_in, c_out], stride }
}

fn forward_by(
    tiles: &Tiles,
    method: Method,
    p: &Conv2dParams,
    end: End<'_>,
    x: &[f32],
    (w, kept): Right<'_>,
    y: &mut [f32],
) {
    let [c_in, c_out] = [p.c_in, p.c_out].map(|c| c as usize);
    match method {
        Method::Direct => {
            let order = |to: &mut Vec<f32>| fast::forward_weights(tiles, p, w, to);
            in_order(kept, method, order, |w| fast::forward(tiles, p, end, x, Weights::Packed(w), y));
        }
        Method::Winograd(scheme) => {
            let order = |to: &mut Vec<f32>| scheme.weights(tiles, [c_in, c_out], w, to);
            in_order(kept, method, order, |w| scheme.product(tiles, &Source::forward(p, x), w, end, y, c_out));
        }
    }
}

/// Lends weights in the order of a method: those that are kept, or made for this call.
fn in_order(kept: Option<&Kept>, method: Method, make: impl FnOnce(&mut Vec<f32>), use_them: impl FnOnce(&[f32])) {
    match kept {
        Some(kept) => use_them(&kept.get(method.name(), make)),
        None => scratch::lend(|own| {
            make(own);
            use_them(own);
        }),
    }
}

/// The gradient of the input, from the flipped weights, by a method that suits it.
pub(super) fn dx(method: Method, p: &Conv2dParams, accumulate: bool, dy: &[f32], flipped: &[f32], dx: &mut [f32]) {
    dx_by(tile::tiles(), method, p, accumulate, dy, flipped, dx);
}

/// The method for the gradient of the input that should be the fastest.
pub(super) fn dx_method(p: &Conv2dParams) -> Method {
    match Source::backward(p, &[]) {
        Some(_) => Method::choose(tile::tiles(), &dx_sizes(p)),
        None => Method::Direct,
    }
}

/// Whether a method computes the gradient of the input.
pub(super) fn suits_dx(method: Method, p: &Conv2dParams) -> bool {
    method == Method::Direct || (Source::backward(p, &[]).is_some() && method.suits(&dx_sizes(p)))
}

fn dx_sizes(p: &Conv2dParams) -> Sizes {
    let Sizes { kernel, channels: [c_in, c_out], .. } = forward_sizes(p);
    Sizes { out: [p.h_in, p.w_in].map(|x| x as usize), kernel, channels: [c_out, c_in], stride: 1 }
}

fn dx_by(
    tiles: &Tiles,
    method: Method,
    p: &Conv2dParams,
    accumulate: bool,
    dy: &[f32],
    flipped: &[f32],
    dx: &mut [f32],
) {
    match (method, Source::backward(p, dy)) {
        (Method::Winograd(scheme), Some(source)) => {
            let [c_in, c_out] = [p.c_in, p.c_out].map(|c| c as usize);
            let end = End { accumulate, ..End::default() };
            scratch::lend(|own| {
                scheme.weights(tiles, [c_out, c_in], flipped, own);
                scheme.product(tiles, &source, own, end, dx, c_in);
            });
        }
        _ => fast::dx(tiles, p, accumulate, dy, flipped, dx),
    }
}

/// The gradient of the weights, one set for each part of the pixels or, by a method that has tiles, of these.
pub(super) fn dw(method: Method, p: &Conv2dParams, accumulate: bool, x: &[f32], dy: &[f32], part: &mut [f32]) {
    match method {
        Method::Direct => dw::dw(tile::tiles(), p, accumulate, x, dy, part),
        Method::Winograd(scheme) => winograd_dw::dw(scheme, tile::tiles(), p, accumulate, x, dy, part),
    }
}

/// The method for the gradient of the weights that should be the fastest.
pub(super) fn dw_method(p: &Conv2dParams) -> Method {
    let sizes = forward_sizes(p);
    let scheme = winograd_dw::of(&sizes).filter(|&scheme| winograd_dw::pays(scheme, &sizes));
    scheme.map_or(Method::Direct, Method::Winograd)
}

/// Whether a method computes the gradient of the weights.
pub(super) fn suits_dw(method: Method, p: &Conv2dParams) -> bool {
    method == Method::Direct
        || winograd_dw::of(&forward_sizes(p)).is_some_and(|scheme| method == Method::Winograd(scheme))
}

/// The weights in the order in which [`dx`] reads them.
pub(super) fn flip<T: Float>(p: &Conv2dParams, w: &[T], flipped: &mut [T]) {
    let (c_in, c_out) = (p.c_in as usize, p.c_out as usize);
    let (k_h, k_w, stride) = (p.k_h as usize, p.k_w as usize, p.stride as usize);
    let mut from = vec![0; k_h * k_w];
    for r in 0..k_h {
        for s in 0..k_w {
            from[place(k_h, stride, r) * k_w + place(k_w, stride, s)] = r * k_w + s;
        }
    }
    // Blocks of both, so that neither side of the transposition leaves the cache.
    const BLOCK: usize = 16;
    flipped.par_chunks_mut(BLOCK * c_in).enumerate().for_each(|(chunk, flipped)| {
        for i0 in (0..c_in).step_by(BLOCK) {
            for (row, flipped) in flipped.chunks_exact_mut(c_in).enumerate() {
                let (to, o) = ((chunk * BLOCK + row) / c_out, (chunk * BLOCK + row) % c_out);
                let w = &w[(from[to] * c_in) * c_out + o..];
                for (i, flipped) in flipped.iter_mut().enumerate().skip(i0).take(BLOCK) {
                    *flipped = w[i * c_out];
                }
            }
        }
    });
}

/// The gradient of the bias, one for each part of the pixels.
pub(super) fn db<T: Float>(p: &Conv2dParams, accumulate: bool, dy: &[T], part: &mut [T]) {
    let c_out = p.c_out as usize;
    let pixels = (p.n * p.h_out * p.w_out) as usize;
    let per_split = pixels.div_ceil(p.splits as usize);
    part.par_chunks_mut(c_out).enumerate().for_each(|(split, part)| {
        let begin = (split * per_split).min(pixels);
        let end = (begin + per_split).min(pixels);
        let mut sum = vec![T::zero(); c_out];
        for dy in dy[begin * c_out..end * c_out].chunks_exact(c_out) {
            for (sum, &dy) in sum.iter_mut().zip(dy) {
                *sum += dy;
            }
        }
        for (part, sum) in part.iter_mut().zip(sum) {
            put(accumulate, part, sum);
        }
    });
}
