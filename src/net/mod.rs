//! Networks: each a short file that reads like the table of a paper, and makes a [`Model`].

mod blocks;
mod dlib_resnet_v1;
mod inception;
mod inception_resnet_v1;
pub mod mtcnn;
mod nn1;
mod nn2;
mod nns;
mod openface;
mod summary;
mod zf64;

pub(crate) use dlib_resnet_v1::EPS as DLIB_EPS;

pub use blocks::{Blocks, Norm, Pool};
pub use inception::{Inception, Order};
pub use summary::{Layer, Summary};

use crate::data::preprocess::{Normalise, Preprocess};
use crate::graph::{Graph, Tensor};
use crate::model::{EMBEDDINGS, IMAGES, Model, REFERENCE_BATCH};
use crate::plan::Shape;
use crate::text::shown;
use crate::{Error, Result};

/// Writes a network's layers into a graph: from images to embeddings.
pub type Layers = fn(&mut Blocks<'_>, Tensor) -> Result<Tensor>;

/// A network that has a name: a constructor of [`Model`]s.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// Name on the command line and in weights files.
    pub name: &'static str,
    /// Height and width of its images, pixels, unless others are asked for.
    pub input: [u32; 2],
    /// Dimensions of its embeddings, unless others are asked for.
    pub embedding: u32,
    /// One line for lists.
    pub about: &'static str,
    /// Its layers.
    pub layers: Layers,
}

/// Every network.
pub static NETWORKS: &[&Network] = &[
    &zf64::ZF64,
    &nn1::NN1,
    &nn2::NN2,
    &nn2::NN3,
    &nn2::NN4,
    &nns::NNS1,
    &nns::NNS2,
    &openface::NN2,
    &openface::NN4,
    &openface::SMALL1,
    &openface::SMALL2,
    &openface::SMALL2_V1,
    &inception_resnet_v1::INCEPTION_RESNET_V1,
    &dlib_resnet_v1::DLIB_RESNET_V1,
];

/// What networks are called elsewhere, without hyphens.
const OTHER_NAMES: [(&str, &str); 5] = [
    ("dlib", "dlib-resnet-v1"),
    ("facenet", "inception-resnet-v1"),
    ("facenetpytorch", "inception-resnet-v1"),
    ("inceptionresnet", "inception-resnet-v1"),
    ("openface", "openface-nn4-small2-v1"),
];

/// The network of that name; capitals do not matter.
///
/// # Errors
/// There is none; the message suggests the nearest name and lists all.
pub fn find(name: &str) -> Result<&'static Network> {
    let wanted = name.to_lowercase();
    NETWORKS.iter().copied().find(|n| n.name == wanted).ok_or_else(|| {
        let names: Vec<_> = NETWORKS.iter().map(|n| n.name).collect();
        let near = names.iter().map(|n| (strsim::jaro_winkler(&wanted, n), n));
        let nearest = near.filter(|(likeness, _)| *likeness > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
        let known =
            OTHER_NAMES.iter().find(|(other, _)| *other == wanted.replace(['_', '-'], "")).map(|(_, name)| name);
        let hint = known.or(nearest.map(|(_, name)| name));
        let hint = hint.map_or_else(String::new, |name| format!("did you mean {name}? "));
        Error::Setting(format!("unknown network \"{}\"; {hint}there are: {}", shown(name), names.join(", ")))
    })
}

impl Network {
    /// The model with the network's own sizes.
    ///
    /// # Errors
    /// None of the networks in [`NETWORKS`] fails.
    pub fn model(&self) -> Result<Model> {
        self.sized(None, None)
    }

    /// The model for images of another height and width, or with another number of dimensions, or both.
    ///
    /// # Errors
    /// A size is zero, too large for 32-bit indices, or too small for the network's layers; the message then says which
    /// size is large enough.
    pub fn sized(&self, input: Option<[u32; 2]>, embedding: Option<u32>) -> Result<Model> {
        let built = self.build(input.unwrap_or(self.input), embedding.unwrap_or(self.embedding));
        built.map_err(|e| match (e, input) {
            (e @ Error::Shape { .. }, Some(input)) if input != self.input => self.unfit(input, &e),
            (e, _) => e,
        })
    }

    /// Why images of another size than the network's own cannot be taken, and the smallest square that can.
    fn unfit(&self, [height, width]: [u32; 2], e: &Error) -> Error {
        let takes = |side: &u32| self.build([*side; 2], self.embedding).is_ok();
        let remedy = match (1..=self.input[0]).find(takes) {
            Some(side) if height.min(width) < side => format!("give at least {side}x{side}"),
            _ => "give smaller images or a smaller batch".to_string(),
        };
        let [own_height, own_width] = self.input;
        Error::Setting(format!(
            "{} cannot take images of {height}x{width} ({e}); {remedy}, its own are {own_height}x{own_width}",
            self.name
        ))
    }

    fn build(&self, input: [u32; 2], embedding: u32) -> Result<Model> {
        model(self.name, self.about, input, embedding, self.layers)
    }
}

/// Your own model, from the blocks that the paper's networks are made of: `layers` writes them from images of this
/// height and width to embeddings of so many dimensions.
///
/// # Errors
/// A size is zero, too large for 32-bit indices, or too small for the layers.
pub fn model(
    name: impl Into<String>,
    about: impl Into<String>,
    [height, width]: [u32; 2],
    embedding: u32,
    layers: impl FnOnce(&mut Blocks<'_>, Tensor) -> Result<Tensor>,
) -> Result<Model> {
    let name = name.into();
    if embedding == 0 {
        return Err(Error::Setting("an embedding needs at least one dimension; the paper uses 128".into()));
    }
    let mut graph = Graph::new();
    let shape = Shape::new(&[REFERENCE_BATCH, height, width, 3])
        .map_err(|e| Error::Setting(format!("{name} with images of {height}x{width}: {e}")))?;
    let images = graph.input(IMAGES, shape);
    let embeddings = layers(&mut Blocks::new(&mut graph, embedding), images)?;
    graph.set_output(EMBEDDINGS, embeddings);
    Model::new(
        name,
        about,
        Preprocess { height, width, normalise: Normalise::Fixed, crop: None, alignment: None },
        graph,
    )
}
