//! Convolution with groups and dilation as its definition says: the oracle, and what the vectors are tested against.

use rayon::prelude::*;

use crate::cpu::{Float, put};
use crate::op::conv2d::GroupedParams;

/// The parameters as indices.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) h_in: usize,
    pub(super) w_in: usize,
    pub(super) c_in: usize,
    pub(super) h_out: usize,
    pub(super) w_out: usize,
    pub(super) c_out: usize,
    pub(super) k_h: usize,
    pub(super) k_w: usize,
    pub(super) stride: usize,
    pub(super) pad: [usize; 2],
    pub(super) dilation: [usize; 2],
    /// Input channels of a group.
    pub(super) c_group: usize,
    /// Output channels of a group.
    pub(super) o_group: usize,
    /// Pixels of the output.
    pub(super) pixels: usize,
    /// Pixels of one part.
    pub(super) per_split: usize,
}

impl From<&GroupedParams> for Sizes {
    fn from(p: &GroupedParams) -> Self {
        let pixels = p.n * p.h_out * p.w_out;
        Self {
            h_in: p.h_in as usize,
            w_in: p.w_in as usize,
            c_in: p.c_in as usize,
            h_out: p.h_out as usize,
            w_out: p.w_out as usize,
            c_out: p.c_out as usize,
            k_h: p.k_h as usize,
            k_w: p.k_w as usize,
            stride: p.stride as usize,
            pad: [p.pad_top as usize, p.pad_left as usize],
            dilation: [p.dilation_h as usize, p.dilation_w as usize],
            c_group: (p.c_in / p.groups) as usize,
            o_group: (p.c_out / p.groups) as usize,
            pixels: pixels as usize,
            per_split: pixels.div_ceil(p.splits) as usize,
        }
    }
}

impl Sizes {
    /// The input pixel that kernel position (r, s) of an output pixel reads, if it lies in the image.
    pub(super) fn input_pixel(&self, pixel: usize, r: usize, s: usize) -> Option<usize> {
        let (row, w) = (pixel / self.w_out, pixel % self.w_out);
        let (image, h) = (row / self.h_out, row % self.h_out);
        let y = (h * self.stride + r * self.dilation[0]).checked_sub(self.pad[0]).filter(|&y| y < self.h_in)?;
        let x = (w * self.stride + s * self.dilation[1]).checked_sub(self.pad[1]).filter(|&x| x < self.w_in)?;
        Some((image * self.h_in + y) * self.w_in + x)
    }

    /// The output pixel that reads an input pixel through kernel position (r, s), if there is one.
    pub(super) fn output_pixel(&self, pixel: usize, r: usize, s: usize) -> Option<usize> {
        let whole = |at: usize, k: usize| at.checked_sub(k).filter(|d| d % self.stride == 0).map(|d| d / self.stride);
        let (row, w) = (pixel / self.w_in, pixel % self.w_in);
        let (image, h) = (row / self.h_in, row % self.h_in);
        let y = whole(h + self.pad[0], r * self.dilation[0]).filter(|&y| y < self.h_out)?;
        let x = whole(w + self.pad[1], s * self.dilation[1]).filter(|&x| x < self.w_out)?;
        Some((image * self.h_out + y) * self.w_out + x)
    }

    /// Number, row and column of every kernel position.
    pub(super) fn taps(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let k_w = self.k_w;
        (0..self.k_h * k_w).map(move |tap| (tap, tap / k_w, tap % k_w))
    }

    /// The pixels of one part of the output.
    pub(super) fn part(&self, split: usize) -> std::ops::Range<usize> {
        let begin = (split * self.per_split).min(self.pixels);
        begin..(begin + self.per_split).min(self.pixels)
    }
}

/// `y = x * w + b`, then `max(y, 0)` if `relu`.
pub(super) fn forward<T: Float>(p: &GroupedParams, relu: bool, x: &[T], w: &[T], b: Option<&[T]>, y: &mut [T]) {
    let sizes = Sizes::from(p);
    y.par_chunks_mut(sizes.c_out).enumerate().for_each(|(pixel, y)| {
        for (o, y) in y.iter_mut().enumerate() {
            let first = o / sizes.o_group * sizes.c_group;
            let mut sum = T::zero();
            for (tap, r, s) in sizes.taps() {
                let Some(from) = sizes.input_pixel(pixel, r, s) else { continue };
                for i in 0..sizes.c_group {
                    sum += w[(tap * sizes.c_group + i) * sizes.c_out + o] * x[from * sizes.c_in + first + i];
                }
            }
            sum += b.map_or(T::zero(), |b| b[o]);
            *y = if relu && sum < T::zero() { T::zero() } else { sum }; // not max: a NaN must stay one
        }
    });
}

/// The gradient of the input.
pub(super) fn dx<T: Float>(p: &GroupedParams, accumulate: bool, dy: &[T], w: &[T], dx: &mut [T]) {
    let sizes = Sizes::from(p);
    dx.par_chunks_mut(sizes.c_in).enumerate().for_each(|(pixel, dx)| {
        for (channel, dx) in dx.iter_mut().enumerate() {
            let (group, i) = (channel / sizes.c_group, channel % sizes.c_group);
            let mut sum = T::zero();
            for (tap, r, s) in sizes.taps() {
                let Some(from) = sizes.output_pixel(pixel, r, s) else { continue };
                for o in group * sizes.o_group..(group + 1) * sizes.o_group {
                    sum += w[(tap * sizes.c_group + i) * sizes.c_out + o] * dy[from * sizes.c_out + o];
                }
            }
            put(accumulate, dx, sum);
        }
    });
}

/// The gradient of the weights, one set for each part of the pixels.
pub(super) fn dw<T: Float>(p: &GroupedParams, accumulate: bool, x: &[T], dy: &[T], part: &mut [T]) {
    let sizes = Sizes::from(p);
    let taps = sizes.k_h * sizes.k_w;
    part.par_chunks_mut(sizes.c_group * sizes.c_out).enumerate().for_each(|(at, part)| {
        let (split, tap) = (at / taps, at % taps);
        let mut sum = vec![T::zero(); part.len()];
        for pixel in sizes.part(split) {
            let Some(from) = sizes.input_pixel(pixel, tap / sizes.k_w, tap % sizes.k_w) else { continue };
            for (row, sum) in sum.chunks_exact_mut(sizes.c_out).enumerate() {
                for (o, sum) in sum.iter_mut().enumerate() {
                    let channel = o / sizes.o_group * sizes.c_group + row;
                    *sum += x[from * sizes.c_in + channel] * dy[pixel * sizes.c_out + o];
                }
            }
        }
        for (part, sum) in part.iter_mut().zip(sum) {
            put(accumulate, part, sum);
        }
    });
}
