//! Which pixels of an image a window reads, and where they lie: in the image itself, or in a padded copy of a few rows.

/// One direction of a convolution: windows that begin every `stride` pixels of the source belong to every `step`th pixel
/// of the destination.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// Pixels of the source.
    pub(super) size: usize,
    /// First pixel of the first window; before the image, or behind its beginning, where there is padding to skip.
    pub(super) from: isize,
    /// From one window to the next.
    pub(super) stride: usize,
    /// Pixels of a window.
    pub(super) taps: usize,
    /// Where its weights begin among all.
    pub(super) tap: usize,
    /// Windows.
    pub(super) count: usize,
    /// Destination of the first window.
    pub(super) first: usize,
    /// From one destination to the next.
    pub(super) step: usize,
}

impl Axis {
    /// Forward: every window of the input belongs to a pixel of the output.
    pub(super) fn forward(size: u32, count: u32, taps: u32, stride: u32, pad: u32) -> Self {
        let [size, count, taps, stride, pad] = [size, count, taps, stride, pad].map(|x| x as usize);
        Self { size, from: -pad.cast_signed(), stride, taps, tap: 0, count, first: 0, step: 1 }
    }

    /// Backward: the pixels of the input fall into `stride` phases; each is reached by every `stride`th tap, last first.
    pub(super) fn backward(size: u32, count: u32, taps: u32, stride: u32, pad: u32) -> Vec<Self> {
        let [size, count, all, stride, pad] = [size, count, taps, stride, pad].map(|x| x as usize);
        let mut tap = 0;
        let phase = |phase| {
            let taps = all.saturating_sub(phase).div_ceil(stride);
            let first = (phase + stride - pad % stride) % stride;
            let from = ((first + pad) / stride).cast_signed() - taps.cast_signed() + 1;
            let count = count.saturating_sub(first).div_ceil(stride);
            tap += taps;
            Self { size, from, stride: 1, taps, tap: tap - taps, count, first, step: stride }
        };
        (0..stride).map(phase).collect()
    }

    /// Pixels from the beginning of the first window to the end of the last.
    fn reach(&self) -> usize {
        (self.count.max(1) - 1) * self.stride + self.taps
    }

    /// Whether every window lies in the image.
    fn inside(&self) -> bool {
        self.from >= 0 && self.from.unsigned_abs() + self.reach() <= self.size
    }

    /// Which window belongs to a pixel of the destination.
    pub(super) fn window_of(&self, destination: usize) -> Option<usize> {
        let past = destination.checked_sub(self.first)?;
        (past % self.step == 0).then_some(past / self.step)
    }
}

/// The windows of a batch of images.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows<'a> {
    /// The images.
    pub(super) x: &'a [f32],
    /// Their channels.
    pub(super) c: usize,
    /// Rows.
    pub(super) rows: Axis,
    /// Columns.
    pub(super) cols: Axis,
}

impl<'a> Windows<'a> {
    /// Floats of one run of a window: its pixels of one row.
    pub(super) fn run(&self) -> usize {
        self.cols.taps * self.c
    }

    /// Floats of a window.
    pub(super) fn depth(&self) -> usize {
        self.rows.taps * self.run()
    }

    /// Calls `visit` with the floats in which the windows of some rows of windows lie, the floats from one run of a
    /// window to the next, and the beginning of each row's first window. A row of windows is an image and a number; they
    /// come in order.
    pub(super) fn band<R>(
        &self,
        lines: &[(usize, usize)],
        copy: &mut Vec<f32>,
        visit: impl FnOnce(&[f32], usize, &[usize]) -> R,
    ) -> R {
        let (rows, cols) = (self.rows, self.cols);
        let mut at = Vec::with_capacity(lines.len());
        if rows.inside() && cols.inside() {
            let (y0, x0) = (rows.from.unsigned_abs(), cols.from.unsigned_abs());
            let line =
                |&(image, i): &(usize, usize)| ((image * rows.size + y0 + i * rows.stride) * cols.size + x0) * self.c;
            at.extend(lines.iter().map(line));
            return visit(self.x, cols.size * self.c, &at);
        }
        copy.clear();
        let pitch = cols.reach() * self.c;
        let (mut image, mut end) = (usize::MAX, 0);
        for &(of, i) in lines {
            let y = rows.from + (i * rows.stride).cast_signed();
            if image != of {
                (image, end) = (of, y);
            }
            let last = y + rows.taps.cast_signed();
            while end < last {
                self.copy_row(image, end, copy);
                end += 1;
            }
            // Rows that are no longer wanted or not yet written lie between this line's end and the copy's.
            at.push((copy.len() / pitch.max(1)).saturating_sub(usize::try_from(end - y).unwrap_or(0)) * pitch);
        }
        visit(copy, pitch, &at)
    }

    /// Appends one padded row of an image.
    fn copy_row(&self, image: usize, y: isize, copy: &mut Vec<f32>) {
        let (cols, reach) = (self.cols, self.cols.reach());
        let row = usize::try_from(y).ok().filter(|&y| y < self.rows.size);
        let left = usize::try_from(-cols.from).unwrap_or(0).min(reach);
        let begin = usize::try_from(cols.from).unwrap_or(0);
        let len = (reach - left).min(cols.size.saturating_sub(begin));
        let end = copy.len() + reach * self.c;
        if let Some(row) = row {
            copy.resize(copy.len() + left * self.c, 0.0);
            let from = ((image * self.rows.size + row) * cols.size + begin) * self.c;
            copy.extend_from_slice(&self.x[from..][..len * self.c]);
        }
        copy.resize(end, 0.0);
    }
}
