//! Embedding many images in the middle of a run: in parts, telling how far it is, and ending early if it is asked to.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::Observer;
use crate::model::Model;
use crate::{Error, Result};

/// Images between two looks at whether to stop, and the most that are decoded at a time, so that a set that stays on disk
/// is never whole in memory.
const PART: usize = 64;

/// Embeddings of `images`, whose faces `face` gives; `None` if `stop` was set meanwhile. `what` says to the observer what
/// they are for.
///
/// # Errors
/// An image can no longer be read, the device is lost, or an embedding is not a number.
pub(super) fn embed<F: AsRef<[u8]> + Send + Sync>(
    model: &mut Model,
    images: &[usize],
    face: impl Fn(usize) -> Result<F> + Sync,
    what: &str,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Option<Vec<Vec<f32>>>> {
    let mut embeddings = Vec::with_capacity(images.len());
    for part in images.chunks(PART) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        observer.embedding(what, embeddings.len(), images.len());
        let faces: Result<Vec<F>> = part.par_iter().map(|&image| face(image)).collect();
        embeddings.extend(model.embed_faces(&faces?)?);
    }
    observer.embedding(what, embeddings.len(), images.len());
    if embeddings.iter().flatten().any(|x| !x.is_finite()) {
        return Err(Error::NotFinite("the network's embeddings are not numbers".into()));
    }
    Ok(Some(embeddings))
}
