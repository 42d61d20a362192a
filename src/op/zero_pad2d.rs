//! Zeros around images.

use rayon::prelude::*;

use super::rowwise::at_once;
use crate::cpu::{Call, Float, put};
use crate::graph::{Grad, Io, Op, Recorder};
use crate::op::{Case, Entry, Values};
use crate::plan::{Buf, Shape, Wide};
use crate::{Error, Result, kernel, params};

/// Rows and columns of zeros around an image batch, and channels of zeros behind its own: `[n, h, w, c]` to
/// `[n, top + h + bottom, left + w + right, c + channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZeroPad2d {
    /// Rows above.
    pub top: u32,
    /// Rows below.
    pub bottom: u32,
    /// Columns to the left.
    pub left: u32,
    /// Columns to the right.
    pub right: u32,
    /// Channels behind those of the image.
    pub channels: u32,
}

params! {
    /// Parameters of the padding kernels.
    struct ZeroPad2dParams {
        /// Images.
        n: u32,
        /// Input height.
        h_in: u32,
        /// Input width.
        w_in: u32,
        /// Input channels.
        c_in: u32,
        /// Output height.
        h_out: u32,
        /// Output width.
        w_out: u32,
        /// Output channels.
        c_out: u32,
        /// Output row of the first input row.
        top: u32,
        /// Output column of the first input column.
        left: u32,
    }
}

static ZERO_PAD2D: Wide = kernel!(
    wide,
    "zero_pad2d",
    ["zero_pad2d.wgsl"],
    ZeroPad2dParams,
    |p, w| w.floats(p.n * p.h_out * p.w_out * p.c_out),
    zero_pad2d
);
static ZERO_PAD2D_DX: Wide = kernel!(
    wide,
    "zero_pad2d_dx",
    ["zero_pad2d.wgsl"],
    ZeroPad2dParams,
    |p, w| w.floats(p.n * p.h_in * p.w_in * p.c_in),
    zero_pad2d_dx
);

pub(super) static ENTRY: Entry =
    Entry { name: "zero_pad2d", kernels: &[&ZERO_PAD2D, &ZERO_PAD2D_DX], cases, bench_cases };

impl ZeroPad2d {
    /// The padding that centres an image of `[h_in, w_in]` in one of `[h_out, w_out]`, as Torch's `DepthConcat` does:
    /// of an odd number of rows or columns the last one goes below or to the right.
    ///
    /// # Errors
    /// The image is larger than that.
    pub fn centred([h_in, w_in]: [u32; 2], [h_out, w_out]: [u32; 2]) -> Result<Self> {
        let (Some(rows), Some(columns)) = (h_out.checked_sub(h_in), w_out.checked_sub(w_in)) else {
            let message = format!("expected an image of at most {h_out}x{w_out} to centre in that, got {h_in}x{w_in}");
            return Err(Error::shape("zero_pad2d", message));
        };
        let (top, left) = (rows / 2, columns / 2);
        Ok(Self { top, bottom: rows - top, left, right: columns - left, channels: 0 })
    }

    fn params(&self, x: Shape) -> Result<ZeroPad2dParams> {
        let [n, h_in, w_in, c_in] = x.nhwc("zero_pad2d")?;
        let sum = |before: u32, size: u32, after: u32| before.checked_add(size)?.checked_add(after);
        let (Some(h_out), Some(w_out), Some(c_out)) =
            (sum(self.top, h_in, self.bottom), sum(self.left, w_in, self.right), sum(0, c_in, self.channels))
        else {
            let message = format!("expected less than 2^32 rows and columns with their padding, got {self:?} on {x}");
            return Err(Error::shape("zero_pad2d", message));
        };
        Ok(ZeroPad2dParams { n, h_in, w_in, c_in, h_out, w_out, c_out, top: self.top, left: self.left })
    }
}

impl Op for ZeroPad2d {
    fn name(&self) -> &'static str {
        "zero_pad2d"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        super::expect_inputs("zero_pad2d", x, 1)?;
        let p = self.params(x[0])?;
        Shape::new(&[p.n, p.h_out, p.w_out, p.c_out])
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        record_forward(self, r, io);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        record_backward(self, r, io, dy, dx[0]);
    }
}

/// Records the padding of the first input.
pub(super) fn record_forward(pad: &ZeroPad2d, r: &mut Recorder<'_>, io: &Io<'_>) {
    let p = pad.params(io.x_shapes[0]).expect("the graph has checked the shapes");
    r.dispatch(ZERO_PAD2D.of(&[p.c_in, p.c_out]), &p, &[], &[io.x[0], io.y]);
}

/// Records the gradient of the first input, if it needs one.
pub(super) fn record_backward(pad: &ZeroPad2d, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, grad: Option<Grad>) {
    if let Some(grad) = grad {
        let p = pad.params(io.x_shapes[0]).expect("the graph has checked the shapes");
        r.dispatch(ZERO_PAD2D_DX.of(&[p.c_in, p.c_out]), &p, &grad.overrides(), &[dy, grad.buf]);
    }
}

fn zero_pad2d<T: Float>(call: Call<'_, T>) {
    let ZeroPad2dParams { h_in, w_in, c_in, h_out, w_out, c_out, top, left, .. } = call.params();
    let [h_in, w_in, h_out, w_out, top, left] = [h_in, w_in, h_out, w_out, top, left].map(|size| size as usize);
    let [c_in, c_out] = [c_in, c_out].map(|size| size as usize);
    let [x, y] = call.args();
    let x = x.f();
    let row_out = w_out * c_out;
    y.f_mut().par_chunks_exact_mut(row_out).enumerate().with_min_len(at_once(row_out)).for_each(|(row, y)| {
        y.fill(T::zero());
        let (image, a) = (row / h_out, row % h_out);
        if (top..top + h_in).contains(&a) {
            let x = &x[(image * h_in + a - top) * w_in * c_in..][..w_in * c_in];
            for (y, x) in y[left * c_out..].chunks_exact_mut(c_out).zip(x.chunks_exact(c_in)) {
                y[..c_in].copy_from_slice(x);
            }
        }
    });
}

fn zero_pad2d_dx<T: Float>(call: Call<'_, T>) {
    let ZeroPad2dParams { h_in, w_in, c_in, h_out, w_out, c_out, top, left, .. } = call.params();
    let [h_in, w_in, h_out, w_out, top, left] = [h_in, w_in, h_out, w_out, top, left].map(|size| size as usize);
    let [c_in, c_out] = [c_in, c_out].map(|size| size as usize);
    let accumulate = call.flag("ACCUMULATE");
    let [dy, dx] = call.args();
    let dy = dy.f();
    let row_in = w_in * c_in;
    dx.f_mut().par_chunks_exact_mut(row_in).enumerate().with_min_len(at_once(row_in)).for_each(|(row, dx)| {
        let (image, h) = (row / h_in, row % h_in);
        let dy = &dy[((image * h_out + h + top) * w_out + left) * c_out..];
        for (dx, dy) in dx.chunks_exact_mut(c_in).zip(dy.chunks_exact(c_out)) {
            for (dx, &dy) in dx.iter_mut().zip(dy) {
                put(accumulate, dx, dy);
            }
        }
    });
}

fn case([top, bottom, left, right]: [u32; 4], dims: [u32; 4]) -> Case {
    deeper([top, bottom, left, right, 0], dims)
}

fn deeper([top, bottom, left, right, channels]: [u32; 5], dims: [u32; 4]) -> Case {
    Case::new(ZeroPad2d { top, bottom, left, right, channels }, &[(&dims, Values::Normal)])
}

fn cases() -> Vec<Case> {
    vec![
        case([0; 4], [1, 1, 1, 1]),
        case([1, 2, 3, 4], [1, 1, 1, 1]),
        case([1; 4], [2, 5, 7, 3]),
        case([0, 1, 0, 1], [3, 5, 5, 8]), // four channels at a time; an odd row and column, as DepthConcat pads
        case([4; 4], [2, 4, 4, 12]),
        case([0, 3, 2, 0], [2, 11, 13, 5]),
        case([7, 0, 0, 1], [1, 55, 55, 2]), // several workgroups
        deeper([0, 1, 0, 1, 8], [2, 3, 3, 8]),
        deeper([1, 0, 2, 0, 3], [2, 4, 5, 4]), // four channels in, seven out
        deeper([0, 0, 0, 0, 5], [2, 4, 5, 3]),
    ]
}

fn bench_cases() -> Vec<Case> {
    // OpenFace's 3b: the L2 pool leaves 4x4 in its released network and 10x10 in its present one, to centre in 12x12.
    // And the shortcut of dlib's network where it becomes twice as deep.
    vec![case([4; 4], [16, 4, 4, 64]), case([1; 4], [16, 10, 10, 64]), deeper([0, 0, 0, 0, 32], [16, 17, 17, 32])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuExecutor;
    use crate::executor::{Executor, Options};
    use crate::graph::{Graph, Recording};

    #[test]
    fn zeros_surround_the_image_and_its_gradient_is_cut_out() {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(&[1, 2, 1, 2]).unwrap());
        let y = graph.op("y", ZeroPad2d { top: 1, bottom: 0, left: 0, right: 1, channels: 0 }, &[x]).unwrap();
        let mut recording = Recording::forward(&graph, &[y]);
        let dy = recording.backward(y, &[x]);
        let (dx, x, y) = (recording.gradient(x).unwrap(), recording.value(x), recording.value(y));
        let mut cpu = CpuExecutor::<f32>::new(recording.finish(), &Options::checked()).unwrap();
        cpu.write(x, &[1.0, 2.0, 3.0, 4.0]).unwrap();
        cpu.write(dy, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0]).unwrap();
        cpu.run_all().unwrap();
        assert_eq!(cpu.read(y).unwrap(), [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 0.0, 0.0]);
        assert_eq!(cpu.read(dx).unwrap(), [5.0, 6.0, 9.0, 10.0]);
    }

    #[test]
    fn a_smaller_image_is_centred_with_the_odd_row_below() {
        let pad = ZeroPad2d::centred([5, 4], [6, 12]).unwrap();
        assert_eq!(pad, ZeroPad2d { top: 0, bottom: 1, left: 4, right: 4, channels: 0 });
        assert_eq!(pad.output_shape(&[Shape::new(&[2, 5, 4, 3]).unwrap()]).unwrap().dims(), [2, 6, 12, 3]);
        let error = ZeroPad2d::centred([7, 4], [6, 12]).unwrap_err().to_string();
        assert!(error.contains("at most 6x12 to centre in that, got 7x4"), "{error}");
    }

    #[test]
    fn shapes_that_cannot_be_padded_are_refused_in_words() {
        let pad = ZeroPad2d { top: u32::MAX, bottom: 0, left: 0, right: 0, channels: 0 };
        let error = |dims: &[u32]| pad.output_shape(&[Shape::new(dims).unwrap()]).unwrap_err().to_string();
        assert!(error(&[9, 9]).contains("expected an image batch [n, h, w, c], got [9, 9]"));
        assert!(error(&[1, 2, 2, 1]).contains("less than 2^32 rows and columns with their padding"));
    }
}
