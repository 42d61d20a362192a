//! Maxout (Goodfellow et al., 2013): the activation of NN1's fully connected layers.

use rayon::prelude::*;

use super::rowwise::at_once;
use crate::cpu::{Call, Float, put};
use crate::graph::{Grad, Io, Op, Recorder};
use crate::op::{Case, Entry, Values};
use crate::plan::{Buf, Kernel, Shape};
use crate::{Error, Result, kernel, params};

/// The largest of every `pieces` neighbouring channels: `[.., c]` to `[.., c / pieces]`, where `c` is a multiple of
/// `pieces`. Of equal values the first one gets the gradient. A NaN is larger than any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Maxout {
    /// Channels that compete, at least 1.
    pub pieces: u32,
}

impl Default for Maxout {
    /// Two pieces, as in the paper's Table 1 ("maxout p=2").
    fn default() -> Self {
        Self { pieces: 2 }
    }
}

params! {
    /// Parameters of the maxout kernels.
    struct MaxoutParams {
        /// Elements of the output.
        len: u32,
        /// Elements of the input for each.
        pieces: u32,
    }
}

// One width only: the pieces of four neighbouring outputs lie apart. A fully connected layer takes hundreds of times
// longer than what follows it.
static MAXOUT: Kernel = kernel!("maxout", ["maxout.wgsl", "index.wgsl"], MaxoutParams, |p, w| w.items(p.len), maxout);
static MAXOUT_DX: Kernel =
    kernel!("maxout_dx", ["maxout.wgsl", "index.wgsl"], MaxoutParams, |p, w| w.items(p.len), maxout_dx);

pub(super) static ENTRY: Entry = Entry { name: "maxout", kernels: &[&MAXOUT, &MAXOUT_DX], cases, bench_cases };

impl Maxout {
    fn params(&self, y: Shape) -> MaxoutParams {
        MaxoutParams { len: y.len_u32(), pieces: self.pieces }
    }
}

impl Op for Maxout {
    fn name(&self) -> &'static str {
        "maxout"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        super::expect_inputs("maxout", x, 1)?;
        let (c, pieces) = (x[0].channels(), self.pieces);
        if pieces == 0 || !c.is_multiple_of(pieces) {
            let message =
                format!("expected channels in groups of {pieces}, at least 1 each, got {c} channels in {}", x[0]);
            return Err(Error::shape("maxout", message));
        }
        let [outer @ .., _] = x[0].dims() else { unreachable!("a shape has at least one size") };
        Shape::new(&[outer, &[c / pieces]].concat())
    }

    fn summary(&self) -> String {
        format!("maxout, {}", self.pieces)
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        r.dispatch(&MAXOUT, &self.params(io.y_shape), &[], &[io.x[0], io.y]);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        if let Some(grad) = dx[0] {
            r.dispatch(&MAXOUT_DX, &self.params(io.y_shape), &grad.overrides(), &[io.x[0], dy, grad.buf]);
        }
    }
}

/// The largest of a group and where it lies, the first one of equals.
fn largest<T: Float>(group: &[T]) -> (usize, T) {
    let better = |best: (usize, T), at: usize, x: T| if (x > best.1) | x.is_nan() { (at, x) } else { best };
    group.iter().enumerate().skip(1).fold((0, group[0]), |best, (at, &x)| better(best, at, x))
}

fn maxout<T: Float>(call: Call<'_, T>) {
    let MaxoutParams { pieces, .. } = call.params();
    let [x, y] = call.args();
    let groups = x.f().par_chunks_exact(pieces as usize).zip(y.f_mut()).with_min_len(at_once(pieces as usize));
    groups.for_each(|(x, y)| *y = largest(x).1);
}

fn maxout_dx<T: Float>(call: Call<'_, T>) {
    let MaxoutParams { pieces, .. } = call.params();
    let accumulate = call.flag("ACCUMULATE");
    let [x, dy, dx] = call.args();
    let inputs = x.f().par_chunks_exact(pieces as usize).zip(dy.f());
    let groups = inputs.zip(dx.f_mut().par_chunks_exact_mut(pieces as usize)).with_min_len(at_once(pieces as usize));
    groups.for_each(|((x, &dy), dx)| {
        let (found, _) = largest(x);
        for (at, dx) in dx.iter_mut().enumerate() {
            put(accumulate, dx, if at == found { dy } else { T::zero() });
        }
    });
}

fn case(pieces: u32, dims: &[u32]) -> Case {
    Case::new(Maxout { pieces }, &[(dims, Values::Normal)])
}

fn cases() -> Vec<Case> {
    vec![
        case(1, &[1]),
        case(2, &[2]),
        case(2, &[3, 8]),
        case(2, &[55, 514]), // several workgroups
        case(3, &[7, 33]),
        case(5, &[2, 3, 5, 55]),
        case(257, &[2, 257]), // one channel is left
    ]
}

fn bench_cases() -> Vec<Case> {
    vec![case(2, &[64, 8192])] // NN1's fc1 and fc2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuExecutor;
    use crate::executor::{Executor, Options};
    use crate::graph::{Graph, Recording};

    /// The output and the gradient of the input for two pieces, in `f32`.
    fn run(dims: &[u32], x_data: &[f32], dy_data: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(dims).unwrap());
        let y = graph.op("y", Maxout::default(), &[x]).unwrap();
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
    fn neighbours_compete_and_the_first_of_equals_gets_the_gradient() {
        let (y, dx) = run(&[2, 4], &[-1.0, -2.0, 3.0, 5.0, 7.0, 7.0, 0.0, -0.0], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(y, [-1.0, 5.0, 7.0, 0.0]);
        assert_eq!(dx, [1.0, 0.0, 0.0, 2.0, 3.0, 0.0, 4.0, 0.0]);
    }

    #[test]
    fn a_nan_wins_on_either_side() {
        let (y, dx) = run(&[6], &[f32::NAN, 9.0, 9.0, f32::NAN, 1.0, 2.0], &[1.0, 2.0, 3.0]);
        assert!(y[0].is_nan() && y[1].is_nan() && y[2] == 2.0, "{y:?}");
        assert_eq!(dx, [1.0, 0.0, 0.0, 2.0, 0.0, 3.0]);
    }

    #[test]
    fn channels_that_do_not_divide_are_refused_in_words() {
        let shape = |pieces, dims: &[u32]| Maxout { pieces }.output_shape(&[Shape::new(dims).unwrap()]);
        let error = |pieces, dims: &[u32]| shape(pieces, dims).unwrap_err().to_string();
        assert!(error(2, &[4, 7]).contains("channels in groups of 2, at least 1 each, got 7 channels in [4, 7]"));
        assert!(error(0, &[4, 8]).contains("channels in groups of 0, at least 1 each, got 8 channels"));
        assert!(error(9, &[4, 8]).contains("channels in groups of 9"));
        assert_eq!(shape(2, &[16, 8192]).unwrap().dims(), [16, 4096]);
        assert_eq!(shape(3, &[2, 7, 5, 9]).unwrap().dims(), [2, 7, 5, 3]);
    }
}
