//! The triplet loss of `FaceNet`: selection, loss, statistics and gradient over a whole batch.

mod kernels;
mod mining;
mod stat;
mod twins;

pub use mining::{Mining, Positives};
pub use stat::Stat;

use self::kernels::{ALL, CENTRE, CLOSEST, DISTANCES, DX, HARDEST, ORDER, PAIRS, RANDOM, STATS, TRANSPOSE};
use self::mining::Choice;
use self::stat::{PairSum, TripletSum};
use crate::graph::{Grad, Io, Op, Recorder, Saved};
use crate::op::{Case, Entry, Values};
use crate::plan::{Buf, Shape, Type};
use crate::{Error, Result, params};

/// Triplet loss of embeddings `[b, dim]` with labels `[b]` (integers) and, where [`Mining::is_random`], a seed `[2]`
/// (integers: the run's, and the number of the step). The output is [`Stat::COUNT`] floats; [`Stat`] names them.
///
/// Every ordered pair of two images of one person is an anchor and its positive, or, with [`Positives::Hardest`], every
/// image and the farthest of its person (of equally far ones the first in the batch). [`Mining`] says which images of
/// other people become their negatives (squared Euclidean distances; of equally close ones the first in the batch). A
/// pair without a candidate is skipped, and counted in [`Stat::SkippedPairs`]. The loss of a triplet is
/// `d(anchor, positive) - d(anchor, negative) + margin`, which is above 0 for every candidate.
///
/// Two images with the same embedding are at distance 0 and nothing special: as a pair they are an easy, semi-hard or
/// hard one, as images of two people they make every pair of theirs hard. Where all embeddings are the same, there are
/// no semi-hard negatives, and every hard triplet has the margin as its loss and no gradient. A batch of one person, or
/// without a pair, has the loss 0.
///
/// The gradient is that of the slots [`Stat::Loss`] and [`Stat::LossPerPair`]; the selection itself, and the slots
/// behind these two, are constants to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TripletLoss {
    margin: f32,
    mining: Mining,
    positives: Positives,
}

impl TripletLoss {
    /// The loss with a margin of its own, semi-hard negatives and all positives. A margin of 0 leaves no semi-hard
    /// negatives, and of the others those that are closer than the positive.
    ///
    /// # Errors
    /// The margin is negative or not finite.
    pub fn new(margin: f32) -> Result<Self> {
        if margin.is_finite() && margin >= 0.0 {
            return Ok(Self { margin, mining: Mining::default(), positives: Positives::default() });
        }
        Err(Error::Setting(format!("the triplet margin must be a finite number, 0 or more, got {margin}")))
    }

    /// With other negatives. [`Mining::BatchHard`] also takes the hardest positives.
    #[must_use]
    pub fn with_mining(self, mining: Mining) -> Self {
        Self { mining, ..self }
    }

    /// With other positives; [`Mining::BatchHard`] keeps the hardest.
    #[must_use]
    pub fn with_positives(self, positives: Positives) -> Self {
        Self { positives, ..self }
    }

    /// The margin.
    pub fn margin(self) -> f32 {
        self.margin
    }

    /// Which negatives are selected.
    pub fn mining(self) -> Mining {
        self.mining
    }

    /// Which positives make pairs.
    pub fn positives(self) -> Positives {
        self.mining.positives().unwrap_or(self.positives)
    }

    fn params(self, io: &Io<'_>) -> TripletParams {
        TripletParams { b: io.x_shapes[0].batch(), dim: io.x_shapes[0].channels(), margin: self.margin }
    }
}

/// The paper's: margin 0.2, semi-hard negatives, all positives.
impl Default for TripletLoss {
    fn default() -> Self {
        Self { margin: 0.2, mining: Mining::default(), positives: Positives::default() }
    }
}

params! {
    /// Parameters of all kernels of the loss.
    pub(super) struct TripletParams {
        /// Images.
        b: u32,
        /// Floats of an embedding.
        dim: u32,
        /// How much farther than the positive a negative should be.
        margin: f32,
    }
}

/// Sums of each anchor: of its pairs, and as many of its triplets.
const SLOTS: u32 = 8;
const _: () = assert!(PairSum::COUNT == SLOTS as usize && TripletSum::COUNT <= SLOTS as usize);

pub(super) static ENTRY: Entry = Entry {
    name: "triplet_loss",
    kernels: &[&TRANSPOSE, &DISTANCES, &CENTRE, &ORDER, &HARDEST, &PAIRS, &CLOSEST, &RANDOM, &ALL, &STATS, &DX],
    cases,
    bench_cases,
};

/// A shape whose size [`TripletLoss::output_shape`] has checked.
fn sized(dims: &[u32]) -> Shape {
    Shape::new(dims).expect("the output shape was computed before")
}

/// Records the mean of the embeddings `x`, whose length is [`Stat::MeanLength`].
pub(super) fn record_centre(r: &mut Recorder<'_>, x: Buf, shape: Shape) -> Buf {
    let p = TripletParams { b: shape.batch(), dim: shape.channels(), margin: 0.0 };
    let centre = r.scratch("centre", sized(&[p.dim]), Type::F32);
    r.dispatch(&CENTRE, &p, &[], &[x, centre]);
    centre
}

impl Op for TripletLoss {
    fn name(&self) -> &'static str {
        "triplet_loss"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        let fail = |message: String| Err(Error::shape("triplet_loss", message));
        super::expect_inputs("triplet_loss", x, if self.mining.is_random() { 3 } else { 2 })?;
        let [b, _] = x[0].matrix("triplet_loss")?;
        if x[1].dims() != [b] {
            return fail(format!("expected labels [{b}] for embeddings {}, got {}", x[0], x[1]));
        }
        if x.get(2).is_some_and(|seed| seed.dims() != [2]) {
            return fail(format!("expected a seed and a step [2], got {}", x[2]));
        }
        if b < 2 {
            return fail(format!("expected at least 2 images, got embeddings {}", x[0]));
        }
        Shape::new(&[b, b])?; // the distances
        Ok(Stat::shape())
    }

    fn saved(&self, x: &[Shape]) -> Vec<Saved> {
        vec![("pull", sized(&[x[0].batch(), x[0].batch()]), Type::U32)]
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        let p = self.params(io);
        let (&[x, labels, ..], &[pull]) = (io.x, io.saved) else { unreachable!("two or three inputs, one saved") };
        let columns = r.scratch("columns", sized(&[p.dim, p.b]), Type::F32);
        let distances = r.scratch("distances", sized(&[p.b, p.b]), Type::F32);
        let mut members = r.scratch("members", sized(&[3, p.b]), Type::U32);
        let pairs = r.scratch("pairs", sized(&[p.b, SLOTS]), Type::F32);
        let triplets = r.scratch("triplets", sized(&[p.b, SLOTS]), Type::F32);
        r.dispatch(&TRANSPOSE, &p, &[], &[x, columns]);
        r.dispatch(&DISTANCES, &p, &[], &[columns, distances, pull]);
        let centre = record_centre(r, x, io.x_shapes[0]);
        r.dispatch(&ORDER, &p, &[], &[labels, members]);
        if self.positives() == Positives::Hardest {
            let all = members;
            members = r.scratch("hardest", sized(&[3, p.b]), Type::U32);
            r.dispatch(&HARDEST, &p, &[], &[all, distances, members]);
        }
        r.dispatch(&PAIRS, &p, &[], &[labels, members, distances, pairs]);
        let hard = [("HARD", f64::from(u8::from(self.mining.takes_hard())))];
        let mut buffers = vec![labels, members, distances, pairs, pull, triplets];
        let kernel = match self.mining.choice() {
            Choice::Closest => &CLOSEST,
            Choice::Random => {
                buffers.push(io.x[2]);
                &RANDOM
            }
            Choice::All => &ALL,
        };
        r.dispatch(kernel, &p, &hard, &buffers);
        r.dispatch(&STATS, &p, &[], &[pairs, triplets, centre, io.y]);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        if let Some(grad) = dx[0] {
            let buffers = [io.x[0], io.saved[0], io.y, dy, grad.buf];
            r.dispatch(&DX, &self.params(io), &grad.overrides(), &buffers);
        }
    }
}

/// A case of `loss` with `b` embeddings of `dim` dimensions.
fn case(loss: TripletLoss, b: u32, dim: u32, rows: Values, labels: Values) -> Case {
    const SEED: Values = Values::IntegerList(&[3, 14]);
    let inputs: [(&[u32], Values); 3] = [(&[b, dim], rows), (&[b], labels), (&[2], SEED)];
    let inputs = if loss.mining.is_random() { &inputs[..] } else { &inputs[..2] };
    Case::new(loss, inputs).differentiable(Stat::DIFFERENTIABLE).inexact()
}

/// Few triplets to choose from: among many, some pair of distances is so close that `f32` and `f64`, or two neighbours of
/// a central difference, rightly choose different negatives. `tests/all/mining.rs` has the crowded batches.
fn cases() -> Vec<Case> {
    let semi_hard =
        |margin, b, dim, rows, labels| case(TripletLoss { margin, ..TripletLoss::default() }, b, dim, rows, labels);
    let people = |people| Values::Labels { people };
    let list = Values::IntegerList;
    let mut cases = vec![
        semi_hard(0.2, 2, 5, Values::UnitRows, list(&[4, 4])),
        semi_hard(0.2, 2, 5, Values::UnitRows, list(&[1, 0])),
        semi_hard(2.0, 3, 1, Values::Normal, list(&[7, 1, 7])),
        semi_hard(2.0, 7, 1, Values::Normal, people(2)),
        semi_hard(0.2, 7, 64, Values::UnitRows, people(1)),
        semi_hard(0.2, 7, 5, Values::UnitRows, list(&[6, 5, 4, 3, 2, 1, 0])),
        semi_hard(0.2, 12, 5, Values::UnitRows, people(5)),
        // Some people with one image, some with several, in no order, with the largest label.
        semi_hard(2.0, 12, 130, Values::UnitRows, list(&[9, u32::MAX, 9, 0, 3, 9, 8, 0, 1, 9, 3, 2])),
        semi_hard(0.05, 55, 5, Values::UnitRows, people(11)),
        semi_hard(0.2, 55, 130, Values::UnitRows, people(40)),
        semi_hard(2.0, 55, 64, Values::Normal, people(8)),
        semi_hard(0.2, 96, 128, Values::UnitRows, people(40)),
        semi_hard(0.05, 96, 64, Values::UnitRows, people(48)),
        // Just over a tile of distances. More positives than a workgroup takes at once: tests/all/triplet.rs.
        semi_hard(0.2, 131, 64, Values::UnitRows, people(65)),
    ];
    for mining in Mining::EVERY {
        for positives in [Positives::All, Positives::Hardest] {
            let loss = |margin| TripletLoss { margin, mining, positives };
            // The first is above, the second says that batch-hard has a choice.
            if loss(0.2) == TripletLoss::default() || loss(0.2).positives() != positives {
                continue;
            }
            cases.push(case(loss(0.3), 12, 5, Values::UnitRows, people(5)));
            cases.push(case(loss(2.0), 12, 130, Values::UnitRows, list(&[9, u32::MAX, 9, 0, 3, 9, 8, 0, 1, 9, 3, 2])));
            cases.push(case(loss(0.2), 44, 64, Values::UnitRows, people(15)));
        }
    }
    cases
}

fn bench_cases() -> Vec<Case> {
    let of = |mining, b, people| {
        let loss = TripletLoss::default().with_mining(mining);
        let case = case(loss, b, 128, Values::UnitRows, Values::Labels { people });
        if mining == Mining::default() { case } else { case.called(mining.name()) }
    };
    [of(Mining::SemiHard, 96, 12)].into_iter().chain(Mining::EVERY.map(|mining| of(mining, 1800, 45))).collect()
}
