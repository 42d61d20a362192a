//! Convolution as its definition says, pixel by pixel: the oracle, and what the tiles are tested against.

use rayon::prelude::*;

use super::{Conv2dParams, place};
use crate::cpu::{Call, Float, put};

/// The same numbers as indices.
struct Sizes {
    h_in: usize,
    w_in: usize,
    c_in: usize,
    h_out: usize,
    w_out: usize,
    c_out: usize,
    k_h: usize,
    k_w: usize,
    stride: usize,
    pad_top: usize,
    pad_left: usize,
    /// Pixels of the output.
    pixels: usize,
    /// Pixels of one part.
    per_split: usize,
}

impl From<&Conv2dParams> for Sizes {
    fn from(p: &Conv2dParams) -> Self {
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
            pad_top: p.pad_top as usize,
            pad_left: p.pad_left as usize,
            pixels: pixels as usize,
            per_split: pixels.div_ceil(p.splits) as usize,
        }
    }
}

impl Sizes {
    /// Index of the input pixel that kernel position (r, s) of an output pixel reads, if it lies in the image.
    fn input_pixel(&self, pixel: usize, r: usize, s: usize) -> Option<usize> {
        let (row, w) = (pixel / self.w_out, pixel % self.w_out);
        let (image, h) = (row / self.h_out, row % self.h_out);
        let y = (h * self.stride + r).checked_sub(self.pad_top).filter(|&y| y < self.h_in)?;
        let x = (w * self.stride + s).checked_sub(self.pad_left).filter(|&x| x < self.w_in)?;
        Some((image * self.h_in + y) * self.w_in + x)
    }

    /// Index of the output pixel that reads an input pixel through kernel position (r, s), if there is one.
    fn output_pixel(&self, pixel: usize, r: usize, s: usize) -> Option<usize> {
        let whole = |at: usize, k: usize| at.checked_sub(k).filter(|d| d % self.stride == 0).map(|d| d / self.stride);
        let (row, w) = (pixel / self.w_in, pixel % self.w_in);
        let (image, h) = (row / self.h_in, row % self.h_in);
        let y = whole(h + self.pad_top, r).filter(|&y| y < self.h_out)?;
        let x = whole(w + self.pad_left, s).filter(|&x| x < self.w_out)?;
        Some((image * self.h_out + y) * self.w_out + x)
    }

    fn taps(&self) -> impl Iterator<Item = (usize, usize)> {
        let k_w = self.k_w;
        (0..self.k_h).flat_map(move |r| (0..k_w).map(move |s| (r, s)))
    }
}

/// `to += factor * row`
fn add_scaled<T: Float>(to: &mut [T], factor: T, row: &[T]) {
    for (to, &value) in to.iter_mut().zip(row) {
        *to += factor * value;
    }
}

/// What happens to the sums with their bias.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::op::conv2d) struct End<T> {
    /// Times this they are added to what stands in the output.
    pub(in crate::op::conv2d) add: Option<T>,
    /// `max(y, 0)` in the end.
    pub(in crate::op::conv2d) relu: bool,
}

impl<T: Float> End<T> {
    /// What a call asks for.
    pub(in crate::op::conv2d) fn of(call: &Call<'_, T>) -> Self {
        Self { add: call.flag("ACCUMULATE").then(|| call.scale()), relu: call.flag("RELU") }
    }
}

/// `y = x * w + b`, and what `end` says.
pub(in crate::op::conv2d) fn forward<T: Float>(
    p: &Conv2dParams,
    end: End<T>,
    x: &[T],
    w: &[T],
    b: Option<&[T]>,
    y: &mut [T],
) {
    let sizes = Sizes::from(p);
    let (c_in, c_out) = (sizes.c_in, sizes.c_out);
    y.par_chunks_mut(c_out).enumerate().for_each(|(pixel, y)| {
        let mut sums = vec![T::zero(); c_out];
        for (r, s) in sizes.taps() {
            let Some(from) = sizes.input_pixel(pixel, r, s) else { continue };
            let tap = (r * sizes.k_w + s) * c_in;
            for (i, &x) in x[from * c_in..][..c_in].iter().enumerate() {
                add_scaled(&mut sums, x, &w[(tap + i) * c_out..][..c_out]);
            }
        }
        for (o, (y, sum)) in y.iter_mut().zip(sums).enumerate() {
            let sum = sum + b.map_or(T::zero(), |b| b[o]);
            *y = end.add.map_or(sum, |scale| *y + scale * sum);
            if end.relu && *y < T::zero() {
                *y = T::zero(); // not max: a NaN must stay one
            }
        }
    });
}

/// The gradient of the input, from the flipped weights.
pub(in crate::op::conv2d) fn dx<T: Float>(p: &Conv2dParams, accumulate: bool, dy: &[T], flipped: &[T], dx: &mut [T]) {
    let sizes = Sizes::from(p);
    let (c_in, c_out) = (sizes.c_in, sizes.c_out);
    dx.par_chunks_mut(c_in).enumerate().for_each(|(pixel, dx)| {
        let mut sum = vec![T::zero(); c_in];
        for (r, s) in sizes.taps() {
            let Some(from) = sizes.output_pixel(pixel, r, s) else { continue };
            let tap = place(sizes.k_h, sizes.stride, r) * sizes.k_w + place(sizes.k_w, sizes.stride, s);
            for (o, &dy) in dy[from * c_out..][..c_out].iter().enumerate() {
                add_scaled(&mut sum, dy, &flipped[(tap * c_out + o) * c_in..][..c_in]);
            }
        }
        for (dx, sum) in dx.iter_mut().zip(sum) {
            put(accumulate, dx, sum);
        }
    });
}

/// The gradient of the weights, one set for each part of the pixels.
pub(in crate::op::conv2d) fn dw<T: Float>(p: &Conv2dParams, accumulate: bool, x: &[T], dy: &[T], part: &mut [T]) {
    let sizes = Sizes::from(p);
    let (c_in, c_out) = (sizes.c_in, sizes.c_out);
    part.par_chunks_mut(c_in * c_out).enumerate().for_each(|(at, part)| {
        let (split, tap) = (at / (sizes.k_h * sizes.k_w), at % (sizes.k_h * sizes.k_w));
        let begin = (split * sizes.per_split).min(sizes.pixels);
        let end = (begin + sizes.per_split).min(sizes.pixels);
        let mut sum = vec![T::zero(); c_in * c_out];
        for pixel in begin..end {
            let Some(from) = sizes.input_pixel(pixel, tap / sizes.k_w, tap % sizes.k_w) else { continue };
            let dy = &dy[pixel * c_out..][..c_out];
            for (&x, sum) in x[from * c_in..][..c_in].iter().zip(sum.chunks_exact_mut(c_out)) {
                add_scaled(sum, x, dy);
            }
        }
        for (part, sum) in part.iter_mut().zip(sum) {
            put(accumulate, part, sum);
        }
    });
}
