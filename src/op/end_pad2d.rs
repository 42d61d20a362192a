//! Zeros behind images and behind their channels, as many as make them as large as others.

use super::zero_pad2d::{ZeroPad2d, record_backward, record_forward};
use crate::Result;
use crate::graph::{Grad, Io, Op, Recorder};
use crate::plan::{Buf, Shape};

/// The first input, `[n, h, w, c]`, with zeros below, to the right and behind its channels, so that it is at least as high, wide
/// and deep as the second, of which only the sizes count: what dlib's `add_prev` does to images of different sizes before it
/// adds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndPad2d;

fn pad(x: &[Shape]) -> Result<ZeroPad2d> {
    let ([_, h, w, c], [_, height, width, channels]) = (x[0].nhwc("zero_pad2d")?, x[1].nhwc("zero_pad2d")?);
    let more = |wanted: u32, have: u32| wanted.saturating_sub(have);
    Ok(ZeroPad2d { top: 0, bottom: more(height, h), left: 0, right: more(width, w), channels: more(channels, c) })
}

impl Op for EndPad2d {
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
