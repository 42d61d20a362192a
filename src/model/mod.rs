//! Models: a graph with named inputs and outputs, how its images must be prepared, and what it is called. Plain values
//! without a device and without weights: a [`Session`](crate::Session) holds one on a device.

mod derive;
mod instance;

pub use derive::{Fold, derive_plan};
pub use instance::Instance;

use crate::data::preprocess::Preprocess;
use crate::graph::{Graph, Source, Tensor};
use crate::plan::Shape;
use crate::{Error, Result};

/// Name of the input that takes images, `[batch, height, width, 3]`.
pub const IMAGES: &str = "images";
/// Name of the output that gives embeddings, `[batch, dimensions]`: see [`Model::unit_length`].
pub const EMBEDDINGS: &str = "embeddings";
/// Name of the input that decides what dropout drops, `[2]`: the run's seed and a number that grows with the steps.
pub const DROPOUT_SEED: &str = "dropout seed";
/// Images of the batch that a model's own graph is written for; [`Model::instance`] makes graphs for others. One image
/// would not do: batch normalisation needs more than one value in training.
pub const REFERENCE_BATCH: u32 = 2;

/// A network as a value: the graph as it is trained, with parameters but without their values.
#[derive(Debug, Clone)]
pub struct Model {
    name: String,
    about: String,
    preprocess: Preprocess,
    graph: Graph,
    images: Tensor,
    /// Parameters that training leaves alone, by name.
    frozen: Vec<String>,
}

impl Model {
    /// A model of a graph for batches of [`REFERENCE_BATCH`] images, with an input [`IMAGES`] and at least one output. The
    /// graph is written for training: batch normalisation and dropout are ops of their own.
    ///
    /// # Errors
    /// The graph has no such input or no output, or the input is not the image batch that `preprocess` makes.
    pub fn new(
        name: impl Into<String>,
        about: impl Into<String>,
        preprocess: Preprocess,
        graph: Graph,
    ) -> Result<Self> {
        let (name, about) = (name.into(), about.into());
        let fail = |message: String| Error::shape(&name, message);
        let images = graph.find_input(IMAGES).ok_or_else(|| fail(format!("the graph has no input \"{IMAGES}\"")))?;
        let expected = [REFERENCE_BATCH, preprocess.height, preprocess.width, 3];
        if graph.shape(images).dims() != expected {
            let found = graph.shape(images);
            return Err(fail(format!("expected the input \"{IMAGES}\" with the sizes {expected:?}, got {found}")));
        }
        if graph.outputs().next().is_none() {
            return Err(fail("the graph has no output".into()));
        }
        Ok(Self { name, about, preprocess, graph, images, frozen: Vec::new() })
    }

    /// Its name, as weights files bear it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One line for lists.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// How images must be prepared.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Height and width of its images, pixels.
    pub fn input(&self) -> [u32; 2] {
        [self.preprocess.height, self.preprocess.width]
    }

    /// The same model with images that are prepared otherwise, but as large.
    ///
    /// # Errors
    /// They have another size: that is another model, whose graph must be built anew.
    pub fn with_preprocess(mut self, preprocess: Preprocess) -> Result<Self> {
        if [preprocess.height, preprocess.width] != self.input() {
            let ([height, width], Preprocess { height: h, width: w, .. }) = (self.input(), preprocess);
            return Err(Error::shape(&self.name, format!("takes images of {height}x{width}, not of {h}x{w}")));
        }
        self.preprocess = preprocess;
        Ok(self)
    }

    /// The same model with the parameters of these names frozen: training leaves them alone. Layers of batch normalisation
    /// all of whose parameters are frozen use their running statistics and leave these alone, too.
    #[must_use]
    pub fn with_frozen(mut self, names: Vec<String>) -> Self {
        self.frozen = names;
        self
    }

    /// Names of the parameters that training leaves alone.
    pub fn frozen(&self) -> &[String] {
        &self.frozen
    }

    /// Dimensions of its embeddings.
    ///
    /// # Errors
    /// It has no output [`EMBEDDINGS`], as detectors do not.
    pub fn dimensions(&self) -> Result<u32> {
        let embeddings = self.graph.output(EMBEDDINGS);
        let none = || Error::shape(&self.name, format!("the model has no output \"{EMBEDDINGS}\""));
        embeddings.map(|t| self.graph.shape(t).channels()).ok_or_else(none)
    }

    /// Whether its embeddings have unit length: they do where an op makes it so.
    pub fn unit_length(&self) -> bool {
        let last = self.graph.output(EMBEDDINGS).map(|embeddings| &self.graph.nodes()[embeddings.index()].source);
        matches!(last, Some(Source::Op { op, .. }) if op.name() == "l2_normalize")
    }

    /// The graph, for batches of [`REFERENCE_BATCH`] images.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Name and sizes of everything that a weights file of this model holds: parameters and running statistics.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, Shape)> {
        self.graph.weights().map(|(node, _)| (node.name.as_str(), node.shape))
    }

    /// Whether it has running statistics, those of batch normalisation.
    pub fn has_statistics(&self) -> bool {
        self.graph.weights().count() != self.graph.params().count()
    }

    /// Trained parameters.
    pub fn param_count(&self) -> u64 {
        self.graph.param_count()
    }
}
