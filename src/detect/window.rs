//! Windows: squares on an image that may show a face.

use std::ops::Range;

use image::RgbImage;

/// A window that a network has let pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    /// Left, top, right and bottom edge.
    pub(super) bounds: [f32; 4],
    /// How likely it shows a face.
    pub(super) score: f32,
}

/// The square around the middle of `bounds` whose side is the longer one.
pub(super) fn square(bounds: [f32; 4]) -> [f32; 4] {
    let [left, top, right, bottom] = bounds;
    let (width, height) = (right - left, bottom - top);
    let side = width.max(height);
    let left = left + width * 0.5 - side * 0.5;
    let top = top + height * 0.5 - side * 0.5;
    [left, top, left + side, top + side]
}

/// The edges moved by parts of the width and height; `one` is 1 where edges are counted as pixels of the face, 0 where as
/// lines around it.
pub(super) fn moved([left, top, right, bottom]: [f32; 4], by: [f32; 4], one: f32) -> [f32; 4] {
    let (width, height) = (right - left + one, bottom - top + one);
    [left + by[0] * width, top + by[1] * height, right + by[2] * width, bottom + by[3] * height]
}

/// The columns and rows of the image that a window shows, `None` where it shows none. Edges are counted from 1 and rounded
/// towards zero.
pub(super) fn pixels(bounds: [f32; 4], image: &RgbImage) -> Option<[Range<usize>; 2]> {
    let range = |from: f32, to: f32, size: u32| {
        #[expect(clippy::cast_possible_truncation, reason = "rounding towards zero is meant")]
        let (from, to) = ((from as i64).max(1), (to as i64).min(i64::from(size)));
        let range = usize::try_from(from - 1).ok()?..usize::try_from(to).ok()?;
        (!range.is_empty()).then_some(range)
    };
    let [left, top, right, bottom] = bounds;
    let finite = bounds.iter().all(|x| x.is_finite());
    finite.then_some([range(left, right, image.width())?, range(top, bottom, image.height())?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_shows_what_of_it_lies_on_the_image() {
        let image = RgbImage::new(30, 20);
        let pixels = |bounds| pixels(bounds, &image);
        assert_eq!(pixels([3.9, 2.1, 12.9, 9.9]), Some([2..12, 1..9]));
        assert_eq!(pixels([-7.5, -0.5, 100.0, 100.0]), Some([0..30, 0..20]));
        assert_eq!(pixels([31.5, 2.0, 40.0, 10.0]), None, "beside the image");
        assert_eq!(pixels([-9.0, 2.0, 0.9, 10.0]), None);
        assert_eq!(pixels([5.0, 5.0, 5.0, 5.0]), Some([4..5, 4..5]));
        assert_eq!(pixels([f32::NAN, 5.0, 5.0, 5.0]), None);
        assert_eq!(pixels([-1e30, -1e30, 1e30, f32::INFINITY]), None);
        assert_eq!(pixels([-1e30, -1e30, 1e30, 1e30]), Some([0..30, 0..20]));
    }
}
