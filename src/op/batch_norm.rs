//! Batch normalisation with ReLU in one pass.

mod twins;

use std::sync::Arc;

use super::relu::mask_dy;
use super::sum_partials::{MANY_ELEMENTS, MANY_PARTS, SUM_PARTIALS, SumPartialsParams, splits};
use crate::graph::{Adapted, Grad, Io, Op, Purpose, Recorder, Saved};
use crate::op::{Case, Entry, Values};
use crate::plan::reflect::Interface;
use crate::plan::{Buf, Shape, Type, Wide};
use crate::{Error, Result, kernel, params};

/// Batch normalisation over the last size, PyTorch's `BatchNorm1d` and `BatchNorm2d`:
/// `y = (x - mean) / sqrt(var + eps) * gamma + beta`. Inputs are `x` `[.., c]`, `gamma` `[c]`, `beta` `[c]` and the
/// running statistics `mean` `[c]` and `var` `[c]`, which never have a gradient; the output is `[.., c]`.
///
/// In training, mean and (biased) variance are those of the batch and part of the gradient, and every update moves the
/// running statistics towards them (`var` towards the unbiased variance), except while the loss is not finite. Frozen,
/// they are the running statistics, which stay as they are.
///
/// Statistics are taken of `x` less its first row, so that they are as good where a channel's mean is far larger than its
/// deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance. Positive, finite.
    pub eps: f32,
    /// How far an update moves the running statistics, 0 to 1.
    pub momentum: f32,
    /// The running statistics are used, and left alone.
    pub frozen: bool,
    /// `max(y, 0)` follows.
    pub relu: bool,
}

impl Default for BatchNorm {
    /// PyTorch's `eps`, 1e-5.
    fn default() -> Self {
        Self::new(1e-5)
    }
}

impl BatchNorm {
    /// In training, with PyTorch's momentum of 0.1.
    pub fn new(eps: f32) -> Self {
        Self { eps, momentum: 0.1, frozen: false, relu: false }
    }

    /// With the running statistics.
    #[must_use]
    pub fn frozen(self) -> Self {
        Self { frozen: true, ..self }
    }

    /// Followed by a ReLU.
    #[must_use]
    pub fn with_relu(self) -> Self {
        Self { relu: true, ..self }
    }

    fn params(&self, x: Shape) -> BatchNormParams {
        let (rows, c) = (x.rows(), x.channels());
        // A workgroup of the sums takes so many channels of a part where they are multiples of four.
        let splits = splits(c, c.div_ceil(SUMS.one.interface().invocations()), rows, 32);
        BatchNormParams { rows, c, splits, eps: self.eps, momentum: self.momentum }
    }

    fn frozen_flag(&self) -> (&'static str, f64) {
        ("FROZEN", f64::from(u8::from(self.frozen)))
    }
}

params! {
    /// Parameters of all kernels.
    struct BatchNormParams {
        /// Rows: all sizes but the last, multiplied.
        rows: u32,
        /// Channels.
        c: u32,
        /// Parts that the sums over the rows are split into.
        splits: u32,
        /// Added to the variance.
        eps: f32,
        /// How far an update moves the running statistics.
        momentum: f32,
    }
}

/// Buffers `x`, `mean`, `variance`, `beta`, `gamma`, `y`; overrides `FROZEN`, `RELU`.
static BATCH_NORM: Wide = kernel!(
    wide,
    "batch_norm",
    ["batch_norm.wgsl", "rectified.wgsl", "finite.wgsl"],
    BatchNormParams,
    |p, w| w.floats(p.c * p.rows.div_ceil(w.constant("ROWS"))),
    twins::forward
);
/// Buffers `x`, `part_mean`, `part_variance`.
static MOMENTS: Wide = kernel!(
    wide,
    "batch_norm_moments",
    {
        Shared if has_long_parts: ["batch_norm_shared.wgsl", "columns.wgsl"],
        Portable: ["batch_norm.wgsl", "rectified.wgsl", "finite.wgsl"],
    },
    BatchNormParams,
    |p, w| w.results(p.splits * p.c / w.constant("LANES")),
    twins::moments
);
/// Buffers `x`, `means`, `variances`, `batch_mean`, `batch_variance`, `whole_mean`.
static MERGE: Wide = kernel!(
    wide,
    "batch_norm_merge",
    {
        Shared if has_many_parts: ["batch_norm_shared.wgsl", "columns.wgsl"],
        Portable: ["batch_norm.wgsl", "rectified.wgsl", "finite.wgsl"],
    },
    BatchNormParams,
    |p, w| w.results(p.c / w.constant("LANES")),
    twins::merge
);
/// Buffers `new_mean`, `new_variance`, `running_mean`, `running_variance`, `loss`.
static UPDATE: Wide = kernel!(
    wide,
    "batch_norm_update",
    ["batch_norm.wgsl", "rectified.wgsl", "finite.wgsl"],
    BatchNormParams,
    |p, w| w.floats(p.c),
    twins::update
);
/// Buffers `x`, `mean`, `variance`, `dy`, `part_dgamma`, `part_dbeta`; override `FROZEN`.
static SUMS: Wide = kernel!(
    wide,
    "batch_norm_sums",
    ["batch_norm.wgsl", "rectified.wgsl", "finite.wgsl"],
    BatchNormParams,
    |p, w| w.floats(p.splits * p.c),
    twins::sums
);
/// Buffers `x`, `mean`, `variance`, `beta`, `gamma`, `dz`, `sum_dgamma`, `sum_dbeta`; override `FROZEN`.
static RELU_SUMS: Wide = kernel!(
    wide,
    "batch_norm_relu_sums",
    ["batch_norm.wgsl", "rectified.wgsl", "finite.wgsl"],
    BatchNormParams,
    |p, w| w.floats(p.splits * p.c),
    twins::relu_sums
);
/// Buffers `part`, `total`, `dw`.
static DW: Wide = kernel!(
    wide,
    "batch_norm_dw",
    {
        Shared if has_many_parts: ["batch_norm_shared.wgsl", "columns.wgsl"],
        Portable: ["batch_norm.wgsl", "rectified.wgsl", "finite.wgsl"],
    },
    BatchNormParams,
    |p, w| w.results(p.c / w.constant("LANES")),
    twins::dw
);
/// Buffers `x`, `mean`, `variance`, `dy`, `gamma`, `dgamma`, `dbeta`, `dx`; override `FROZEN`.
static DX: Wide = kernel!(
    wide,
    "batch_norm_dx",
    ["batch_norm.wgsl", "rectified.wgsl", "finite.wgsl"],
    BatchNormParams,
    |p, w| w.floats(p.c * p.rows.div_ceil(w.constant("ROWS"))),
    twins::dx
);

pub(super) static ENTRY: Entry = Entry {
    name: "batch_norm",
    kernels: &[&BATCH_NORM, &MOMENTS, &MERGE, &UPDATE, &SUMS, &RELU_SUMS, &DW, &DX],
    cases,
    bench_cases,
};

/// Whether there are enough parts for invocations to share them.
fn has_many_parts(p: &BatchNormParams, _: &Interface) -> bool {
    p.splits >= MANY_PARTS
}

/// Whether the parts are too few to keep a GPU busy with an invocation each, and have rows for many.
fn has_long_parts(p: &BatchNormParams, w: &Interface) -> bool {
    p.rows / p.splits >= 128 && p.splits * p.c / w.constant("LANES") < MANY_ELEMENTS
}

/// The parts of two sums over the rows.
fn parts(r: &mut Recorder<'_>, names: [&str; 2], p: &BatchNormParams) -> [Buf; 2] {
    let shape = Shape::new(&[p.splits, p.c]).expect("parts are bounded by splits");
    names.map(|name| r.scratch(name, shape, Type::F32))
}

/// Mean and variance as the kernels that normalise take them.
fn statistics(io: &Io<'_>) -> [Buf; 2] {
    match *io.saved {
        [mean, variance, _] => [mean, variance],
        _ => [io.x[3], io.x[4]],
    }
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        super::expect_inputs("batch_norm", x, 5)?;
        let fail = |message: String| Err(Error::shape("batch_norm", message));
        if !(self.eps.is_normal() && self.eps > 0.0) {
            let least = f32::MIN_POSITIVE;
            return fail(format!("expected a positive, finite eps of at least {least:e}, got {:e}", self.eps));
        }
        if !(0.0..=1.0).contains(&self.momentum) {
            return fail(format!("expected a momentum from 0 to 1, got {}", self.momentum));
        }
        let c = x[0].channels();
        for (name, shape) in ["gamma", "beta", "mean", "var"].into_iter().zip(&x[1..]) {
            if shape.dims() != [c] {
                return fail(format!("expected {name} [{c}] for input {}, got {shape}", x[0]));
            }
        }
        if !self.frozen && x[0].rows() == 1 {
            return fail(format!("expected more than 1 value per channel in training, got input {}", x[0]));
        }
        Ok(x[0])
    }

    /// In training: the batch's mean less its first row, its variance, its mean.
    fn saved(&self, x: &[Shape]) -> Vec<Saved> {
        let channels = Shape::vector(x[0].channels());
        let names: &[&str] = if self.frozen { &[] } else { &["mean", "var", "whole mean"] };
        names.iter().map(|name| (*name, channels, Type::F32)).collect()
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        let p = self.params(io.x_shapes[0]);
        let &[x, gamma, beta, ..] = io.x else { unreachable!("the graph has counted the inputs") };
        if let [mean, variance, whole_mean] = *io.saved {
            let [means, variances] = parts(r, ["mean parts", "var parts"], &p);
            r.dispatch(MOMENTS.of(&[p.c]), &p, &[], &[x, means, variances]);
            r.dispatch(MERGE.of(&[p.c]), &p, &[], &[x, means, variances, mean, variance, whole_mean]);
        }
        let [mean, variance] = statistics(io);
        let overrides = [self.frozen_flag(), ("RELU", f64::from(u8::from(self.relu)))];
        r.dispatch(BATCH_NORM.of(&[p.c]), &p, &overrides, &[x, mean, variance, beta, gamma, io.y]).cheap = true;
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        assert!(dx[3].is_none() && dx[4].is_none(), "running statistics have no gradient");
        let p = self.params(io.x_shapes[0]);
        let (x, gamma, beta, [mean, variance]) = (io.x[0], io.x[1], io.x[2], statistics(io));
        let batch_statistics = !self.frozen && dx[0].is_some();
        let sums = batch_statistics || dx[1].is_some() || dx[2].is_some();
        if self.relu && !sums {
            mask_dy(r, io.y, dy, io.y_shape.len_u32());
        }
        // Frozen, batch_norm_dx reads no sums: anything of their size stands in for them.
        let mut totals = [mean; 2];
        if sums {
            let parts = parts(r, ["dgamma parts", "dbeta parts"], &p);
            if self.relu {
                let buffers = [x, mean, variance, beta, gamma, dy, parts[0], parts[1]];
                r.dispatch(RELU_SUMS.of(&[p.c]), &p, &[self.frozen_flag()], &buffers);
            } else {
                let buffers = [x, mean, variance, dy, parts[0], parts[1]];
                r.dispatch(SUMS.of(&[p.c]), &p, &[self.frozen_flag()], &buffers);
            }
            for (at, name) in ["dgamma", "dbeta"].into_iter().enumerate() {
                if dx[1 + at].is_some() || batch_statistics {
                    totals[at] = r.scratch(name, Shape::vector(p.c), Type::F32);
                }
                if let Some(grad) = dx[1 + at] {
                    r.dispatch(DW.of(&[p.c]), &p, &grad.overrides(), &[parts[at], totals[at], grad.buf]);
                } else if batch_statistics {
                    let p = SumPartialsParams { len: p.c, splits: p.splits };
                    r.dispatch(&SUM_PARTIALS, &p, &[], &[parts[at], totals[at]]);
                }
            }
        }
        if let Some(grad) = dx[0] {
            let [accumulate] = grad.overrides();
            let buffers = [x, mean, variance, dy, gamma, totals[0], totals[1], grad.buf];
            r.dispatch(DX.of(&[p.c]), &p, &[self.frozen_flag(), accumulate], &buffers);
        }
    }

    fn depends_on_batch(&self) -> bool {
        !self.frozen
    }

    fn adapt(&self, purpose: Purpose) -> Adapted {
        let frozen = Arc::new(self.frozen());
        match purpose {
            Purpose::Inference => Adapted::Folded { eps: self.eps, relu: self.relu, otherwise: frozen },
            Purpose::Training { frozen: true, .. } => Adapted::Replaced(frozen),
            Purpose::Training { .. } => Adapted::Same,
        }
    }

    fn update(&self, r: &mut Recorder<'_>, io: &Io<'_>, loss: Buf) {
        if let [_, variance, whole_mean] = *io.saved {
            let p = self.params(io.x_shapes[0]);
            r.dispatch(UPDATE.of(&[p.c]), &p, &[], &[whole_mean, variance, io.x[3], io.x[4], loss]);
        }
    }
}

/// A case from the op, the sizes of its input and what fills it.
fn case(op: BatchNorm, dims: &[u32], x: Values) -> Case {
    let c = &dims[dims.len() - 1..];
    let statistic = (c, Values::Statistic);
    Case::new(op, &[(dims, x), (c, Values::Normal), (c, Values::Normal), statistic, statistic]).inexact()
}

fn cases() -> Vec<Case> {
    let [inception_resnet, openface] = [1e-3, 1e-5].map(BatchNorm::new);
    let normal = |op, dims: &[u32]| case(op, dims, Values::Normal);
    vec![
        normal(openface, &[37, 1]),
        normal(inception_resnet, &[2, 3, 5, 7]),
        normal(inception_resnet.with_relu(), &[3, 5, 4, 8]),
        normal(openface.with_relu(), &[2, 5, 7, 13]),
        normal(openface, &[129, 260]), // several workgroups
        // Enough rows to split the sums, in parts of equal and of different lengths, four channels at a time and one.
        normal(inception_resnet, &[2, 32, 9, 4]),
        normal(openface, &[3, 17, 19, 12]),
        normal(inception_resnet, &[5, 23, 29, 7]),
        normal(openface, &[2, 33, 31, 1]),
        normal(inception_resnet.with_relu(), &[3, 17, 19, 12]),
        normal(openface.with_relu(), &[5, 23, 29, 7]),
        // Means a thousand times the deviation.
        case(inception_resnet, &[4, 9, 9, 8], Values::Around(1000.0)),
        case(openface, &[5, 11, 13, 3], Values::Around(-1000.0)),
        // Of two rows a small eps leaves no gradient but what rounding makes of differences of equal numbers.
        normal(BatchNorm::new(0.5), &[2, 12]),
        normal(BatchNorm::new(0.5).with_relu(), &[2, 1, 1, 5]),
        normal(inception_resnet, &[2, 20]).tolerance(1e-4),
        normal(openface.frozen(), &[1, 5]),
        normal(openface.frozen(), &[1]),
        normal(inception_resnet.frozen(), &[2, 17, 16, 12]),
        normal(inception_resnet.frozen().with_relu(), &[3, 5, 4, 8]),
        normal(openface.frozen().with_relu(), &[2, 9, 8, 11]),
        case(openface.frozen(), &[4, 9, 9, 3], Values::Around(1000.0)),
    ]
}

fn bench_cases() -> Vec<Case> {
    let normal = |op: BatchNorm, dims: &[u32]| case(op, dims, Values::Normal);
    let [inception_resnet, openface] = [1e-3, 1e-5].map(|eps| BatchNorm::new(eps).with_relu());
    vec![
        normal(inception_resnet, &[16, 77, 77, 64]),
        normal(inception_resnet, &[16, 36, 36, 192]),
        normal(inception_resnet, &[16, 17, 17, 256]),
        normal(inception_resnet, &[16, 8, 8, 128]),
        normal(BatchNorm::new(1e-3), &[16, 512]),
        normal(openface, &[16, 48, 48, 64]),
        normal(openface, &[16, 12, 12, 128]),
        normal(inception_resnet.frozen(), &[16, 77, 77, 64]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuExecutor;
    use crate::executor::{Executor, Options};
    use crate::graph::{Graph, Init, Recording};

    /// Runs the op on `x` `[4, 1]` with gamma 2, beta 1, running mean 3 and variance 4: the output and the gradients of
    /// `x`, gamma and beta for the upstream gradient 1, 2, 3, 5.
    fn run(op: BatchNorm, x: &[f32; 4]) -> [Vec<f32>; 4] {
        let mut graph = Graph::new();
        let input = graph.input("x", Shape::new(&[4, 1]).unwrap());
        let [gamma, beta] = ["gamma", "beta"].map(|name| graph.input(name, Shape::vector(1)));
        let [mean, var] = ["mean", "var"].map(|name| graph.statistic(name, Shape::vector(1), Init::Ones));
        let y = graph.op("y", op, &[input, gamma, beta, mean, var]).unwrap();
        let mut recording = Recording::forward(&graph, &[y]);
        let wrt = [input, gamma, beta];
        let dy = recording.backward(y, &wrt);
        let [dx, dgamma, dbeta] = wrt.map(|t| recording.gradient(t).unwrap());
        let inputs = [input, gamma, beta, mean, var].map(|t| recording.value(t));
        let y = recording.value(y);
        let mut cpu = CpuExecutor::<f32>::new(recording.finish(), &Options::checked()).unwrap();
        for (buf, content) in inputs.into_iter().zip([&x[..], &[2.0], &[1.0], &[3.0], &[4.0]]) {
            cpu.write(buf, content).unwrap();
        }
        cpu.write(dy, &[1.0, 2.0, 3.0, 5.0]).unwrap();
        cpu.run_all().unwrap();
        [y, dx, dgamma, dbeta].map(|buf| cpu.read(buf).unwrap())
    }

    fn near(got: &[f32], expected: &[f32]) {
        let close = |(g, e): (&f32, &f32)| (g - e).abs() <= 1e-5;
        assert!(got.len() == expected.len() && got.iter().zip(expected).all(close), "{got:?} instead of {expected:?}");
    }

    #[test]
    fn training_uses_mean_and_biased_variance_of_the_batch_and_their_gradients() {
        // Mean 4, variance 5, so that 1 / sqrt(var + eps) is 0.4 for eps 1.25; n = -1.2, -0.4, 0.4, 1.2.
        let [y, dx, dgamma, dbeta] = run(BatchNorm::new(1.25), &[1.0, 3.0, 5.0, 7.0]);
        near(&y, &[-1.4, 0.2, 1.8, 3.4]);
        near(&dgamma, &[5.2]);
        near(&dbeta, &[11.0]);
        // 0.8 (dy - 2.75 - 1.3 n)
        near(&dx, &[-0.152, -0.184, -0.216, 0.552]);
    }

    #[test]
    fn frozen_uses_the_running_statistics_as_constants() {
        // 1 / sqrt(4 + 2.25) = 0.4; n = -0.8, 0, 0.8, 1.6.
        let [y, dx, dgamma, dbeta] = run(BatchNorm::new(2.25).frozen(), &[1.0, 3.0, 5.0, 7.0]);
        near(&y, &[-0.6, 1.0, 2.6, 4.2]);
        near(&dgamma, &[9.6]);
        near(&dbeta, &[11.0]);
        near(&dx, &[0.8, 1.6, 2.4, 4.0]);
    }

    #[test]
    fn a_relu_cuts_the_output_and_its_gradient() {
        let [y, dx, dgamma, dbeta] = run(BatchNorm::new(2.25).frozen().with_relu(), &[1.0, 3.0, 5.0, 7.0]);
        near(&y, &[0.0, 1.0, 2.6, 4.2]);
        near(&dgamma, &[10.4]);
        near(&dbeta, &[10.0]);
        near(&dx, &[0.0, 1.6, 2.4, 4.0]);
    }

    #[test]
    fn a_channel_that_is_constant_becomes_beta() {
        let [y, dx, ..] = run(BatchNorm::new(1e-5), &[1e4; 4]);
        assert_eq!(y, [1.0; 4]);
        assert!(dx.iter().all(|dx| dx.is_finite()), "{dx:?}");
    }

    #[test]
    fn inputs_that_do_not_fit_are_refused_in_words() {
        let refusal = |op: BatchNorm, inputs: &[&[u32]]| {
            let shapes: Vec<Shape> = inputs.iter().map(|dims| Shape::new(dims).unwrap()).collect();
            op.output_shape(&shapes).unwrap_err().to_string()
        };
        let op = BatchNorm::default();
        let e = refusal(op, &[&[1, 1, 1, 64], &[64], &[64], &[64], &[64]]);
        assert!(e.contains("expected more than 1 value per channel in training, got input [1, 1, 1, 64]"), "{e}");
        let e = refusal(op, &[&[2, 8], &[8], &[8], &[8], &[7]]);
        assert!(e.contains("expected var [8] for input [2, 8], got [7]"), "{e}");
        let e = refusal(op, &[&[2, 8], &[8, 1], &[8], &[8], &[8]]);
        assert!(e.contains("expected gamma [8]") && e.contains("got [8, 1]"), "{e}");
        let e = refusal(op, &[&[2, 8], &[8], &[8]]);
        assert!(e.contains("expected 5 inputs, got 3"), "{e}");
        let fitting: [&[u32]; 5] = [&[2, 8], &[8], &[8], &[8], &[8]];
        for eps in [0.0, -1e-5, f32::NAN, f32::INFINITY] {
            let e = refusal(BatchNorm::new(eps), &fitting);
            assert!(e.contains("positive, finite eps"), "{e}");
        }
        for momentum in [-0.1, 1.1, f32::NAN] {
            let e = refusal(BatchNorm { momentum, ..op }, &fitting);
            assert!(e.contains("momentum from 0 to 1"), "{e}");
        }
        let shapes = fitting.map(|dims| Shape::new(dims).unwrap());
        assert_eq!(op.output_shape(&shapes).unwrap().dims(), [2, 8]);
    }
}
