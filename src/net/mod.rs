//! Networks: each a short file that reads like the table of a paper.

mod blocks;
mod build;
mod zf64;

pub use blocks::{Blocks, Fold};
pub use build::{Build, Mode};

use crate::graph::{Graph, Tensor};
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
pub static NETWORKS: &[&Network] = &[&zf64::ZF64];

/// The network of that name.
///
/// # Errors
/// There is none; the message lists the names.
pub fn find(name: &str) -> Result<&'static Network> {
    NETWORKS.iter().copied().find(|n| n.name == name).ok_or_else(|| {
        let names: Vec<_> = NETWORKS.iter().map(|n| n.name).collect();
        Error::Usage(format!("unknown network \"{name}\"; there are: {}", names.join(", ")))
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
    /// A size is zero, too large for 32-bit indices, or too small for the network's layers.
    pub fn graph(&self, build: &Build) -> Result<NetworkGraph> {
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
