//! From a graph to a plan: forward, then backward by reverse accumulation, then the update.

use super::{Grad, Graph, Io, Optimiser, Recorder, Source, Tensor, Update};
use crate::plan::{Buf, Plan, Role, Shape, Type};

/// A plan in the making.
#[derive(Debug)]
pub struct Recording<'g> {
    graph: &'g Graph,
    plan: Plan,
    values: Vec<Buf>,
    saved: Vec<Vec<Buf>>,
    grads: Vec<Option<Buf>>,
}

impl<'g> Recording<'g> {
    /// Records the forward pass. The caller can read `outputs` after a run.
    pub fn forward(graph: &'g Graph, outputs: &[Tensor]) -> Self {
        let mut recording = Self {
            graph,
            plan: Plan::default(),
            values: Vec::with_capacity(graph.nodes.len()),
            saved: Vec::with_capacity(graph.nodes.len()),
            grads: vec![None; graph.nodes.len()],
        };
        for (i, node) in graph.nodes.iter().enumerate() {
            let (ty, role) = match &node.source {
                Source::Input(ty) => (*ty, Role::Input),
                Source::Param { .. } => (Type::F32, Role::Param),
                Source::Statistic { .. } => (Type::F32, Role::Statistic),
                Source::Op { .. } if outputs.contains(&Tensor(i)) => (Type::F32, Role::Output),
                Source::Op { .. } => (Type::F32, Role::Temporary),
            };
            let plan = &mut recording.plan;
            recording.values.push(plan.buffer(&node.name, node.shape, ty, role));
            let mut kept = Vec::new();
            if let Source::Op { op, inputs } = &node.source {
                let shapes = graph.shapes(inputs);
                for (name, shape, ty) in op.saved(&shapes) {
                    kept.push(plan.buffer(format!("{}/{name}", node.name), shape, ty, Role::Temporary));
                }
                let x: Vec<Buf> = inputs.iter().map(|t| recording.values[t.0]).collect();
                let y = recording.values[i];
                let io = Io { x: &x, x_shapes: &shapes, y, y_shape: node.shape, saved: &kept };
                op.forward(&mut Recorder::new(plan, &node.name), &io);
            }
            recording.saved.push(kept);
        }
        recording.end_phase("forward");
        recording
    }

    /// The buffer of a value.
    pub fn value(&self, tensor: Tensor) -> Buf {
        self.values[tensor.0]
    }

    /// The gradient of a value, once [`backward`](Self::backward) is recorded and if it needs one.
    pub fn gradient(&self, tensor: Tensor) -> Option<Buf> {
        self.grads[tensor.0]
    }

    /// Records the gradients of all parameters, and of the inputs in `wrt`, given the gradient of `from`, which the
    /// caller writes into the returned buffer (`d` and the value's name) before a run.
    pub fn backward(&mut self, from: Tensor, wrt: &[Tensor]) -> Buf {
        let nodes = &self.graph.nodes;
        let mut needs = vec![false; nodes.len()];
        for (i, node) in nodes.iter().enumerate() {
            needs[i] = match &node.source {
                Source::Input(_) => wrt.contains(&Tensor(i)),
                Source::Param { .. } => true,
                Source::Statistic { .. } => false,
                Source::Op { inputs, .. } => inputs.iter().any(|t| needs[t.0]),
            };
        }
        let seed = self.plan.buffer(format!("d {}", nodes[from.0].name), nodes[from.0].shape, Type::F32, Role::Input);
        self.grads[from.0] = Some(seed);
        for (i, node) in nodes.iter().enumerate().take(from.0 + 1).rev() {
            let Source::Op { op, inputs } = &node.source else { continue };
            let (Some(dy), true) = (self.grads[i], needs[i]) else { continue };
            let mut dx = Vec::with_capacity(inputs.len());
            for &t in inputs {
                dx.push(needs[t.0].then(|| self.grad_of(t, wrt)));
            }
            let x: Vec<Buf> = inputs.iter().map(|t| self.values[t.0]).collect();
            let shapes = self.graph.shapes(inputs);
            let io = Io { x: &x, x_shapes: &shapes, y: self.values[i], y_shape: node.shape, saved: &self.saved[i] };
            op.backward(&mut Recorder::new(&mut self.plan, &node.name), &io, dy, &dx);
        }
        self.end_phase("backward");
        seed
    }

    /// The gradient buffer of a value: the first time it is made and will be set, later it is added to.
    fn grad_of(&mut self, tensor: Tensor, wrt: &[Tensor]) -> Grad {
        if let Some(buf) = self.grads[tensor.0] {
            return Grad { buf, accumulate: true };
        }
        let node = &self.graph.nodes[tensor.0];
        let role = if wrt.contains(&tensor) { Role::Output } else { Role::Temporary };
        let buf = self.plan.buffer(format!("d {}", node.name), node.shape, Type::F32, role);
        self.grads[tensor.0] = Some(buf);
        Grad { buf, accumulate: false }
    }

    /// Records the update of every running statistic, and of every parameter that has a gradient. Returns the buffer of
    /// the learning rate.
    pub fn update(&mut self, loss: Tensor, optimiser: &dyn Optimiser) -> Buf {
        let learning_rate = self.plan.buffer("learning rate", Shape::vector(1), Type::F32, Role::Input);
        let loss = self.values[loss.0];
        for (i, node) in self.graph.nodes.iter().enumerate() {
            match (&node.source, self.grads[i]) {
                (Source::Param { decay, .. }, Some(dw)) => {
                    let (w, len) = (self.values[i], node.shape.len_u32());
                    let update = Update { w, dw, len, decay: *decay, learning_rate, loss };
                    optimiser.record(&mut Recorder::new(&mut self.plan, &node.name), &update);
                }
                (Source::Op { op, inputs }, _) => {
                    let x: Vec<Buf> = inputs.iter().map(|t| self.values[t.0]).collect();
                    let shapes = self.graph.shapes(inputs);
                    let (y, saved) = (self.values[i], &self.saved[i]);
                    let io = Io { x: &x, x_shapes: &shapes, y, y_shape: node.shape, saved };
                    op.update(&mut Recorder::new(&mut self.plan, &node.name), &io, loss);
                }
                _ => {}
            }
        }
        self.end_phase("update");
        learning_rate
    }

    /// The finished plan.
    pub fn finish(self) -> Plan {
        self.plan
    }

    fn end_phase(&mut self, name: &'static str) {
        let start = self.plan.phases.last().map_or(0, |(_, range)| range.end);
        self.plan.phases.push((name, start..self.plan.steps.len()));
    }
}

impl Graph {
    fn shapes(&self, tensors: &[Tensor]) -> Vec<Shape> {
        tensors.iter().map(|&t| self.shape(t)).collect()
    }
}
