//! A model's graph for one batch size, image size and purpose.

mod fuse;

use super::{DROPOUT_SEED, EMBEDDINGS, Fold, IMAGES, Model};
use crate::graph::{Adapted, Graph, Purpose, Source, Tensor};
use crate::plan::Shape;
use crate::{Error, Result};

/// A model as a graph for one batch.
#[derive(Debug)]
#[non_exhaustive]
pub struct Instance {
    /// The graph. Its outputs bear the model's names.
    pub graph: Graph,
    /// Input: images `[batch, height, width, 3]`.
    pub images: Tensor,
    /// Input: the seed of this step's dropout, two integers, if the graph drops anything out.
    pub seed: Option<Tensor>,
    /// What the graph expects to be derived from the parameters before it is run.
    pub folds: Vec<Fold>,
}

impl Instance {
    /// The output with the embeddings `[batch, dimensions]`.
    ///
    /// # Panics
    /// If the model has none: see [`Model::dimensions`].
    pub fn embeddings(&self) -> Tensor {
        self.graph.output(EMBEDDINGS).expect("the model gives embeddings")
    }
}

impl Model {
    /// The graph for batches of `batch` images with gradients, without dropout.
    ///
    /// # Errors
    /// As [`instance`](Self::instance).
    pub fn training(&self, batch: u32) -> Result<Instance> {
        self.sized(batch, Purpose::Training { dropout: 0.0, frozen: false })
    }

    /// The graph for embeddings of `batch` images at a time.
    ///
    /// # Errors
    /// As [`instance`](Self::instance).
    pub fn inference(&self, batch: u32) -> Result<Instance> {
        self.sized(batch, Purpose::Inference)
    }

    /// The graph for batches of `batch` images of the model's own size.
    ///
    /// # Errors
    /// As [`instance`](Self::instance).
    pub fn sized(&self, batch: u32, purpose: Purpose) -> Result<Instance> {
        self.instance(batch, self.input(), purpose)
    }

    /// The graph for batches of `batch` images of this height and width. Only a model without layers that are tied to one
    /// size, such as fully connected ones over an image, takes others than its own.
    ///
    /// # Errors
    /// No images, too many for 32-bit indices, or images of a size that some layer cannot take; the message names it.
    pub fn instance(&self, batch: u32, [height, width]: [u32; 2], purpose: Purpose) -> Result<Instance> {
        let images = Shape::new(&[batch, height, width, 3])
            .map_err(|e| Error::Setting(format!("{} with {batch} images of {height}x{width}: {e}", self.name)))?;
        let plan = Adaptation::new(&self.graph, purpose, &self.frozen);
        let mut built = Instance { graph: Graph::new(), images: self.images, seed: None, folds: Vec::new() };
        let mut map: Vec<Option<Tensor>> = vec![None; self.graph.nodes().len()];
        for (i, node) in self.graph.nodes().iter().enumerate() {
            if !plan.needed[i] {
                continue;
            }
            let graph = &mut built.graph;
            let at = |t: Tensor| map[t.index()].expect("inputs come before what is computed from them");
            map[i] = Some(match (&node.source, &plan.what[i]) {
                (Source::Input(_), _) if node.name == IMAGES => graph.input(IMAGES, images),
                (Source::Op { .. }, What::Alias(of)) => at(*of),
                (Source::Op { inputs, .. }, What::Op(op)) => {
                    let inputs: Vec<Tensor> = inputs.iter().map(|&t| at(t)).collect();
                    graph.shared_op(&node.name, op.clone(), &inputs)?
                }
                (Source::Op { inputs, .. }, What::Folded(op, fold)) => {
                    let own = derived(graph, at(inputs[0]), fold);
                    let folded = graph.shared_op(&node.name, op.clone(), &own)?;
                    built.folds.push(fold.clone());
                    folded
                }
                (_, What::Residual { conv, op, fold, a }) => {
                    let (_, inputs) = self.graph.nodes()[conv.index()].source.op().expect("a convolution is an op");
                    let mut own: Vec<Tensor> = match fold {
                        Some(fold) => derived(graph, at(inputs[0]), fold),
                        None => inputs.iter().map(|&t| at(t)).collect(),
                    };
                    own.push(at(*a));
                    built.folds.extend(fold.clone());
                    graph.shared_op(&node.name, op.clone(), &own)?
                }
                _ => graph.copy(node),
            });
        }
        for (name, tensor) in self.graph.outputs() {
            built.graph.set_output(name, map[tensor.index()].expect("outputs are needed"));
        }
        built.images = map[self.images.index()].unwrap_or(self.images);
        built.seed = built.graph.find_input(DROPOUT_SEED);
        Ok(built)
    }
}

/// The inputs of a layer that reads `x`, with the weights and the bias that a fold gives it.
fn derived(graph: &mut Graph, x: Tensor, fold: &Fold) -> Vec<Tensor> {
    let [w, b] = fold.outputs().map(|(name, shape)| graph.derived(name, shape));
    vec![x, w, b]
}

/// What becomes of a node.
enum What {
    /// It is copied: an input, a parameter, a statistic.
    Copy,
    /// Another value takes its place.
    Alias(Tensor),
    /// An op, on the same inputs.
    Op(std::sync::Arc<dyn crate::graph::Op>),
    /// A layer that takes over the batch normalisation behind it.
    Folded(std::sync::Arc<dyn crate::graph::Op>, Fold),
    /// The convolution before a sum takes it over: see [`Op::with_residual`](crate::graph::Op::with_residual).
    Residual {
        /// The convolution, which is computed here and not in its own place.
        conv: Tensor,
        /// What computes both.
        op: std::sync::Arc<dyn crate::graph::Op>,
        /// What is folded into the convolution.
        fold: Option<Fold>,
        /// What is added to, and overwritten.
        a: Tensor,
    },
}

/// What becomes of every node of a graph for a purpose.
struct Adaptation {
    what: Vec<What>,
    needed: Vec<bool>,
}

impl Adaptation {
    fn new(graph: &Graph, purpose: Purpose, frozen: &[String]) -> Self {
        let mut what: Vec<What> = Vec::with_capacity(graph.nodes().len());
        for (i, node) in graph.nodes().iter().enumerate() {
            let Source::Op { op, inputs } = &node.source else {
                what.push(What::Copy);
                continue;
            };
            let purpose = match purpose {
                Purpose::Training { dropout, .. } if graph.trains_none(inputs, frozen) => {
                    Purpose::Training { dropout, frozen: true }
                }
                purpose => purpose,
            };
            let own = match op.adapt(purpose) {
                Adapted::Same => What::Op(op.clone()),
                Adapted::Identity => What::Alias(inputs[0]),
                Adapted::Replaced(other) => What::Op(other),
                Adapted::Folded { eps, relu, otherwise } => match Self::fold(graph, i, inputs, eps, relu) {
                    Some((layer, folded)) => {
                        what[layer.index()] = folded;
                        What::Alias(layer)
                    }
                    None => What::Op(otherwise),
                },
            };
            what.push(own);
        }
        if purpose == Purpose::Inference {
            fuse::residuals(graph, &mut what);
        }
        let needed = Self::needed(graph, &what);
        Self { what, needed }
    }

    /// The layer before batch normalisation number `at` with that folded into it, if it can be: it is linear so far, and
    /// nothing else reads it.
    fn fold(graph: &Graph, at: usize, inputs: &[Tensor], eps: f32, relu: bool) -> Option<(Tensor, What)> {
        let &[layer, gamma, beta, mean, var] = inputs else { return None };
        let Source::Op { op, inputs: own } = &graph.nodes()[layer.index()].source else { return None };
        let reads = |node: usize| match &graph.nodes()[node].source {
            Source::Op { inputs, .. } => inputs.contains(&layer),
            _ => false,
        };
        let alone = (0..graph.nodes().len()).all(|node| node == at || !reads(node));
        if !alone || graph.outputs().any(|(_, output)| output == layer) {
            return None;
        }
        let folded = op.with_relu(relu)?;
        let name = |t: Tensor| graph.nodes()[t.index()].name.clone();
        let fold = Fold {
            layer: graph.nodes()[layer.index()].name.clone(),
            w: (name(own[1]), graph.shape(own[1])),
            b: own.get(2).map(|&b| name(b)),
            batch_norm: [gamma, beta, mean, var].map(name),
            eps,
        };
        Some((layer, What::Folded(folded, fold)))
    }

    /// Which nodes the outputs still depend on.
    fn needed(graph: &Graph, what: &[What]) -> Vec<bool> {
        let mut needed = vec![false; what.len()];
        graph.outputs().for_each(|(_, output)| needed[output.index()] = true);
        for (i, node) in graph.nodes().iter().enumerate().rev() {
            let Source::Op { inputs, .. } = &node.source else { continue };
            if !needed[i] {
                continue;
            }
            let read = match &what[i] {
                What::Alias(of) => std::slice::from_ref(of),
                What::Residual { conv, fold, a, .. } => {
                    let (_, own) = graph.nodes()[conv.index()].source.op().expect("a convolution is an op");
                    needed[a.index()] = true;
                    if fold.is_some() { &own[..1] } else { own }
                }
                What::Folded(..) => &inputs[..1],
                What::Op(_) | What::Copy => inputs,
            };
            read.iter().for_each(|t| needed[t.index()] = true);
        }
        // Images are an input whatever is made of them.
        if let Some(images) = graph.find_input(IMAGES) {
            needed[images.index()] = true;
        }
        needed
    }
}
