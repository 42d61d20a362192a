//! Augmentation as part of a batch description: chosen by the sampler's seed, applied when floats are written.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// Which random changes a training image may get. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "program", derive(clap::Args))]
#[non_exhaustive]
pub struct Augment {
    /// Mirror left and right with probability one half.
    #[cfg_attr(feature = "program", arg(id = "augment.flip", long = "no-flip", action = clap::ArgAction::SetFalse,
                                        help = "Do not mirror training images"))]
    pub flip: bool,

    /// Shift training images by up to this many pixels in each direction; the border is repeated.
    #[cfg_attr(feature = "program", arg(id = "augment.shift", long = "shift", value_name = "PX",
                                        default_value_t = Self::TRAINING.shift,
                                        value_parser = clap::value_parser!(u32).range(..=64)))]
    pub shift: u32,
}

/// The changes drawn for one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Mirrored left and right.
    pub flip: bool,
    /// Pixels the picture moves to the right.
    pub dx: i32,
    /// Pixels the picture moves down.
    pub dy: i32,
}

impl Augment {
    /// What training does unless it is told otherwise.
    pub const TRAINING: Self = Self { flip: true, shift: 3 };

    /// Draws the changes of one image.
    pub fn draw(&self, rng: &mut impl Rng) -> View {
        let flip = self.flip && rng.random_bool(0.5);
        if self.shift == 0 {
            return View { flip, dx: 0, dy: 0 };
        }
        let most = i32::try_from(self.shift).unwrap_or(i32::MAX);
        View { flip, dx: rng.random_range(-most..=most), dy: rng.random_range(-most..=most) }
    }
}

impl View {
    /// Whether the image stays as it is.
    pub fn is_identity(&self) -> bool {
        *self == Self::default()
    }

    /// The changed copy of `face`, which is `width` pixels wide and RGB: mirrored first, then shifted.
    ///
    /// # Panics
    /// If `width` is 0 or `face` is not a whole number of rows.
    pub fn apply(&self, face: &[u8], width: u32) -> Vec<u8> {
        let columns = i64::from(width);
        let row_len = width as usize * 3;
        assert!(row_len > 0 && face.len().is_multiple_of(row_len), "{} bytes, {width} pixels wide", face.len());
        let rows = (face.len() / row_len) as i64;
        let mut out = Vec::with_capacity(face.len());
        for y in 0..rows {
            let from_y = (y - i64::from(self.dy)).clamp(0, rows - 1);
            for x in 0..columns {
                let shifted = (x - i64::from(self.dx)).clamp(0, columns - 1);
                let from_x = if self.flip { columns - 1 - shifted } else { shifted };
                let at = usize::try_from((from_y * columns + from_x) * 3).expect("clamped into the image");
                out.extend_from_slice(&face[at..at + 3]);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// Rows of grey values as RGB bytes.
    fn grey(rows: &[[u8; 3]]) -> Vec<u8> {
        rows.iter().flatten().flat_map(|&x| [x; 3]).collect()
    }

    #[test]
    fn a_flip_mirrors_every_row_and_keeps_colours_together() {
        let view = View { flip: true, ..View::default() };
        assert_eq!(view.apply(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], 2), [4, 5, 6, 1, 2, 3, 10, 11, 12, 7, 8, 9]);
    }

    #[test]
    fn a_shift_moves_right_and_down_and_repeats_the_border() {
        let view = View { flip: false, dx: 1, dy: 1 };
        let moved = view.apply(&grey(&[[1, 2, 3], [4, 5, 6]]), 3);
        assert_eq!(moved, grey(&[[1, 1, 2], [1, 1, 2]]));
    }

    #[test]
    fn a_shift_beyond_the_image_stays_inside_it() {
        let view = View { flip: false, dx: -100, dy: 0 };
        assert_eq!(view.apply(&grey(&[[1, 2, 3]]), 3), grey(&[[3, 3, 3]]));
    }

    #[test]
    fn draws_stay_in_range_and_reach_both_ends_and_both_flips() {
        let augment = Augment { flip: true, shift: 2 };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let views: Vec<View> = (0..500).map(|_| augment.draw(&mut rng)).collect();
        assert_eq!((views.iter().map(|v| v.dx).min(), views.iter().map(|v| v.dx).max()), (Some(-2), Some(2)));
        assert_eq!((views.iter().map(|v| v.dy).min(), views.iter().map(|v| v.dy).max()), (Some(-2), Some(2)));
        let flips = views.iter().filter(|v| v.flip).count();
        assert!((200..300).contains(&flips), "{flips} of 500");
    }

    #[test]
    fn no_augmentation_draws_the_identity() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert!(Augment::default().draw(&mut rng).is_identity());
    }
}
