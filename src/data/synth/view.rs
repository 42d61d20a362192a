//! What differs from image to image of one person: pose, expression, light, clothes, background, camera.

use super::colour::{self, Colour};
use super::dice::Dice;

/// How one image is taken.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) pose: Pose,
    pub(super) expression: Expression,
    pub(super) light: Light,
    pub(super) camera: Camera,
    pub(super) background: Background,
    pub(super) clothes: Colour,
    /// Depth of the neckline.
    pub(super) neckline: f32,
    pub(super) occlusion: Occlusion,
}

/// Where the head is and where it looks. Angles are held as their sines: a sine from the random stream needs no
/// call of the system's mathematics library, whose last digits differ between machines.
#[derive(Debug, Clone)]
pub(super) struct Pose {
    pub(super) yaw: f32,
    pub(super) pitch: f32,
    pub(super) roll: f32,
    pub(super) scale: f32,
    pub(super) shift: [f32; 2],
}

#[derive(Debug, Clone)]
pub(super) struct Expression {
    /// From -1 (sad) to 1 (broad smile).
    pub(super) smile: f32,
    pub(super) open: f32,
    pub(super) brow_raise: f32,
    /// 1 is wide awake, 0 is closed.
    pub(super) eyelids: f32,
    pub(super) gaze: [f32; 2],
}

#[derive(Debug, Clone)]
pub(super) struct Light {
    /// Unit vector towards the lamp; z points at the camera.
    pub(super) direction: [f32; 3],
    pub(super) strength: f32,
    pub(super) tint: Colour,
}

#[derive(Debug, Clone)]
pub(super) struct Camera {
    /// Radius in sixty-fourths of the image width.
    pub(super) blur: f32,
    pub(super) noise: f32,
    pub(super) gain: Colour,
    /// Bends the tone curve: positive lifts the mid tones.
    pub(super) curve: f32,
}

#[derive(Debug, Clone)]
pub(super) struct Background {
    pub(super) colours: [Colour; 2],
    /// Direction of the gradient.
    pub(super) slope: [f32; 2],
    pub(super) blobs: Vec<Blob>,
}

/// A disc or a box somewhere behind the person, in fractions of the image.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    pub(super) centre: [f32; 2],
    pub(super) size: [f32; 2],
    pub(super) colour: Colour,
    pub(super) round: bool,
}

/// Something in front of the face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Occlusion {
    None,
    Spectacles { frame: Colour, round: bool },
    Sunglasses { frame: Colour, round: bool },
    Cap { cloth: Colour },
    Mask { cloth: Colour },
    Hand { side: f32, height: f32 },
    Bar { colour: Colour, place: [f32; 2], slope: f32, width: f32 },
}

impl View {
    /// The view from which image number `image` of a person is taken.
    pub(super) fn new(dice: &mut Dice) -> Self {
        Self {
            pose: Pose {
                yaw: dice.between(-0.28, 0.28),
                pitch: dice.between(-0.17, 0.17),
                roll: dice.between(-0.19, 0.19),
                scale: dice.between(0.92, 1.12),
                shift: [dice.between(-0.06, 0.06), dice.between(-0.05, 0.06)],
            },
            expression: Expression::new(dice),
            light: Light::new(dice),
            camera: Camera::new(dice),
            background: Background::new(dice),
            clothes: colour::any(dice),
            neckline: dice.between(0.0, 0.3),
            occlusion: Occlusion::new(dice),
        }
    }
}

impl Expression {
    fn new(dice: &mut Dice) -> Self {
        let open = dice.between(-1.0, 1.0).max(0.0);
        let eyelids = if dice.chance(0.05) { 0.05 } else { dice.between(0.75, 1.1) };
        Self {
            smile: dice.between(-0.3, 1.0),
            open: open * open,
            brow_raise: dice.between(-0.04, 0.07),
            eyelids,
            gaze: [dice.between(-1.0, 1.0), dice.between(-0.6, 0.6)],
        }
    }
}

impl Light {
    fn new(dice: &mut Dice) -> Self {
        let [x, y, z] = [dice.between(-1.0, 1.0), dice.between(-1.0, 0.35), dice.between(0.35, 1.0)];
        let length = (x * x + y * y + z * z).sqrt();
        let warmth = dice.between(-1.0, 1.0);
        Self {
            direction: [x / length, y / length, z / length],
            strength: dice.between(0.15, 0.62),
            tint: [1.0 + 0.14 * warmth, 1.0 + dice.between(-0.04, 0.04), 1.0 - 0.18 * warmth],
        }
    }
}

impl Camera {
    fn new(dice: &mut Dice) -> Self {
        let blur = dice.between(-0.6, 1.0).max(0.0);
        let noise = dice.unit();
        let exposure = dice.between(0.8, 1.2);
        Self {
            blur: 1.2 * blur * blur,
            noise: 0.04 * noise * noise,
            gain: [0, 1, 2].map(|_| exposure * dice.between(0.93, 1.07)),
            curve: dice.between(-0.3, 0.3),
        }
    }
}

impl Background {
    fn new(dice: &mut Dice) -> Self {
        let first = colour::any(dice);
        let second = colour::mix(first, colour::any(dice), dice.between(0.1, 1.0));
        let blobs = dice.weighted(&[(1.0, 0), (0.6, 1), (0.6, 2), (0.6, 3)]);
        Self {
            colours: [first, second],
            slope: [dice.between(-1.0, 1.0), dice.between(-1.0, 1.0)],
            blobs: (0..blobs)
                .map(|_| Blob {
                    centre: [dice.unit(), dice.unit()],
                    size: [dice.between(0.08, 0.35), dice.between(0.08, 0.35)],
                    colour: colour::any(dice),
                    round: dice.chance(0.5),
                })
                .collect(),
        }
    }
}

impl Occlusion {
    fn new(dice: &mut Dice) -> Self {
        let dark = colour::shade(colour::any(dice), 0.45);
        let cloth = colour::any(dice);
        let round = dice.chance(0.5);
        let side = dice.side();
        let place = [dice.between(-0.7, 0.7), dice.between(-0.6, 0.9)];
        let [slope, width, height] = [dice.between(-0.6, 0.6), dice.between(0.08, 0.16), dice.between(0.55, 0.9)];
        dice.weighted(&[
            (0.87, Self::None),
            (0.045, Self::Spectacles { frame: dark, round }),
            (0.02, Self::Sunglasses { frame: dark, round }),
            (0.015, Self::Cap { cloth }),
            (0.01, Self::Mask { cloth }),
            (0.02, Self::Hand { side, height }),
            (0.02, Self::Bar { colour: cloth, place, slope, width }),
        ])
    }
}
