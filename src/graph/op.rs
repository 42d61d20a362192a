//! What an op is to the graph: a shape rule and two recipes, forward and backward.

use std::fmt::Debug;
use std::sync::Arc;

use super::Recorder;
use crate::Result;
use crate::plan::{Buf, Shape, Type};

/// A buffer that forward fills and backward reads: a name, sizes, an element type.
pub type Saved = (&'static str, Shape, Type);

/// The buffers of one op in one plan.
#[derive(Debug)]
pub struct Io<'a> {
    /// Inputs, in the order that the op was given them.
    pub x: &'a [Buf],
    /// Their sizes.
    pub x_shapes: &'a [Shape],
    /// Output.
    pub y: Buf,
    /// Its sizes.
    pub y_shape: Shape,
    /// What [`Op::saved`] asked for.
    pub saved: &'a [Buf],
}

/// Where the gradient of an input goes.
#[derive(Debug, Clone, Copy)]
pub struct Grad {
    /// The gradient's buffer.
    pub buf: Buf,
    /// Someone has written it before: add. Else set.
    pub accumulate: bool,
}

impl Grad {
    /// The override that every backward kernel has.
    pub fn overrides(self) -> [(&'static str, f64); 1] {
        [("ACCUMULATE", f64::from(u8::from(self.accumulate)))]
    }
}

/// What a graph is for: see [`Op::adapt`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Purpose {
    /// Outputs only.
    Inference,
    /// Gradients too.
    Training {
        /// Part of the features that dropout sets to zero; below 1.
        dropout: f32,
        /// Batch normalisation uses its running statistics and leaves them alone.
        frozen: bool,
    },
}

/// What becomes of an op in a graph of a certain purpose.
#[derive(Debug, Clone)]
pub enum Adapted {
    /// The op stays.
    Same,
    /// The op is left out: its first input passes.
    Identity,
    /// Another op takes its place.
    Replaced(Arc<dyn Op>),
    /// `y = (x - mean) / sqrt(var + eps) * gamma + beta` on constants, inputs in the order of
    /// [`BatchNorm`](crate::op::BatchNorm): it is folded into the weights and the bias of the layer before, where there
    /// is one that [can be followed by a ReLU](Op::with_relu), and else replaced.
    Folded {
        /// Added to the variance.
        eps: f32,
        /// `max(y, 0)` follows.
        relu: bool,
        /// What takes its place where it cannot be folded.
        otherwise: Arc<dyn Op>,
    },
}

/// One differentiable operation.
pub trait Op: Debug + Send + Sync {
    /// The WGSL file stem; the same word names the kernels, the profile's rows and the tests.
    fn name(&self) -> &'static str;

    /// Sizes of the output for inputs of these sizes.
    ///
    /// # Errors
    /// The op cannot take such inputs. No shape error arises later.
    fn output_shape(&self, x: &[Shape]) -> Result<Shape>;

    /// Buffers that forward leaves for backward besides inputs and output.
    fn saved(&self, _x: &[Shape]) -> Vec<Saved> {
        Vec::new()
    }

    /// Records the dispatches that compute the output.
    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>);

    /// Records the dispatches that compute the gradients of the inputs that need one, given the gradient `dy` of the
    /// output. `dy` is this op's to overwrite. Gradients are written in the order of the inputs.
    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]);

    /// Number of an input whose gradient is `dy` as [`backward`](Self::backward) leaves it: no kernel copies it where nothing else
    /// has added to that gradient before.
    fn passes_gradient(&self) -> Option<usize> {
        None
    }

    /// Whether an image's row of the output depends on anything but that image: on the others of its batch, as with the
    /// statistics of batch normalisation, or on its place in it. Such an op must meet the same batch whenever an image
    /// goes through it again.
    fn depends_on_batch(&self) -> bool {
        false
    }

    /// What becomes of the op in a graph that is made for `purpose`. Models hold their graphs as they are trained, without
    /// dropout.
    fn adapt(&self, _purpose: Purpose) -> Adapted {
        Adapted::Same
    }

    /// The op with `max(y, 0)` fused behind it, if it is a layer with inputs `x`, `w` and perhaps a bias that is linear so
    /// far: such a layer can take over what follows it.
    fn with_relu(&self, _relu: bool) -> Option<Arc<dyn Op>> {
        None
    }

    /// `scale` and `relu`, if the op is `a + scale * b` for its inputs `a` and `b`, then `max(., 0)` if `relu`: the end of a residual
    /// block.
    fn residual(&self) -> Option<(f32, bool)> {
        None
    }

    /// The op with such a sum fused behind it, if it can be: it takes `a` behind its own inputs, whose result is `b`, and
    /// [overwrites](Self::overwrites) it.
    fn with_residual(&self, _scale: f32, _relu: bool) -> Option<Arc<dyn Op>> {
        None
    }

    /// Whether the output takes the place of the last input, which is lost. Nothing may read that input later, and the graph has no
    /// gradients.
    fn overwrites(&self) -> bool {
        false
    }

    /// Whether of input number `input` only the sizes are used: it then has no gradient from here, and no kernel reads it.
    fn reads_shape_only(&self, _input: usize) -> bool {
        false
    }

    /// Records what changes running statistics after a training step; most ops have none. `loss` is one float: while it
    /// is not finite, the statistics must stay as they are, as the trained tensors do.
    fn update(&self, _r: &mut Recorder<'_>, _io: &Io<'_>, _loss: Buf) {}

    /// What a table of layers says of the op, such as "7x7, 2" for kernel and stride; empty where nothing needs saying.
    fn summary(&self) -> String {
        String::new()
    }

    /// Multiply-adds of forward.
    fn macs(&self, _x: &[Shape]) -> u64 {
        0
    }
}

/// Floats of [`Update::rate`].
pub const RATE_LEN: u32 = 5;

/// One parameter to update.
#[derive(Debug, Clone, Copy)]
pub struct Update {
    /// The parameter.
    pub w: Buf,
    /// Its gradient.
    pub dw: Buf,
    /// Number of floats.
    pub len: u32,
    /// Weight decay applies.
    pub decay: bool,
    /// What [`Rate`](crate::optim::Rate) holds, written by the caller before each step.
    pub rate: Buf,
    /// What the learning rate is multiplied by for this parameter.
    pub factor: f32,
    /// The loss (its first float): the update is skipped while it is not finite, so that the weights stay good.
    pub loss: Buf,
}

/// Turns gradients into new weights.
pub trait Optimiser: Debug + Send + Sync {
    /// Records the update of one parameter.
    fn record(&self, r: &mut Recorder<'_>, update: &Update);

    /// Records what is to be done once before all updates; `gradients` are those of all parameters, each with its number of
    /// floats.
    fn prepare(&self, _r: &mut Recorder<'_>, _gradients: &[(Buf, u32)], _rate: Buf) {}

    /// How its means of gradients and of squared gradients decay, where they are corrected for their start at zero.
    fn betas(&self) -> [f32; 2] {
        [0.0; 2]
    }

    /// The part of a moving average of the weights that survives a step; 0 where there is none.
    fn average(&self) -> f32 {
        0.0
    }
}
