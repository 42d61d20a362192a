//! The ways to compute a convolution in `f32`, and which one a shape gets.

use super::winograd::Scheme;
use crate::cpu::tile::Tiles;

/// A way to compute a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::op::conv2d) enum Method {
    /// Register tiles on windows where they lie.
    Direct,
    /// Winograd's transforms.
    Winograd(Scheme),
}

/// Sizes of a convolution, or of the gradient of the input of one with stride 1, which is one too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Height and width of what is computed. The number of images is not among the sizes: an image has the same result with any
    /// others.
    pub(super) out: [usize; 2],
    /// Kernel rows and columns.
    pub(super) kernel: [usize; 2],
    /// Channels of what is read and of what is computed.
    pub(super) channels: [usize; 2],
    /// From one window to the next, both ways.
    pub(super) stride: usize,
}

impl Method {
    /// All of them.
    pub(in crate::op::conv2d) const ALL: [Self; 8] = [
        Self::Direct,
        Self::Winograd(Scheme::F2),
        Self::Winograd(Scheme::F4),
        Self::Winograd(Scheme::F2_5),
        Self::Winograd(Scheme::F4_1X7),
        Self::Winograd(Scheme::F4_7X1),
        Self::Winograd(Scheme::F2_STRIDE2),
        Self::Winograd(Scheme::F3_STRIDE2),
    ];

    /// Its name among the ways of a kernel, under which weights are kept that are in its order.
    pub(in crate::op::conv2d) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Winograd(scheme) => scheme.name,
        }
    }

    /// The methods that compute a convolution of these sizes.
    pub(super) fn of(s: &Sizes) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|method| method.suits(s))
    }

    /// Whether it computes a convolution of these sizes.
    pub(super) fn suits(self, s: &Sizes) -> bool {
        match self {
            Self::Direct => true,
            Self::Winograd(scheme) => scheme.kernel() == s.kernel && scheme.stride == s.stride,
        }
    }

    /// The method that should be the fastest, by a count of what it does.
    pub(super) fn choose(tiles: &Tiles, s: &Sizes) -> Self {
        /// With fewer channels the transforms cost what they save.
        const CHANNELS: usize = 24;
        if s.channels.iter().any(|&c| c < CHANNELS) {
            return Self::Direct;
        }
        let direct = Self::Direct.cost(tiles, s);
        let rated = Self::of(s).map(|method| (method.cost(tiles, s), method));
        let (cost, best) = rated.min_by(|a, b| a.0.total_cmp(&b.0)).expect("one method suits all");
        if cost < 0.95 * direct { best } else { Self::Direct }
    }

    /// Multiply-adds and what takes as long. Fitted to times of the convolutions of Inception-ResNet-v1, of one image and of 32,
    /// with AVX-512 and AVX2.
    fn cost(self, tiles: &Tiles, s: &Sizes) -> f64 {
        /// Multiply-adds that take as long as reading one float of the weights from the third-level cache.
        const WEIGHT: f64 = 4.0;
        /// The same for one transformed float.
        const TRANSFORMED: f64 = 22.0;
        /// Images that are assumed: one is as frequent as many.
        const IMAGES: usize = 2;
        /// Fewer rows than that at a time are no faster.
        const ROWS: usize = 8;
        let [c_in, c_out] = s.channels;
        let columns = c_out.next_multiple_of(tiles.lanes);
        let weights = (c_in * columns) as f64;
        match self {
            Self::Direct => {
                let [pixels, taps] = [s.out, s.kernel].map(|[h, w]| h * w);
                let rows = (IMAGES * pixels) as f64;
                taps as f64 * weights * (rows + WEIGHT)
            }
            Self::Winograd(scheme) => {
                let count = scheme.tiles(IMAGES, s.out);
                // As with two threads: the number of threads must not change a result.
                let blocks = scheme.blocks(tiles, s.channels, count, 2);
                let rows = count.max(ROWS * blocks) as f64;
                let read = WEIGHT * blocks as f64 * scheme.weights_len() as f64;
                let transforms = TRANSFORMED * (count * (c_in + columns)) as f64;
                weights * read + scheme.values() as f64 * (weights * rows + transforms)
            }
        }
    }
}
