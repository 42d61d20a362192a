//! Softmax over identities, with or without ArcFace's margin.

use rayon::prelude::*;

use super::rowwise::LONG_ROW;
use crate::cpu::{Call, Float, put};
use crate::graph::{Grad, Io, Op, Recorder, Saved};
use crate::op::{Case, Entry, Values};
use crate::plan::reflect::Interface;
use crate::plan::{Buf, Kernel, Shape, Type, grid};
use crate::{Error, Result, kernel, params};

/// Cross-entropy of cosines `[rows, classes]` that are multiplied by a scale, given labels `[rows]` of integers; a label that
/// is no class counts for nothing. With a margin `m` the angle of the right class is made larger by it before: ArcFace's
/// additive angular margin (Deng et al., 2019), `cos(angle + m)`, and `cos(angle) - m sin(m)` where the sum is beyond a half
/// turn, as in insightface. Without one it is the softmax loss of normalised embeddings (NormFace, Wang et al., 2017).
///
/// The output `[4]` holds the mean loss, the part of the rows whose right class has the largest cosine, the number of rows
/// that count, and 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarginCrossEntropy {
    scale: f32,
    margin: f32,
}

/// Below this a sine is taken for it.
const LEAST_SINE: f64 = 1e-3;
/// Floats that a row shares: loss, whether it is right, logarithm of the sum of exponentials.
const SHARE: usize = 3;

impl MarginCrossEntropy {
    /// The loss with this scale and this margin, an angle in radians.
    ///
    /// # Errors
    /// The scale is not above 0, or the margin is not from 0 to a quarter turn.
    pub fn new(scale: f32, margin: f32) -> Result<Self> {
        if !(scale.is_finite() && scale > 0.0) {
            return Err(Error::Setting(format!("`loss_scale` must be a number above 0, not {scale}")));
        }
        if !(0.0..=std::f32::consts::FRAC_PI_2).contains(&margin) {
            return Err(Error::Setting(format!("`angular_margin` must be from 0 to 1.57 radians, not {margin}")));
        }
        Ok(Self { scale, margin })
    }

    fn params(self, io: &Io<'_>) -> MarginParams {
        let x = io.x_shapes[0];
        MarginParams { rows: x.rows(), dim: x.channels(), scale: self.scale, margin: self.margin }
    }
}

params! {
    /// Parameters of all kernels of the loss.
    struct MarginParams {
        /// Rows.
        rows: u32,
        /// Classes.
        dim: u32,
        /// What cosines are multiplied by.
        scale: f32,
        /// What the angle of the right class is made larger by.
        margin: f32,
    }
}

static LOSS: Kernel = kernel!(
    "margin_cross_entropy",
    {
        Shared if is_long: ["margin_cross_entropy.wgsl", "row_shared.wgsl", "index.wgsl"],
        Portable: ["margin_cross_entropy.wgsl", "row.wgsl", "index.wgsl"],
    },
    MarginParams,
    |p, _w| grid::fold(p.rows),
    shares
);
static MEAN: Kernel = kernel!(
    "margin_cross_entropy_mean",
    {
        Shared if has_many_rows: ["margin_cross_entropy.wgsl", "row_shared.wgsl", "index.wgsl"],
        Portable: ["margin_cross_entropy.wgsl", "row.wgsl", "index.wgsl"],
    },
    MarginParams,
    |_p, _w| [1, 1, 1],
    mean
);
static DX: Kernel = kernel!(
    "margin_cross_entropy_dx",
    {
        Shared if is_long: ["margin_cross_entropy.wgsl", "row_shared.wgsl", "index.wgsl"],
        Portable: ["margin_cross_entropy.wgsl", "row.wgsl", "index.wgsl"],
    },
    MarginParams,
    |p, _w| grid::fold(p.rows),
    dx
);

fn is_long(p: &MarginParams, _: &Interface) -> bool {
    p.dim >= LONG_ROW
}

fn has_many_rows(p: &MarginParams, _: &Interface) -> bool {
    p.rows >= LONG_ROW
}

pub(super) static ENTRY: Entry =
    Entry { name: "margin_cross_entropy", kernels: &[&LOSS, &MEAN, &DX], cases, bench_cases };

impl Op for MarginCrossEntropy {
    fn name(&self) -> &'static str {
        "margin_cross_entropy"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        let op = "margin_cross_entropy";
        super::expect_inputs(op, x, 2)?;
        let [rows, _] = x[0].matrix(op)?;
        if x[1].len_u32() != rows {
            return Err(Error::shape(op, format!("expected {rows} labels for cosines {}, got {}", x[0], x[1])));
        }
        Ok(Shape::vector(4))
    }

    fn saved(&self, x: &[Shape]) -> Vec<Saved> {
        let share = u32::try_from(SHARE).expect("a few floats");
        vec![("shares", Shape::new(&[x[0].rows(), share]).expect("three floats a row fit"), Type::F32)]
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        let p = self.params(io);
        r.dispatch(&LOSS, &p, &[], &[io.x[0], io.x[1], io.saved[0]]);
        r.dispatch(&MEAN, &p, &[], &[io.saved[0], io.x[1], io.y]);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        if let Some(grad) = dx[0] {
            let buffers = [io.x[0], io.x[1], io.saved[0], io.y, dy, grad.buf];
            r.dispatch(&DX, &self.params(io), &grad.overrides(), &buffers);
        }
    }
}

/// The margin on the score of the right class.
#[derive(Clone, Copy)]
struct Margin<T> {
    scale: T,
    margin: T,
}

impl<T: Float> Margin<T> {
    fn of(p: MarginParams) -> Self {
        let MarginParams { scale, margin, .. } = p;
        Self { scale: T::of(f64::from(scale)), margin: T::of(f64::from(margin)) }
    }

    fn sine(cosine: T) -> T {
        (T::one() - cosine * cosine).max(T::zero()).sqrt().max(T::of(LEAST_SINE))
    }

    /// The score, and its slope.
    fn score(self, cosine: T) -> (T, T) {
        let Self { scale, margin } = self;
        if cosine > -margin.cos() {
            let sine = Self::sine(cosine);
            let slope = margin.cos() + margin.sin() * cosine / sine;
            return (scale * (cosine * margin.cos() - sine * margin.sin()), scale * slope);
        }
        (scale * (cosine - margin * margin.sin()), scale)
    }
}

fn shares<T: Float>(call: Call<'_, T>) {
    let p: MarginParams = call.params();
    let (dim, margin) = (p.dim as usize, Margin::of(p));
    let [x, labels, share] = call.args();
    let rows = x.f().par_chunks_exact(dim).zip(labels.u()).zip(share.f_mut().par_chunks_exact_mut(SHARE));
    rows.for_each(|((x, &label), share)| {
        let label = label as usize;
        if label >= dim {
            share.fill(T::zero());
            return;
        }
        let (own, _) = margin.score(x[label]);
        let score = |j: usize| if j == label { own } else { margin.scale * x[j] };
        let most = (0..dim).map(score).fold(own, |most, z| if z > most { z } else { most });
        let total: T = (0..dim).map(|j| (score(j) - most).exp()).sum();
        let height = total.ln() + most;
        let right = (0..dim).all(|j| j == label || x[j] <= x[label]);
        share.copy_from_slice(&[height - own, if right { T::one() } else { T::zero() }, height]);
    });
}

fn mean<T: Float>(call: Call<'_, T>) {
    let dim = call.params::<MarginParams>().dim;
    let [shares, classes, y] = call.args();
    let (mut loss, mut right, mut count) = (T::zero(), T::zero(), T::zero());
    for (share, &class) in shares.f().chunks_exact(SHARE).zip(classes.u()) {
        loss += share[0];
        right += share[1];
        count += if class < dim { T::one() } else { T::zero() };
    }
    let divisor = count.max(T::one());
    y.f_mut().copy_from_slice(&[loss / divisor, right / divisor, count, T::zero()]);
}

fn dx<T: Float>(call: Call<'_, T>) {
    let (p, accumulate): (MarginParams, bool) = (call.params(), call.flag("ACCUMULATE"));
    let (dim, margin) = (p.dim as usize, Margin::of(p));
    let [x, labels, heights, means, dy, dx] = call.args();
    let part = dy.f()[0] / means.f()[2].max(T::one());
    let rows = x.f().par_chunks_exact(dim).zip(labels.u()).zip(heights.f().par_chunks_exact(SHARE));
    dx.f_mut().par_chunks_exact_mut(dim).zip(rows).for_each(|(dx, ((x, &label), share))| {
        let label = label as usize;
        for (j, dx) in dx.iter_mut().enumerate() {
            let (z, slope) = if j == label { margin.score(x[j]) } else { (margin.scale * x[j], margin.scale) };
            let wanted = if j == label { T::one() } else { T::zero() };
            let g = part * ((z - share[2]).exp() - wanted) * slope;
            put(accumulate, dx, if label < dim { g } else { T::zero() });
        }
    });
}

fn case(scale: f32, margin: f32, rows: u32, classes: u32, labels: Values) -> Case {
    let inputs: [(&[u32], Values); 2] = [(&[rows, classes], Values::UnitRows), (&[rows], labels)];
    Case::new(MarginCrossEntropy { scale, margin }, &inputs).inexact().differentiable(1)
}

fn cases() -> Vec<Case> {
    let labels = |people| Values::Labels { people };
    vec![
        case(1.0, 0.0, 2, 3, labels(3)),
        case(16.0, 0.0, 33, 65, labels(65)),
        case(30.0, 0.5, 7, 128, labels(20)),
        case(30.0, 0.3, 70, 10, labels(10)),
        // More rows, and more classes, than a workgroup has invocations.
        case(10.0, 0.2, 300, 5, labels(5)),
        case(30.0, 0.5, 3, 700, labels(700)),
        // A label that is no class.
        case(4.0, 0.5, 4, 6, Values::IntegerList(&[5, u32::MAX, 0, 6])),
    ]
}

/// The people of LFW's View 1 and of VGGFace2.
fn bench_cases() -> Vec<Case> {
    let labels = |people| Values::Labels { people };
    vec![case(30.0, 0.5, 64, 888, labels(888)), case(30.0, 0.5, 64, 8631, labels(8631))]
}
