//! Pooling by length: the "L2" pooling of the paper's inception modules.

use super::pool2d::{Pool2dParams, Windows};
use crate::cpu::{Call, Float};
use crate::graph::{Grad, Io, Op, Recorder};
use crate::op::{Case, Entry, Values};
use crate::plan::{Buf, Shape, Wide};
use crate::{Result, kernel};

/// The length of each `kernel` x `kernel` window, per channel, `y = sqrt(sum of x^2)`: `[n, h_in, w_in, c]` to
/// `[n, h_out, w_out, c]` with `h_out = (h_in + 2 pad - kernel) / stride + 1`, rounded down. Padding counts as zeros.
/// PyTorch's `LPPool2d` with a norm of 2, and Torch's `SpatialLPPooling`, neither of which pads.
///
/// The gradient of a window is `x / y`, and zero where `y` is zero (PyTorch's is NaN there). Squares leave the range of
/// `f32` at both ends: a window of values below about 1e-23 has length 0 and no gradient (below about 1e-19, on devices
/// that flush small numbers to zero), and a value above about 1e19 has an infinite length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct L2Pool2d {
    /// Height and width of a window, pixels.
    pub kernel: u32,
    /// From one window to the next, pixels. Larger than the kernel, it leaves pixels out.
    pub stride: u32,
    /// Added on every side of the image, pixels; at most half the kernel.
    pub pad: u32,
    /// The number of windows is rounded up: PyTorch's `ceil_mode`. The last window must start on the image or on the
    /// padding before it; what it has beyond counts as zeros. (PyTorch's `LPPool2d`, which is an average times the area,
    /// makes such a window longer, by the root of the share that it lacks.)
    pub ceil: bool,
}

static L2_POOL2D: Wide =
    kernel!(wide, "l2_pool2d", ["l2_pool2d.wgsl", "pool.wgsl"], Pool2dParams, |p, w| w.floats(p.outputs()), l2_pool2d);
static L2_POOL2D_DX: Wide = kernel!(
    wide,
    "l2_pool2d_dx",
    ["l2_pool2d.wgsl", "pool.wgsl"],
    Pool2dParams,
    |p, w| w.floats(p.inputs()),
    l2_pool2d_dx
);

pub(super) static ENTRY: Entry = Entry { name: "l2_pool2d", kernels: &[&L2_POOL2D, &L2_POOL2D_DX], cases, bench_cases };

impl L2Pool2d {
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

impl Op for L2Pool2d {
    fn name(&self) -> &'static str {
        "l2_pool2d"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        self.windows().output_shape("l2_pool2d", x)
    }

    fn summary(&self) -> String {
        format!("{0}x{0} L2, {1}", self.kernel, self.stride)
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        self.windows().record(r, &L2_POOL2D, io.x_shapes[0], &[], &[io.x[0], io.y]);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        if let Some(grad) = dx[0] {
            let buffers = [io.x[0], io.y, dy, grad.buf];
            self.windows().record(r, &L2_POOL2D_DX, io.x_shapes[0], &grad.overrides(), &buffers);
        }
    }
}

fn l2_pool2d<T: Float>(call: Call<'_, T>) {
    let p: Pool2dParams = call.params();
    let [x, y] = call.args();
    p.sum_windows(x.f(), y.f_mut(), |x| x * x, |_, y| y.iter_mut().for_each(|y| *y = y.sqrt()));
}

fn l2_pool2d_dx<T: Float>(call: Call<'_, T>) {
    let p: Pool2dParams = call.params();
    let accumulate = call.flag("ACCUMULATE");
    let [x, out, dy, dx] = call.args();
    let (x, out, dy) = (x.f(), out.f(), dy.f());
    p.each_gradient(accumulate, dx.f_mut(), |image, dx| {
        let (out, dy) = (p.output(out, image), p.output(dy, image));
        let x = &x[image * dx.len()..][..dx.len()];
        let mut ratio = vec![T::zero(); p.c as usize];
        p.each_tap(|tap| {
            if tap.first {
                // Once per window and not once per pixel of it: divisions are what this costs.
                for ((ratio, &out), &dy) in ratio.iter_mut().zip(&out[tap.to.clone()]).zip(&dy[tap.to]) {
                    *ratio = if out == T::zero() { T::zero() } else { dy / out };
                }
            }
            for ((dx, &x), &ratio) in dx[tap.from.clone()].iter_mut().zip(&x[tap.from]).zip(&ratio) {
                *dx += x * ratio;
            }
        });
    });
}

fn case(kernel: u32, stride: u32, pad: u32, dims: [u32; 4]) -> Case {
    Case::new(L2Pool2d::new(kernel, stride, pad), &[(&dims, Values::Normal)]).inexact()
}

fn ceil(kernel: u32, stride: u32, pad: u32, dims: [u32; 4]) -> Case {
    Case::new(L2Pool2d::new(kernel, stride, pad).with_ceil(), &[(&dims, Values::Normal)]).inexact()
}

fn cases() -> Vec<Case> {
    vec![
        case(1, 1, 0, [1, 1, 1, 1]),
        case(2, 2, 0, [3, 4, 6, 5]),
        case(3, 1, 1, [2, 13, 11, 8]),  // four channels at a time, several workgroups
        case(3, 3, 0, [2, 12, 12, 12]), // windows side by side, as in OpenFace's released network
        case(3, 1, 1, [1, 5, 11, 13]),  // as the inception modules pool: every pixel in nine windows
        case(3, 2, 1, [2, 8, 7, 5]),
        case(4, 1, 2, [1, 5, 7, 3]),
        case(2, 3, 1, [2, 7, 8, 3]),   // pixels between the windows get no gradient
        case(5, 2, 2, [1, 3, 2, 7]),   // windows larger than the image
        case(3, 2, 0, [1, 55, 55, 2]), // several workgroups
        ceil(3, 2, 0, [2, 8, 7, 5]),
        ceil(3, 2, 1, [1, 10, 9, 8]), // a last window beyond the padding, four channels at a time
        ceil(5, 3, 0, [1, 4, 3, 3]),  // windows larger than the image
    ]
}

fn bench_cases() -> Vec<Case> {
    // NN2's 3b and 4a to 4d, and OpenFace's 3b.
    vec![
        case(3, 1, 1, [16, 28, 28, 256]),
        case(3, 1, 1, [16, 14, 14, 640]),
        case(3, 3, 0, [16, 12, 12, 256]),
        ceil(3, 2, 0, [16, 28, 28, 256]).called("ceil"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuExecutor;
    use crate::executor::{Executor, Options};
    use crate::graph::{Graph, Recording};

    /// The output and the gradient of the input, in `f32`.
    fn run(op: L2Pool2d, dims: &[u32], x_data: &[f32], dy_data: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(dims).unwrap());
        let y = graph.op("y", op, &[x]).unwrap();
        let mut recording = Recording::forward(&graph, &[y]);
        let dy = recording.backward(y, &[x]);
        let (dx, x, y) = (recording.gradient(x).unwrap(), recording.value(x), recording.value(y));
        let mut cpu = CpuExecutor::<f32>::new(recording.finish(), &Options::checked()).unwrap();
        cpu.write(x, x_data).unwrap();
        cpu.write(dy, dy_data).unwrap();
        cpu.run_all().unwrap();
        (cpu.read(y).unwrap(), cpu.read(dx).unwrap())
    }

    #[test]
    fn a_window_is_as_long_as_its_pixels_and_padding_adds_nothing() {
        let op = L2Pool2d::new(2, 1, 1);
        let (y, dx) = run(op, &[1, 1, 2, 1], &[3.0, -4.0], &[0.0, 1.0, 0.0, 0.0, 10.0, -2.0]);
        assert_eq!(y, [3.0, 5.0, 4.0, 3.0, 5.0, 4.0]);
        // 3 * (1 + 10) / 5, and -4 * ((1 + 10) / 5 - 2 / 4).
        assert!((dx[0] - 6.6).abs() < 1e-6 && (dx[1] + 6.8).abs() < 1e-6, "{dx:?}");
    }

    #[test]
    fn a_window_without_length_gives_no_gradient() {
        let op = L2Pool2d::new(1, 1, 0);
        let (y, dx) = run(op, &[1, 1, 1, 4], &[0.0, -0.0, 1e-30, -2.0], &[5.0, 6.0, 7.0, 8.0]);
        assert_eq!(y, [0.0, 0.0, 0.0, 2.0], "the square of 1e-30 is too small for a float");
        assert_eq!(dx, [0.0, 0.0, 0.0, -8.0]);
    }

    #[test]
    fn a_nan_stays_one_in_its_own_windows_alone() {
        let op = L2Pool2d::new(1, 1, 0);
        let (y, dx) = run(op, &[1, 1, 2, 1], &[f32::NAN, 2.0], &[1.0, 1.0]);
        assert!(y[0].is_nan() && dx[0].is_nan());
        assert_eq!((y[1], dx[1]), (2.0, 1.0));
    }

    #[test]
    fn shapes_that_cannot_be_pooled_are_refused_in_words() {
        let shape = |kernel, stride, pad, dims: &[u32]| {
            L2Pool2d::new(kernel, stride, pad).output_shape(&[Shape::new(dims).unwrap()])
        };
        let error = |kernel, stride, pad, dims: &[u32]| shape(kernel, stride, pad, dims).unwrap_err().to_string();
        assert!(error(3, 1, 2, &[1, 9, 9, 1]).contains("l2_pool2d: padding can be at most half the kernel"));
        assert!(error(0, 1, 0, &[1, 9, 9, 1]).contains("got kernel 0x0, stride 1"));
        assert!(error(3, 1, 0, &[1, 2, 9, 1]).contains("at least 3x3 with padding 0 on each side, got [1, 2, 9, 1]"));
        assert!(error(3, 1, 1, &[9, 9]).contains("expected an image batch [n, h, w, c], got [9, 9]"));
        assert_eq!(shape(3, 1, 0, &[16, 12, 12, 256]).unwrap().dims(), [16, 10, 10, 256]);
        assert_eq!(shape(3, 1, 1, &[16, 28, 28, 320]).unwrap().dims(), [16, 28, 28, 320]);
    }
}
