//! What the kernels of a tile are given.

/// `sums[m] = bias + sum over r, k of a[at[m] + r * pitch + k] * b[r * len + k]` for rows `m`, each a panel wide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// Where the left rows are.
    pub(crate) a: &'a [f32],
    /// From one run of a row to the next.
    pub(crate) pitch: usize,
    /// Runs of a row.
    pub(crate) runs: usize,
    /// Floats of a run.
    pub(crate) len: usize,
    /// Floats of a row of the panel: one vector or two.
    pub(crate) width: usize,
    /// The panel: `runs * len` rows.
    pub(crate) b: &'a [f32],
    /// Added to every row, a panel wide.
    pub(crate) bias: Option<&'a [f32]>,
    /// `max(sum, 0)` at the end.
    pub(crate) relu: bool,
    /// The sums, times `scale`, are added to what stands in the output.
    pub(crate) accumulate: bool,
    /// See there.
    pub(crate) scale: f32,
    /// Where in `a` to fetch ahead what is wanted next, one cache line for each float of the depth.
    pub(crate) ahead: Option<usize>,
    /// The panel that is wanted next, to be fetched on the way, and how many cache lines of it for each float of the depth: one
    /// or two. The weights of a network come from memory once for each image, which takes as long as the products of a small one.
    pub(crate) next: Option<(&'a [f32], usize)>,
}

/// Which part of the next panel tile number `tile` of `tiles` fetches: they share it, one cache line for each float of the depth, or
/// two where there is one tile.
pub(crate) fn part_of_next(next: &[f32], tile: usize, tiles: usize) -> Option<(&[f32], usize)> {
    match (tile, tiles) {
        (0, 1) => Some((next, 2)),
        (0 | 1, _) => next.get(tile * next.len() / 2..).map(|part| (part, 1)),
        _ => None,
    }
}

/// `sums[m] = init[m] + sum over t of a[t][m] * b[t]` for rows `m`, each a panel wide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cols<'a> {
    /// The left columns one behind the other, a vector each, as [`pack`](super::Tiles::pack) has them.
    pub(crate) a: &'a [f32],
    /// Floats of a row of the panel: one vector or two.
    pub(crate) width: usize,
    /// The panel: a row for each column.
    pub(crate) b: &'a [f32],
    /// The sums start from what stands in the output.
    pub(crate) accumulate: bool,
}

/// `out[to + m * to_step + c] = init + sum over t of a[first + m * step + from[t] + c] * b[with[t] + c]` for `count` rows
/// `m` and all channels `c`: each channel for itself, as a depthwise convolution and its gradients have it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taps<'a> {
    /// The left factor.
    pub(crate) a: &'a [f32],
    /// Where its first row begins.
    pub(crate) first: usize,
    /// From one of its rows to the next.
    pub(crate) step: usize,
    /// Rows.
    pub(crate) count: usize,
    /// From the beginning of a row to the channels of each term.
    pub(crate) from: &'a [usize],
    /// The right factor.
    pub(crate) b: &'a [f32],
    /// Where the channels of each term are.
    pub(crate) with: &'a [usize],
    /// Channels.
    pub(crate) channels: usize,
    /// Added to every row, as long as there are channels.
    pub(crate) bias: Option<&'a [f32]>,
    /// `max(sum, 0)` at the end.
    pub(crate) relu: bool,
    /// The sums start from what stands in the output.
    pub(crate) accumulate: bool,
    /// Where the first row of the output begins.
    pub(crate) to: usize,
    /// From one row of the output to the next.
    pub(crate) to_step: usize,
    /// From the beginning of a row to what to fetch ahead: what is wanted next.
    pub(crate) ahead: Option<usize>,
}

impl Taps<'_> {
    /// Whether the terms come by threes that lie one row apart, as in a kernel of three columns: what a row reads for one
    /// term, the next row reads for the term before.
    pub(super) fn slides(&self) -> bool {
        let next = |a: usize, b: usize| b == a + self.step;
        let (threes, rest) = self.from.as_chunks::<3>();
        rest.is_empty() && threes.iter().all(|&[a, b, c]| next(a, b) && next(b, c))
    }
}
