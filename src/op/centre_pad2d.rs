//! Zeros around images, as many as make them as large as others.

use super::zero_pad2d::{ZeroPad2d, record_backward, record_forward};
use crate::Result;
use crate::graph::{Grad, Io, Op, Recorder};
use crate::plan::{Buf, Shape};

/// The first input, `[n, h, w, c]`, centred in zeros so that it is as high and wide as the second, `[n, height, width, ..]`,
/// of which only the sizes count: Torch's `DepthConcat` for images of any size. See [`ZeroPad2d::centred`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CentrePad2d;

fn pad(x: &[Shape]) -> Result<ZeroPad2d> {
    let ([_, h, w, _], [_, height, width, _]) = (x[0].nhwc("zero_pad2d")?, x[1].nhwc("zero_pad2d")?);
    ZeroPad2d::centred([h, w], [height, width])
}

impl Op for CentrePad2d {
    fn name(&self) -> &'static str {
        "zero_pad2d"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        super::expect_inputs("zero_pad2d", x, 2)?;
        pad(x)?.output_shape(&x[..1])
    }

    fn reads_shape_only(&self, input: usize) -> bool {
        input == 1
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        let pad = pad(io.x_shapes).expect("the graph has checked the shapes");
        record_forward(&pad, r, io);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        let pad = pad(io.x_shapes).expect("the graph has checked the shapes");
        record_backward(&pad, r, io, dy, dx[0]);
    }
}
