//! What the transforms are given.

use std::ops::Range;

/// One tile of the input: `T` x `T` pixels of all channels; or of a gradient, `M` x `M` of them.
#[derive(Debug, Clone)]
pub(crate) struct Input<'a> {
    /// The image and what follows it.
    pub(crate) x: &'a [f32],
    /// Where the tile's first pixel would be; may lie before the image.
    pub(crate) at: isize,
    /// From one row to the next; pixels are `channels` apart.
    pub(crate) pitch: usize,
    /// Channels.
    pub(crate) channels: usize,
    /// Rows of the tile that lie in the image; the others are zero.
    pub(crate) rows: Range<usize>,
    /// Columns likewise.
    pub(crate) cols: Range<usize>,
    /// Where value 0 goes.
    pub(crate) to: usize,
    /// From one value to the next.
    pub(crate) step: usize,
}

/// One tile of the output: `M` x `M` pixels of the channels of a panel.
#[derive(Debug, Clone)]
pub(crate) struct Output<'a> {
    /// Sums of products.
    pub(crate) sums: &'a [f32],
    /// Where value 0 begins.
    pub(crate) at: usize,
    /// From one value to the next.
    pub(crate) step: usize,
    /// Floats of the panel: one vector or two.
    pub(crate) width: usize,
    /// Added to every pixel, a panel wide.
    pub(crate) bias: Option<&'a [f32]>,
    /// `max(y, 0)` at the end.
    pub(crate) relu: bool,
    /// The pixels, times `scale`, are added to what stands in the output.
    pub(crate) accumulate: bool,
    /// See there.
    pub(crate) scale: f32,
    /// Where the tile's first pixel is.
    pub(crate) to: usize,
    /// From one row of the output to the next.
    pub(crate) pitch: usize,
    /// From one pixel to the next.
    pub(crate) pixel: usize,
    /// Rows and columns of the tile that the output has.
    pub(crate) pixels: [usize; 2],
    /// Channels of the panel that the output has.
    pub(crate) channels: usize,
}
