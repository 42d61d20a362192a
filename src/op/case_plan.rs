//! A case as a plan: what tests and benches run.

use super::Case;
use crate::Result;
use crate::graph::{Graph, Recording};
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
    /// Gradients of the float inputs, in order.
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
            if input.values.are_integers() {
                inputs.push(graph.input_u32(&name, input.shape));
            } else {
                let x = graph.input(&name, input.shape);
                inputs.push(x);
                wrt.push(x);
            }
        }
        let y = graph.boxed_op("y", case.op, &inputs)?;
        let mut recording = Recording::forward(&graph, &[y]);
        let dy = recording.backward(y, &wrt);
        Ok(Self {
            dx: wrt.iter().filter_map(|&t| recording.gradient(t)).collect(),
            inputs: inputs.iter().map(|&t| recording.value(t)).collect(),
            y: recording.value(y),
            dy,
            plan: recording.finish(),
        })
    }
}
