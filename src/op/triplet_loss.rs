//! The triplet loss of `FaceNet`: semi-hard selection, loss, statistics and gradient over a whole batch.

mod twins;

use crate::graph::{Grad, Io, Op, Recorder, Saved};
use crate::op::{Case, Entry, Values};
use crate::plan::{Buf, Family, Kernel, Params, Shape, Type, Variant, grid};
use crate::{Error, Result, grid, params, shader, twin};

/// Triplet loss of embeddings `[b, dim]` with labels `[b]` (integers). The output is [`stat::COUNT`] floats; [`stat`]
/// names them.
///
/// Every ordered pair of two images of one person is an anchor and its positive. Its negative is the closest image of
/// another person that is farther than the positive, but by less than the margin ("semi-hard"; squared Euclidean
/// distances; of equally close ones the first in the batch). A pair without one is skipped. The loss of a triplet is
/// `d(anchor, positive) - d(anchor, negative) + margin`.
///
/// The gradient is that of the slots [`stat::LOSS`] and [`stat::LOSS_PER_PAIR`]; the selection itself, and the slots
/// behind these two, are constants to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TripletLoss {
    margin: f32,
}

/// Slots of the output of [`TripletLoss`]. A mean over nothing is 0.
pub mod stat {
    /// Mean loss over the active triplets. NaN if any distance of the batch is not finite.
    pub const LOSS: usize = 0;
    /// Sum of the losses divided by all anchor-positive pairs, so that pairs already learnt count as 0. NaN if any
    /// distance of the batch is not finite.
    pub const LOSS_PER_PAIR: usize = 1;
    /// Anchor-positive pairs; each two images of one person are two of them.
    pub const PAIRS: usize = 2;
    /// Active triplets: pairs that have a semi-hard negative.
    pub const ACTIVE: usize = 3;
    /// Mean squared distance of the pairs.
    pub const POSITIVE_DISTANCE: usize = 4;
    /// Mean squared distance between the anchors and the negatives of the active triplets.
    pub const NEGATIVE_DISTANCE: usize = 5;
    /// Mean squared distance of all pairs of images of different people.
    pub const DIFFERENT_DISTANCE: usize = 6;
    /// Hard pairs: some image of another person is as close to the anchor as the positive, or closer. If all
    /// embeddings collapse to one point, every pair is hard and none is active.
    pub const HARD: usize = 7;
    /// Number of slots.
    pub const COUNT: usize = super::SLOTS as usize;
    /// The slots before this one have a gradient.
    pub const DIFFERENTIABLE: usize = 2;
}

impl TripletLoss {
    /// The loss with a margin of its own.
    ///
    /// # Errors
    /// The margin is negative or not finite.
    pub fn new(margin: f32) -> Result<Self> {
        if margin.is_finite() && margin >= 0.0 {
            return Ok(Self { margin });
        }
        Err(Error::Usage(format!("the triplet margin must be a finite number, 0 or more, got {margin}")))
    }

    /// The margin.
    pub fn margin(self) -> f32 {
        self.margin
    }
}

/// The paper's margin, 0.2.
impl Default for TripletLoss {
    fn default() -> Self {
        Self { margin: 0.2 }
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

/// Slots of the output, and sums of each anchor.
const SLOTS: u32 = 8;
/// Images per workgroup of `triplet_distances`: LANES * COLUMNS columns, ROWS rows.
const TILE: [u32; 2] = [128, 8];
/// Columns of the embeddings per workgroup of `triplet_loss_dx`: `DX_LANES` * `DX_COLUMNS`.
const DX_TILE: u32 = 128;

const DISTANCES: &str = shader!("triplet_loss_distances.wgsl", "index.wgsl");
const LOSS: &str = shader!("triplet_loss.wgsl");

const fn distances(entry: &'static str, grid: fn(&[u8]) -> [u32; 3]) -> Variant {
    Variant { family: Family::Portable, file: "triplet_loss_distances.wgsl", source: DISTANCES, entry, grid }
}

const fn loss(entry: &'static str, grid: fn(&[u8]) -> [u32; 3]) -> Variant {
    Variant { family: Family::Portable, file: "triplet_loss.wgsl", source: LOSS, entry, grid }
}

// No grid but the first folds: b * b < 2^32 keeps b below 65,536.
static TRANSPOSE: Kernel = Kernel {
    name: "triplet_transpose",
    params: TripletParams::FIELDS,
    variants: &[distances("triplet_transpose", grid!(TripletParams, |p| grid::linear(p.b * p.dim, 256)))],
    twin: twin!(twins::transpose),
};
static DISTANCE: Kernel = Kernel {
    name: "triplet_distances",
    params: TripletParams::FIELDS,
    variants: &[distances(
        "triplet_distances",
        grid!(TripletParams, |p| [p.b.div_ceil(TILE[0]), p.b.div_ceil(TILE[1]), 1]),
    )],
    twin: twin!(twins::distances),
};
static ORDER: Kernel = Kernel {
    name: "triplet_order",
    params: TripletParams::FIELDS,
    variants: &[loss("triplet_order", grid!(TripletParams, |p| grid::linear(p.b, 64)))],
    twin: twin!(twins::order),
};
static SELECT: Kernel = Kernel {
    name: "triplet_select",
    params: TripletParams::FIELDS,
    variants: &[loss("triplet_select", grid!(TripletParams, |p| [p.b, 1, 1]))],
    twin: twin!(twins::select),
};
static STATS: Kernel = Kernel {
    name: "triplet_stats",
    params: TripletParams::FIELDS,
    variants: &[loss("triplet_stats", grid!(TripletParams, |_p| [1, 1, 1]))],
    twin: twin!(twins::stats),
};
static DX: Kernel = Kernel {
    name: "triplet_loss_dx",
    params: TripletParams::FIELDS,
    variants: &[loss("triplet_loss_dx", grid!(TripletParams, |p| [p.b, p.dim.div_ceil(DX_TILE), 1]))],
    twin: twin!(twins::dx),
};

pub(super) static ENTRY: Entry =
    Entry { name: "triplet_loss", kernels: &[&TRANSPOSE, &DISTANCE, &ORDER, &SELECT, &STATS, &DX], cases, bench_cases };

/// A shape whose size [`TripletLoss::output_shape`] has checked.
fn sized(dims: &[u32]) -> Shape {
    Shape::new(dims).expect("the output shape was computed before")
}

impl TripletLoss {
    fn params(self, io: &Io<'_>) -> TripletParams {
        TripletParams { b: io.x_shapes[0].batch(), dim: io.x_shapes[0].channels(), margin: self.margin }
    }
}

impl Op for TripletLoss {
    fn name(&self) -> &'static str {
        "triplet_loss"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        super::expect_inputs("triplet_loss", x, 2)?;
        let [b, _] = x[0].matrix("triplet_loss")?;
        if x[1].dims() != [b] {
            return Err(Error::shape(
                "triplet_loss",
                format!("expected labels [{b}] for embeddings {}, got {}", x[0], x[1]),
            ));
        }
        if b < 2 {
            return Err(Error::shape("triplet_loss", format!("expected at least 2 images, got embeddings {}", x[0])));
        }
        Shape::new(&[b, b])?; // the distances
        Shape::new(&[SLOTS])
    }

    fn saved(&self, x: &[Shape]) -> Vec<Saved> {
        vec![("pull", sized(&[x[0].batch(), x[0].batch()]), Type::U32)]
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        let p = self.params(io);
        let (&[x, labels], &[pull]) = (io.x, io.saved) else { unreachable!("two inputs, one saved buffer") };
        let columns = r.scratch("columns", sized(&[p.dim, p.b]), Type::F32);
        let distances = r.scratch("distances", sized(&[p.b, p.b]), Type::F32);
        let members = r.scratch("members", sized(&[3, p.b]), Type::U32);
        let sums = r.scratch("sums", sized(&[p.b, SLOTS]), Type::F32);
        r.dispatch(&TRANSPOSE, &p, &[], &[x, columns]);
        r.dispatch(&DISTANCE, &p, &[], &[columns, distances, pull]);
        r.dispatch(&ORDER, &p, &[], &[labels, members]);
        r.dispatch(&SELECT, &p, &[], &[labels, members, distances, pull, sums]);
        r.dispatch(&STATS, &p, &[], &[sums, io.y]);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        if let Some(grad) = dx[0] {
            let buffers = [io.x[0], io.saved[0], io.y, dy, grad.buf];
            r.dispatch(&DX, &self.params(io), &grad.overrides(), &buffers);
        }
    }
}

/// Few triplets to choose from: among many, some pair of distances is so close that `f32` and `f64`, or two neighbours of
/// a central difference, rightly choose different negatives. `tests/triplet.rs` has the crowded batches.
fn cases() -> Vec<Case> {
    let case = |margin: f32, b: u32, dim: u32, rows: Values, labels: Values| {
        Case::new(TripletLoss { margin }, &[(&[b, dim], rows), (&[b], labels)])
            .differentiable(stat::DIFFERENTIABLE)
            .inexact()
    };
    let people = |people| Values::Labels { people };
    let list = Values::IntegerList;
    vec![
        case(0.2, 2, 5, Values::UnitRows, list(&[4, 4])),
        case(0.2, 2, 5, Values::UnitRows, list(&[1, 0])),
        case(2.0, 3, 1, Values::Normal, list(&[7, 1, 7])),
        case(2.0, 7, 1, Values::Normal, people(2)),
        case(0.2, 7, 64, Values::UnitRows, people(1)),
        case(0.2, 7, 5, Values::UnitRows, list(&[6, 5, 4, 3, 2, 1, 0])),
        case(0.2, 12, 5, Values::UnitRows, people(5)),
        // Some people with one image, some with several, in no order, with the largest label.
        case(2.0, 12, 130, Values::UnitRows, list(&[9, u32::MAX, 9, 0, 3, 9, 8, 0, 1, 9, 3, 2])),
        case(0.05, 55, 5, Values::UnitRows, people(11)),
        case(0.2, 55, 130, Values::UnitRows, people(40)),
        case(2.0, 55, 64, Values::Normal, people(8)),
        case(0.2, 96, 128, Values::UnitRows, people(12)),
        case(0.05, 96, 64, Values::UnitRows, people(32)),
        // Just over a tile of distances. More positives than a workgroup takes at once: tests/triplet.rs.
        case(0.2, 131, 64, Values::UnitRows, people(65)),
    ]
}

fn bench_cases() -> Vec<Case> {
    [(96, 12), (1800, 45)]
        .map(|(b, people)| {
            let inputs: [(&[u32], Values); 2] = [(&[b, 128], Values::UnitRows), (&[b], Values::Labels { people })];
            Case::new(TripletLoss::default(), &inputs).differentiable(stat::DIFFERENTIABLE).inexact()
        })
        .into()
}
