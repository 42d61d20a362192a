//! Augmentation as part of a batch description: chosen by the sampler's seed, applied in the loader's threads.

mod light;
mod sheet;
mod warp;

pub use sheet::augment_sheet;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// A set of random changes that go well together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum Preset {
    /// No change
    #[default]
    None,
    /// Mirrored and shifted
    Basic,
    /// Also turned, scaled and lit a little otherwise
    Light,
    /// More of it, and blurred, compressed, partly erased, without colour
    Strong,
}

/// Which random changes a training image may get. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "program", derive(clap::Args))]
#[non_exhaustive]
pub struct Augment {
    /// Random changes of training images; the flags below set single ones.
    #[cfg_attr(feature = "program", arg(id = "augment.preset", long = "augment", value_enum, value_name = "PRESET",
                                        default_value_t = Self::TRAINING.preset))]
    pub preset: Preset,

    /// Do not mirror training images.
    #[cfg_attr(feature = "program", arg(id = "augment.no_flip", long = "no-flip"))]
    pub no_flip: bool,

    /// Shift by up to this many pixels in each direction; the border is repeated.
    #[cfg_attr(feature = "program", arg(id = "augment.shift", long = "shift", value_name = "PX",
                                        value_parser = clap::value_parser!(u32).range(..=64)))]
    pub shift: Option<u32>,

    /// Turn by up to this many degrees to either side.
    #[cfg_attr(feature = "program", arg(id = "augment.rotate", long = "rotate", value_name = "DEGREES",
                                        value_parser = clap::value_parser!(u32).range(..=90)))]
    pub rotate: Option<u32>,

    /// Enlarge or shrink by up to this many percent.
    #[cfg_attr(feature = "program", arg(id = "augment.zoom", long = "zoom", value_name = "PERCENT",
                                        value_parser = clap::value_parser!(u32).range(..=50)))]
    pub zoom: Option<u32>,

    /// Change brightness, contrast and saturation by up to this many percent each.
    #[cfg_attr(feature = "program", arg(id = "augment.light", long = "light", value_name = "PERCENT",
                                        value_parser = clap::value_parser!(u32).range(..=90)))]
    pub light: Option<u32>,

    /// Blur this many percent of the images.
    #[cfg_attr(feature = "program", arg(id = "augment.blur", long = "blur", value_name = "PERCENT",
                                        value_parser = clap::value_parser!(u32).range(..=100)))]
    pub blur: Option<u32>,

    /// Compress this many percent of the images as JPEG, with a quality from 20 to 90.
    #[cfg_attr(feature = "program", arg(id = "augment.jpeg", long = "jpeg", value_name = "PERCENT",
                                        value_parser = clap::value_parser!(u32).range(..=100)))]
    pub jpeg: Option<u32>,

    /// Paint a rectangle over this many percent of the images (random erasing).
    #[cfg_attr(feature = "program", arg(id = "augment.erase", long = "erase", value_name = "PERCENT",
                                        value_parser = clap::value_parser!(u32).range(..=100)))]
    pub erase: Option<u32>,

    /// Take the colour out of this many percent of the images.
    #[cfg_attr(feature = "program", arg(id = "augment.grey", long = "grey", value_name = "PERCENT",
                                        value_parser = clap::value_parser!(u32).range(..=100)))]
    pub grey: Option<u32>,
}

/// The changes drawn for one image. Whole numbers, so that equal views are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Mirrored left and right.
    pub flip: bool,
    /// Pixels the picture moves to the right.
    pub dx: i32,
    /// Pixels the picture moves down.
    pub dy: i32,
    /// The other changes, if there may be any.
    pub detail: Option<Detail>,
}

/// Changes beyond mirroring and shifting. "Permille" is thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detail {
    /// Hundredths of a degree, clockwise.
    pub angle: i32,
    /// Permille that the picture grows.
    pub zoom: i32,
    /// Permille of brightness, contrast and saturation.
    pub light: [i32; 3],
    /// Permille of a pixel: standard deviation of a Gauss blur; 0 is none.
    pub blur: u32,
    /// Quality of a JPEG; 0 is none.
    pub jpeg: u8,
    /// Left, top, width and height of a painted rectangle, in permille of the image; of no size is none.
    pub erase: [u32; 4],
    /// Without colour.
    pub grey: bool,
}

impl Augment {
    /// What training does unless it is told otherwise.
    pub const TRAINING: Self = Self {
        preset: Preset::Basic,
        no_flip: false,
        shift: None,
        rotate: None,
        zoom: None,
        light: None,
        blur: None,
        jpeg: None,
        erase: None,
        grey: None,
    };

    /// The changes of a preset.
    pub fn preset(preset: Preset) -> Self {
        Self { preset, ..Self::default() }
    }

    /// Whether images are mirrored.
    fn flip(&self) -> bool {
        self.preset != Preset::None && !self.no_flip
    }

    /// Which changes there are, in words.
    pub fn in_words(&self) -> String {
        let (shift, [rotate, zoom, light, blur, jpeg, erase, grey]) = self.values();
        let mut words = Vec::new();
        if self.flip() {
            words.push("mirrored".to_string());
        }
        for (value, text) in [
            (shift, format!("shifted by up to {shift} pixels")),
            (rotate, format!("turned by up to {rotate} degrees")),
            (zoom, format!("scaled by up to {zoom} %")),
            (light, format!("lit otherwise by up to {light} %")),
            (blur, format!("{blur} % blurred")),
            (jpeg, format!("{jpeg} % compressed")),
            (erase, format!("{erase} % partly erased")),
            (grey, format!("{grey} % without colour")),
        ] {
            if value > 0 {
                words.push(text);
            }
        }
        if words.is_empty() { "none".to_string() } else { words.join(", ") }
    }

    /// The value of each setting: shift, then rotate, zoom, light, blur, jpeg, erase, grey.
    fn values(&self) -> (u32, [u32; 7]) {
        let (shift, others) = match self.preset {
            Preset::None => (0, [0; 7]),
            Preset::Basic => (3, [0; 7]),
            Preset::Light => (3, [5, 5, 15, 0, 0, 0, 0]),
            Preset::Strong => (4, [10, 12, 30, 15, 25, 25, 10]),
        };
        let own = [self.rotate, self.zoom, self.light, self.blur, self.jpeg, self.erase, self.grey];
        let mut values = others;
        values.iter_mut().zip(own).for_each(|(value, own)| *value = own.unwrap_or(*value));
        (self.shift.unwrap_or(shift), values)
    }

    /// Draws the changes of one image.
    pub fn draw(&self, rng: &mut impl Rng) -> View {
        let flip = self.flip() && rng.random_bool(0.5);
        let (shift, others) = self.values();
        let (mut dx, mut dy) = (0, 0);
        if shift > 0 {
            let most = i32::try_from(shift).unwrap_or(i32::MAX);
            (dx, dy) = (rng.random_range(-most..=most), rng.random_range(-most..=most));
        }
        let detail = (others != [0; 7]).then(|| Detail::draw(others, rng));
        View { flip, dx, dy, detail }
    }
}

impl Detail {
    fn draw([rotate, zoom, light, blur, jpeg, erase, grey]: [u32; 7], rng: &mut impl Rng) -> Self {
        let mut around = |most: u32, unit: u32| {
            let most = i32::try_from(most * unit).unwrap_or(i32::MAX);
            rng.random_range(-most..=most)
        };
        let (angle, zoom) = (around(rotate, 100), around(zoom, 10));
        let light = [around(light, 10), around(light, 10), around(light, 10)];
        // Everything is drawn, so that one setting changes nothing of another.
        let mut chosen = |percent: u32| rng.random_range(0..100) < percent;
        let [blurred, compressed, erased, grey] = [blur, jpeg, erase, grey].map(&mut chosen);
        let (sigma, quality) = (rng.random_range(400..=1200), rng.random_range(20..=90));
        let [width, height]: [u32; 2] = [(); 2].map(|()| rng.random_range(150..=400));
        let (left, top) = (rng.random_range(0..=1000 - width), rng.random_range(0..=1000 - height));
        Self {
            angle,
            zoom,
            light,
            blur: if blurred { sigma } else { 0 },
            jpeg: if compressed { quality } else { 0 },
            erase: if erased { [left, top, width, height] } else { [0; 4] },
            grey,
        }
    }
}

impl View {
    /// Whether the image stays as it is.
    pub fn is_identity(&self) -> bool {
        *self == Self::default()
    }

    /// The changed copy of `face`, which is `width` pixels wide and RGB: mirrored first, then shifted, turned and scaled in
    /// one resampling, then lit, blurred, compressed and painted over.
    ///
    /// # Panics
    /// If `width` is 0 or `face` is not a whole number of rows.
    pub fn apply(&self, face: &[u8], width: u32) -> Vec<u8> {
        let row_len = width as usize * 3;
        assert!(row_len > 0 && face.len().is_multiple_of(row_len), "{} bytes, {width} pixels wide", face.len());
        match &self.detail {
            Some(detail) => {
                let warped = if detail.angle == 0 && detail.zoom == 0 {
                    self.shifted(face, width)
                } else {
                    warp::warp(self, detail, face, width)
                };
                light::apply(detail, warped, width)
            }
            None => self.shifted(face, width),
        }
    }

    /// Whole pixels that move keep their values.
    fn shifted(&self, face: &[u8], width: u32) -> Vec<u8> {
        let columns = i64::from(width);
        let rows = (face.len() / (width as usize * 3)) as i64;
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
        let view = View { dx: 1, dy: 1, ..View::default() };
        let moved = view.apply(&grey(&[[1, 2, 3], [4, 5, 6]]), 3);
        assert_eq!(moved, grey(&[[1, 1, 2], [1, 1, 2]]));
    }

    #[test]
    fn a_shift_beyond_the_image_stays_inside_it() {
        let view = View { dx: -100, ..View::default() };
        assert_eq!(view.apply(&grey(&[[1, 2, 3]]), 3), grey(&[[3, 3, 3]]));
    }

    #[test]
    fn draws_stay_in_range_and_reach_both_ends_and_both_flips() {
        let augment = Augment { shift: Some(2), ..Augment::TRAINING };
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

    /// A picture with detail everywhere.
    fn picture(size: u32) -> Vec<u8> {
        crate::data::testing::gradient(size, size, 90).into_raw()
    }

    fn detail(change: impl FnOnce(&mut Detail)) -> View {
        let mut detail = Detail::default();
        change(&mut detail);
        View { detail: Some(detail), ..View::default() }
    }

    #[test]
    fn presets_draw_the_same_from_the_same_seed_and_single_settings_come_before_them() {
        let draws = |augment: Augment| {
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            (0..50).map(|_| augment.draw(&mut rng)).collect::<Vec<View>>()
        };
        let strong = Augment::preset(Preset::Strong);
        assert_eq!(draws(strong), draws(strong));
        assert!(draws(strong).iter().any(|view| view.detail.unwrap().jpeg > 0));
        let without = Augment { jpeg: Some(0), ..strong };
        for (with, without) in draws(strong).iter().zip(draws(without)) {
            let mut expected = *with;
            expected.detail.as_mut().unwrap().jpeg = 0;
            assert_eq!(without, expected, "one setting changes nothing of another");
        }
        assert!(draws(Augment::preset(Preset::Basic)).iter().all(|view| view.detail.is_none()));
        assert!(draws(Augment { rotate: Some(9), ..Augment::default() }).iter().all(|v| v.detail.is_some() && !v.flip));
    }

    #[test]
    fn a_turn_by_a_quarter_moves_every_pixel_to_its_place() {
        let (size, face) = (9, picture(9));
        let turned = detail(|d| d.angle = 9000).apply(&face, size);
        let at = |face: &[u8], x: usize, y: usize| face[(y * 9 + x) * 3..][..3].to_vec();
        for (x, y) in [(0, 0), (8, 0), (3, 5), (4, 4)] {
            assert_eq!(at(&turned, 8 - y, x), at(&face, x, y), "{x}, {y}");
        }
        let back = detail(|d| d.angle = -9000).apply(&turned, size);
        assert_eq!(back, face);
    }

    #[test]
    fn zoom_keeps_the_middle_and_a_tiny_turn_hardly_changes_anything() {
        let (size, face) = (33, picture(33));
        let middle = |face: &[u8]| face[(16 * 33 + 16) * 3..][..3].to_vec();
        let larger = detail(|d| d.zoom = 500).apply(&face, size);
        assert_eq!(middle(&larger), middle(&face));
        assert!(larger[0] > face[0], "the corner comes from further inside");
        let turned = detail(|d| d.angle = 50).apply(&face, size);
        let most = turned.iter().zip(&face).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!((1..12).contains(&most), "{most}");
    }

    #[test]
    fn light_blur_jpeg_erasing_and_grey_do_what_they_say() {
        let (size, face) = (32, picture(32));
        let mean = |face: &[u8]| face.iter().map(|&x| f64::from(x)).sum::<f64>() / face.len() as f64;
        let lit = |light| detail(|d| d.light = light).apply(&face, size);
        assert!(mean(&lit([300, 0, 0])) > mean(&face) + 10.0 && mean(&lit([-300, 0, 0])) < mean(&face) - 10.0);
        let spread = |face: &[u8]| face.iter().map(|&x| (f64::from(x) - mean(face)).powi(2)).sum::<f64>();
        assert!(spread(&lit([0, -500, 0])) < 0.5 * spread(&face));
        let grey = |face: &[u8]| face.chunks(3).all(|p| p[0].abs_diff(p[1]) <= 1 && p[1].abs_diff(p[2]) <= 1);
        assert!(grey(&lit([0, 0, -1000])) && grey(&detail(|d| d.grey = true).apply(&face, size)) && !grey(&face));
        let noise: Vec<u8> = (0..32 * 32 * 3_usize).map(|i| u8::try_from(i * 7919 % 251).unwrap()).collect();
        assert!(spread(&detail(|d| d.blur = 1000).apply(&noise, size)) < 0.7 * spread(&noise));
        let compressed = detail(|d| d.jpeg = 30).apply(&face, size);
        assert!(compressed != face && (mean(&compressed) - mean(&face)).abs() < 3.0);
        let erased = detail(|d| d.erase = [250, 250, 500, 500]).apply(&face, size);
        let changed = erased.chunks(3).zip(face.chunks(3)).filter(|(a, b)| a != b).count();
        assert!((250..=256).contains(&changed), "{changed} of 16 x 16 pixels");
    }
}
