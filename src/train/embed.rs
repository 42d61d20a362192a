//! Embedding many images in the middle of a run: in parts, telling how far it is, and ending early if it is asked to.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::Observer;
use crate::session::Session;
use crate::{Embeddings, Error, Result};

/// Images between two looks at whether to stop, and the most that are decoded at a time, so that a set that stays on disk
/// is never whole in memory.
const PART: usize = 64;

/// Embeddings of `images`, whose faces `face` gives; `None` if `stop` was set meanwhile. `what` says to the observer what
/// they are for.
///
/// # Errors
/// An image can no longer be read, the device is lost, or an embedding is NaN or Inf.
pub(super) fn embed<F: AsRef<[u8]> + Send + Sync>(
    session: &mut Session,
    images: &[usize],
    face: impl Fn(usize) -> Result<F> + Sync,
    what: &str,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Option<Embeddings>> {
    let dim = session.model().dimensions()? as usize;
    let mut embeddings: Vec<f32> = Vec::with_capacity(images.len() * dim);
    for part in images.chunks(PART) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        observer.embedding(what, embeddings.len() / dim, images.len());
        let faces: Result<Vec<F>> = part.par_iter().map(|&image| face(image)).collect();
        embeddings.extend_from_slice(session.embed_rows(&faces?)?.as_slice());
    }
    observer.embedding(what, images.len(), images.len());
    if embeddings.iter().any(|x| !x.is_finite()) {
        return Err(Error::NotFinite("the network's embeddings are NaN or Inf".into()));
    }
    Embeddings::new(dim, embeddings).map(Some)
}
