//! The building blocks that networks are written in: one line per row of a paper's table.

use super::Build;
use crate::Result;
use crate::graph::{Graph, Init, Tensor};
use crate::op::{Conv2d, L2Normalize, Linear, MaxPool2d};
use crate::plan::Shape;

/// A layer with batch normalisation behind it. In a graph for inference the layer stands alone, and expects
/// `w * gamma / sqrt(var + eps)` for its weights and `beta + (b - mean) * gamma / sqrt(var + eps)` for its bias.
#[derive(Debug, Clone, PartialEq)]
pub struct Fold {
    /// The layer.
    pub layer: String,
    /// Added to the variance.
    pub eps: f32,
}

/// Adds layers to a graph. Parameters are named after their layer: `conv1/w`, `conv1/b`.
#[derive(Debug)]
pub struct Blocks<'g> {
    graph: &'g mut Graph,
    build: Build,
    dim: u32,
    seed: Option<Tensor>,
    folds: Vec<Fold>,
}

impl<'g> Blocks<'g> {
    /// Adds to `graph`; embeddings get `dim` floats.
    pub fn new(graph: &'g mut Graph, build: Build, dim: u32) -> Self {
        Self { graph, build, dim, seed: None, folds: Vec::new() }
    }

    pub(super) fn finish(self) -> (Option<Tensor>, Vec<Fold>) {
        (self.seed, self.folds)
    }

    /// `k`x`k` convolution with bias and ReLU, padded by `k / 2`: stride 1 keeps the size, stride 2 halves it.
    ///
    /// # Errors
    /// `x` is no image batch.
    pub fn conv(&mut self, name: &str, x: Tensor, c_out: u32, k: u32, stride: u32) -> Result<Tensor> {
        let c_in = self.graph.shape(x).nhwc(name)?[3];
        let init = Init::HeNormal { fan_in: k * k * c_in };
        let w = self.graph.param(format!("{name}/w"), Shape::new(&[k, k, c_in, c_out])?, init, true);
        let b = self.graph.param(format!("{name}/b"), Shape::new(&[c_out])?, Init::Zeros, false);
        self.graph.op(name, Conv2d::new(k, stride, k / 2).with_relu(), &[x, w, b])
    }

    /// 3x3 max pooling with stride 2, padded by 1: halves the size, rounded up.
    ///
    /// # Errors
    /// `x` is no image batch.
    pub fn max_pool(&mut self, name: &str, x: Tensor) -> Result<Tensor> {
        self.graph.op(name, MaxPool2d { kernel: 3, stride: 2, pad: 1 }, &[x])
    }

    /// Fully connected layer with bias and ReLU over everything of an image.
    ///
    /// # Errors
    /// `c_out` is zero.
    pub fn fully_connected(&mut self, name: &str, x: Tensor, c_out: u32) -> Result<Tensor> {
        let c_in = self.graph.shape(x).len_u32() / self.graph.shape(x).batch();
        self.linear(name, x, c_out, true, Init::HeNormal { fan_in: c_in })
    }

    /// The end of every network: a linear layer to the embedding's floats, then rows of unit length.
    ///
    /// # Errors
    /// The weights are too many for 32-bit indices.
    pub fn embedding(&mut self, x: Tensor) -> Result<Tensor> {
        let c_in = self.graph.shape(x).len_u32() / self.graph.shape(x).batch();
        let y = self.linear("embedding", x, self.dim, false, Init::LecunNormal { fan_in: c_in })?;
        self.graph.op("embeddings", L2Normalize::default(), &[y])
    }

    fn linear(&mut self, name: &str, x: Tensor, c_out: u32, relu: bool, init: Init) -> Result<Tensor> {
        let c_in = self.graph.shape(x).len_u32() / self.graph.shape(x).batch();
        let w = self.graph.param(format!("{name}/w"), Shape::new(&[c_in, c_out])?, init, true);
        let b = self.graph.param(format!("{name}/b"), Shape::new(&[c_out])?, Init::Zeros, false);
        self.graph.op(name, Linear { relu }, &[x, w, b])
    }
}
