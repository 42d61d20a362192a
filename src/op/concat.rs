//! Concatenation along channels.

use rayon::prelude::*;

use super::rowwise::at_once;
use crate::cpu::{Call, Float, put};
use crate::graph::{Grad, Io, Op, Recorder};
use crate::op::{Case, Entry, Values};
use crate::plan::{Buf, Kernel, Shape, Wide};
use crate::{Error, Result, kernel, params};

/// Two to eight tensors side by side along the last size; all other sizes are equal: `[.., c_0]`, `[.., c_1]`, ... to
/// `[.., c_0 + c_1 + ..]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concat;

/// Two to eight tensors one behind the other along the first size; all other sizes are equal: `[n_0, ..]`, `[n_1, ..]`,
/// ... to `[n_0 + n_1 + .., ..]`. PyTorch's `torch.cat(dim=0)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConcatRows;

params! {
    /// Parameters of the concatenation kernels.
    struct ConcatParams {
        /// Rows: all sizes but the last, multiplied.
        rows: u32,
        /// Channels of this input.
        c: u32,
        /// Channels of the output.
        c_out: u32,
        /// Channel of the output at which this input starts.
        offset: u32,
    }
}

static CONCAT: Wide = kernel!(wide, "concat", ["concat.wgsl"], ConcatParams, |p, w| w.floats(p.rows * p.c), concat);
static CONCAT_DX: Wide =
    kernel!(wide, "concat_dx", ["concat.wgsl"], ConcatParams, |p, w| w.floats(p.rows * p.c), concat_dx);

pub(super) static ENTRY: Entry = Entry { name: "concat", kernels: &[&CONCAT, &CONCAT_DX], cases, bench_cases };

impl ConcatParams {
    fn kernel(&self, kernel: &'static Wide) -> &'static Kernel {
        kernel.of(&[self.c, self.c_out, self.offset])
    }
}

/// The parameters of each input's dispatch, in order: `rows` rows, of which each input gives a piece.
fn params_of(io: &Io<'_>, rows: u32) -> impl Iterator<Item = ConcatParams> {
    let c_out = io.y_shape.len_u32() / rows;
    let pieces = io.x_shapes.iter().map(move |x| x.len_u32() / rows);
    pieces.scan(0, move |next, c| {
        let offset = *next;
        *next += c;
        Some(ConcatParams { rows, c, c_out, offset })
    })
}

fn record_forward(r: &mut Recorder<'_>, io: &Io<'_>, rows: u32) {
    for (p, &x) in params_of(io, rows).zip(io.x) {
        r.dispatch(p.kernel(&CONCAT), &p, &[], &[x, io.y]).cheap = true;
    }
}

fn record_backward(r: &mut Recorder<'_>, io: &Io<'_>, rows: u32, dy: Buf, dx: &[Option<Grad>]) {
    for (p, grad) in params_of(io, rows).zip(dx) {
        if let Some(grad) = grad {
            r.dispatch(p.kernel(&CONCAT_DX), &p, &grad.overrides(), &[dy, grad.buf]);
        }
    }
}

/// Checks that there are two to eight inputs.
fn expect_several(x: &[Shape]) -> Result<()> {
    if (2..=8).contains(&x.len()) {
        return Ok(());
    }
    Err(Error::shape("concat", format!("expected two to eight inputs, got {}", x.len())))
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        expect_several(x)?;
        let [outer @ .., _] = x[0].dims() else { unreachable!("a shape has at least one size") };
        if let Some(other) = x.iter().find(|s| s.rank() != x[0].rank() || !s.dims().starts_with(outer)) {
            return Err(Error::shape(
                "concat",
                format!("expected inputs that differ in the last size only, got {} and {other}", x[0]),
            ));
        }
        let c_out = x.iter().try_fold(0u32, |sum, s| sum.checked_add(s.channels()));
        let c_out =
            c_out.ok_or_else(|| Error::shape("concat", "expected fewer than 2^32 channels in all, got more"))?;
        Shape::new(&[outer, &[c_out]].concat())
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        record_forward(r, io, io.y_shape.rows());
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        record_backward(r, io, io.y_shape.rows(), dy, dx);
    }
}

impl Op for ConcatRows {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        expect_several(x)?;
        let [_, inner @ ..] = x[0].dims() else { unreachable!("a shape has at least one size") };
        if let Some(other) = x.iter().find(|s| s.rank() != x[0].rank() || !s.dims().ends_with(inner)) {
            return Err(Error::shape(
                "concat",
                format!("expected inputs that differ in the first size only, got {} and {other}", x[0]),
            ));
        }
        let rows = x.iter().try_fold(0u32, |sum, s| sum.checked_add(s.batch()));
        let rows = rows.ok_or_else(|| Error::shape("concat", "expected fewer than 2^32 rows in all, got more"))?;
        Shape::new(&[&[rows], inner].concat())
    }

    // A row of the kernels' is the whole tensor here.
    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        record_forward(r, io, 1);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        record_backward(r, io, 1, dy, dx);
    }
}

fn concat<T: Float>(call: Call<'_, T>) {
    let ConcatParams { c, c_out, offset, .. } = call.params();
    let (c, c_out, offset) = (c as usize, c_out as usize, offset as usize);
    let [x, y] = call.args();
    let rows = x.f().par_chunks_exact(c).zip(y.f_mut().par_chunks_exact_mut(c_out)).with_min_len(at_once(c_out));
    rows.for_each(|(x, y)| y[offset..offset + c].copy_from_slice(x));
}

fn concat_dx<T: Float>(call: Call<'_, T>) {
    let ConcatParams { c, c_out, offset, .. } = call.params();
    let (c, c_out, offset) = (c as usize, c_out as usize, offset as usize);
    let accumulate = call.flag("ACCUMULATE");
    let [dy, dx] = call.args();
    let rows = dy.f().par_chunks_exact(c_out).zip(dx.f_mut().par_chunks_exact_mut(c)).with_min_len(at_once(c_out));
    rows.for_each(|(dy, dx)| {
        for (dx, &dy) in dx.iter_mut().zip(&dy[offset..]) {
            put(accumulate, dx, dy);
        }
    });
}

fn case(outer: &[u32], channels: &[u32]) -> Case {
    let dims: Vec<Vec<u32>> = channels.iter().map(|&c| [outer, &[c]].concat()).collect();
    let inputs: Vec<(&[u32], Values)> = dims.iter().map(|d| (&d[..], Values::Normal)).collect();
    Case::new(Concat, &inputs)
}

/// Tensors with so many rows of `inner` one behind the other.
fn rows_case(rows: &[u32], inner: &[u32]) -> Case {
    let dims: Vec<Vec<u32>> = rows.iter().map(|&n| [&[n], inner].concat()).collect();
    let inputs: Vec<(&[u32], Values)> = dims.iter().map(|d| (&d[..], Values::Normal)).collect();
    Case::new(ConcatRows, &inputs)
}

fn cases() -> Vec<Case> {
    vec![
        rows_case(&[5, 1, 12], &[7]),
        rows_case(&[4, 3], &[2, 5, 8]),
        case(&[], &[1, 1]),
        case(&[55], &[3, 257, 1]),
        case(&[2, 7, 5], &[1, 2, 3, 4, 5, 6, 7, 8]),
        case(&[1, 11, 13], &[5, 5]),
        case(&[3, 11, 13], &[4, 8, 12]), // four channels at a time
        case(&[5], &[4, 3, 8]),          // one at a time: the third does not start at a multiple of four
    ]
}

fn bench_cases() -> Vec<Case> {
    vec![case(&[16, 28, 28], &[64, 128, 32, 32]), case(&[16, 7, 7], &[384, 384, 128, 128])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Init, Recording};
    use crate::op::{BatchNorm, Conv2d};
    use crate::plan::{Phase, Plan};

    #[test]
    fn inputs_that_do_not_fit_side_by_side_are_refused_in_words() {
        let shape = |dims: &[&[u32]]| {
            let shapes: Vec<Shape> = dims.iter().map(|d| Shape::new(d).unwrap()).collect();
            Concat.output_shape(&shapes)
        };
        let error = |dims: &[&[u32]]| shape(dims).unwrap_err().to_string();
        let rows = |dims: &[&[u32]]| {
            let shapes: Vec<Shape> = dims.iter().map(|d| Shape::new(d).unwrap()).collect();
            ConcatRows.output_shape(&shapes)
        };
        assert_eq!(rows(&[&[2, 7], &[5, 7]]).unwrap().dims(), [7, 7]);
        assert!(rows(&[&[2, 7], &[2, 6]]).unwrap_err().to_string().contains("differ in the first size only"));
        assert!(error(&[&[2, 3]]).contains("two to eight inputs, got 1"));
        assert!(error(&[&[2u32, 3][..]; 9]).contains("two to eight inputs, got 9"));
        assert!(error(&[&[2, 3], &[2, 5], &[3, 3]]).contains("got [2, 3] and [3, 3]"));
        assert!(error(&[&[2, 3], &[2, 3, 1]]).contains("got [2, 3] and [2, 3, 1]"));
        assert_eq!(shape(&[&[2, 7, 5, 3], &[2, 7, 5, 4]]).unwrap().dims(), [2, 7, 5, 7]);
    }

    /// Two branches, each a convolution with batch normalisation, side by side, and a convolution of both.
    fn plan() -> Plan {
        let mut graph = Graph::new();
        let mut x = graph.input("x", Shape::new(&[2, 6, 6, 4]).unwrap());
        let vector = Shape::vector(4);
        for round in 0..2 {
            let mut branch = |name: &str, x| {
                let name = format!("{name}{round}");
                let shape = Shape::new(&[3, 3, graph.shape(x).channels(), 4]).unwrap();
                let w = graph.param(format!("{name}/w"), shape, Init::Zeros, true);
                let y = graph.op(format!("{name}/conv"), Conv2d::same(3), &[x, w]).unwrap();
                let [gamma, beta] =
                    ["gamma", "beta"].map(|part| graph.param(format!("{name}/{part}"), vector, Init::Zeros, true));
                let [mean, var] =
                    ["mean", "var"].map(|part| graph.statistic(format!("{name}/{part}"), vector, Init::Zeros));
                graph.op(&name, BatchNorm::new(1e-3).with_relu(), &[y, gamma, beta, mean, var]).unwrap()
            };
            let branches = [branch("a", x), branch("b", x)];
            x = graph.op(format!("concat{round}"), Concat, &branches).unwrap();
        }
        let mut recording = Recording::forward(&graph, &[x]);
        recording.backward(x, &[]);
        recording.finish()
    }

    #[test]
    fn outputs_of_batch_normalisation_and_concatenation_are_made_again_for_backward_and_kept_by_nobody() {
        let plan = plan();
        let backward = plan.phase(Phase::Backward).unwrap();
        let used = |name: &str| {
            let buf = plan.find(name).unwrap();
            plan.steps[backward.clone()].iter().any(|step| step.buffers.contains(&buf))
        };
        assert!(["a0", "b0", "concat0"].iter().all(|name| !used(name)), "{plan}");
        assert!(used("a0 again") && used("concat0 again") && used("a0/conv"), "{plan}");
        assert!(plan.find("a0/conv again").is_none(), "a convolution is kept");
        let made = plan.steps[backward].iter().filter(|step| step.kernel.name == "concat").count();
        assert_eq!(made, 2, "once, from both branches");
    }
}
