//! The triplet loss of triplets that were chosen before: offline selection.

use rayon::prelude::*;

use crate::cpu::{Call, Float, put};
use crate::graph::{Grad, Io, Op, Recorder, Saved};
use crate::op::{Case, Entry, Stat, Values};
use crate::plan::{Buf, Kernel, Shape, Type, grid};
use crate::{Error, Result, kernel, params};

/// Triplet loss of embeddings `[b, dim]` over triplets `[t, 3]` of integers: the positions of anchor, positive and
/// negative in the batch; one that is not below `b` makes the triplet none, so that fewer than `t` can be given.
/// PyTorch's `triplet_margin_loss` with squared distances and no mining. The output has the slots of
/// [`TripletLoss`](super::TripletLoss), which [`Stat`] names: a pair is a triplet here, an active one has a loss, and the
/// others are skipped; what is known of a whole batch only is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TripletMarginLoss {
    margin: f32,
}

impl TripletMarginLoss {
    /// The loss with a margin of its own.
    ///
    /// # Errors
    /// The margin is negative or not finite.
    pub fn new(margin: f32) -> Result<Self> {
        super::TripletLoss::new(margin).map(|_| Self { margin })
    }
}

params! {
    /// Parameters of all kernels of the loss.
    struct TripletMarginParams {
        /// Images.
        b: u32,
        /// Floats of an embedding.
        dim: u32,
        /// Triplets.
        t: u32,
        /// How much farther than the positive a negative should be.
        margin: f32,
    }
}

slots! {
    /// Terms of each triplet: a row of what `triplet_margin_loss` shares.
    enum Term {
        /// Its loss, 0 if it is not active.
        Loss = "TERM_LOSS",
        /// 1 if it has a loss.
        Active = "TERM_ACTIVE",
        /// Distance of the positive.
        Positive = "TERM_POSITIVE",
        /// Distance of the negative.
        Negative = "TERM_NEGATIVE",
        /// 1 if the negative is as close as the positive, or closer.
        Hard = "TERM_HARD",
        /// 1 if it is one.
        Count = "TERM_COUNT",
    }
}

/// Their number.
const SLOTS: usize = Term::COUNT;

static LOSS: Kernel = kernel!(
    "triplet_margin_loss",
    ["triplet_margin_loss.wgsl", "triplet_dx.wgsl", "stat.wgsl"],
    TripletMarginParams,
    |p, w| w.items(p.t),
    terms
);
static STATS: Kernel = kernel!(
    "triplet_margin_stats",
    ["triplet_margin_loss.wgsl", "triplet_dx.wgsl", "stat.wgsl"],
    TripletMarginParams,
    |_p, _w| [1, 1, 1],
    stats
);
static DX: Kernel = kernel!(
    "triplet_margin_loss_dx",
    ["triplet_margin_loss.wgsl", "triplet_dx.wgsl", "stat.wgsl"],
    TripletMarginParams,
    |p, w| [p.b, p.dim.div_ceil(w.constant("DX_LANES") * w.constant("DX_COLUMNS")), 1],
    dx
);

pub(super) static ENTRY: Entry =
    Entry { name: "triplet_margin_loss", kernels: &[&LOSS, &STATS, &DX], cases, bench_cases };

impl TripletMarginLoss {
    fn params(self, io: &Io<'_>) -> TripletMarginParams {
        let [x, triplets] = io.x_shapes else { unreachable!("two inputs") };
        TripletMarginParams { b: x.batch(), dim: x.channels(), t: triplets.batch(), margin: self.margin }
    }
}

impl Op for TripletMarginLoss {
    fn name(&self) -> &'static str {
        "triplet_margin_loss"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        let op = "triplet_margin_loss";
        super::expect_inputs(op, x, 2)?;
        let [b, _] = x[0].matrix(op)?;
        let [t, three] = x[1].matrix(op)?;
        // The grids of some triplets and of one image a workgroup do not fold.
        let groups = t.div_ceil(LOSS.interface().invocations());
        if three != 3 || b > grid::MAX_WORKGROUPS || groups > grid::MAX_WORKGROUPS {
            let message = format!("expected up to 65,535 embeddings and triplets [t, 3], got {} and {}", x[0], x[1]);
            return Err(Error::shape(op, message));
        }
        Ok(Stat::shape())
    }

    fn saved(&self, x: &[Shape]) -> Vec<Saved> {
        let slots = u32::try_from(SLOTS).expect("a few slots");
        vec![("terms", Shape::new(&[x[1].batch(), slots]).expect("six floats a triplet fit"), Type::F32)]
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        let p = self.params(io);
        r.dispatch(&LOSS, &p, &[], &[io.x[0], io.x[1], io.saved[0]]);
        r.dispatch(&STATS, &p, &[], &[io.saved[0], io.y]);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        if let Some(grad) = dx[0] {
            let buffers = [io.x[0], io.x[1], io.saved[0], io.y, dy, grad.buf];
            r.dispatch(&DX, &self.params(io), &grad.overrides(), &buffers);
        }
    }
}

/// Positions of a triplet's images; `None` if it is none.
fn images(triplet: &[u32], b: u32) -> Option<[usize; 3]> {
    triplet.iter().all(|&image| image < b).then(|| [0, 1, 2].map(|slot| triplet[slot] as usize))
}

fn terms<T: Float>(call: Call<'_, T>) {
    let p: TripletMarginParams = call.params();
    let margin = T::of(f64::from(p.margin));
    let [x, triplets, share] = call.args();
    let (dim, x) = (p.dim as usize, x.f());
    let distance = |i: usize, j: usize| -> T {
        x[i * dim..][..dim].iter().zip(&x[j * dim..][..dim]).map(|(&a, &b)| (a - b) * (a - b)).sum()
    };
    let rows = share.f_mut().par_chunks_exact_mut(SLOTS).zip(triplets.u().par_chunks_exact(3));
    rows.for_each(|(share, triplet)| {
        let Some([a, near, far]) = images(triplet, p.b) else {
            share.fill(T::zero());
            return;
        };
        let (near, far) = (distance(a, near), distance(a, far));
        let hinge = margin - (far - near);
        let flag = |set: bool| if set { T::one() } else { T::zero() };
        let active = flag(hinge > T::zero());
        let loss = if hinge > T::zero() { hinge } else { T::zero() };
        share.copy_from_slice(&[loss, active, near, far, flag(far <= near), T::one()]);
    });
}

fn stats<T: Float>(call: Call<'_, T>) {
    let [shares, y] = call.args();
    let (rows, mut t) = (shares.f().chunks_exact(SLOTS), [T::zero(); SLOTS]);
    let (mut active_far, mut semi_hard) = (T::zero(), T::zero());
    for row in rows.clone() {
        t.iter_mut().zip(row).for_each(|(t, &sum)| *t += sum);
        active_far += row[Term::Active] * row[Term::Negative];
        semi_hard += row[Term::Active] * (T::one() - row[Term::Hard]);
    }
    let (count, active, hard) = (t[Term::Count], t[Term::Active], t[Term::Hard]);
    let loss = if (t[Term::Positive] + t[Term::Negative]).is_finite() { t[Term::Loss] } else { T::nan() };
    let of = |sum: T, count: T| if count == T::zero() && !sum.is_nan() { T::zero() } else { sum / count };
    let y = y.f_mut();
    y[Stat::Loss] = of(loss, active);
    y[Stat::LossPerPair] = of(loss, count);
    y[Stat::Pairs] = count;
    y[Stat::Active] = active;
    y[Stat::PositiveDistance] = of(t[Term::Positive], count);
    y[Stat::NegativeDistance] = of(active_far, active);
    y[Stat::DifferentDistance] = T::zero();
    y[Stat::Hard] = hard;
    y[Stat::SemiHard] = semi_hard;
    y[Stat::Easy] = count - hard - semi_hard;
    y[Stat::Candidates] = active;
    y[Stat::SkippedPairs] = count - active;
    let square = |x: T| x * x;
    let (positive, negative) = (y[Stat::PositiveDistance], y[Stat::NegativeDistance]);
    let near = rows.clone().map(|row| row[Term::Count] * square(row[Term::Positive] - positive)).sum();
    let far = rows.map(|row| row[Term::Active] * square(row[Term::Negative] - negative)).sum();
    y[Stat::PositiveStd] = of(near, count).sqrt();
    y[Stat::NegativeStd] = of(far, active).sqrt();
    y[Stat::MeanLength] = T::zero();
    y[Stat::Triplets] = count;
}

fn dx<T: Float>(call: Call<'_, T>) {
    let p: TripletMarginParams = call.params();
    let accumulate = call.flag("ACCUMULATE");
    let [x, chosen, terms, y, dy, dx] = call.args();
    let (dim, x, y, dy) = (p.dim as usize, x.f(), y.f(), dy.f());
    let share = |slot: Stat, count: Stat| if y[count] == T::zero() { T::zero() } else { dy[slot] / y[count] };
    let scale = T::of(2.0) * (share(Stat::Loss, Stat::Active) + share(Stat::LossPerPair, Stat::Pairs));
    let mut sums = vec![T::zero(); x.len()];
    for (triplet, terms) in chosen.u().chunks_exact(3).zip(terms.f().chunks_exact(SLOTS)) {
        if terms[Term::Active] == T::zero() {
            continue;
        }
        let Some([a, near, far]) = images(triplet, p.b) else { continue };
        for k in 0..dim {
            let [anchor, positive, negative] = [a, near, far].map(|i| x[i * dim + k]);
            sums[a * dim + k] += negative - positive;
            sums[near * dim + k] += positive - anchor;
            sums[far * dim + k] += anchor - negative;
        }
    }
    for (dx, sum) in dx.f_mut().iter_mut().zip(sums) {
        put(accumulate, dx, scale * sum);
    }
}

fn case(margin: f32, b: u32, dim: u32, triplets: &'static [u32]) -> Case {
    let t = u32::try_from(triplets.len() / 3).expect("a short list");
    let inputs: [(&[u32], Values); 2] = [(&[b, dim], Values::UnitRows), (&[t, 3], Values::IntegerList(triplets))];
    Case::new(TripletMarginLoss { margin }, &inputs).differentiable(Stat::DIFFERENTIABLE).inexact()
}

fn cases() -> Vec<Case> {
    vec![
        case(0.2, 3, 5, &[0, 1, 2]),
        // A large margin: all are active. An image in several triplets, in every place.
        case(4.0, 7, 130, &[0, 1, 2, 0, 1, 3, 1, 0, 2, 6, 5, 4, 2, 3, 0]),
        // Two that are none.
        case(2.0, 5, 16, &[0, 1, 2, u32::MAX, 1, 2, 3, 5, 0, 4, 3, 1]),
        case(0.5, 55, 64, &[54, 0, 17, 3, 9, 54, 9, 3, 1, 20, 21, 22, 23, 24, 25, 26, 27, 28]),
    ]
}

/// 600 triplets of 1,800 images, each image in one of them.
fn bench_cases() -> Vec<Case> {
    static ALL: [u32; 1800] = {
        let mut all = [0; 1800];
        let mut i = 0u32;
        while i < 1800 {
            all[i as usize] = i;
            i += 1;
        }
        all
    };
    vec![case(0.2, 1800, 128, &ALL)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::slots::assert_same;

    #[test]
    fn statistics_and_terms_have_the_same_places_in_wgsl_and_in_rust() {
        assert_same(&STATS, "STAT_", &Stat::WGSL);
        for kernel in [&LOSS, &STATS, &DX] {
            assert_same(kernel, "TERM_", &Term::WGSL);
            assert_eq!(kernel.interface().constant("SLOTS") as usize, SLOTS);
        }
    }
}
