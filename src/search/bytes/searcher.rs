//! Searches among vectors of bytes.

use std::ops::ControlFlow;

use rayon::prelude::*;

use super::tile::{Instructions, List};
use super::{ByteVectors, distance};
use crate::op::{Pairs, Question};
use crate::search::{Neighbours, Points, Queries, SearchPlan, Searcher};
use crate::{Engine, Error, Result};

/// Most queries of a block: as bytes they stay in a core's cache beside a panel of images.
const BLOCK: usize = 1024;
/// Most places in all lists of a block, a few hundred megabytes.
const PLACES: usize = 1 << 25;
/// Tasks for each thread, so that all end together.
const TASKS: usize = 4;

/// A gallery of bytes, to which any number of queries may be put. On the CPU it is searched where it lies, with products
/// of bytes in integers. On a GPU the vectors of unit length that the bytes stand for are searched as floats.
#[derive(Debug)]
pub struct ByteSearcher<'a> {
    gallery: &'a ByteVectors,
    k: usize,
    /// The gallery on a GPU.
    device: Option<Searcher>,
}

impl<'a> ByteSearcher<'a> {
    /// Prepares to find the `k` nearest vectors of a gallery for about `queries` queries at a time.
    ///
    /// # Errors
    /// There is nothing to search or nothing is asked for, there are more vectors than 32-bit indices reach, or the device
    /// lacks memory.
    pub fn new(engine: &Engine, gallery: &'a ByteVectors, k: u32, queries: usize) -> Result<Self> {
        let size = u32::try_from(gallery.len());
        let size = size.map_err(|_| Error::shape("nearest", "there are more vectors than 32-bit indices reach"))?;
        if size == 0 || k == 0 {
            let message = "expected embeddings to select from and at least one wanted, got none";
            return Err(Error::shape("nearest", message));
        }
        let device = match engine.device() {
            Engine::Gpu(_) => {
                let dim = u32::try_from(gallery.dim()).expect("dimensions are few");
                let question = Question { k, farthest: false, pairs: Pairs::Any };
                let plan = SearchPlan::new(size, dim, question, crate::search::plan::block_of(queries))?;
                let columns = |from, count| {
                    let floats = gallery.floats(from..from + count);
                    Points::new(&floats, gallery.dim()).expect("unit vectors").columns(0, count, count)
                };
                Some(Searcher::filled(engine, plan, [gallery.len(), gallery.dim()], columns, |_| 0)?)
            }
            _ => None,
        };
        Ok(Self { gallery, k: k as usize, device })
    }

    /// Answers all queries: for each the nearest vectors by squared distance, equals by index. `progress(done, of)` is called
    /// after each block of them and may end the search before the next one; then there is no answer.
    ///
    /// # Errors
    /// The queries have other dimensions than the gallery, or the device is lost.
    pub fn search(
        &mut self,
        queries: &ByteVectors,
        mut progress: impl FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Option<Neighbours>> {
        if queries.dim() != self.gallery.dim() {
            let message =
                format!("queries of {} dimensions, but images of {} dimensions", queries.dim(), self.gallery.dim());
            return Err(Error::shape("nearest", message));
        }
        let n = queries.len();
        let mut found = Neighbours { k: self.k, index: Vec::new(), distance: Vec::new() };
        if n == 0 {
            return Ok(Some(found));
        }
        if let Some(device) = &mut self.device {
            let floats = queries.floats(0..n);
            return device.search(&Queries::new(Points::new(&floats, queries.dim())?), progress);
        }
        let instructions = Instructions::of_processor();
        let tasks = TASKS * rayon::current_num_threads();
        let block = BLOCK.min(PLACES / self.k.min(self.gallery.len()) / tasks).max(1);
        for first in (0..n).step_by(block) {
            let last = n.min(first + block);
            let lists = nearest(instructions, self.gallery, queries, first..last, self.k, tasks);
            for (query, list) in (first..last).zip(lists) {
                let places = || list.found.iter().map(Some).chain(std::iter::repeat(None)).take(self.k);
                found.index.extend(places().map(|place| place.map_or(u32::MAX, |found| found.1)));
                let inverse = queries.inverse()[query];
                found.distance.extend(places().map(|p| p.map_or(f32::INFINITY, |found| distance(found.0, inverse))));
            }
            if progress(last, n).is_break() && last < n {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }
}

/// The `k` nearest vectors of the gallery for each of some queries.
pub(super) fn nearest(
    instructions: Instructions,
    gallery: &ByteVectors,
    queries: &ByteVectors,
    rows: std::ops::Range<usize>,
    k: usize,
    tasks: usize,
) -> Vec<List> {
    let packed = instructions.pack(queries, rows);
    let size = gallery.len().div_ceil(tasks).max(1);
    let parts: Vec<usize> = (0..gallery.len()).step_by(size).collect();
    let scan = |&first: &usize| instructions.scan(gallery, first..gallery.len().min(first + size), &packed, k);
    let mut parts = parts.par_iter().map(scan).collect::<Vec<_>>().into_iter();
    let mut lists = parts.next().unwrap_or_default();
    for part in parts {
        for (list, more) in lists.iter_mut().zip(part) {
            list.found.extend(more.found);
        }
    }
    lists.par_iter_mut().for_each(|list| {
        // Stable, and parts come in the order of their images: equals stay by index.
        list.found.sort_by(|a, b| b.0.total_cmp(&a.0));
        list.found.truncate(k);
    });
    lists
}
