//! Area resampling: a pixel is the mean of the pixels that it covers, whole ones, as PyTorch's adaptive average pooling has
//! it. Sums are of integers and exact; PyTorch sums floats, which differ in the last bit where an area is larger than 65,793
//! pixels.

use std::ops::Range;

use image::RgbImage;

/// A rectangle of an image.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    bytes: &'a [u8],
    /// Pixels from one row to the next.
    stride: usize,
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl<'a> View<'a> {
    /// All of an image.
    pub(super) fn whole(image: &'a RgbImage) -> Self {
        let (width, height) = (image.width() as usize, image.height() as usize);
        Self { bytes: image.as_raw(), stride: width, left: 0, top: 0, width, height }
    }

    /// Some columns and rows of an image, which must lie on it.
    pub(super) fn part(image: &'a RgbImage, columns: Range<usize>, rows: Range<usize>) -> Self {
        let (left, top, width, height) = (columns.start, rows.start, columns.len(), rows.len());
        Self { left, top, width, height, ..Self::whole(image) }
    }

    /// Some rows and columns of this rectangle at another size, `size` high and wide, as MTCNN reads pixels: to floats from
    /// -1 to 1, `rows * columns * 3` of them.
    pub(super) fn resample(self, size: [u32; 2], rows: Range<u32>, columns: Range<u32>, out: &mut [f32]) {
        let from = |at: u32, len: usize, size: u32| {
            let (at, size) = (at as usize, size as usize);
            at * len / size..((at + 1) * len).div_ceil(size)
        };
        let spans: Vec<Range<usize>> = columns.map(|at| from(at, self.width, size[1])).collect();
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return };
        let (left, right) = (first.start, last.end);
        let mut sums = vec![0_u32; (right - left) * 3];
        for (row, out) in rows.zip(out.chunks_exact_mut(spans.len() * 3)) {
            let lines = from(row, self.height, size[0]);
            let count = lines.len();
            for (i, line) in lines.enumerate() {
                let begin = ((self.top + line) * self.stride + self.left + left) * 3;
                let bytes = &self.bytes[begin..][..sums.len()];
                if i == 0 {
                    sums.iter_mut().zip(bytes).for_each(|(sum, &byte)| *sum = u32::from(byte));
                } else {
                    sums.iter_mut().zip(bytes).for_each(|(sum, &byte)| *sum += u32::from(byte));
                }
            }
            for (span, out) in spans.iter().zip(out.as_chunks_mut::<3>().0) {
                let mut total = [0; 3];
                for pixel in sums[(span.start - left) * 3..(span.end - left) * 3].as_chunks::<3>().0 {
                    total.iter_mut().zip(pixel).for_each(|(total, sum)| *total += sum);
                }
                let pixels = (count * span.len()) as f32;
                *out = total.map(|total| (total as f32 / pixels - 127.5) * 0.007_812_5);
            }
        }
    }
}
