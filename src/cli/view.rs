//! How a verb sees images: its flags, and the weights that see so.

use std::path::Path;

use clap::Args;

use super::weights;
use crate::data::preprocess::{Crop, Preprocess};
use crate::data::sizes::{much_larger, smaller_than_crop};
use crate::gallery::EmbeddingModel;
use crate::{Result, Weights};

/// What part of an image the network sees.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct View {
    /// Part of each image that is taken, such as center:144 [default: as the weights say]
    #[arg(long, value_name = "center:N")]
    pub(super) crop: Option<Crop>,
}

impl View {
    /// That of the embeddings in a gallery.
    pub(super) fn of(model: &EmbeddingModel) -> Self {
        Self { crop: model.crop }
    }

    /// Reads weights, whose preprocessing becomes what the flags say. Their [`Weights::model_id`] follows: embeddings of another
    /// view cannot be compared.
    pub(super) fn weights(self, path: &Path) -> Result<Weights> {
        let mut weights = weights::from_user(path, Weights::load(path))?;
        self.apply(&mut weights.metadata.preprocess);
        Ok(weights)
    }

    /// Lets `preprocess` be what the flags say.
    pub(super) fn apply(self, preprocess: &mut Preprocess) {
        preprocess.crop = self.crop.or(preprocess.crop);
    }
}

/// Says where the crop takes nothing off, and where the faces may fill only a small part of the images.
pub(super) fn hint_sizes<P: AsRef<Path>>(paths: &[P], preprocess: &Preprocess) {
    if let Some((width, height)) = smaller_than_crop(paths, preprocess) {
        hint!("warning: the images have about {width}x{height} pixels, so that the crop takes nothing off");
    }
    if let Some((width, height)) = much_larger(paths, preprocess) {
        hint!(
            "hint: the images have about {width}x{height} pixels and the network sees {}x{}: where the weights were trained on \
             crops of faces, give --crop center:N",
            preprocess.width,
            preprocess.height
        );
    }
}
