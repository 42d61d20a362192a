//! Offline selection: the hardest positive and negatives of every image over a whole set of embeddings. No op with a
//! gradient: what it chooses is what a later step trains on.

mod twins;

use crate::executor::Options;
use crate::graph::Recorder;
use crate::plan::{Buf, Family, Kernel, Params, Phase, Plan, Role, Shape, Type, Variant};
use crate::{Engine, Error, Result, grid, params, shader, twin};

/// What was chosen for one anchor: indices of images, and their squared distances from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HardTriplet {
    /// The farthest image of the same person.
    pub positive: Option<(u32, f32)>,
    /// The closest image of another person.
    pub hardest: Option<(u32, f32)>,
    /// The closest image of another person that is farther than the positive.
    pub semi_hard: Option<(u32, f32)>,
}

params! {
    /// Parameters of both kernels.
    struct HardTripletsParams {
        /// Floats of an embedding.
        dim: u32,
        /// First anchor of the block.
        first: u32,
        /// Anchors of the block.
        count: u32,
        /// First image of the part that the block lies in.
        anchors_from: u32,
        /// Images of that part.
        anchors_size: u32,
        /// First image of the part that is searched.
        images_from: u32,
        /// Images of that part.
        images_size: u32,
    }
}

/// Anchors that a workgroup takes.
const GROUP: u32 = 8;
/// Anchors of one dispatch: drivers end dispatches that take seconds.
const BLOCK: u32 = 1024;
/// Bytes of one part of the embeddings, half of what every adapter can bind, so that a dispatch stays short as well.
const PART_BYTES: u64 = 64 << 20;
const NONE: u32 = u32::MAX;

/// A search of one part of the set for the anchors of a block: name and entry point, twin. Buffers `anchors`, `images`,
/// `labels`, `chosen`, `reach`.
macro_rules! search {
    ($name:literal, $twin:path) => {
        Kernel {
            name: $name,
            params: HardTripletsParams::FIELDS,
            variants: &[Variant {
                family: Family::Portable,
                file: "hard_triplets.wgsl",
                source: shader!("hard_triplets.wgsl"),
                entry: $name,
                grid: grid!(HardTripletsParams, |p| [p.count.div_ceil(GROUP), 1, 1]),
            }],
            twin: twin!($twin),
        }
    };
}

pub(super) static POSITIVE: Kernel = search!("hard_triplets_positive", twins::positive);
pub(super) static NEGATIVES: Kernel = search!("hard_triplets_negatives", twins::negatives);

/// The plan of a selection, with the buffers that a caller fills and reads.
#[derive(Debug)]
pub struct Selection {
    /// The plan. Each of its phases is the whole selection for one block of anchors.
    pub plan: Plan,
    /// Inputs: the embeddings in parts, transposed, each `[dim, images of the part]`.
    pub columns: Vec<Buf>,
    /// Input: labels `[m]`.
    pub labels: Buf,
    /// Output: positive, hardest and semi-hard negative of each image, `[m, 3]`.
    pub chosen: Buf,
    /// Output: their squared distances, `[m, 3]`.
    pub reach: Buf,
}

impl Selection {
    /// Plans the selection over `m` embeddings of `dim` floats, by blocks of anchors and by parts of the set that every
    /// device can bind: memory for the embeddings and for what is chosen, none for distances.
    ///
    /// # Errors
    /// Nothing to select from, or more floats than 32-bit indices reach.
    pub fn new(m: u32, dim: u32) -> Result<Self> {
        let images = PART_BYTES / (4 * u64::from(dim.max(1)));
        let blocks = u32::try_from(images / u64::from(BLOCK)).expect("a part has fewer bytes than 2^32");
        Self::in_parts(m, dim, blocks.max(1) * BLOCK)
    }

    /// The same with parts of `size` images. What is chosen does not depend on them.
    ///
    /// # Errors
    /// As [`new`](Self::new), or a size of 0.
    pub fn in_parts(m: u32, dim: u32, size: u32) -> Result<Self> {
        if size == 0 {
            return Err(Error::shape("hard_triplets", "expected parts of at least one image"));
        }
        let mut plan = Plan::default();
        let labels = plan.buffer("labels", Shape::new(&[m])?, Type::U32, Role::Input);
        let chosen = plan.buffer("chosen", Shape::new(&[m, 3])?, Type::U32, Role::Output);
        let reach = plan.buffer("reach", Shape::new(&[m, 3])?, Type::F32, Role::Output);
        let mut parts = Vec::new();
        for from in (0..m).step_by(size as usize) {
            let shape = Shape::new(&[dim, size.min(m - from)])?;
            let columns = plan.buffer(format!("columns/{}", parts.len()), shape, Type::F32, Role::Input);
            parts.push(Part { columns, from, size: shape.channels() });
        }
        for own in &parts {
            for first in (own.from..own.from + own.size).step_by(BLOCK as usize) {
                let start = plan.steps.len();
                for kernel in [&POSITIVE, &NEGATIVES] {
                    own.search(&mut plan, kernel, first, &parts, [labels, chosen, reach]);
                }
                plan.phases.push((Phase::Search, start..plan.steps.len()));
            }
        }
        Ok(Self { plan, columns: parts.iter().map(|part| part.columns).collect(), labels, chosen, reach })
    }

    /// Runs the selection on the device, over `embeddings` whose people are `labels`.
    ///
    /// # Errors
    /// The embeddings or the labels are not what was planned for, one is not a number, or the device lacks memory.
    pub fn run(self, engine: &Engine, embeddings: &[Vec<f32>], labels: &[u32]) -> Result<Vec<HardTriplet>> {
        let Self { plan, columns, labels: people, chosen, reach } = self;
        let [dim, size] = plan.spec(columns[0]).shape.matrix("hard_triplets")?.map(|n| n as usize);
        if embeddings.len() != labels.len() || embeddings.iter().any(|e| e.len() != dim) {
            let message = format!("expected {} labels and embeddings of {dim} floats", embeddings.len());
            return Err(Error::shape("hard_triplets", message));
        }
        plan.check_len(people, Type::U32, labels.len())?;
        if let Some(at) = embeddings.iter().position(|e| e.iter().any(|x| !x.is_finite())) {
            return Err(Error::NotFinite(format!("embedding {at} of the selection is not a number")));
        }
        let blocks = plan.phases.clone();
        let mut executor = engine.executor(plan, &Options::default())?;
        for (columns, part) in columns.into_iter().zip(embeddings.chunks(size)) {
            let transposed: Vec<f32> = (0..dim).flat_map(|k| part.iter().map(move |e| e[k])).collect();
            executor.write(columns, &transposed)?;
        }
        executor.write_u32(people, labels)?;
        // A submission of its own for each block: drivers also end those that take long.
        for (_, steps) in blocks {
            executor.run(steps)?;
        }
        let (chosen, reach) = (executor.read_u32(chosen)?, executor.read(reach)?);
        let one = |(at, d): (&[u32], &[f32])| {
            let slot = |i: usize| (at[i] != NONE).then_some((at[i], d[i]));
            HardTriplet { positive: slot(0), hardest: slot(1), semi_hard: slot(2) }
        };
        Ok(chosen.chunks_exact(3).zip(reach.chunks_exact(3)).map(one).collect())
    }
}

/// A part of the set, which one buffer holds.
struct Part {
    columns: Buf,
    from: u32,
    size: u32,
}

impl Part {
    /// Records a search of all parts, in order, for the block of this part's anchors that begins with `first`. The first
    /// one sets what is chosen, the others better it.
    fn search(&self, plan: &mut Plan, kernel: &'static Kernel, first: u32, parts: &[Self], rest: [Buf; 3]) {
        let [labels, chosen, reach] = rest;
        let mut recorder = Recorder::new(plan, "offline selection");
        for part in parts {
            let p = HardTripletsParams {
                dim: recorder.shape(part.columns).rows(),
                first,
                count: BLOCK.min(self.from + self.size - first),
                anchors_from: self.from,
                anchors_size: self.size,
                images_from: part.from,
                images_size: part.size,
            };
            let accumulate = [("ACCUMULATE", f64::from(u8::from(part.from > 0)))];
            recorder.dispatch(kernel, &p, &accumulate, &[self.columns, part.columns, labels, chosen, reach]);
        }
    }
}

/// Selects over `embeddings` (all of one length) whose people are `labels`, on the device.
///
/// # Errors
/// There are no embeddings, their number is not that of the labels, one is not a number, or the device lacks memory.
pub fn hard_triplets(engine: &Engine, embeddings: &[Vec<f32>], labels: &[u32]) -> Result<Vec<HardTriplet>> {
    let fail = |message: String| Error::shape("hard_triplets", message);
    let Some(first) = embeddings.first() else {
        return Err(fail("expected embeddings to select from, got none".into()));
    };
    let size = |n: usize| u32::try_from(n).map_err(|_| fail(format!("{n} is too much for 32-bit indices")));
    Selection::new(size(embeddings.len())?, size(first.len())?)?.run(engine, embeddings, labels)
}
