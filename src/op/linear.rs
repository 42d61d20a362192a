//! Fully connected layer: a 1x1 convolution over one pixel.

use std::sync::Arc;

use super::conv2d::{Conv2dParams, expect_bias, record_backward, record_forward};
use crate::graph::{Grad, Io, Op, Recorder};
use crate::op::{Case, Entry, Values};
use crate::plan::{Buf, Shape};
use crate::{Error, Result};

/// `y = x w + b` with `x` `[rows, c_in]`, `w` `[c_in, c_out]` and, if given as a third input, `b` `[c_out]`. Images
/// `[n, h, w, c]` are taken as `n` rows of `h * w * c`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Linear {
    /// `max(y, 0)` follows.
    pub relu: bool,
}

impl Linear {
    /// Without a ReLU.
    pub fn new() -> Self {
        Self::default()
    }

    /// Followed by a ReLU.
    #[must_use]
    pub fn with_relu(mut self) -> Self {
        self.relu = true;
        self
    }
}

/// Its kernels are those of conv2d.
pub(super) static ENTRY: Entry = Entry { name: "linear", kernels: &[], cases, bench_cases };

/// Rows and columns of the input.
fn rows(x: &Shape) -> Result<[u32; 2]> {
    match *x.dims() {
        [rows, c_in] => Ok([rows, c_in]),
        [n, ..] if x.rank() == 4 => Ok([n, x.len_u32() / n]),
        _ => Err(Error::shape("linear", format!("expected [rows, c_in] or [n, h, w, c], got {x}"))),
    }
}

fn params(io: &Io<'_>) -> Conv2dParams {
    let [n, c_in] = rows(&io.x_shapes[0]).expect("the shape was checked");
    Conv2dParams {
        n,
        h_in: 1,
        w_in: 1,
        c_in,
        h_out: 1,
        w_out: 1,
        c_out: io.y_shape.channels(),
        k_h: 1,
        k_w: 1,
        stride: 1,
        pad_top: 0,
        pad_left: 0,
        splits: 1,
    }
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        if !(2..=3).contains(&x.len()) {
            let message = format!("expected inputs x, w and perhaps b, got {} inputs", x.len());
            return Err(Error::shape("linear", message));
        }
        let [rows, c_in] = rows(&x[0])?;
        let [got, c_out] = x[1].matrix("linear")?;
        if got != c_in {
            let message = format!("expected weights [{c_in}, c_out] for input {}, got {}", x[0], x[1]);
            return Err(Error::shape("linear", message));
        }
        // The kernels tell positions outside an image by the top bit of an index into one of its rows.
        if c_in >= 1 << 31 || c_out >= 1 << 30 {
            return Err(Error::shape("linear", format!("expected less than 2^30 columns, got {} and {}", x[0], x[1])));
        }
        expect_bias("linear", x.get(2), c_out)?;
        Shape::new(&[rows, c_out])
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        record_forward(r, io, &params(io), self.relu);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        record_backward(r, io, &params(io), self.relu, dy, dx);
    }

    fn with_relu(&self, relu: bool) -> Option<Arc<dyn Op>> {
        (!self.relu).then(|| Arc::new(Self { relu }) as Arc<dyn Op>)
    }

    fn macs(&self, x: &[Shape]) -> u64 {
        u64::from(x[0].batch()) * x[1].len() as u64
    }
}

fn case(op: Linear, x: &[u32], c_out: u32, bias: bool) -> Case {
    let c_in: u32 = x[1..].iter().product();
    let inputs = [(x, Values::Normal), (&[c_in, c_out], Values::Normal), (&[c_out], Values::Normal)];
    Case::new(op, &inputs[..if bias { 3 } else { 2 }])
}

fn cases() -> Vec<Case> {
    vec![
        case(Linear::new(), &[1, 1], 1, true),
        case(Linear::new(), &[17, 55], 33, true),
        case(Linear::new().with_relu(), &[65, 31], 7, false),
        case(Linear::new(), &[3, 2, 5, 7], 65, true),
        case(Linear::new().with_relu(), &[5, 257], 128, true),
    ]
}

fn bench_cases() -> Vec<Case> {
    vec![case(Linear::new(), &[64, 2048], 128, true)]
}
