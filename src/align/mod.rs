//! Faces on photographs become pictures of one size, with eyes, nose and mouth where a network expects them.

mod crop;
mod finder;
#[cfg(feature = "program")]
pub mod folder;
mod reader;
mod similarity;
mod warp;

use image::RgbImage;

pub use finder::{FaceFinder, NoFace, Outcome};
pub use reader::{FaceReader, Seen};

pub use crate::data::alignment::{Alignment, Method};
use crate::detect::Detection;
use crate::{Error, Result};

/// The face of an upright photograph, aligned: a picture of the alignment's size. What lies outside the photograph is black.
///
/// # Errors
/// [`Error::Data`] where the landmarks coincide or the box lies outside the photograph, so that nothing can be aligned; the
/// sentence follows the name of the image.
pub fn align(photograph: &RgbImage, face: &Detection, alignment: &Alignment) -> Result<RgbImage> {
    let size = alignment.size();
    match alignment.method() {
        Method::Box { margin } => crop::with_margin(photograph, face.bounds, margin, size)
            .ok_or_else(|| Error::Data("shows a face outside its borders, which cannot be aligned".into())),
        Method::Points(points) => {
            let pairs = face.landmarks.into_iter().zip(points).filter_map(|(from, to)| Some((from, to?)));
            let placed = similarity::fit(&pairs.collect::<Vec<_>>());
            let placed = placed
                .ok_or_else(|| Error::Data("shows a face whose landmarks coincide, which cannot be aligned".into()))?;
            Ok(warp::warp(photograph, placed, size))
        }
    }
}

#[cfg(test)]
mod tests;
