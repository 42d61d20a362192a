//! One way to call an op, for tests and benches: the op, its input sizes, and what kind of numbers fill them.

use crate::graph::Op;
use crate::plan::Shape;

/// What fills an input of a case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Values {
    /// Standard normal floats.
    Normal,
    /// Normal floats around this one, with standard deviation 1.
    Around(f32),
    /// Rows of unit length, as embeddings are.
    UnitRows,
    /// Labels: `people` people in turn. No gradient.
    Labels {
        /// How many different labels.
        people: u32,
    },
    /// These integers. No gradient.
    IntegerList(&'static [u32]),
    /// Floats from 0.5 to 2: a running mean or variance. No gradient.
    Statistic,
}

impl Values {
    /// Integers, which have no gradient.
    pub fn are_integers(self) -> bool {
        matches!(self, Self::Labels { .. } | Self::IntegerList(_))
    }

    /// Floats that have a gradient.
    pub fn have_gradient(self) -> bool {
        !self.are_integers() && self != Self::Statistic
    }
}

/// One input of a case.
#[derive(Debug, Clone, Copy)]
pub struct CaseInput {
    /// Sizes.
    pub shape: Shape,
    /// Content.
    pub values: Values,
}

/// One way to call an op.
#[derive(Debug)]
pub struct Case {
    /// The op.
    pub op: Box<dyn Op>,
    /// Its inputs.
    pub inputs: Vec<CaseInput>,
    /// Largest error against the f64 reference, relative to the largest magnitude of the tensor.
    pub tolerance: f64,
    /// All sums are exact on small integers, so that both devices must agree to the bit.
    pub exact_on_integers: bool,
    /// Only so many elements at the start of the output have a gradient; the others are statistics.
    pub differentiable: usize,
    /// What tells it from other cases of the same sizes in tables; empty where nothing needs saying.
    pub setting: &'static str,
}

impl Case {
    /// A case with the usual tolerance of 1e-5.
    ///
    /// # Panics
    /// If a shape is empty or too large: cases are written by hand.
    pub fn new(op: impl Op + 'static, inputs: &[(&[u32], Values)]) -> Self {
        let input = |&(dims, values): &(&[u32], Values)| CaseInput {
            shape: Shape::new(dims).expect("cases have valid shapes"),
            values,
        };
        Self {
            op: Box::new(op),
            inputs: inputs.iter().map(input).collect(),
            tolerance: 1e-5,
            exact_on_integers: true,
            differentiable: usize::MAX,
            setting: "",
        }
    }

    /// For ops that divide, take roots or exponentials: no exact run on integers.
    #[must_use]
    pub fn inexact(mut self) -> Self {
        self.exact_on_integers = false;
        self
    }

    /// For ops whose output ends in statistics: the gradient is that of the first `outputs` elements only.
    #[must_use]
    pub fn differentiable(mut self, outputs: usize) -> Self {
        self.differentiable = outputs;
        self
    }

    /// For one of several cases of the same sizes in tables.
    #[must_use]
    pub fn called(mut self, setting: &'static str) -> Self {
        self.setting = setting;
        self
    }

    /// Another bound; say why at the place of the call.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// The case as one line: the op with its settings and the input sizes.
    pub fn label(&self) -> String {
        let shapes: Vec<String> = self.inputs.iter().map(|i| format!("{:?}", i.shape)).collect();
        format!("{:?} on {}", self.op, shapes.join(" "))
    }
}
