//! A case as a plan: what tests and benches run.

use super::{Case, Values};
use crate::Result;
use crate::graph::{Graph, Init, Recording, Tensor};
use crate::plan::{Buf, Plan};

/// One case as a plan, forward and backward, with the buffers that a caller fills and reads.
#[derive(Debug)]
pub struct CasePlan {
    /// The plan.
    pub plan: Plan,
    /// Inputs, in the op's order.
    pub inputs: Vec<Buf>,
    /// Output.
    pub y: Buf,
    /// Gradient of the output, written by the caller.
    pub dy: Buf,
    /// The inputs that have a gradient, in order.
    pub wrt: Vec<Buf>,
    /// Their gradients.
    pub dx: Vec<Buf>,
}

impl CasePlan {
    /// Plans the case, forward and backward.
    ///
    /// # Errors
    /// The op cannot take the case's inputs.
    pub fn new(case: Case) -> Result<Self> {
        let (graph, inputs, wrt, y) = graph_of(case)?;
        let mut recording = Recording::forward(&graph, &[y]);
        let dy = recording.backward(y, &wrt);
        Ok(Self {
            dx: wrt.iter().filter_map(|&t| recording.gradient(t)).collect(),
            wrt: wrt.iter().map(|&t| recording.value(t)).collect(),
            inputs: inputs.iter().map(|&t| recording.value(t)).collect(),
            y: recording.value(y),
            dy,
            plan: recording.finish(),
        })
    }

    /// Plans the case's forward pass alone, without memory for gradients.
    ///
    /// # Errors
    /// The op cannot take the case's inputs.
    pub fn forward(case: Case) -> Result<Plan> {
        let (graph, _, _, y) = graph_of(case)?;
        Ok(Recording::forward(&graph, &[y]).finish())
    }
}

/// The case's graph, its inputs, those of them that have a gradient, and its output.
fn graph_of(case: Case) -> Result<(Graph, Vec<Tensor>, Vec<Tensor>, Tensor)> {
    let mut graph = Graph::new();
    let mut inputs = Vec::new();
    let mut wrt = Vec::new();
    for (i, input) in case.inputs.iter().enumerate() {
        let name = format!("x{i}");
        let x = match input.values {
            values if values.are_integers() => graph.input_u32(&name, input.shape),
            Values::Statistic => graph.statistic(&name, input.shape, Init::Zeros),
            _ => graph.input(&name, input.shape),
        };
        inputs.push(x);
        if input.values.have_gradient() {
            wrt.push(x);
        }
    }
    let y = graph.shared_op("y", case.op.into(), &inputs)?;
    Ok((graph, inputs, wrt, y))
}
