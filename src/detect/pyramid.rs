//! Levels of a pyramid and the tiles that they are cut into: P-Net runs on tiles, so that its memory does not grow with the
//! image, and many tiles of one size go through it together.

use std::ops::Range;

/// Side of P-Net's window, pixels.
pub(super) const NETWORK: u32 = 12;
/// From one window to the next, pixels.
pub(super) const STRIDE: u32 = 2;
/// Most windows of a tile, one way.
const MOST: u32 = 128;

/// A copy of the image at another scale.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Level {
    /// Pixels of this level for a pixel of the image.
    pub(super) scale: f64,
    /// Height and width.
    pub(super) size: [u32; 2],
    /// Tiles from top to bottom and from left to right.
    pub(super) tiles: [Axis; 2],
}

/// How a level is cut along one axis. All tiles are as long, and each answers for windows of its own.
///
/// P-Net's pooling rounds up: on an odd length its last window sees a row less than the others. So tiles are as odd as the
/// level, the last one ends where the level does, and the last windows of other odd tiles, which are not what they would be
/// on the whole level, belong to the next tile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    /// Length of each tile, pixels.
    pub(super) len: u32,
    /// Where each tile begins, windows.
    pub(super) starts: Vec<u32>,
    /// Which windows of the level each tile answers for.
    pub(super) own: Vec<Range<u32>>,
}

impl Level {
    pub(super) fn new(height: u32, width: u32, scale: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounding down is meant")]
        let side = |side: u32| (f64::from(side) * scale + 1.0) as u32;
        let size = [side(height), side(width)];
        Self { scale, size, tiles: size.map(Axis::new) }
    }

    /// Height and width of a tile.
    pub(super) fn tile(&self) -> [u32; 2] {
        [self.tiles[0].len, self.tiles[1].len]
    }
}

/// Windows along `len` pixels.
fn windows(len: u32) -> u32 {
    // A convolution takes 2 off, pooling halves and rounds up, two more convolutions take 4 off.
    (len - 2).div_ceil(2) - 4
}

impl Axis {
    fn new(len: u32) -> Self {
        let all = windows(len);
        if all <= MOST {
            let whole = 0..all;
            return Self { len, starts: vec![0], own: vec![whole] };
        }
        let odd = len % 2;
        // Of an odd tile the last window is for the last tile only.
        let count = (all - odd).div_ceil(MOST - odd);
        let step = (all - odd).div_ceil(count);
        let per_tile = step + odd;
        let starts = (0..count).map(|i| (i * step).min(all - per_tile)).collect();
        let own = (0..count).map(|i| i * step..if i + 1 == count { all } else { (i + 1) * step }).collect();
        Self { len: STRIDE * per_tile + 10 - odd, starts, own }
    }
}

/// An axis of one tile.
#[cfg(test)]
pub(super) fn whole(len: u32) -> Axis {
    let all = 0..windows(len);
    Axis { len, starts: vec![0], own: vec![all] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_answer_for_every_window_once_and_lie_on_the_level() {
        for len in (12..3000).chain([8190, 8191, 100_000, 100_001]) {
            let axis = Axis::new(len);
            let per_tile = windows(axis.len);
            let mut next = 0;
            for (&start, own) in axis.starts.iter().zip(&axis.own) {
                assert_eq!(own.start, next, "{len}");
                assert!(!own.is_empty() && start <= own.start, "{len}");
                let last = own.end == windows(len);
                assert!(own.end <= start + per_tile - u32::from(len % 2 == 1 && !last), "{len}");
                let end = STRIDE * start + axis.len;
                assert!(if last { end == len } else { end <= len }, "{len}: {axis:?}");
                next = own.end;
            }
            assert_eq!(next, windows(len), "{len}");
            assert!(per_tile <= MOST);
        }
    }
}
