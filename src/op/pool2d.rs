//! What max, average and L2 pooling share: which windows there are, their parameters, how they are recorded, and the loops
//! of their twins, which threads share by rows of windows, and backward by images.

use std::ops::Range;

use rayon::prelude::*;

use super::rowwise::at_once;
use crate::cpu::{Float, vectorized};
use crate::graph::Recorder;
use crate::plan::{Buf, Shape, Wide};
use crate::{Error, Result, params};

/// Where the windows of a pooling lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    /// Height and width.
    pub(super) kernel: [u32; 2],
    /// Pixels from one window to the next.
    pub(super) stride: u32,
    /// Pixels around the image.
    pub(super) pad: u32,
    /// Their number is rounded up.
    pub(super) ceil: bool,
}

params! {
    /// Parameters of the pooling kernels.
    pub(super) struct Pool2dParams {
        /// Images.
        n: u32,
        /// Input height.
        h_in: u32,
        /// Input width.
        w_in: u32,
        /// Channels.
        c: u32,
        /// Output height: windows from top to bottom.
        h_out: u32,
        /// Output width: windows from left to right.
        w_out: u32,
        /// Window height.
        k_h: u32,
        /// Window width.
        k_w: u32,
        /// Pixels from one window to the next.
        stride: u32,
        /// Pixels around the image.
        pad: u32,
    }
}

impl Windows {
    /// How many windows of `k` there are on `size` pixels. Rounded up, the last one may reach beyond the padding, but must
    /// start on the image or on the padding before it, as with PyTorch's `ceil_mode=True`.
    fn count(&self, size: u32, k: u32) -> Option<u32> {
        let (size, k, stride, pad) = (u64::from(size), u64::from(k), u64::from(self.stride), u64::from(self.pad));
        let up = if self.ceil { stride - 1 } else { 0 };
        let mut count = (size + 2 * pad + up).checked_sub(k)? / stride + 1;
        if self.ceil && (count - 1) * stride >= size + pad {
            count -= 1;
        }
        // Positions are counted in u32, from the top left corner of the padding to the end of the last window.
        let end = (count - 1) * stride + k;
        u32::try_from(count).ok().filter(|_| end.max(size + 2 * pad) <= u64::from(u32::MAX))
    }

    /// The parameters for an image batch.
    pub(super) fn params(&self, op: &str, x: Shape) -> Result<Pool2dParams> {
        let [n, h_in, w_in, c] = x.nhwc(op)?;
        let Self { kernel: [k_h, k_w], stride, pad, .. } = *self;
        if k_h == 0 || k_w == 0 || stride == 0 {
            return Err(Error::shape(
                op,
                format!("kernel and stride must be at least 1, got kernel {k_h}x{k_w}, stride {stride}"),
            ));
        }
        if pad > k_h.min(k_w) / 2 {
            return Err(Error::shape(
                op,
                format!("padding can be at most half the kernel, got padding {pad} with kernel {k_h}x{k_w}"),
            ));
        }
        let (Some(h_out), Some(w_out)) = (self.count(h_in, k_h), self.count(w_in, k_w)) else {
            return Err(Error::shape(
                op,
                format!("expected an image of at least {k_h}x{k_w} with padding {pad} on each side, got {x}"),
            ));
        };
        Ok(Pool2dParams { n, h_in, w_in, c, h_out, w_out, k_h, k_w, stride, pad })
    }

    /// `[n, h_out, w_out, c]` for the one input of an op.
    pub(super) fn output_shape(&self, op: &str, x: &[Shape]) -> Result<Shape> {
        super::expect_inputs(op, x, 1)?;
        let p = self.params(op, x[0])?;
        Shape::new(&[p.n, p.h_out, p.w_out, p.c])
    }

    /// Records a kernel for images of the shape `x`.
    pub(super) fn record(
        &self,
        r: &mut Recorder<'_>,
        kernel: &'static Wide,
        x: Shape,
        overrides: &[(&'static str, f64)],
        buffers: &[Buf],
    ) {
        let p = self.params(kernel.one.name, x).expect("the graph has checked the shapes");
        r.dispatch(kernel.of(&[p.c]), &p, overrides, buffers);
    }
}

impl Pool2dParams {
    /// Floats of the input.
    pub(super) fn inputs(&self) -> u32 {
        self.n * self.h_in * self.w_in * self.c
    }

    /// Floats of the output.
    pub(super) fn outputs(&self) -> u32 {
        self.n * self.h_out * self.w_out * self.c
    }

    /// Visits every pixel of every window of one image, windows and pixels in row-major order.
    #[inline]
    pub(super) fn each_tap(&self, visit: impl FnMut(Tap)) {
        self.taps_of(0..self.h_out, visit);
    }

    /// The same for some rows of windows; outputs are counted from the first of them.
    #[inline]
    pub(super) fn taps_of(&self, rows: Range<u32>, mut visit: impl FnMut(Tap)) {
        let c = self.c as usize;
        let mut to = 0;
        for a in rows {
            for b in 0..self.w_out {
                let mut first = true;
                for (r, h) in self.on_image(a, self.k_h, self.h_in) {
                    for (s, w) in self.on_image(b, self.k_w, self.w_in) {
                        let from = (h as usize * self.w_in as usize + w as usize) * c;
                        visit(Tap { at: r * self.k_w + s, from: from..from + c, to: to..to + c, first });
                        first = false;
                    }
                }
                to += c;
            }
        }
    }

    /// Calls `each` with every row of windows of all images: its image of the input, its number, and its outputs in `y`. Threads
    /// share the rows.
    pub(super) fn each_row<T: Float, Y: IndexedParallelIterator>(
        &self,
        x: &[T],
        y: Y,
        each: impl Fn(&[T], u32, Y::Item) + Sync,
    ) {
        let at_once = at_once(self.k_h as usize * self.k_w as usize * self.row_out());
        y.enumerate().with_min_len(at_once).for_each(|(row, y)| {
            let (image, a) = (row / self.h_out as usize, row % self.h_out as usize);
            let a = u32::try_from(a).expect("a row of an image");
            vectorized(|| each(&x[image * self.image_in()..][..self.image_in()], a, y));
        });
    }

    /// Positions of a window that lie on the image: in the window and on the image.
    fn on_image(&self, window: u32, k: u32, size: u32) -> impl Iterator<Item = (u32, u32)> + use<> {
        let (start, pad) = (window * self.stride, self.pad);
        (start.max(pad)..(start + k).min(size + pad)).map(move |at| (at - start, at - pad))
    }

    /// Positions of each window of an image, in order, padding counted, but not what lies beyond the padding.
    pub(super) fn areas(&self) -> impl Iterator<Item = u32> {
        let size = move |window: u32, k: u32, size: u32| k.min(size + 2 * self.pad - window * self.stride);
        (0..self.h_out).flat_map(move |a| {
            (0..self.w_out).map(move |b| size(a, self.k_h, self.h_in) * size(b, self.k_w, self.w_in))
        })
    }

    /// Floats of one input image.
    pub(super) fn image_in(&self) -> usize {
        self.h_in as usize * self.w_in as usize * self.c as usize
    }

    /// Floats of one output image.
    pub(super) fn image_out(&self) -> usize {
        self.h_out as usize * self.w_out as usize * self.c as usize
    }

    /// The floats of one image out of those of all outputs.
    pub(super) fn output<'a, E>(&self, all: &'a [E], image: usize) -> &'a [E] {
        &all[image * self.image_out()..][..self.image_out()]
    }

    /// Floats of one row of windows.
    pub(super) fn row_out(&self) -> usize {
        self.w_out as usize * self.c as usize
    }

    /// Calls `finish` with the number of each row of windows and its sums over the windows of `of(x)`.
    pub(super) fn sum_windows<T: Float>(
        &self,
        x: &[T],
        y: &mut [T],
        of: impl Fn(T) -> T + Sync,
        finish: impl Fn(usize, &mut [T]) + Sync,
    ) {
        self.each_row(x, y.par_chunks_mut(self.row_out()), |x, row, y| {
            y.fill(T::zero());
            self.taps_of(row..row + 1, |tap| {
                for (&x, y) in x[tap.from].iter().zip(&mut y[tap.to]) {
                    *y += of(x);
                }
            });
            finish(row as usize, y);
        });
    }

    /// Calls `scatter` with each image's number and the gradient of its input, which it adds to: it scatters where the WGSL
    /// gathers, because an image belongs to one thread here.
    pub(super) fn each_gradient<T: Float>(
        &self,
        accumulate: bool,
        dx: &mut [T],
        scatter: impl Fn(usize, &mut [T]) + Sync,
    ) {
        dx.par_chunks_mut(self.image_in()).enumerate().for_each(|(image, dx)| {
            if !accumulate {
                dx.fill(T::zero());
            }
            vectorized(|| scatter(image, dx));
        });
    }
}

/// One pixel of one window.
pub(super) struct Tap {
    /// Its number in the window, row-major, padding counted.
    pub(super) at: u32,
    /// Its channels in the input image.
    pub(super) from: Range<usize>,
    /// The window's channels in the output image.
    pub(super) to: Range<usize>,
    /// No pixel of this window came before.
    pub(super) first: bool,
}
