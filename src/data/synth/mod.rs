//! Synthetic faces: people who do not exist, drawn from a seed.
//!
//! An [`Identity`] is a set of face parameters: head shape, skin, eyes, brows, nose, mouth, hair, beard, marks. An
//! image of it adds what a photograph adds: pose, light, expression, clothes, background, things in front of the
//! face, blur and noise. A person looking at a contact sheet tells the identities apart at a glance; the distance
//! between raw pixels does not, because clothes, light, pose and background move more pixels than the identity does.
//!
//! ```
//! use facenet_gpu::data::synth::{Identity, draw};
//!
//! let ada = Identity::new(7, 0);
//! let bob = Identity::new(7, 1);
//! assert_eq!(draw(&ada, 0, 64), draw(&ada, 0, 64));
//! assert_ne!(draw(&ada, 0, 64), draw(&bob, 0, 64));
//! ```

mod beard;
mod canvas;
mod colour;
mod dice;
mod draw;
mod features;
mod folder;
mod hair;
mod head;
mod identity;
mod occlusion;
mod photo;
mod view;

pub use draw::draw;
pub(crate) use folder::save_png;
pub use folder::write_folder;
pub use identity::Identity;

#[cfg(test)]
mod tests;
