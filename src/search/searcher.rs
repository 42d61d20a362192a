//! Runs searches: a gallery on a device, and queries in blocks.

use std::ops::ControlFlow;

use super::plan::{Part, SearchPlan, block_of};
use super::points::Points;
use crate::executor::{Executor, Options};
use crate::op::{NearestBuffers, Question};
use crate::{Engine, Error, Result};

const NONE: u32 = u32::MAX;

/// What was found: for each query up to `k` images, the best first, equals by index.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    /// Places for each query.
    pub k: usize,
    /// Indices in the gallery, `[n, k]`; 2^32-1 in places for which there was no image.
    pub index: Vec<u32>,
    /// Their squared distances, `[n, k]`; infinite where there was no image.
    pub distance: Vec<f32>,
}

impl Neighbours {
    /// Number of queries.
    pub fn len(&self) -> usize {
        self.index.len() / self.k
    }

    /// Whether there were no queries.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Index and squared distance of each image that was found for a query, the best first.
    ///
    /// # Panics
    /// If there is no such query.
    pub fn of(&self, query: usize) -> impl Iterator<Item = (u32, f32)> + '_ {
        let places = query * self.k..(query + 1) * self.k;
        let found = self.index[places.clone()].iter().zip(&self.distance[places]);
        found.filter(|(at, _)| **at != NONE).map(|(at, d)| (*at, *d))
    }
}

/// What is searched for.
#[derive(Debug, Clone, Copy)]
pub struct Queries<'a> {
    points: Points<'a>,
    are_gallery: bool,
    beyond: Option<&'a [f32]>,
}

impl<'a> Queries<'a> {
    /// Embeddings that are not in the gallery.
    pub fn new(points: Points<'a>) -> Self {
        Self { points, are_gallery: false, beyond: None }
    }

    /// The gallery itself: no image is found for itself.
    pub fn gallery(points: Points<'a>) -> Self {
        Self { points, are_gallery: true, beyond: None }
    }

    /// Finds only images that are farther from a query than this: a squared distance for each query, infinite for those
    /// that nothing shall be found for.
    ///
    /// # Errors
    /// There are not as many distances as queries, or one is NaN.
    pub fn beyond(self, distances: &'a [f32]) -> Result<Self> {
        if distances.len() != self.points.len() || distances.iter().any(|d| d.is_nan()) {
            let message = format!("expected {} distances, got {} or NaN", self.points.len(), distances.len());
            return Err(Error::shape("nearest", message));
        }
        Ok(Self { beyond: Some(distances), ..self })
    }
}

/// A gallery on a device, to which any number of queries may be put.
#[derive(Debug)]
pub struct Searcher {
    executor: Box<dyn Executor>,
    block: NearestBuffers,
    question: Question,
    dim: usize,
    images: usize,
}

impl Searcher {
    /// Brings a gallery to the device, to be asked one question by about `queries` queries at a time.
    ///
    /// # Errors
    /// Nothing is asked for, or the device lacks memory.
    pub fn new(engine: &Engine, gallery: Points<'_>, question: Question, queries: usize) -> Result<Self> {
        let [images, dim] =
            [gallery.len(), gallery.dim()].map(|n| u32::try_from(n).expect("points are counted in u32"));
        Self::with_plan(engine, SearchPlan::new(images, dim, question, block_of(queries))?, gallery)
    }

    /// The same with a plan that was made before.
    ///
    /// # Errors
    /// The gallery is not what was planned for, or the device lacks memory.
    pub fn with_plan(engine: &Engine, plan: SearchPlan, gallery: Points<'_>) -> Result<Self> {
        let columns = |from, size| gallery.columns(from, size, size);
        Self::filled(engine, plan, [gallery.len(), gallery.dim()], columns, |at| gallery.label(at))
    }

    /// The same with a gallery `[images, dim]` that comes part by part: `columns(from, size)` are the embeddings
    /// `from..from + size`, transposed.
    pub(super) fn filled(
        engine: &Engine,
        plan: SearchPlan,
        [given_images, given_dim]: [usize; 2],
        columns: impl Fn(usize, usize) -> Vec<f32>,
        label: impl Fn(usize) -> u32,
    ) -> Result<Self> {
        let SearchPlan { plan, parts, block, question } = plan;
        let (images, dim) = (parts.iter().map(|part| part.size as usize).sum(), plan.spec(block.queries).shape.rows());
        if (images, dim as usize) != (given_images, given_dim) {
            let message = format!(
                "the search was planned for {images} embeddings of {dim} dimensions, not {given_images} of {given_dim}"
            );
            return Err(Error::shape("nearest", message));
        }
        let mut executor = engine.executor(plan, &Options::default())?;
        for Part { columns: to, labels, from, size } in parts {
            let (from, size) = (from as usize, size as usize);
            executor.write(to, &columns(from, size))?;
            let own: Vec<u32> = (from..from + size).map(&label).collect();
            executor.write_u32(labels, &own)?;
        }
        Ok(Self { executor, block, question, dim: given_dim, images })
    }

    /// Answers all queries. `progress(done, of)` is called after each block of them and may end the search before the next
    /// one; then there is no answer.
    ///
    /// # Errors
    /// The queries have other sizes than the gallery, or the device is lost.
    pub fn search(
        &mut self,
        queries: &Queries<'_>,
        mut progress: impl FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Option<Neighbours>> {
        let (n, dim) = (queries.points.len(), queries.points.dim());
        if dim != self.dim || queries.are_gallery && n != self.images {
            let message =
                format!("{n} queries of {dim} dimensions, but {} images of {} dimensions", self.images, self.dim);
            return Err(Error::shape("nearest", message));
        }
        let k = self.question.k as usize;
        let mut found = Neighbours { k, index: Vec::with_capacity(n * k), distance: Vec::with_capacity(n * k) };
        let block = self.executor.plan().spec(self.block.queries).shape.channels() as usize;
        for first in (0..n).step_by(block) {
            let count = block.min(n - first);
            self.run(queries, first, count, block)?;
            found.index.extend(&self.executor.read_u32(self.block.index)?[..count * k]);
            found.distance.extend(&self.executor.read(self.block.distance)?[..count * k]);
            if progress(first + count, n).is_break() && first + count < n {
                return Ok(None);
            }
        }
        for (at, d) in found.index.iter().zip(&mut found.distance) {
            *d = if *at == NONE { f32::INFINITY } else { *d };
        }
        Ok(Some(found))
    }

    /// Puts the queries `first..first + count` to all parts.
    fn run(&mut self, queries: &Queries<'_>, first: usize, count: usize, block: usize) -> Result<()> {
        let points = &queries.points;
        let mut about = vec![NONE; 2 * block];
        let mut beyond = vec![f32::MAX; block];
        for at in 0..count {
            about[at] = points.label(first + at);
            if queries.are_gallery {
                about[block + at] = u32::try_from(first + at).expect("points are counted in u32");
            }
            // No distance is below zero, and kernels need not know of infinity.
            beyond[at] = queries.beyond.map_or(-1.0, |beyond| beyond[first + at].clamp(-1.0, f32::MAX));
        }
        self.executor.write(self.block.queries, &points.columns(first, count, block))?;
        self.executor.write_u32(self.block.about, &about)?;
        self.executor.write(self.block.beyond, &beyond)?;
        // A submission of its own for each part: drivers also end those that take long.
        for step in 0..self.executor.plan().steps.len() {
            self.executor.run(step..step + 1)?;
        }
        Ok(())
    }
}
