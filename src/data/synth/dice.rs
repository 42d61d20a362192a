//! Random numbers that are the same on every machine: `ChaCha` streams, turned into floats by exact arithmetic only.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A stream of random numbers of its own for every person and for every image of a person.
#[derive(Debug)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream which decides what a person looks like.
    pub(super) fn of_person(seed: u64, person: u32) -> Self {
        Self::keyed(seed, person, 0, b"identity")
    }

    /// The stream which decides how one image of a person is taken.
    pub(super) fn of_image(seed: u64, person: u32, image: u32) -> Self {
        Self::keyed(seed, person, image, b"theimage")
    }

    // The whole key goes into the cipher's key, so no two streams can ever overlap.
    fn keyed(seed: u64, person: u32, image: u32, purpose: &[u8; 8]) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..12].copy_from_slice(&person.to_le_bytes());
        key[12..16].copy_from_slice(&image.to_le_bytes());
        key[16..24].copy_from_slice(purpose);
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in 0..1.
    pub(super) fn unit(&mut self) -> f32 {
        // 24 bits fit a float exactly, so the result does not depend on rounding.
        (self.0.next_u32() >> 8) as f32 / 16_777_216.0
    }

    /// Uniform in low..high.
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// True with the given probability.
    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// One of the choices, each as likely as its weight says.
    pub(super) fn weighted<T: Copy>(&mut self, choices: &[(f32, T)]) -> T {
        let total: f32 = choices.iter().map(|(weight, _)| weight).sum();
        let mut left = self.unit() * total;
        for &(weight, choice) in choices {
            left -= weight;
            if left < 0.0 {
                return choice;
            }
        }
        choices[choices.len() - 1].1
    }

    /// Roughly normal with mean 0 and deviation 1: four bytes of one draw summed up, cheap enough for every pixel.
    pub(super) fn bell(&mut self) -> f32 {
        let sum: u16 = self.0.next_u32().to_le_bytes().iter().map(|&byte| u16::from(byte)).sum();
        (f32::from(sum) - 510.0) / 147.8
    }

    /// Minus one or one.
    pub(super) fn side(&mut self) -> f32 {
        if self.chance(0.5) { 1.0 } else { -1.0 }
    }
}
