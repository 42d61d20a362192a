//! The plan of a search.

use crate::graph::Recorder;
use crate::op::{NearestBuffers, Question, nearest};
use crate::plan::{Buf, Phase, Plan, Role, Shape, Type};
use crate::{Error, Result};

/// Most queries of a block: drivers end dispatches that take seconds.
const BLOCK: usize = 1024;
/// Queries of a block are a multiple of this, so that few are searched for in vain.
const STEP: usize = 16;
/// Bytes of one part of the gallery, half of what every adapter can bind, so that a dispatch stays short as well.
const PART_BYTES: u64 = 64 << 20;
/// Images of a part are a multiple of this.
const PART_STEP: u64 = 1024;

/// Queries of a block where there will be `queries` of them: as even as can be.
pub(super) fn block_of(queries: usize) -> u32 {
    let even = queries.div_ceil(queries.div_ceil(BLOCK).max(1)).next_multiple_of(STEP);
    u32::try_from(even).expect("a block is small")
}

/// The plan of a search, with the buffers that a caller fills and reads.
#[derive(Debug)]
pub struct SearchPlan {
    /// The plan: a step for each part of the gallery, in order.
    pub plan: Plan,
    /// The gallery's parts.
    pub parts: Vec<Part>,
    /// The buffers of a block of queries.
    pub block: NearestBuffers,
    /// What is asked.
    pub question: Question,
}

/// A part of the gallery, which one buffer holds.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Input: embeddings, transposed, `[dim, size]`.
    pub columns: Buf,
    /// Input: labels `[size]`.
    pub labels: Buf,
    /// Index of the first image.
    pub from: u32,
    /// Images.
    pub size: u32,
}

impl SearchPlan {
    /// Plans the search of a gallery of `gallery` embeddings of `dim` dimensions for blocks of `block` queries: memory for the
    /// gallery and for one block, none for distances.
    ///
    /// # Errors
    /// Nothing is asked for or there is nothing to search, or more floats than 32-bit indices reach.
    pub fn new(gallery: u32, dim: u32, question: Question, block: u32) -> Result<Self> {
        let images = PART_BYTES / (4 * u64::from(dim.max(1)));
        let images = (images / PART_STEP).max(1) * PART_STEP;
        Self::in_parts(gallery, dim, question, block, u32::try_from(images).expect("a part has fewer bytes than 2^32"))
    }

    /// The same with parts of `size` images. What is found does not depend on them.
    ///
    /// # Errors
    /// As [`new`](Self::new), or a size of 0.
    pub fn in_parts(gallery: u32, dim: u32, question: Question, block: u32, size: u32) -> Result<Self> {
        if size == 0 {
            return Err(Error::shape("nearest", "expected parts of at least one image"));
        }
        if question.k == 0 || gallery == 0 {
            return Err(Error::shape(
                "nearest",
                "expected embeddings to select from and at least one wanted, got none",
            ));
        }
        let mut plan = Plan::default();
        let found = Shape::new(&[block, question.k])?;
        let buffers = NearestBuffers {
            queries: plan.buffer("queries", Shape::new(&[dim, block])?, Type::F32, Role::Input),
            about: plan.buffer("about", Shape::new(&[2, block])?, Type::U32, Role::Input),
            beyond: plan.buffer("beyond", Shape::new(&[block])?, Type::F32, Role::Input),
            index: plan.buffer("index", found, Type::U32, Role::Output),
            distance: plan.buffer("distance", found, Type::F32, Role::Output),
        };
        let mut parts = Vec::new();
        for from in (0..gallery).step_by(size as usize) {
            let (number, size) = (parts.len(), size.min(gallery - from));
            let columns = Shape::new(&[dim, size])?;
            let columns = plan.buffer(format!("gallery/{number}"), columns, Type::F32, Role::Input);
            let labels = plan.buffer(format!("labels/{number}"), Shape::new(&[size])?, Type::U32, Role::Input);
            parts.push(Part { columns, labels, from, size });
        }
        let mut recorder = Recorder::new(&mut plan, "search");
        for part in &parts {
            nearest(&mut recorder, &question, &buffers, (part.columns, part.labels), part.from)?;
        }
        plan.end_phase(Phase::Search);
        Ok(Self { plan, parts, block: buffers, question })
    }
}
