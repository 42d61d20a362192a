//! What max, average and L2 pooling share: which windows there are, and their parameters.

use std::ops::Range;

use crate::plan::Shape;
use crate::{Error, Result, params};

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

impl Pool2dParams {
    /// The windows of `[k_h, k_w]` on an image batch; floor division, as PyTorch with `ceil_mode=False`.
    pub(super) fn new(op: &str, x: Shape, [k_h, k_w]: [u32; 2], stride: u32, pad: u32) -> Result<Self> {
        let [n, h_in, w_in, c] = x.nhwc(op)?;
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
        let windows = |size: u32, k: u32| {
            let room = u64::from(size) + 2 * u64::from(pad);
            let free = room.checked_sub(u64::from(k)).filter(|_| room <= u64::from(u32::MAX));
            free.and_then(|free| u32::try_from(free / u64::from(stride) + 1).ok())
        };
        let (Some(h_out), Some(w_out)) = (windows(h_in, k_h), windows(w_in, k_w)) else {
            return Err(Error::shape(
                op,
                format!("expected an image of at least {k_h}x{k_w} with padding {pad} on each side, got {x}"),
            ));
        };
        Ok(Self { n, h_in, w_in, c, h_out, w_out, k_h, k_w, stride, pad })
    }

    /// `[n, h_out, w_out, c]`.
    pub(super) fn output_shape(&self) -> Result<Shape> {
        Shape::new(&[self.n, self.h_out, self.w_out, self.c])
    }

    /// Visits every pixel of every window of one image, windows and pixels in row-major order.
    pub(super) fn each_tap(&self, mut visit: impl FnMut(Tap)) {
        let c = self.c as usize;
        let mut to = 0;
        for a in 0..self.h_out {
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

    /// Positions of a window that lie on the image: in the window and on the image.
    fn on_image(&self, window: u32, k: u32, size: u32) -> impl Iterator<Item = (u32, u32)> + use<> {
        let (start, pad) = (window * self.stride, self.pad);
        (start.max(pad)..(start + k).min(size + pad)).map(move |at| (at - start, at - pad))
    }

    /// Floats of one input image.
    pub(super) fn image_in(&self) -> usize {
        self.h_in as usize * self.w_in as usize * self.c as usize
    }

    /// Floats of one output image.
    pub(super) fn image_out(&self) -> usize {
        self.h_out as usize * self.w_out as usize * self.c as usize
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
