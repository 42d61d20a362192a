//! Networks: each a short file that reads like the table of a paper.

mod blocks;
mod build;
mod inception;
mod inception_resnet_v1;
mod nn1;
mod nn2;
mod nns;
mod openface;
mod summary;
mod zf64;

pub use blocks::{Blocks, Fold, Norm, Pool};
pub use build::{Build, Mode};
pub use inception::{Inception, Order};
pub use summary::{Layer, Summary};

use crate::graph::{Graph, Tensor};
use crate::text::shown;
use crate::{Error, Result};

/// Writes a network's layers into a graph: from images to embeddings.
pub type Layers = fn(&mut Blocks<'_>, Tensor) -> Result<Tensor>;

/// A network, as data.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// Name on the command line and in weights files.
    pub name: &'static str,
    /// Height and width of its images, pixels. It may take others: see [`Build::input`].
    pub input: [u32; 2],
    /// Floats of its embeddings. It may give others: see [`Build::embedding`].
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
        let hint = nearest.map_or_else(String::new, |(_, name)| format!("did you mean {name}? "));
        Error::Usage(format!("unknown network \"{}\"; {hint}there are: {}", shown(name), names.join(", ")))
    })
}

/// A network as a graph for one batch size.
#[derive(Debug)]
pub struct NetworkGraph {
    /// The graph.
    pub graph: Graph,
    /// Input: images `[batch, height, width, 3]`.
    pub images: Tensor,
    /// Output: embeddings `[batch, dim]`, rows of unit length.
    pub embeddings: Tensor,
    /// Input: the seed of this step's dropout, two integers, if the graph drops anything out.
    pub seed: Option<Tensor>,
    /// Layers whose batch normalisation the graph expects to be folded into their weights: see [`Fold`].
    pub folds: Vec<Fold>,
}

impl Network {
    /// The network as a graph: a batch of images in, unit-length embeddings out.
    ///
    /// # Errors
    /// A size is zero, too large for 32-bit indices, or too small for the network's layers; the message then says which
    /// size is large enough.
    pub fn graph(&self, build: &Build) -> Result<NetworkGraph> {
        self.try_graph(build).map_err(|e| match e {
            Error::Shape { .. } if build.input.is_some_and(|input| input != self.input) => self.unfit(build, &e),
            e => e,
        })
    }

    /// Why images of another size than the network's own cannot be taken, and the smallest square that can.
    fn unfit(&self, build: &Build, e: &Error) -> Error {
        let [height, width] = build.input.unwrap_or(self.input);
        let takes = |side: &u32| self.try_graph(&Build { batch: 2, input: Some([*side; 2]), ..*build }).is_ok();
        let remedy = match (1..=self.input[0]).find(takes) {
            Some(side) if height.min(width) < side => format!("give at least {side}x{side}"),
            _ => "give smaller images or a smaller batch".to_string(),
        };
        let [own_height, own_width] = self.input;
        Error::Usage(format!(
            "{} cannot take images of {height}x{width} ({e}); {remedy}, its own are {own_height}x{own_width}",
            self.name
        ))
    }

    fn try_graph(&self, build: &Build) -> Result<NetworkGraph> {
        let mut graph = Graph::new();
        let dim = build.embedding.unwrap_or(self.embedding);
        if dim == 0 {
            return Err(Error::Usage("an embedding needs at least one float; the paper uses 128".into()));
        }
        let images = graph.input("images", build.images(self.name, self.input)?);
        let mut blocks = Blocks::new(&mut graph, *build, dim);
        let embeddings = (self.layers)(&mut blocks, images)?;
        let (seed, folds) = blocks.finish();
        Ok(NetworkGraph { graph, images, embeddings, seed, folds })
    }
}
