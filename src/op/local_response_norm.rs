//! Local response normalisation across channels (Krizhevsky et al., 2012): the "norm" of the paper's tables.

use std::ops::Range;

use rayon::prelude::*;

use super::rowwise::at_once;
use crate::cpu::{Call, Float, put, vectorized};
use crate::graph::{Grad, Io, Op, Recorder, Saved};
use crate::op::{Case, Entry, Values};
use crate::plan::{Buf, Shape, Type, Wide};
use crate::{Error, Result, kernel, params};

/// `y = x / (k + alpha / size * sum of x^2)^beta`, the sum over the `size` channels around each one: `[.., c]` to
/// `[.., c]`. Channels beyond the first and the last count as zeros; an even `size` reaches one further to the first.
/// PyTorch's `F.local_response_norm`, and for an odd `size` Torch's `SpatialCrossMapLRN`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalResponseNorm {
    /// Channels of a window, at least 1.
    pub size: u32,
    /// Weight of the mean square. Finite, not negative.
    pub alpha: f32,
    /// Exponent. Finite. With 0.75 the CPU takes roots and is three to six times faster than with other powers.
    pub beta: f32,
    /// What an empty window is divided by (to the power of `beta`). Positive, finite.
    pub k: f32,
}

impl Default for LocalResponseNorm {
    /// 5 channels, alpha 1e-4, beta 0.75, k 1: OpenFace's choice, and PyTorch's defaults but for the size, for which it
    /// has none. The paper gives no figures.
    fn default() -> Self {
        Self { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 }
    }
}

params! {
    /// Parameters of the normalisation kernels.
    struct LocalResponseNormParams {
        /// Rows: all sizes but the last, multiplied.
        rows: u32,
        /// Channels.
        c: u32,
        /// Channels of a window.
        size: u32,
        /// Weight of the mean square.
        alpha: f32,
        /// Exponent.
        beta: f32,
        /// What is added to the weighted mean square.
        k: f32,
    }
}

static LOCAL_RESPONSE_NORM: Wide = kernel!(
    wide,
    "local_response_norm",
    ["local_response_norm.wgsl"],
    LocalResponseNormParams,
    |p, w| w.floats(p.rows * p.c),
    local_response_norm
);
static LOCAL_RESPONSE_NORM_DX: Wide = kernel!(
    wide,
    "local_response_norm_dx",
    ["local_response_norm.wgsl"],
    LocalResponseNormParams,
    |p, w| w.floats(p.rows * p.c),
    local_response_norm_dx
);

pub(super) static ENTRY: Entry = Entry {
    name: "local_response_norm",
    kernels: &[&LOCAL_RESPONSE_NORM, &LOCAL_RESPONSE_NORM_DX],
    cases,
    bench_cases,
};

impl LocalResponseNorm {
    fn params(&self, x: Shape) -> LocalResponseNormParams {
        let Self { size, alpha, beta, k } = *self;
        LocalResponseNormParams { rows: x.rows(), c: x.channels(), size, alpha, beta, k }
    }
}

impl Op for LocalResponseNorm {
    fn name(&self) -> &'static str {
        "local_response_norm"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        super::expect_inputs("local_response_norm", x, 1)?;
        let Self { size, alpha, beta, k } = *self;
        // Within these bounds every scale is positive.
        let good = size > 0 && alpha.is_finite() && alpha >= 0.0 && beta.is_finite() && k.is_normal() && k > 0.0;
        if !good {
            let message = format!(
                "expected size >= 1, finite alpha >= 0, finite beta, finite k > 0, \
                 got size {size}, alpha {alpha}, beta {beta}, k {k}"
            );
            return Err(Error::shape("local_response_norm", message));
        }
        Ok(x[0])
    }

    fn saved(&self, x: &[Shape]) -> Vec<Saved> {
        vec![("scale", x[0], Type::F32)]
    }

    fn summary(&self) -> String {
        format!("norm, {} channels", self.size)
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        let p = self.params(io.y_shape);
        r.dispatch(LOCAL_RESPONSE_NORM.of(&[p.c]), &p, &[], &[io.x[0], io.y, io.saved[0]]);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        if let Some(grad) = dx[0] {
            let p = self.params(io.y_shape);
            let buffers = [io.x[0], io.y, io.saved[0], dy, grad.buf];
            r.dispatch(LOCAL_RESPONSE_NORM_DX.of(&[p.c]), &p, &grad.overrides(), &buffers);
        }
    }
}

impl LocalResponseNormParams {
    /// `alpha / size`.
    fn weight<T: Float>(&self) -> T {
        T::of(f64::from(self.alpha)) / T::count(self.size)
    }

    /// Writes `value^-beta` of every float of a row.
    fn inverse_powers<T: Float>(&self, values: &[T], powers: &mut [T]) {
        let exponent = T::of(-f64::from(self.beta));
        if self.beta == 0.75 {
            // Vectors can take roots, and only libraries of their own can take powers.
            for (power, &value) in powers.iter_mut().zip(values) {
                let root = value.sqrt();
                *power = T::one() / (root * root.sqrt());
            }
        } else {
            for (power, &value) in powers.iter_mut().zip(values) {
                *power = value.powf(exponent);
            }
        }
    }
}

/// The places of a window, first to last: the channels that have a neighbour there, and those neighbours.
fn neighbours(c: usize, before: u32, after: u32) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let [before, after] = [before, after].map(|reach| (reach as usize).min(c - 1));
    let to_the_first = (1..=before).rev().map(move |d| (d..c, 0..c - d));
    to_the_first.chain((0..=after).map(move |d| (0..c - d, d..c)))
}

fn local_response_norm<T: Float>(call: Call<'_, T>) {
    let p: LocalResponseNormParams = call.params();
    let (c, weight, k) = (p.c as usize, p.weight::<T>(), T::of(f64::from(p.k)));
    let [x, y, scale] = call.args();
    let outputs = y.f_mut().par_chunks_exact_mut(c).zip(scale.f_mut().par_chunks_exact_mut(c));
    x.f().par_chunks_exact(c).zip(outputs).with_min_len(at_once(c)).for_each(|(x, (y, scale))| {
        vectorized(|| {
            scale.fill(T::zero());
            for (to, from) in neighbours(c, p.size / 2, (p.size - 1) / 2) {
                for (scale, &x) in scale[to].iter_mut().zip(&x[from]) {
                    *scale += x * x;
                }
            }
            scale.iter_mut().for_each(|scale| *scale = k + weight * *scale);
            p.inverse_powers(scale, y);
            for (y, &x) in y.iter_mut().zip(x) {
                *y *= x;
            }
        });
    });
}

fn local_response_norm_dx<T: Float>(call: Call<'_, T>) {
    let p: LocalResponseNormParams = call.params();
    let (c, factor) = (p.c as usize, T::of(2.0 * f64::from(p.beta)) * p.weight::<T>());
    let accumulate = call.flag("ACCUMULATE");
    let [x, out, scales, dy, dx] = call.args();
    let inputs = x.f().par_chunks_exact(c).zip(out.f().par_chunks_exact(c));
    let outputs = scales.f().par_chunks_exact(c).zip(dy.f().par_chunks_exact(c));
    let rows = inputs.zip(outputs).zip(dx.f_mut().par_chunks_exact_mut(c)).with_min_len(at_once(c));
    let scratch = || [(); 3].map(|()| vec![T::zero(); c]);
    rows.for_each_init(scratch, |[ratio, sum, power], (((x, out), (scales, dy)), dx)| {
        vectorized(|| {
            for (((ratio, &dy), &out), &scale) in ratio.iter_mut().zip(dy).zip(out).zip(scales) {
                *ratio = dy * out / scale;
            }
            sum.fill(T::zero());
            // The windows that contain a channel lie around it the other way round.
            for (to, from) in neighbours(c, (p.size - 1) / 2, p.size / 2) {
                for (sum, &ratio) in sum[to].iter_mut().zip(&ratio[from]) {
                    *sum += ratio;
                }
            }
            p.inverse_powers(scales, power);
            for ((((dx, &x), &dy), &power), &sum) in dx.iter_mut().zip(x).zip(dy).zip(&*power).zip(&*sum) {
                put(accumulate, dx, dy * power - factor * x * sum);
            }
        });
    });
}

fn case(op: LocalResponseNorm, dims: &[u32]) -> Case {
    Case::new(op, &[(dims, Values::Normal)]).inexact()
}

/// A case with the default exponent whose windows weigh as much as what they divide: with the default alpha of 1e-4 a
/// wrong sum would hardly show.
fn heavy(size: u32, dims: &[u32]) -> Case {
    case(LocalResponseNorm { size, alpha: 3.0, k: 0.5, ..LocalResponseNorm::default() }, dims)
}

fn cases() -> Vec<Case> {
    let power = |size, beta, dims: &[u32]| case(LocalResponseNorm { size, alpha: 2.0, beta, k: 2.0 }, dims);
    vec![
        case(LocalResponseNorm::default(), &[2, 5, 7, 64]),
        case(LocalResponseNorm::default(), &[3, 55]),
        heavy(5, &[1, 1]),
        heavy(5, &[55, 5]),
        heavy(5, &[2, 11, 13, 8]), // four channels at a time, several workgroups
        heavy(1, &[7, 12]),
        heavy(2, &[3, 13]), // one channel before, none behind
        heavy(4, &[3, 5, 12]),
        heavy(9, &[5, 4]), // wider than the row
        heavy(10, &[5, 7]),
        heavy(13, &[5, 32]),
        power(5, 0.5, &[2, 3, 5, 16]),
        power(3, 1.0, &[257, 3]),
        power(4, 0.75, &[9, 20]),
        power(5, -0.25, &[9, 11]),
    ]
}

fn bench_cases() -> Vec<Case> {
    // The two norms of NN2.
    [[16, 56, 56, 64], [16, 56, 56, 192]].map(|dims| case(LocalResponseNorm::default(), &dims)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuExecutor;
    use crate::executor::{Executor, Options};
    use crate::graph::{Graph, Recording};

    /// The output for one row, in `f64`.
    fn forward(op: LocalResponseNorm, row: &[f32]) -> Vec<f64> {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::vector(u32::try_from(row.len()).unwrap()));
        let y = graph.op("y", op, &[x]).unwrap();
        let recording = Recording::forward(&graph, &[y]);
        let (x, y) = (recording.value(x), recording.value(y));
        let mut cpu = CpuExecutor::<f64>::new(recording.finish(), &Options::checked()).unwrap();
        cpu.write(x, row).unwrap();
        cpu.run_all().unwrap();
        cpu.floats(y).to_vec()
    }

    fn near(got: &[f64], expected: &[f64]) {
        let close = got.iter().zip(expected).all(|(g, e)| (g - e).abs() <= 1e-12 * e.abs());
        assert!(got.len() == expected.len() && close, "{got:?} instead of {expected:?}");
    }

    #[test]
    fn an_even_window_reaches_one_further_to_the_first_channel() {
        // x / (1 + sum of squares): alpha / size is 1.
        let op = |size: u8| LocalResponseNorm { size: size.into(), alpha: size.into(), beta: 1.0, k: 1.0 };
        let x = [1.0, 2.0, 3.0, 4.0];
        near(&forward(op(1), &x), &[1.0 / 2.0, 2.0 / 5.0, 3.0 / 10.0, 4.0 / 17.0]);
        near(&forward(op(2), &x), &[1.0 / 2.0, 2.0 / 6.0, 3.0 / 14.0, 4.0 / 26.0]);
        near(&forward(op(3), &x), &[1.0 / 6.0, 2.0 / 15.0, 3.0 / 30.0, 4.0 / 26.0]);
        near(&forward(op(4), &x), &[1.0 / 6.0, 2.0 / 15.0, 3.0 / 31.0, 4.0 / 30.0]);
        near(&forward(op(200), &x), &[1.0 / 31.0, 2.0 / 31.0, 3.0 / 31.0, 4.0 / 31.0]);
    }

    #[test]
    fn three_quarters_by_roots_is_the_power() {
        // 1 + 15/16 of the mean square, which is 16: the scale is 16 in the middle of the row.
        let op = |beta| LocalResponseNorm { size: 3, alpha: 0.9375, beta, k: 1.0 };
        let x = [4.0, 4.0, 4.0];
        near(&forward(op(0.75), &x)[1..2], &[4.0 / 8.0]);
        near(&forward(op(0.5), &x)[1..2], &[4.0 / 4.0]);
        near(&forward(op(-1.0), &x)[1..2], &[4.0 * 16.0]);
    }

    #[test]
    fn a_nan_stays_one_in_its_own_windows_alone() {
        let y = forward(LocalResponseNorm { size: 3, ..LocalResponseNorm::default() }, &[1.0, 2.0, f32::NAN, 3.0, 4.0]);
        assert_eq!(y.iter().map(|y| y.is_nan()).collect::<Vec<_>>(), [false, true, true, true, false]);
    }

    #[test]
    fn settings_without_a_meaning_are_refused_in_words() {
        let default = LocalResponseNorm::default();
        for (op, found) in [
            (LocalResponseNorm { size: 0, ..default }, "got size 0"),
            (LocalResponseNorm { alpha: -1.0, ..default }, "alpha -1"),
            (LocalResponseNorm { beta: f32::NAN, ..default }, "beta NaN"),
            (LocalResponseNorm { k: 0.0, ..default }, "k 0"),
            (LocalResponseNorm { k: f32::INFINITY, ..default }, "k inf"),
        ] {
            let error = op.output_shape(&[Shape::new(&[2, 3]).unwrap()]).unwrap_err().to_string();
            assert!(error.contains("expected size >= 1, finite alpha >= 0") && error.contains(found), "{error}");
        }
    }
}
