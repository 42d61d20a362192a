//! What a network is asked for when it becomes a graph.

use crate::plan::Shape;
use crate::{Error, Result};

/// What the graph is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Embeddings only: batch normalisation is folded into the layer before it, nothing is dropped out.
    Inference,
    /// Gradients too.
    Training {
        /// Share of the features before the embedding that dropout sets to zero, where the network has dropout; below 1.
        dropout: f32,
        /// Batch normalisation uses the running statistics and leaves them alone.
        frozen: bool,
    },
}

/// How a network is to be built: batch, sizes, purpose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Build {
    /// Images of a batch.
    pub batch: u32,
    /// Height and width of the images, pixels; `None` is the network's own.
    pub input: Option<[u32; 2]>,
    /// Floats of an embedding; `None` is the network's own.
    pub embedding: Option<u32>,
    /// What for.
    pub mode: Mode,
    /// Most floats of one weight matrix; larger ones are split by columns. Every adapter binds 128 MiB.
    pub largest: u32,
}

impl Build {
    /// Floats in the 128 MiB that every adapter binds.
    pub const LARGEST: u32 = 32 << 20;

    /// For embeddings of `batch` images at a time.
    pub fn inference(batch: u32) -> Self {
        Self { batch, input: None, embedding: None, mode: Mode::Inference, largest: Self::LARGEST }
    }

    /// For training with `batch` images at a time, without dropout.
    pub fn training(batch: u32) -> Self {
        let mode = Mode::Training { dropout: 0.0, frozen: false };
        Self { mode, ..Self::inference(batch) }
    }

    /// For training with the running statistics of batch normalisation, which take no notice of the batch.
    #[must_use]
    pub fn frozen(self) -> Self {
        Self { mode: Mode::Training { dropout: 0.0, frozen: true }, ..self }
    }

    /// With images of this height and width.
    #[must_use]
    pub fn input(self, input: [u32; 2]) -> Self {
        Self { input: Some(input), ..self }
    }

    /// With embeddings of this many floats.
    #[must_use]
    pub fn embedding(self, embedding: u32) -> Self {
        Self { embedding: Some(embedding), ..self }
    }

    /// `[batch, height, width, 3]`.
    pub(super) fn images(&self, network: &str, own: [u32; 2]) -> Result<Shape> {
        let [height, width] = self.input.unwrap_or(own);
        Shape::new(&[self.batch, height, width, 3])
            .map_err(|e| Error::Setting(format!("{network} with {} images of {height}x{width}: {e}", self.batch)))
    }
}
