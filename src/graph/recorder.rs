//! What ops write their dispatches into.

use crate::plan::{Buf, Kernel, Params, Plan, Role, Shape, Step, Type};

/// Records dispatches of one layer into a plan. Runs nothing.
#[derive(Debug)]
pub struct Recorder<'a> {
    plan: &'a mut Plan,
    layer: &'a str,
}

impl<'a> Recorder<'a> {
    /// Records for the layer of that name.
    pub fn new(plan: &'a mut Plan, layer: &'a str) -> Self {
        Self { plan, layer }
    }

    /// Adds one dispatch. `buffers` stand in the order of the kernel's bindings 1, 2, ... The returned step takes the
    /// number of multiply-adds, if they are worth counting.
    ///
    /// # Panics
    /// If the parameter struct is not the kernel's: a bug of the op.
    pub fn dispatch<P: Params>(
        &mut self,
        kernel: &'static Kernel,
        params: &P,
        overrides: &[(&'static str, f64)],
        buffers: &[Buf],
    ) -> &mut Step {
        assert_eq!(kernel.params, P::FIELDS, "{} takes another parameter struct", kernel.name);
        self.plan.steps.push(Step {
            kernel,
            layer: self.layer.to_string(),
            params: bytemuck::bytes_of(params).to_vec(),
            overrides: overrides.to_vec(),
            buffers: buffers.to_vec(),
            macs: 0,
            choice: None,
        });
        self.plan.steps.last_mut().expect("a step was just added")
    }

    /// Sizes of a buffer.
    pub fn shape(&self, buf: Buf) -> Shape {
        self.plan.spec(buf).shape
    }

    /// A buffer that lives within this run, for partial results.
    pub fn scratch(&mut self, name: &str, shape: Shape, ty: Type) -> Buf {
        self.plan.buffer(format!("{}/{name}", self.layer), shape, ty, Role::Temporary)
    }

    /// A buffer that keeps its content between runs; starts at zero.
    pub fn state(&mut self, name: &str, shape: Shape) -> Buf {
        self.plan.buffer(format!("{}/{name}", self.layer), shape, Type::F32, Role::State)
    }
}
