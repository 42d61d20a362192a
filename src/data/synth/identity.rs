//! What makes a person: every parameter that stays the same in all their images.
//!
//! Lengths are in head units: the head is centred on (0, 0), its crown is near y = -0.95 and its chin near y = 1.

use super::colour::{self, Colour};
use super::dice::Dice;

/// One synthetic person: the face parameters that all images of this person share.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    pub(super) seed: u64,
    pub(super) person: u32,
    pub(super) skin: Colour,
    /// From 0 (young) to 1 (old): wrinkles and grey hair.
    pub(super) age: f32,
    pub(super) head: Head,
    pub(super) hair: Hair,
    pub(super) beard: Beard,
    pub(super) eyes: Eyes,
    pub(super) brows: Brows,
    pub(super) nose: Nose,
    pub(super) mouth: Mouth,
    pub(super) marks: Marks,
}

/// The outline of the head; widths are halves.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    pub(super) width: f32,
    pub(super) forehead: f32,
    pub(super) jaw: f32,
    pub(super) chin: f32,
    pub(super) bottom: f32,
    pub(super) ear: f32,
    pub(super) neck: f32,
}

/// How the hair over the forehead lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Front {
    Bald,
    Horseshoe,
    Buzz,
    SidePart,
    Curtains,
    Fringe,
    Quiff,
    Spikes,
    Curls,
    Mohawk,
}

/// What hair is seen behind the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Back {
    None,
    Bob,
    Long,
    Wavy,
    Afro,
    Bun,
    Pigtails,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hair {
    pub(super) colour: Colour,
    pub(super) front: Front,
    pub(super) back: Back,
    /// How far the hair stands off the head.
    pub(super) volume: f32,
    /// Height of the hairline; smaller is higher up.
    pub(super) line: f32,
    /// The side of the parting, -1 or 1.
    pub(super) side: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BeardStyle {
    None,
    Stubble,
    Moustache,
    Goatee,
    Full,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Beard {
    pub(super) style: BeardStyle,
    pub(super) length: f32,
}

/// Both eyes; sizes are halves.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Eyes {
    pub(super) colour: Colour,
    pub(super) spacing: f32,
    pub(super) height: f32,
    pub(super) width: f32,
    pub(super) opening: f32,
    /// How much higher the outer corner is than the inner one.
    pub(super) tilt: f32,
    pub(super) iris: f32,
    pub(super) lashes: f32,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Brows {
    pub(super) colour: Colour,
    pub(super) gap: f32,
    pub(super) length: f32,
    pub(super) thickness: f32,
    pub(super) angle: f32,
    pub(super) arch: f32,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Nose {
    pub(super) tip: f32,
    pub(super) width: f32,
    pub(super) bridge: f32,
    pub(super) roundness: f32,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mouth {
    pub(super) colour: Colour,
    pub(super) height: f32,
    pub(super) width: f32,
    pub(super) upper: f32,
    pub(super) lower: f32,
    pub(super) bow: f32,
}

/// Small things on the skin, as places in head units.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Marks {
    pub(super) moles: Vec<[f32; 2]>,
    pub(super) freckles: Vec<[f32; 2]>,
    /// Both ends of a scar.
    pub(super) scar: Option<[[f32; 2]; 2]>,
    pub(super) blush: f32,
}

impl Identity {
    /// Person number `person` of the endless crowd that `seed` stands for.
    pub fn new(seed: u64, person: u32) -> Self {
        let dice = &mut Dice::of_person(seed, person);
        let tone = dice.unit();
        let skin = colour::skin(tone, dice.between(-1.0, 1.0));
        let age = dice.unit();
        let head = Head::new(dice);
        let hair = Hair::new(dice, age);
        let eyes = Eyes::new(dice);
        Self {
            seed,
            person,
            skin,
            age,
            beard: Beard::new(dice, &hair),
            brows: Brows::new(dice, &hair),
            nose: Nose::new(dice),
            mouth: Mouth::new(dice, skin),
            marks: Marks::new(dice, &head),
            head,
            hair,
            eyes,
        }
    }
}

impl Head {
    fn new(dice: &mut Dice) -> Self {
        Self {
            width: dice.between(0.62, 0.86),
            forehead: dice.between(0.84, 1.02),
            jaw: dice.between(0.74, 0.98),
            chin: dice.between(0.26, 0.62),
            bottom: dice.between(0.9, 1.1),
            ear: dice.between(0.11, 0.24),
            neck: dice.between(0.3, 0.48),
        }
    }
}

impl Hair {
    fn new(dice: &mut Dice, age: f32) -> Self {
        let grey = dice.chance((age - 0.62) * 2.2);
        let colour = if grey { dice.weighted(&colour::GREY_HAIR) } else { dice.weighted(&colour::HAIR) };
        let front = dice.weighted(&[
            (0.5, Front::Bald),
            (0.3 + 0.8 * age, Front::Horseshoe),
            (0.8, Front::Buzz),
            (1.5, Front::SidePart),
            (1.3, Front::Curtains),
            (1.4, Front::Fringe),
            (0.9, Front::Quiff),
            (0.8, Front::Spikes),
            (1.1, Front::Curls),
            (0.3, Front::Mohawk),
        ]);
        let back = match front {
            Front::SidePart | Front::Curtains | Front::Fringe => dice.weighted(&[
                (1.2, Back::None),
                (1.0, Back::Bob),
                (1.1, Back::Long),
                (0.9, Back::Wavy),
                (0.7, Back::Bun),
                (0.5, Back::Pigtails),
            ]),
            Front::Curls => dice.weighted(&[(1.0, Back::None), (1.0, Back::Afro), (0.6, Back::Wavy)]),
            Front::Quiff => dice.weighted(&[(1.0, Back::None), (0.5, Back::Bun), (0.4, Back::Long)]),
            _ => Back::None,
        };
        Self {
            colour: colour::shade(colour, dice.between(0.85, 1.15)),
            front,
            back,
            volume: dice.between(0.06, 0.24),
            line: dice.between(-0.08, 0.1),
            side: dice.side(),
        }
    }
}

impl Beard {
    fn new(dice: &mut Dice, hair: &Hair) -> Self {
        // Long hair and a beard do go together, only less often.
        let share = if matches!(hair.back, Back::None | Back::Afro) { 0.6 } else { 0.08 };
        let style = dice.weighted(&[
            (1.0, BeardStyle::Stubble),
            (1.0, BeardStyle::Moustache),
            (1.0, BeardStyle::Goatee),
            (1.6, BeardStyle::Full),
        ]);
        let style = if dice.chance(share) { style } else { BeardStyle::None };
        Self { style, length: dice.between(0.0, 0.3) }
    }
}

impl Eyes {
    fn new(dice: &mut Dice) -> Self {
        let width = dice.between(0.12, 0.19);
        Self {
            colour: dice.weighted(&colour::EYES),
            spacing: dice.between(0.26, 0.37),
            height: dice.between(-0.1, 0.08),
            width,
            opening: width * dice.between(0.52, 0.9),
            tilt: dice.between(-0.06, 0.07),
            iris: dice.between(0.066, 0.092),
            lashes: dice.between(0.012, 0.036),
        }
    }
}

impl Brows {
    fn new(dice: &mut Dice, hair: &Hair) -> Self {
        let pale = if colour::brightness(hair.colour) > 0.5 { 0.75 } else { 1.0 };
        Self {
            colour: colour::shade(hair.colour, pale * dice.between(0.55, 0.95)),
            gap: dice.between(0.15, 0.27),
            length: dice.between(0.14, 0.24),
            thickness: dice.between(0.02, 0.085),
            angle: dice.between(-0.08, 0.07),
            arch: dice.between(0.0, 0.09),
        }
    }
}

impl Nose {
    fn new(dice: &mut Dice) -> Self {
        Self {
            tip: dice.between(0.26, 0.46),
            width: dice.between(0.09, 0.22),
            bridge: dice.between(0.03, 0.08),
            roundness: dice.between(0.3, 1.0),
        }
    }
}

impl Mouth {
    fn new(dice: &mut Dice, skin: Colour) -> Self {
        let tint = dice.weighted(&colour::LIPS);
        Self {
            colour: colour::mix(colour::shade(skin, 0.8), tint, dice.between(0.35, 0.95)),
            height: dice.between(0.58, 0.7),
            width: dice.between(0.18, 0.36),
            upper: dice.between(0.02, 0.085),
            lower: dice.between(0.03, 0.12),
            bow: dice.between(0.0, 0.03),
        }
    }
}

impl Marks {
    fn new(dice: &mut Dice, head: &Head) -> Self {
        let place = |dice: &mut Dice| {
            let side = dice.side();
            [side * dice.between(0.12, 0.7) * head.width, dice.between(0.2, 0.8)]
        };
        let moles = dice.weighted(&[(2.0, 0), (1.4, 1), (0.6, 2)]);
        let moles = (0..moles).map(|_| place(dice)).collect();
        let freckles = if dice.chance(0.2) { 22 } else { 0 };
        let freckles =
            (0..freckles).map(|_| [dice.between(-0.75, 0.75) * head.width, dice.between(0.16, 0.46)]).collect();
        let scar = dice.chance(0.1).then(|| {
            let [x, y] = place(dice);
            [[x, y], [x + dice.between(-0.14, 0.14), y - dice.between(0.2, 0.35)]]
        });
        Self { moles, freckles, scar, blush: (dice.between(-0.25, 0.6)).max(0.0) }
    }
}
