//! Average pooling.

use super::pool2d::{Pool2dParams, Windows};
use super::sum_partials::MANY_ELEMENTS;
use crate::cpu::{Call, Float};
use crate::graph::{Grad, Io, Op, Recorder};
use crate::op::{Case, Entry, Values};
use crate::plan::reflect::Interface;
use crate::plan::{Buf, Shape, Wide};
use crate::{Result, kernel};

/// The mean of each window, per channel: `[n, h_in, w_in, c]` to `[n, h_out, w_out, c]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AvgPool2d {
    /// Windows of `kernel` x `kernel`; `h_out = (h_in + 2 pad - kernel) / stride + 1`, rounded down. Padding counts as
    /// zeros: the sum is divided by `kernel * kernel` everywhere (PyTorch's default, `count_include_pad=True`).
    Window {
        /// Height and width of a window, pixels.
        kernel: u32,
        /// From one window to the next, pixels.
        stride: u32,
        /// Added on every side of the image, pixels; at most half the kernel.
        pad: u32,
        /// The number of windows is rounded up: PyTorch's `ceil_mode`. The last window must start on the image or on the
        /// padding before it; what it has beyond the padding is not counted in what the sum is divided by.
        ceil: bool,
    },
    /// One window as large as the image, whatever its size: `[n, 1, 1, c]`.
    Global,
}

static AVG_POOL2D: Wide = kernel!(
    wide,
    "avg_pool2d",
    {
        Shared if is_wide: ["avg_pool2d_shared.wgsl", "pool.wgsl", "columns.wgsl"],
        Portable: ["avg_pool2d.wgsl", "pool.wgsl"],
    },
    Pool2dParams,
    |p, w| w.results(p.outputs() / w.constant("LANES")),
    avg_pool2d
);
static AVG_POOL2D_DX: Wide = kernel!(
    wide,
    "avg_pool2d_dx",
    ["avg_pool2d.wgsl", "pool.wgsl"],
    Pool2dParams,
    |p, w| w.floats(p.inputs()),
    avg_pool2d_dx
);

/// Whether there are too few windows to fill a GPU with an invocation each, and each has work for many.
fn is_wide(p: &Pool2dParams, w: &Interface) -> bool {
    p.k_h * p.k_w >= 32 && p.outputs() / w.constant("LANES") < MANY_ELEMENTS
}

pub(super) static ENTRY: Entry =
    Entry { name: "avg_pool2d", kernels: &[&AVG_POOL2D, &AVG_POOL2D_DX], cases, bench_cases };

impl AvgPool2d {
    /// Windows of `kernel` x `kernel`, their number rounded down.
    pub const fn window(kernel: u32, stride: u32, pad: u32) -> Self {
        Self::Window { kernel, stride, pad, ceil: false }
    }

    /// Windows of `kernel` x `kernel`, their number rounded up.
    pub const fn ceil_window(kernel: u32, stride: u32, pad: u32) -> Self {
        Self::Window { kernel, stride, pad, ceil: true }
    }

    /// The mean over the whole image.
    pub const fn global() -> Self {
        Self::Global
    }

    fn windows(&self, x: &[Shape]) -> Result<Windows> {
        super::expect_inputs("avg_pool2d", x, 1)?;
        match *self {
            Self::Window { kernel, stride, pad, ceil } => Ok(Windows { kernel: [kernel; 2], stride, pad, ceil }),
            Self::Global => {
                let [_, h, w, _] = x[0].nhwc("avg_pool2d")?;
                Ok(Windows { kernel: [h, w], stride: 1, pad: 0, ceil: false })
            }
        }
    }

    fn record(&self, r: &mut Recorder<'_>, kernel: &'static Wide, io: &Io<'_>, grad: Option<Grad>, buffers: [Buf; 2]) {
        let windows = self.windows(io.x_shapes).expect("the graph has checked the shapes");
        let overrides = grad.map(Grad::overrides);
        windows.record(r, kernel, io.x_shapes[0], overrides.as_ref().map_or(&[], |o| &o[..]), &buffers);
    }
}

impl Op for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        self.windows(x)?.output_shape("avg_pool2d", x)
    }

    fn summary(&self) -> String {
        match self {
            Self::Window { kernel, stride, .. } => format!("{kernel}x{kernel} avg, {stride}"),
            Self::Global => "avg".to_string(),
        }
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        self.record(r, &AVG_POOL2D, io, None, [io.x[0], io.y]);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        if let Some(grad) = dx[0] {
            self.record(r, &AVG_POOL2D_DX, io, Some(grad), [dy, grad.buf]);
        }
    }
}

/// What the sums of an image's windows are divided by, in order.
fn areas<T: Float>(p: &Pool2dParams) -> Vec<T> {
    p.areas().map(T::count).collect()
}

fn avg_pool2d<T: Float>(call: Call<'_, T>) {
    let p: Pool2dParams = call.params();
    let (areas, c) = (areas::<T>(&p), p.c as usize);
    let [x, y] = call.args();
    p.sum_windows(
        x.f(),
        y.f_mut(),
        |x| x,
        |row, y| {
            for (y, &area) in y.chunks_exact_mut(c).zip(&areas[row * p.w_out as usize..]) {
                y.iter_mut().for_each(|y| *y = *y / area);
            }
        },
    );
}

fn avg_pool2d_dx<T: Float>(call: Call<'_, T>) {
    let p: Pool2dParams = call.params();
    let (areas, c) = (areas::<T>(&p), p.c as usize);
    let accumulate = call.flag("ACCUMULATE");
    let [dy, dx] = call.args();
    let dy = dy.f();
    p.each_gradient(accumulate, dx.f_mut(), |image, dx| {
        let dy = p.output(dy, image);
        p.each_tap(|tap| {
            let area = areas[tap.to.start / c];
            for (dx, &dy) in dx[tap.from].iter_mut().zip(&dy[tap.to]) {
                *dx += dy / area;
            }
        });
    });
}

fn case(op: AvgPool2d, dims: [u32; 4]) -> Case {
    Case::new(op, &[(&dims, Values::Normal)])
}

fn window(kernel: u32, stride: u32, pad: u32, dims: [u32; 4]) -> Case {
    case(AvgPool2d::window(kernel, stride, pad), dims)
}

fn ceil(kernel: u32, stride: u32, pad: u32, dims: [u32; 4]) -> Case {
    case(AvgPool2d::ceil_window(kernel, stride, pad), dims)
}

fn cases() -> Vec<Case> {
    vec![
        window(1, 1, 0, [1, 1, 1, 1]),
        window(2, 2, 0, [3, 4, 6, 5]), // a quarter of an integer is exact
        window(4, 1, 2, [1, 5, 7, 3]),
        window(3, 2, 1, [2, 8, 7, 5]).inexact(),
        window(3, 1, 1, [1, 5, 11, 13]).inexact(),
        window(2, 3, 1, [2, 7, 8, 3]), // pixels between the windows get no gradient
        window(5, 2, 2, [1, 3, 2, 7]).inexact(), // windows larger than the image
        window(3, 2, 0, [1, 55, 55, 2]).inexact(), // several workgroups
        case(AvgPool2d::global(), [2, 8, 8, 5]),
        window(2, 1, 1, [2, 13, 11, 8]), // four channels at a time, several workgroups
        case(AvgPool2d::global(), [3, 7, 7, 12]).inexact(),
        case(AvgPool2d::global(), [5, 3, 7, 55]).inexact(),
        ceil(2, 2, 0, [2, 5, 7, 3]), // last windows of two and of one pixel
        ceil(3, 2, 0, [2, 8, 7, 5]).inexact(),
        ceil(3, 2, 1, [1, 10, 9, 8]).inexact(), // a last window beyond the padding, four channels at a time
        ceil(5, 3, 0, [1, 4, 3, 3]).inexact(),  // windows larger than the image
        ceil(4, 3, 2, [1, 6, 5, 2]).inexact(),
    ]
}

fn bench_cases() -> Vec<Case> {
    vec![
        case(AvgPool2d::global(), [16, 7, 7, 1024]),
        window(3, 2, 1, [16, 28, 28, 192]),
        ceil(3, 2, 0, [16, 28, 28, 192]).called("ceil"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuExecutor;
    use crate::executor::{Executor, Options};
    use crate::graph::{Graph, Recording};

    #[test]
    fn padding_counts_as_zeros() {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(&[1, 2, 1, 1]).unwrap());
        let y = graph.op("y", AvgPool2d::window(2, 1, 1), &[x]).unwrap();
        let recording = Recording::forward(&graph, &[y]);
        let (x, y) = (recording.value(x), recording.value(y));
        let mut cpu = CpuExecutor::<f32>::new(recording.finish(), &Options::checked()).unwrap();
        cpu.write(x, &[4.0, 8.0]).unwrap();
        cpu.run_all().unwrap();
        assert_eq!(cpu.read(y).unwrap(), [1.0, 1.0, 3.0, 3.0, 2.0, 2.0]);
    }

    #[test]
    fn the_global_mean_takes_images_of_any_size() {
        let shape = |dims: &[u32]| AvgPool2d::global().output_shape(&[Shape::new(dims).unwrap()]);
        assert_eq!(shape(&[3, 7, 5, 64]).unwrap().dims(), [3, 1, 1, 64]);
        assert!(shape(&[3, 7]).unwrap_err().to_string().contains("expected an image batch [n, h, w, c], got [3, 7]"));
    }
}
