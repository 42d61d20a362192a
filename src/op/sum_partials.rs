//! Adds up partial sums in a fixed order: the second half of every long sum that is split over workgroups.

use std::ops::Range;

use rayon::prelude::*;

use crate::cpu::{Call, Float, put};
use crate::graph::{Grad, Recorder};
use crate::plan::reflect::Interface;
use crate::plan::{Buf, Kernel, Shape, Type};
use crate::{kernel, params};

params! {
    /// Parameters of `sum_partials`.
    pub(super) struct SumPartialsParams {
        /// Elements of one part.
        len: u32,
        /// Parts.
        splits: u32,
    }
}

/// Sums parts: buffers `part`, `sum`.
pub(super) static SUM_PARTIALS: Kernel = kernel!(
    "sum_partials",
    {
        Shared if has_many_parts: ["sum_partials_shared.wgsl", "columns.wgsl", "lanes1.wgsl", "index.wgsl"],
        Portable: ["sum_partials.wgsl", "index.wgsl"],
    },
    SumPartialsParams,
    |p, w| w.results(p.len),
    sum_partials
);

/// From so many parts on, invocations of a GPU share them: one alone would wait for that many loads.
pub(super) const MANY_PARTS: u32 = 8;
/// From so many results on, an invocation for each keeps a large GPU busy.
pub(super) const MANY_ELEMENTS: u32 = 1 << 15;

fn has_many_parts(p: &SumPartialsParams, _: &Interface) -> bool {
    p.splits >= MANY_PARTS && p.len < MANY_ELEMENTS
}

/// Records a gradient that comes in `splits` parts of `len` elements: `record` writes the parts, or the gradient itself
/// if there is but one. What `record` is given is where to write, and the overrides of the writer.
pub(super) fn in_parts(
    r: &mut Recorder<'_>,
    name: &str,
    len: u32,
    splits: u32,
    grad: Grad,
    record: impl FnOnce(&mut Recorder<'_>, Buf, &[(&'static str, f64)]),
) {
    if splits == 1 {
        return record(r, grad.buf, &grad.overrides());
    }
    let shape = Shape::new(&[splits, len]).expect("parts are bounded by splits");
    let part = r.scratch(name, shape, Type::F32);
    record(r, part, &Grad { buf: part, accumulate: false }.overrides());
    r.dispatch(&SUM_PARTIALS, &SumPartialsParams { len, splits }, &grad.overrides(), &[part, grad.buf]);
}

/// Into how many parts to split a sum of `terms` terms for each of `len` results, which `groups` workgroups
/// compute: enough to fill a large GPU, but no part shorter than `shortest`, and no more than 16 MiB of parts.
/// Depends on the sizes only, so that one plan serves all devices and gives the same sums.
pub(super) fn splits(len: u32, groups: u32, terms: u32, shortest: u32) -> u32 {
    const GROUPS: u32 = 512;
    const MOST_FLOATS: u32 = 4 << 20;
    (GROUPS / groups).min(terms / shortest).min(MOST_FLOATS / len).max(1)
}

/// The rows in part `t` of `splits`, as `part_start` of `shaders/lib/index.wgsl` has them.
pub(super) fn part_rows(rows: u32, splits: u32, t: usize) -> Range<usize> {
    let (rows, splits) = (rows as usize, splits as usize);
    let start = |t: usize| t * (rows / splits) + t.min(rows % splits);
    start(t)..start(t + 1)
}

/// Elements that one thread of the CPU device sums at a time.
const SUM_CHUNK: usize = 1024;

fn sum_partials<T: Float>(call: Call<'_, T>) {
    let (p, accumulate) = (call.params::<SumPartialsParams>(), call.flag("ACCUMULATE"));
    let [part, sum] = call.args();
    let (part, len) = (part.f(), p.len as usize);
    sum.f_mut().par_chunks_mut(SUM_CHUNK).enumerate().for_each(|(chunk, sum)| {
        let mut total = vec![T::zero(); sum.len()];
        for t in 0..p.splits as usize {
            let part = &part[t * len + chunk * SUM_CHUNK..];
            total.iter_mut().zip(part).for_each(|(total, &part)| *total += part);
        }
        sum.iter_mut().zip(total).for_each(|(sum, total)| put(accumulate, sum, total));
    });
}
