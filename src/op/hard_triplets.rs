//! Offline selection: the hardest positive and negatives of every image over a whole set of embeddings. No op with a
//! gradient: what it chooses is what a later step trains on.

use rayon::prelude::*;

use crate::cpu::{Call, Float};
use crate::graph::Recorder;
use crate::plan::{Buf, Family, Kernel, Params, Plan, Role, Shape, Type, Variant};
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
    /// Parameters of the kernel.
    struct HardTripletsParams {
        /// Images.
        m: u32,
        /// Floats of an embedding.
        dim: u32,
        /// First anchor of the block.
        first: u32,
        /// Anchors of the block.
        count: u32,
    }
}

/// Anchors that a workgroup takes.
const ROWS: u32 = 8;
/// Anchors of one dispatch: drivers end dispatches that take seconds.
const BLOCK: u32 = 1024;
const NONE: u32 = u32::MAX;

/// Buffers `columns`, `labels`, `chosen`, `reach`.
pub(super) static HARD_TRIPLETS: Kernel = Kernel {
    name: "hard_triplets",
    params: HardTripletsParams::FIELDS,
    variants: &[Variant {
        family: Family::Portable,
        file: "hard_triplets.wgsl",
        source: shader!("hard_triplets.wgsl"),
        entry: "hard_triplets",
        grid: grid!(HardTripletsParams, |p| [p.count.div_ceil(ROWS), 1, 1]),
    }],
    twin: twin!(hard_triplets_twin),
};

/// The plan of a selection, with the buffers that a caller fills and reads.
#[derive(Debug)]
pub struct Selection {
    /// The plan.
    pub plan: Plan,
    /// Input: embeddings, transposed, `[dim, m]`.
    pub columns: Buf,
    /// Input: labels `[m]`.
    pub labels: Buf,
    /// Output: positive, hardest and semi-hard negative of each image, `[m, 3]`.
    pub chosen: Buf,
    /// Output: their squared distances, `[m, 3]`.
    pub reach: Buf,
}

impl Selection {
    /// Plans the selection over `m` embeddings of `dim` floats, by blocks of anchors: memory for the embeddings and for
    /// what is chosen, none for distances.
    ///
    /// # Errors
    /// Nothing to select from, or more floats than 32-bit indices reach.
    pub fn new(m: u32, dim: u32) -> Result<Self> {
        let mut plan = Plan::default();
        let columns = plan.buffer("columns", Shape::new(&[dim, m])?, Type::F32, Role::Input);
        let labels = plan.buffer("labels", Shape::new(&[m])?, Type::U32, Role::Input);
        let chosen = plan.buffer("chosen", Shape::new(&[m, 3])?, Type::U32, Role::Output);
        let reach = plan.buffer("reach", Shape::new(&[m, 3])?, Type::F32, Role::Output);
        for first in (0..m).step_by(BLOCK as usize) {
            let p = HardTripletsParams { m, dim, first, count: BLOCK.min(m - first) };
            let mut recorder = Recorder::new(&mut plan, "offline selection");
            recorder.dispatch(&HARD_TRIPLETS, &p, &[], &[columns, labels, chosen, reach]);
        }
        plan.phases.push(("select", 0..plan.steps.len()));
        Ok(Self { plan, columns, labels, chosen, reach })
    }
}

/// Selects over `embeddings` (all of one length) whose people are `labels`, on the device.
///
/// # Errors
/// There are no embeddings, their number is not that of the labels, one is not a number, or the device lacks memory.
pub fn hard_triplets(engine: &Engine, embeddings: &[Vec<f32>], labels: &[u32]) -> Result<Vec<HardTriplet>> {
    let fail = |message: String| Error::shape("hard_triplets", message);
    let Some(dim) = embeddings.first().map(Vec::len) else {
        return Err(fail("expected embeddings to select from, got none".into()));
    };
    if embeddings.len() != labels.len() || embeddings.iter().any(|e| e.len() != dim) {
        return Err(fail(format!("expected {} labels and embeddings of {dim} floats", embeddings.len())));
    }
    if let Some(at) = embeddings.iter().position(|e| e.iter().any(|x| !x.is_finite())) {
        return Err(Error::NotFinite(format!("embedding {at} of the selection is not a number")));
    }
    let size = |n: usize| u32::try_from(n).map_err(|_| fail(format!("{n} is too much for 32-bit indices")));
    let Selection { plan, columns, labels: people, chosen, reach } = Selection::new(size(labels.len())?, size(dim)?)?;
    let mut executor = engine.executor(plan, &crate::executor::Options::default())?;
    let transposed: Vec<f32> = (0..dim).flat_map(|k| embeddings.iter().map(move |e| e[k])).collect();
    executor.write(columns, &transposed)?;
    executor.write_u32(people, labels)?;
    executor.run_all()?;
    let (chosen, reach) = (executor.read_u32(chosen)?, executor.read(reach)?);
    let one = |(at, d): (&[u32], &[f32])| {
        let slot = |i: usize| (at[i] != NONE).then_some((at[i], d[i]));
        HardTriplet { positive: slot(0), hardest: slot(1), semi_hard: slot(2) }
    };
    Ok(chosen.chunks_exact(3).zip(reach.chunks_exact(3)).map(one).collect())
}

fn hard_triplets_of<T: Float>(distances: &[T], labels: &[u32], anchor: usize) -> [Option<(usize, T)>; 3] {
    let (mut positive, mut hardest, mut semi_hard) = (None, None, None);
    let better = |best: &Option<(usize, T)>, d: T| best.is_none_or(|(_, least)| d < least);
    for (j, (&d, &label)) in distances.iter().zip(labels).enumerate() {
        if d.is_nan() {
            continue;
        }
        if label != labels[anchor] {
            if better(&hardest, d) {
                hardest = Some((j, d));
            }
        } else if j != anchor && positive.is_none_or(|(_, most)| d > most) {
            positive = Some((j, d));
        }
    }
    if let Some((_, beyond)) = positive {
        for (j, (&d, &label)) in distances.iter().zip(labels).enumerate() {
            if label != labels[anchor] && d > beyond && better(&semi_hard, d) {
                semi_hard = Some((j, d));
            }
        }
    }
    [positive, hardest, semi_hard]
}

fn hard_triplets_twin<T: Float>(call: Call<'_, T>) {
    /// Images whose distances are summed at a time: they stay in the cache.
    const PART: usize = 2048;
    let p: HardTripletsParams = call.params();
    let [columns, labels, chosen, reach] = call.args();
    let (m, columns, labels) = (p.m as usize, columns.f(), labels.u());
    let block = p.first as usize * 3..(p.first + p.count) as usize * 3;
    let rows = chosen.u_mut()[block.clone()].par_chunks_exact_mut(3).zip(reach.f_mut()[block].par_chunks_exact_mut(3));
    rows.enumerate().for_each_init(
        || vec![T::zero(); m],
        |distances, (row, (chosen, reach))| {
            let anchor = p.first as usize + row;
            for (part, distances) in distances.chunks_mut(PART).enumerate() {
                distances.fill(T::zero());
                for column in columns.chunks_exact(m) {
                    let own = column[anchor];
                    for (sum, &other) in distances.iter_mut().zip(&column[part * PART..]) {
                        *sum += (own - other) * (own - other);
                    }
                }
            }
            for (slot, found) in hard_triplets_of(distances, labels, anchor).into_iter().enumerate() {
                chosen[slot] = found.map_or(NONE, |(at, _)| u32::try_from(at).expect("images are counted in u32"));
                reach[slot] = found.map_or(T::zero(), |(_, d)| d);
            }
        },
    );
}
