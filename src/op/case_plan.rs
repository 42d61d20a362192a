//! A case as a plan: what tests and benches run.

use super::{Case, Values};
use crate::Result;
use crate::graph::{Graph, Init, Recording};
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
    /// Plans the case. The case keeps its inputs' description and loses its op to the plan's graph.
    ///
    /// # Errors
    /// The op cannot take the case's inputs.
    pub fn new(case: Case) -> Result<Self> {
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
        let y = graph.boxed_op("y", case.op, &inputs)?;
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
}
