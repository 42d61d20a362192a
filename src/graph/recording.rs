//! From a graph to a plan: forward, then backward by reverse accumulation, then the update.

use std::collections::HashMap;

use super::{Grad, Graph, Io, Node, Optimiser, RATE_LEN, Recorder, Source, Tensor, Update};
use crate::plan::{Buf, Phase, Plan, Role, Shape, Type};

/// How parameters are updated.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Updating {
    /// What the learning rate of a parameter is multiplied by, where it is not 1, by name.
    pub factors: HashMap<String, f32>,
}

/// A plan in the making. [`forward`](Self::forward), [`backward`](Self::backward) and [`update`](Self::update) make the
/// usual one; the finer methods make plans whose phases are run several times or cover a part of the graph.
#[derive(Debug)]
pub struct Recording<'g> {
    graph: &'g Graph,
    plan: Plan,
    values: Vec<Buf>,
    saved: Vec<Vec<Buf>>,
    grads: Vec<Option<Buf>>,
    /// Parameters that have no gradient and are not updated, by name.
    frozen: &'g [String],
}

impl<'g> Recording<'g> {
    /// Records the forward pass. The caller can read `outputs` after a run.
    pub fn forward(graph: &'g Graph, outputs: &[Tensor]) -> Self {
        let mut recording = Self::new(graph);
        recording.forward_below(graph.nodes.len(), outputs);
        recording.end_phase(Phase::Forward);
        recording
    }

    /// Nothing recorded yet.
    pub fn new(graph: &'g Graph) -> Self {
        Self {
            graph,
            plan: Plan::default(),
            values: Vec::with_capacity(graph.nodes.len()),
            saved: Vec::with_capacity(graph.nodes.len()),
            grads: vec![None; graph.nodes.len()],
            frozen: &[],
        }
    }

    /// Leaves parameters of these names alone: nothing is computed for their gradients.
    #[must_use]
    pub fn freezing(mut self, names: &'g [String]) -> Self {
        self.frozen = names;
        self
    }

    /// Records the forward pass of the values that were not recorded yet, up to `last`. The caller can read `outputs`
    /// after a run.
    pub fn forward_to(&mut self, last: Tensor, outputs: &[Tensor]) {
        self.forward_below(last.0 + 1, outputs);
    }

    fn forward_below(&mut self, end: usize, outputs: &[Tensor]) {
        let graph = self.graph;
        for (i, node) in graph.nodes.iter().enumerate().take(end).skip(self.values.len()) {
            let (ty, role) = match &node.source {
                Source::Input(ty) => (*ty, Role::Input),
                Source::Param { .. } => (Type::F32, Role::Param),
                Source::Statistic { .. } => (Type::F32, Role::Statistic),
                Source::Derived => (Type::F32, Role::Derived),
                Source::Op { .. } if outputs.contains(&Tensor(i)) => (Type::F32, Role::Output),
                Source::Op { .. } => (Type::F32, Role::Temporary),
            };
            let overwritten = self.overwritten(i, outputs);
            let plan = &mut self.plan;
            self.values.push(overwritten.unwrap_or_else(|| plan.buffer(&node.name, node.shape, ty, role)));
            let mut kept = Vec::new();
            if let Source::Op { op, inputs } = &node.source {
                let shapes = graph.shapes(inputs);
                for (name, shape, ty) in op.saved(&shapes) {
                    kept.push(plan.buffer(format!("{}/{name}", node.name), shape, ty, Role::Temporary));
                }
                let x: Vec<Buf> = inputs.iter().map(|t| self.values[t.0]).collect();
                let y = self.values[i];
                let io = Io { x: &x, x_shapes: &shapes, y, y_shape: node.shape, saved: &kept };
                op.forward(&mut Recorder::new(plan, &node.name), &io);
            }
            self.saved.push(kept);
        }
    }

    /// The buffer that node number `i` overwrites, if it does.
    fn overwritten(&self, i: usize, outputs: &[Tensor]) -> Option<Buf> {
        let (op, inputs) = self.graph.nodes[i].source.op()?;
        let &last = inputs.last().filter(|_| op.overwrites())?;
        let buf = self.values[last.0];
        let later = &self.graph.nodes[i + 1..];
        let read_later = later.iter().any(|node| node.source.op().is_some_and(|(_, inputs)| inputs.contains(&last)));
        let own = self.plan.spec(buf).role == Role::Temporary && !outputs.contains(&Tensor(i));
        assert!(own && !read_later, "{} overwrites what is still wanted", self.graph.nodes[i].name);
        Some(buf)
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
    /// caller writes into the returned buffer (`d` and the value's name) before each run: an op may overwrite it.
    ///
    /// # Panics
    /// If an op of the graph [overwrites](super::Op::overwrites) its input, as in graphs for inference.
    pub fn backward(&mut self, from: Tensor, wrt: &[Tensor]) -> Buf {
        let seed = self.seed(from, Role::Input);
        self.backward_from(from, seed, wrt);
        self.end_phase(Phase::Backward);
        seed
    }

    /// A buffer for the gradient of a value from which backward will start.
    pub fn seed(&mut self, from: Tensor, role: Role) -> Buf {
        let node = &self.graph.nodes[from.0];
        self.plan.buffer(format!("d {}", node.name), node.shape, Type::F32, role)
    }

    /// As [`backward`](Self::backward), given a gradient `dy` of `from` that is there when these steps are run, and
    /// without an end of the phase.
    pub fn backward_from(&mut self, from: Tensor, dy: Buf, wrt: &[Tensor]) {
        let nodes = &self.graph.nodes;
        let overwrites = |node: &Node| node.source.op().is_some_and(|(op, _)| op.overwrites());
        assert!(!nodes[..=from.0].iter().any(overwrites), "a graph for inference has no gradients");
        let mut needs = vec![false; nodes.len()];
        for (i, node) in nodes.iter().enumerate() {
            needs[i] = match &node.source {
                Source::Input(_) => wrt.contains(&Tensor(i)),
                Source::Param { .. } => !self.frozen.contains(&node.name),
                Source::Statistic { .. } | Source::Derived => false,
                Source::Op { inputs, .. } => inputs.iter().any(|t| needs[t.0]),
            };
        }
        self.grads[from.0] = Some(dy);
        for (i, node) in nodes.iter().enumerate().take(from.0 + 1).rev() {
            let Source::Op { op, inputs } = &node.source else { continue };
            let (Some(dy), true) = (self.grads[i], needs[i]) else { continue };
            let mut dx = Vec::with_capacity(inputs.len());
            let passed = op.passes_gradient().map(|number| inputs[number]).filter(|&t| {
                let once = inputs.iter().filter(|&&other| other == t).count() == 1;
                let own = self.plan.spec(dy).role == Role::Temporary && nodes[t.0].source.op().is_some();
                once && own && needs[t.0] && !wrt.contains(&t) && self.grads[t.0].is_none()
            });
            for (number, &t) in inputs.iter().enumerate() {
                if passed == Some(t) {
                    dx.push(None);
                    continue;
                }
                dx.push((needs[t.0] && !op.reads_shape_only(number)).then(|| self.grad_of(t, wrt)));
            }
            let x: Vec<Buf> = inputs.iter().map(|t| self.values[t.0]).collect();
            let shapes = self.graph.shapes(inputs);
            let io = Io { x: &x, x_shapes: &shapes, y: self.values[i], y_shape: node.shape, saved: &self.saved[i] };
            op.backward(&mut Recorder::new(&mut self.plan, &node.name), &io, dy, &dx);
            if let Some(t) = passed {
                self.grads[t.0] = Some(dy);
            }
        }
    }

    /// Records the phase `of` once more as the phase `phase`, which is run in its place and adds to the gradients of the
    /// parameters where the other sets them.
    pub fn repeat_adding(&mut self, of: Phase, phase: Phase) {
        let params: Vec<Buf> = self.graph.params().filter_map(|(t, _)| self.grads[t.0]).collect();
        self.plan.repeat(of, phase, |step| {
            if step.written().iter().any(|buf| params.contains(buf)) {
                step.overrides.iter_mut().filter(|(name, _)| *name == "ACCUMULATE").for_each(|(_, on)| *on = 1.0);
            }
        });
    }

    /// Records dispatches that belong to no value of the graph, under the layer's name `layer`.
    pub fn record(&mut self, layer: &str, record: impl FnOnce(&mut Recorder<'_>)) {
        record(&mut Recorder::new(&mut self.plan, layer));
    }

    /// A buffer that belongs to no value of the graph.
    pub fn buffer(&mut self, name: &str, shape: Shape, ty: Type, role: Role) -> Buf {
        self.plan.buffer(name, shape, ty, role)
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

    /// Records the update of every running statistic, and of every parameter that has a gradient. Returns the buffer that
    /// takes a [`Rate`](crate::optim::Rate).
    pub fn update(&mut self, loss: Tensor, optimiser: &dyn Optimiser, how: &Updating) -> Buf {
        self.update_statistics(loss);
        let rate = self.update_params(loss, optimiser, how);
        self.end_phase(Phase::Update);
        rate
    }

    /// Records the update of every running statistic.
    pub fn update_statistics(&mut self, loss: Tensor) {
        let loss = self.values[loss.0];
        for (i, node) in self.graph.nodes.iter().enumerate() {
            let Source::Op { op, inputs } = &node.source else { continue };
            if self.graph.trains_none(inputs, self.frozen) {
                continue;
            }
            let x: Vec<Buf> = inputs.iter().map(|t| self.values[t.0]).collect();
            let shapes = self.graph.shapes(inputs);
            let io = Io { x: &x, x_shapes: &shapes, y: self.values[i], y_shape: node.shape, saved: &self.saved[i] };
            op.update(&mut Recorder::new(&mut self.plan, &node.name), &io, loss);
        }
    }

    /// Records the update of every parameter that has a gradient. Returns the buffer that takes a
    /// [`Rate`](crate::optim::Rate).
    pub fn update_params(&mut self, loss: Tensor, optimiser: &dyn Optimiser, how: &Updating) -> Buf {
        let rate = self.plan.buffer("rate", Shape::vector(RATE_LEN), Type::F32, Role::Input);
        let loss = self.values[loss.0];
        let gradients = self.graph.params().filter_map(|(t, node)| Some((self.grads[t.0]?, node.shape.len_u32())));
        let gradients: Vec<(Buf, u32)> = gradients.collect();
        optimiser.prepare(&mut Recorder::new(&mut self.plan, "gradients"), &gradients, rate);
        for (i, node) in self.graph.nodes.iter().enumerate() {
            if let (Source::Param { decay, .. }, Some(dw)) = (&node.source, self.grads[i]) {
                let (w, len) = (self.values[i], node.shape.len_u32());
                let factor = how.factors.get(&node.name).copied().unwrap_or(1.0);
                let update = Update { w, dw, len, decay: *decay, rate, factor, loss };
                optimiser.record(&mut Recorder::new(&mut self.plan, &node.name), &update);
            }
        }
        rate
    }

    /// The finished plan.
    pub fn finish(self) -> Plan {
        self.plan
    }

    /// Ends a phase: it holds everything recorded since the last one. Backward computes again what is cheap.
    pub fn end_phase(&mut self, phase: Phase) {
        if phase == Phase::Backward {
            self.plan.recompute(self.plan.phases.last().map_or(0, |(_, range)| range.end));
        }
        self.plan.end_phase(phase);
    }
}

impl Graph {
    fn shapes(&self, tensors: &[Tensor]) -> Vec<Shape> {
        tensors.iter().map(|&t| self.shape(t)).collect()
    }
}
