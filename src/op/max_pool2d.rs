//! Max pooling.

use rayon::prelude::*;

use super::pool2d::{Pool2dParams, Windows};
use crate::cpu::{Call, Float};
use crate::graph::{Grad, Io, Op, Recorder, Saved};
use crate::op::{Case, Entry, Values};
use crate::plan::{Buf, Shape, Type, Wide};
use crate::{Result, kernel};

/// The largest value of each `kernel` x `kernel` window, per channel: `[n, h_in, w_in, c]` to `[n, h_out, w_out, c]`
/// with `h_out = (h_in + 2 pad - kernel) / stride + 1`, rounded down. Padding is never the largest. Of equal values
/// the first one in row-major order gets the gradient, as in PyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool2d {
    /// Height and width of a window, pixels.
    pub kernel: u32,
    /// From one window to the next, pixels. Larger than the kernel, it leaves pixels out.
    pub stride: u32,
    /// Added on every side of the image, pixels; at most half the kernel.
    pub pad: u32,
    /// The number of windows is rounded up: PyTorch's `ceil_mode`. The last window must start on the image or on the
    /// padding before it, and sees what there is of the image.
    pub ceil: bool,
}

static MAX_POOL2D: Wide = kernel!(
    wide,
    "max_pool2d",
    ["max_pool2d.wgsl", "pool.wgsl"],
    Pool2dParams,
    |p, w| w.floats(p.outputs()),
    max_pool2d
);
static MAX_POOL2D_DX: Wide = kernel!(
    wide,
    "max_pool2d_dx",
    ["max_pool2d.wgsl", "pool.wgsl"],
    Pool2dParams,
    |p, w| w.floats(p.inputs()),
    max_pool2d_dx
);

pub(super) static ENTRY: Entry =
    Entry { name: "max_pool2d", kernels: &[&MAX_POOL2D, &MAX_POOL2D_DX], cases, bench_cases };

impl MaxPool2d {
    /// Windows of `kernel` x `kernel`, their number rounded down.
    pub const fn new(kernel: u32, stride: u32, pad: u32) -> Self {
        Self { kernel, stride, pad, ceil: false }
    }

    /// The number of windows rounded up.
    #[must_use]
    pub const fn with_ceil(self) -> Self {
        Self { ceil: true, ..self }
    }

    fn windows(&self) -> Windows {
        Windows { kernel: [self.kernel; 2], stride: self.stride, pad: self.pad, ceil: self.ceil }
    }
}

impl Op for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        self.windows().output_shape("max_pool2d", x)
    }

    fn saved(&self, x: &[Shape]) -> Vec<Saved> {
        let shape = self.output_shape(x).expect("the graph has checked the shapes");
        vec![("at", shape, Type::U32)]
    }

    fn summary(&self) -> String {
        format!("{0}x{0} max, {1}", self.kernel, self.stride)
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        self.windows().record(r, &MAX_POOL2D, io.x_shapes[0], &[], &[io.x[0], io.y, io.saved[0]]);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        if let Some(grad) = dx[0] {
            let buffers = [io.saved[0], dy, grad.buf];
            self.windows().record(r, &MAX_POOL2D_DX, io.x_shapes[0], &grad.overrides(), &buffers);
        }
    }
}

fn max_pool2d<T: Float>(call: Call<'_, T>) {
    let p: Pool2dParams = call.params();
    let [x, y, at] = call.args();
    let outputs = y.f_mut().par_chunks_mut(p.row_out()).zip(at.u_mut().par_chunks_mut(p.row_out()));
    p.each_row(x.f(), outputs, |x, row, (y, at)| {
        p.taps_of(row..row + 1, |tap| {
            let (y, at) = (&mut y[tap.to.clone()], &mut at[tap.to]);
            if tap.first {
                y.copy_from_slice(&x[tap.from]);
                at.fill(tap.at);
                return;
            }
            for ((&x, y), at) in x[tap.from].iter().zip(y).zip(at) {
                // A choice of values, not of stores: vectors can do that.
                (*y, *at) = if (x > *y) | x.is_nan() { (x, tap.at) } else { (*y, *at) };
            }
        });
    });
}

fn max_pool2d_dx<T: Float>(call: Call<'_, T>) {
    let p: Pool2dParams = call.params();
    let accumulate = call.flag("ACCUMULATE");
    let [found, dy, dx] = call.args();
    let (found, dy) = (found.u(), dy.f());
    p.each_gradient(accumulate, dx.f_mut(), |image, dx| {
        let (found, dy) = (p.output(found, image), p.output(dy, image));
        p.each_tap(|tap| {
            for ((dx, &dy), &found) in dx[tap.from].iter_mut().zip(&dy[tap.to.clone()]).zip(&found[tap.to]) {
                *dx += if found == tap.at { dy } else { T::zero() };
            }
        });
    });
}

fn case(kernel: u32, stride: u32, pad: u32, dims: [u32; 4]) -> Case {
    Case::new(MaxPool2d::new(kernel, stride, pad), &[(&dims, Values::Normal)])
}

fn ceil(kernel: u32, stride: u32, pad: u32, dims: [u32; 4]) -> Case {
    Case::new(MaxPool2d::new(kernel, stride, pad).with_ceil(), &[(&dims, Values::Normal)])
}

fn cases() -> Vec<Case> {
    vec![
        case(1, 1, 0, [1, 1, 1, 1]),
        case(2, 2, 0, [3, 4, 6, 5]),
        case(3, 2, 1, [2, 13, 11, 8]), // four channels at a time, several workgroups
        case(3, 2, 1, [2, 8, 7, 5]),   // as the networks pool: windows overlap
        case(3, 1, 1, [1, 5, 11, 13]), // as the inception modules pool: every pixel in nine windows
        case(2, 3, 1, [2, 7, 8, 3]),   // pixels between the windows get no gradient
        case(5, 2, 2, [1, 3, 2, 7]),   // windows larger than the image
        case(3, 2, 0, [1, 55, 55, 2]), // several workgroups
        ceil(3, 2, 0, [2, 8, 7, 5]),
        ceil(3, 2, 1, [1, 10, 9, 8]), // a last window beyond the padding, four channels at a time
        ceil(2, 3, 1, [2, 7, 8, 3]),
        ceil(5, 3, 0, [1, 4, 3, 3]), // windows larger than the image
    ]
}

fn bench_cases() -> Vec<Case> {
    vec![
        case(3, 2, 1, [16, 112, 112, 64]),
        case(3, 2, 1, [16, 28, 28, 192]),
        case(3, 1, 1, [16, 28, 28, 192]),
        ceil(3, 2, 0, [16, 46, 46, 28]).called("ceil"), // MTCNN's second network
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuExecutor;
    use crate::executor::{Executor, Options};
    use crate::graph::{Graph, Recording};

    #[test]
    fn the_first_of_equal_values_gets_the_gradient_and_padding_none() {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(&[1, 3, 3, 1]).unwrap());
        let y = graph.op("y", MaxPool2d::new(2, 2, 1), &[x]).unwrap();
        let mut recording = Recording::forward(&graph, &[y]);
        let dy = recording.backward(y, &[x]);
        let (dx, x, y) = (recording.gradient(x).unwrap(), recording.value(x), recording.value(y));
        let mut cpu = CpuExecutor::<f32>::new(recording.finish(), &Options::checked()).unwrap();
        cpu.write(x, &[-1.0, -2.0, -2.0, -5.0, 7.0, 7.0, -5.0, 7.0, 7.0]).unwrap();
        cpu.write(dy, &[1.0, 2.0, 3.0, 4.0]).unwrap();
        cpu.run_all().unwrap();
        assert_eq!(cpu.read(y).unwrap(), [-1.0, -2.0, -5.0, 7.0]);
        assert_eq!(cpu.read(dx).unwrap(), [1.0, 2.0, 0.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn shapes_that_cannot_be_pooled_are_refused_in_words() {
        let shape = |kernel, stride, pad, dims: &[u32]| {
            MaxPool2d::new(kernel, stride, pad).output_shape(&[Shape::new(dims).unwrap()])
        };
        let error = |kernel, stride, pad, dims: &[u32]| shape(kernel, stride, pad, dims).unwrap_err().to_string();
        assert!(error(3, 2, 2, &[1, 9, 9, 1]).contains("at most half the kernel, got padding 2 with kernel 3x3"));
        assert!(error(3, 0, 0, &[1, 9, 9, 1]).contains("got kernel 3x3, stride 0"));
        assert!(error(5, 1, 1, &[1, 2, 9, 1]).contains("at least 5x5 with padding 1 on each side, got [1, 2, 9, 1]"));
        assert!(error(3, 1, 1, &[9, 9]).contains("expected an image batch [n, h, w, c], got [9, 9]"));
        assert_eq!(shape(3, 2, 1, &[16, 112, 111, 64]).unwrap().dims(), [16, 56, 56, 64]);
        assert_eq!(shape(3, 2, 0, &[16, 112, 111, 64]).unwrap().dims(), [16, 55, 55, 64]);
    }
}
