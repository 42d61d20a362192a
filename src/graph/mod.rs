//! Graphs of ops, and how they become plans: forward, backward by reverse accumulation, update.

mod op;
mod recorder;
mod recording;

pub use op::{Adapted, Grad, Io, Op, Optimiser, Purpose, RATE_LEN, Saved, Update};
pub use recorder::Recorder;
pub use recording::{Recording, Updating};

use std::sync::Arc;

use crate::plan::{Shape, Type};
use crate::{Error, Result};

/// A value in a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tensor(pub(crate) usize);

impl Tensor {
    /// Position in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// How a parameter starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All zero: biases.
    Zeros,
    /// All one: what batch normalisation multiplies by.
    Ones,
    /// Normal with standard deviation sqrt(2 / fan-in) (He et al., 2015): weights before a ReLU.
    HeNormal {
        /// Inputs that one output sums over.
        fan_in: u32,
    },
    /// Normal with standard deviation sqrt(1 / fan-in): weights without a ReLU behind them.
    LecunNormal {
        /// Inputs that one output sums over.
        fan_in: u32,
    },
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Written by the caller.
    Input(Type),
    /// Trained.
    Param {
        /// How it starts.
        init: Init,
        /// Weight decay applies: to weights, not to biases.
        decay: bool,
    },
    /// A running statistic: a weights file holds it, the update changes it, nothing has its gradient.
    Statistic {
        /// How it starts.
        init: Init,
    },
    /// Computed from parameters and statistics by a plan of its own, before this one is run.
    Derived,
    /// Computed.
    Op {
        /// The op.
        op: Arc<dyn Op>,
        /// What it reads, parameters included.
        inputs: Vec<Tensor>,
    },
}

impl Source {
    /// The op and what it reads, if the value is computed in its graph.
    pub fn op(&self) -> Option<(&Arc<dyn Op>, &[Tensor])> {
        match self {
            Self::Op { op, inputs } => Some((op, inputs)),
            _ => None,
        }
    }
}

/// One value of a graph.
#[derive(Debug, Clone)]
pub struct Node {
    /// Layer name, as in the paper's tables; parameters are `layer/w` and `layer/b`.
    pub name: String,
    /// Sizes.
    pub shape: Shape,
    /// Where it comes from.
    pub source: Source,
}

/// Ops and values in the order in which they are computed, and the names of those that a caller reads. An input is found
/// by the name of its node.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    outputs: Vec<(String, Tensor)>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// A float input.
    pub fn input(&mut self, name: &str, shape: Shape) -> Tensor {
        self.push(name.to_string(), shape, Source::Input(Type::F32))
    }

    /// An integer input, such as labels.
    pub fn input_u32(&mut self, name: &str, shape: Shape) -> Tensor {
        self.push(name.to_string(), shape, Source::Input(Type::U32))
    }

    /// A trained tensor.
    pub fn param(&mut self, name: impl Into<String>, shape: Shape, init: Init, decay: bool) -> Tensor {
        self.push(name.into(), shape, Source::Param { init, decay })
    }

    /// A running statistic, such as the mean that batch normalisation uses once training is over.
    pub fn statistic(&mut self, name: impl Into<String>, shape: Shape, init: Init) -> Tensor {
        self.push(name.into(), shape, Source::Statistic { init })
    }

    /// A tensor that a plan of its own computes from parameters and statistics.
    pub fn derived(&mut self, name: impl Into<String>, shape: Shape) -> Tensor {
        self.push(name.into(), shape, Source::Derived)
    }

    /// Names a value as an output.
    pub fn set_output(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.outputs.push((name.into(), tensor));
    }

    /// The outputs with their names, in the order in which they were named.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, Tensor)> {
        self.outputs.iter().map(|(name, tensor)| (name.as_str(), *tensor))
    }

    /// The output of that name.
    pub fn output(&self, name: &str) -> Option<Tensor> {
        self.outputs().find(|(n, _)| *n == name).map(|(_, tensor)| tensor)
    }

    /// The inputs, in order.
    pub fn inputs(&self) -> impl Iterator<Item = (Tensor, &Node)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(|(_, n)| matches!(n.source, Source::Input(_))).map(|(i, n)| (Tensor(i), n))
    }

    /// The input of that name.
    pub fn find_input(&self, name: &str) -> Option<Tensor> {
        self.inputs().find(|(_, node)| node.name == name).map(|(tensor, _)| tensor)
    }

    /// The result of an op. Every shape error is born here.
    ///
    /// # Errors
    /// The op cannot take these inputs; the message names the layer.
    pub fn op(&mut self, name: impl Into<String>, op: impl Op + 'static, inputs: &[Tensor]) -> Result<Tensor> {
        self.shared_op(name, Arc::new(op), inputs)
    }

    /// As [`op`](Self::op), for an op that other graphs may hold as well.
    ///
    /// # Errors
    /// The op cannot take these inputs.
    pub fn shared_op(&mut self, name: impl Into<String>, op: Arc<dyn Op>, inputs: &[Tensor]) -> Result<Tensor> {
        let name = name.into();
        let shapes: Vec<Shape> = inputs.iter().map(|&t| self.shape(t)).collect();
        let shape = op.output_shape(&shapes).map_err(|e| match e {
            Error::Shape { op, message } if !name.is_empty() => Error::shape(format!("{name} ({op})"), message),
            e => e,
        })?;
        Ok(self.push(name, shape, Source::Op { op, inputs: inputs.to_vec() }))
    }

    /// Sizes of a value.
    pub fn shape(&self, tensor: Tensor) -> Shape {
        self.nodes[tensor.0].shape
    }

    /// The values, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The trained tensors, in order.
    pub fn params(&self) -> impl Iterator<Item = (Tensor, &Node)> {
        self.nodes
            .iter()
            .enumerate()
            .filter(|(_, n)| matches!(n.source, Source::Param { .. }))
            .map(|(i, n)| (Tensor(i), n))
    }

    /// What a weights file holds, in order: the trained tensors and the running statistics, each with its start.
    pub fn weights(&self) -> impl Iterator<Item = (&Node, Init)> {
        self.nodes.iter().filter_map(|n| match n.source {
            Source::Param { init, .. } | Source::Statistic { init } => Some((n, init)),
            _ => None,
        })
    }

    /// Number of trained floats.
    pub fn param_count(&self) -> u64 {
        self.params().map(|(_, n)| n.shape.len() as u64).sum()
    }

    /// Multiply-adds of the forward pass of the whole batch, what the paper calls FLOPS.
    pub fn macs(&self) -> u64 {
        let of = |node: &Node| match &node.source {
            Source::Op { op, inputs } => op.macs(&inputs.iter().map(|&t| self.shape(t)).collect::<Vec<_>>()),
            _ => 0,
        };
        self.nodes.iter().map(of).sum()
    }

    /// Whether any op gives an image another result in another batch: see [`Op::depends_on_batch`].
    pub fn depends_on_batch(&self) -> bool {
        self.nodes.iter().any(|n| matches!(&n.source, Source::Op { op, .. } if op.depends_on_batch()))
    }

    /// Whether there are parameters among `inputs`, and all of them have names in `frozen`.
    pub(crate) fn trains_none(&self, inputs: &[Tensor], frozen: &[String]) -> bool {
        let mut params = inputs.iter().map(|t| &self.nodes[t.0]).filter(|n| matches!(n.source, Source::Param { .. }));
        !frozen.is_empty() && params.clone().next().is_some() && params.all(|node| frozen.contains(&node.name))
    }

    /// A copy of a node of another graph that is computed from nothing: an input, a parameter, a statistic.
    pub(crate) fn copy(&mut self, node: &Node) -> Tensor {
        debug_assert!(!matches!(node.source, Source::Op { .. }), "an op's inputs are those of its own graph");
        self.push(node.name.clone(), node.shape, node.source.clone())
    }

    fn push(&mut self, name: String, shape: Shape, source: Source) -> Tensor {
        self.nodes.push(Node { name, shape, source });
        Tensor(self.nodes.len() - 1)
    }
}
