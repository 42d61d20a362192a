//! Harmonic embeddings (the paper's appendix): a new network whose embeddings stay comparable with those of an old one,
//! so that what was embedded with the old one need not be embedded again.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use image::{DynamicImage, RgbImage};
use serde::{Deserialize, Serialize};

use super::Observer;
use super::embed::embed;
use crate::data::decode::{decode_face, prepare};
use crate::data::faces::FaceSet;
use crate::data::preprocess::{Face, Preprocess};
use crate::eval::verification::Accuracy;
use crate::session::{Session, unit_rows};
use crate::{Embeddings, Engine, Error, Result};

/// The old network's embeddings of every image of a set, as they would stand in an index: of the images as they are,
/// without augmentation.
#[derive(Debug, Clone, PartialEq)]
pub struct Compatible {
    rows: Embeddings,
}

/// Verification accuracy on the held-out people within and across the versions of a network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Versions {
    /// Both images embedded by the new network.
    pub new: Accuracy,
    /// Both by the old one.
    pub old: Accuracy,
    /// The first by the new one, the second by the old one.
    pub across: Accuracy,
}

impl Compatible {
    /// Embeds every image of `set` with the weights in `path`, each prepared as these weights want it. `None` if `stop`
    /// was set meanwhile.
    ///
    /// # Errors
    /// The weights cannot be used or give embeddings of another size than `dim`; an image can no longer be read.
    pub fn new(
        engine: &Engine,
        path: &Path,
        set: &FaceSet,
        dim: u32,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Option<Self>> {
        let mut session = Session::open(engine, path)?;
        let (old, preprocess) = (session.metadata().embedding, session.metadata().preprocess.clone());
        if old != dim {
            return Err(Error::Setting(format!(
                "{} gives embeddings of {old} dimensions and the new network {dim}, which cannot be compared; give `embedding` \
                 {old}",
                path.display()
            )));
        }
        if !session.metadata().unit_length {
            let path = path.display();
            return Err(Error::Setting(format!(
                "{path} gives embeddings of any length, which cannot be compared with the new network's of unit length"
            )));
        }
        let images: Vec<usize> = (0..set.len()).collect();
        let what = "embedding by the old network";
        let rows = embed(&mut session, &images, |image| face(set, image, &preprocess), what, stop, observer);
        match rows {
            Err(Error::NotFinite(_)) => {
                Err(Error::NotFinite(format!("{} gives embeddings of NaN or Inf", path.display())))
            }
            rows => {
                let Some(rows) = rows? else { return Ok(None) };
                let rows = unit_rows(rows).map_err(|e| Error::NotFinite(format!("{}: {e}", path.display())))?;
                Ok(Some(Self { rows }))
            }
        }
    }

    /// The old embedding of an image.
    pub fn row(&self, image: usize) -> &[f32] {
        self.rows.row(image)
    }

    /// The old embeddings of some images, one behind the other.
    pub(super) fn rows(&self, images: &[usize]) -> Vec<f32> {
        images.iter().flat_map(|&image| self.row(image)).copied().collect()
    }
}

/// An image of the set as the old network wants it: from its file if it has one, else from what the set holds.
fn face(set: &FaceSet, image: usize, preprocess: &Preprocess) -> Result<Face> {
    let own = set.preprocess();
    if (own.height, own.width) == (preprocess.height, preprocess.width) {
        return Ok(set.face(image)?.into_owned());
    }
    if let Some(path) = set.path(image) {
        return decode_face(path, preprocess);
    }
    let face = set.face(image)?.into_owned();
    let picture = RgbImage::from_raw(own.width, own.height, face).expect("a face has the set's size");
    prepare(&DynamicImage::ImageRgb8(picture), preprocess)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::noise_faces;
    use crate::net::find;
    use crate::session::initial_weights;
    use crate::weights::Metadata;

    struct Silent;

    impl Observer for Silent {}

    #[test]
    fn an_old_network_whose_embeddings_tell_nothing_is_refused_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old.safetensors");
        let model = find("zf64").unwrap().model().unwrap();
        let mut weights = initial_weights(&model, Metadata::of(&model).unwrap(), 1);
        let set = noise_faces(&[2, 2], 64);
        let embed = |dim| Compatible::new(&Engine::Cpu, &path, &set, dim, &AtomicBool::new(false), &mut Silent);
        weights.save(&path).unwrap();
        assert_eq!(embed(128).unwrap().unwrap().rows(&[3]).len(), 128);
        assert!(embed(64).unwrap_err().to_string().contains("128 dimensions and the new network 64"));
        weights.tensors.iter_mut().for_each(|(.., data)| data.fill(0.0));
        weights.save(&path).unwrap();
        let text = embed(128).unwrap_err().to_string();
        assert!(text.contains("old.safetensors") && text.contains("length 0.000 instead of 1"), "{text}");
    }
}
