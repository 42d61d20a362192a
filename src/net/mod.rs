//! Networks: each a short file that reads like the table of a paper.

mod blocks;
mod zf64;

pub use blocks::Blocks;

use crate::graph::{Graph, Tensor};
use crate::plan::Shape;
use crate::{Error, Result};

/// Writes a network's layers into a graph: from images to the layer before the embedding.
pub type Layers = fn(&mut Blocks<'_>, Tensor) -> Result<Tensor>;

/// A network, as data.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// Name on the command line and in weights files.
    pub name: &'static str,
    /// Height and width of its images, pixels.
    pub input: [u32; 2],
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
}

impl Network {
    /// The network as a graph: `batch` images in, `batch` unit-length embeddings of `dim` floats out.
    ///
    /// # Errors
    /// `batch` or `dim` is zero or too large for 32-bit indices.
    pub fn graph(&self, batch: u32, dim: u32) -> Result<NetworkGraph> {
        let mut graph = Graph::new();
        let shape = Shape::new(&[batch, self.input[0], self.input[1], 3])
            .map_err(|e| Error::Usage(format!("{} with a batch of {batch}: {e}", self.name)))?;
        if dim == 0 {
            return Err(Error::Usage("an embedding needs at least one float; the paper uses 128".into()));
        }
        let images = graph.input("images", shape);
        let mut blocks = Blocks::new(&mut graph);
        let features = (self.layers)(&mut blocks, images)?;
        let embeddings = blocks.embedding(features, dim)?;
        Ok(NetworkGraph { graph, images, embeddings })
    }
}
