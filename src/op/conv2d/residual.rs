//! A convolution that is added to what stands in its output: the end of a residual block, for inference.

use super::dense::record_sum;
use super::{Conv2d, Error, Result};
use crate::graph::{Grad, Io, Op, Recorder};
use crate::plan::{Buf, Shape};

/// `y = a + scale * (x * w + b)`, in place of `a`, then `max(y, 0)` if `conv` has a ReLU. Inputs are those of the convolution and `a`,
/// which has the sizes of its output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ResidualConv2d {
    /// The convolution, of one group and without dilation.
    pub(super) conv: Conv2d,
    /// Weight of the convolution in the sum.
    pub(super) scale: f32,
}

impl Op for ResidualConv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        let Some((a, x)) = x.split_last() else { return Err(Error::shape("conv2d", "expected inputs, got none")) };
        let y = self.conv.output_shape(x)?;
        if *a != y {
            return Err(Error::shape("conv2d", format!("expected {y} to be added to, got {a}")));
        }
        Ok(y)
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        let own = &io.x[..io.x.len() - 1];
        record_sum(r, own, io.y, &self.conv.dense(io), self.scale, self.conv.relu);
    }

    fn backward(&self, _: &mut Recorder<'_>, _: &Io<'_>, _: Buf, _: &[Option<Grad>]) {
        unreachable!("a graph with an op that overwrites its input has no gradients");
    }

    fn overwrites(&self) -> bool {
        true
    }

    fn summary(&self) -> String {
        self.conv.summary()
    }

    fn macs(&self, x: &[Shape]) -> u64 {
        self.conv.macs(&x[..x.len() - 1])
    }
}
