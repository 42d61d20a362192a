//! Colours as three numbers in 0..1, and the palettes that people are drawn from.

use super::dice::Dice;

/// Red, green and blue in 0..1.
pub(super) type Colour = [f32; 3];

/// A colour as in style sheets: `hex(0xff8800)`.
pub(super) const fn hex(code: u32) -> Colour {
    [((code >> 16) & 255) as f32 / 255.0, ((code >> 8) & 255) as f32 / 255.0, (code & 255) as f32 / 255.0]
}

/// The colour `share` of the way from one to another.
pub(super) fn mix(from: Colour, to: Colour, share: f32) -> Colour {
    [0, 1, 2].map(|i| from[i] + (to[i] - from[i]) * share)
}

/// Darker for factors below one, brighter above.
pub(super) fn shade(colour: Colour, factor: f32) -> Colour {
    colour.map(|channel| (channel * factor).clamp(0.0, 1.0))
}

/// How bright a colour looks.
pub(super) fn brightness(colour: Colour) -> f32 {
    0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]
}

/// Any colour at all, from pale to strong: backgrounds and clothes.
pub(super) fn any(dice: &mut Dice) -> Colour {
    let grey = dice.between(0.08, 0.95);
    let strength = dice.between(0.0, 0.45);
    [0, 1, 2].map(|_| (grey + strength * dice.between(-1.0, 1.0)).clamp(0.02, 0.98))
}

const SKIN: [Colour; 8] = [
    hex(0xf8d9c4),
    hex(0xf1c5a4),
    hex(0xe9b48c),
    hex(0xd19a6c),
    hex(0xb37a50),
    hex(0x8d5a3a),
    hex(0x67402b),
    hex(0x483026),
];

/// A skin tone: `tone` from 0 (lightest) to 1 (darkest), `warmth` from -1 (rosy) to 1 (olive).
pub(super) fn skin(tone: f32, warmth: f32) -> Colour {
    let place = tone * 6.999;
    let mut colour = SKIN[7];
    for (step, pair) in SKIN.windows(2).enumerate() {
        let share = place - step as f32;
        if (0.0..1.0).contains(&share) {
            colour = mix(pair[0], pair[1], share);
        }
    }
    [colour[0] * (1.0 - 0.03 * warmth), colour[1] * (1.0 + 0.03 * warmth), colour[2] * (1.0 - 0.08 * warmth.max(0.0))]
        .map(|channel| channel.min(1.0))
}

/// Hair colours with how often they are met; the last ones are dyed.
pub(super) const HAIR: [(f32, Colour); 13] = [
    (1.6, hex(0x17130f)),
    (1.3, hex(0x33210f)),
    (1.2, hex(0x5a371c)),
    (1.0, hex(0x8a5a2c)),
    (0.8, hex(0xb98a46)),
    (0.9, hex(0xe3c373)),
    (0.5, hex(0xf1e3bd)),
    (0.8, hex(0xb2481a)),
    (0.5, hex(0x7a2416)),
    (0.2, hex(0x3858a8)),
    (0.2, hex(0xd45f93)),
    (0.15, hex(0x2f8a62)),
    (0.15, hex(0x7247a0)),
];

/// Hair that has turned grey.
pub(super) const GREY_HAIR: [(f32, Colour); 3] = [(1.0, hex(0x77757a)), (1.0, hex(0xa9a8aa)), (1.0, hex(0xe4e3e0))];

/// Eye colours with how often they are met.
pub(super) const EYES: [(f32, Colour); 7] = [
    (1.3, hex(0x2b170c)),
    (1.2, hex(0x5f3614)),
    (0.8, hex(0xa06a1f)),
    (1.0, hex(0x4f8a3c)),
    (1.2, hex(0x2f7fc4)),
    (0.8, hex(0x86b3d1)),
    (0.6, hex(0x7b8088)),
];

/// What lips are tinted with.
pub(super) const LIPS: [(f32, Colour); 5] =
    [(1.4, hex(0xb5645c)), (1.0, hex(0xcf4b55)), (0.8, hex(0x8c3b3c)), (0.6, hex(0xc8202f)), (0.4, hex(0x7a2a58))];
