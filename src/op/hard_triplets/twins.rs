//! The searches of offline selection in plain Rust: tiles of distances that stay in registers, weighed as they come.

use std::ops::Range;

use rayon::prelude::*;

use super::{HardTripletsParams, NONE};
use crate::cpu::{Call, Float};

/// Anchors that one task takes: they share the panels of images.
const TASK: usize = 16;
/// Images of a panel: with `ROWS` anchors their sums fit the registers of any processor.
const LANES: usize = 8;
/// Anchors of a tile.
const ROWS: usize = 4;

/// An image that was found for an anchor, and its squared distance.
type Found<T> = Option<(u32, T)>;

/// Weighs an image and its distance against what was found for an anchor.
trait See<T>: Fn(&mut [Found<T>; 3], u32, T) {}

impl<T, F: Fn(&mut [Found<T>; 3], u32, T)> See<T> for F {}

pub(super) fn positive<T: Float>(call: Call<'_, T>) {
    search(call, 0..1, true, |[positive, ..], image, d| {
        if d > positive.map_or(T::neg_infinity(), |(_, most)| most) {
            *positive = Some((image, d));
        }
    });
}

pub(super) fn negatives<T: Float>(call: Call<'_, T>) {
    let closer = |d: T, best: &Found<T>| d < best.map_or(T::infinity(), |(_, least)| least);
    search(call, 1..3, false, |[positive, hardest, semi_hard], image, d| {
        if closer(d, hardest) {
            *hardest = Some((image, d));
        }
        if positive.is_some_and(|(_, beyond)| d > beyond) && closer(d, semi_hard) {
            *semi_hard = Some((image, d));
        }
    });
}

/// Shows each anchor of the block, with what was found for it so far, the part's images of its person (`same`) or of
/// others, in order. What the `slots` hold that the search is for counts only if parts have been searched before.
fn search<T: Float>(call: Call<'_, T>, slots: Range<usize>, same: bool, see: impl See<T> + Sync) {
    let (p, goes_on): (HardTripletsParams, _) = (call.params(), call.flag("ACCUMULATE"));
    let [anchors, images, labels, chosen, reach] = call.args();
    let (anchors, images, labels) = (anchors.f(), images.f(), labels.u());
    let block = p.first as usize..(p.first + p.count) as usize;
    let out = 3 * block.start..3 * block.end;
    let chosen = chosen.u_mut()[out.clone()].par_chunks_mut(3 * TASK);
    let reach = reach.f_mut()[out].par_chunks_mut(3 * TASK);
    let groups = (p.first..p.first + p.count).into_par_iter().step_by(TASK).zip(labels[block].par_chunks(TASK));
    groups.zip(chosen).zip(reach).for_each(|(((first, people), chosen), reach)| {
        let mut group = Group::new(&p, anchors, first, people);
        let found = group.found.as_flattened_mut();
        for (i, (&at, &d)) in chosen.iter().zip(reach.iter()).enumerate() {
            let counts = goes_on || !slots.contains(&(i % 3));
            found[i] = (counts && at != NONE).then_some((at, d));
        }
        group.search(&p, images, labels, same, &see);
        for ((at, d), found) in chosen.iter_mut().zip(reach).zip(group.found.as_flattened()) {
            (*at, *d) = found.unwrap_or((NONE, T::zero()));
        }
    });
}

/// The anchors of a task.
struct Group<'a, T> {
    first: u32,
    labels: &'a [u32],
    /// Their embeddings, transposed.
    own: Vec<[T; TASK]>,
    found: [[Found<T>; 3]; TASK],
}

impl<'a, T: Float> Group<'a, T> {
    fn new(p: &HardTripletsParams, anchors: &[T], first: u32, labels: &'a [u32]) -> Self {
        let mut own = vec![[T::zero(); TASK]; p.dim as usize];
        part(anchors, p.anchors_size as usize, (first - p.anchors_from) as usize, &mut own);
        Self { first, labels, own, found: [[None; 3]; TASK] }
    }

    fn search(&mut self, p: &HardTripletsParams, images: &[T], labels: &[u32], same: bool, see: impl See<T>) {
        let labels = &labels[p.images_from as usize..][..p.images_size as usize];
        let mut panel = vec![[T::zero(); LANES]; self.own.len()];
        for (first, people) in (p.images_from..).step_by(LANES).zip(labels.chunks(LANES)) {
            let mut filled = false;
            for (row, owns) in (0..).step_by(ROWS).zip(self.labels.chunks(ROWS)) {
                // Few panels hold images of an anchor's person: the search for positives passes over the others.
                if !owns.iter().any(|own| people.iter().any(|label| (label == own) == same)) {
                    continue;
                }
                if !std::mem::replace(&mut filled, true) {
                    part(images, labels.len(), (first - p.images_from) as usize, &mut panel);
                }
                self.show(row, owns, (first, people, &panel), same, &see);
            }
        }
    }

    /// Shows the anchors `row..row + ROWS`, of the people `owns`, a panel: its first image, its people, its embeddings.
    fn show(
        &mut self,
        row: u32,
        owns: &[u32],
        (first, people, panel): (u32, &[u32], &[[T; LANES]]),
        same: bool,
        see: impl See<T>,
    ) {
        let sums = tile(&self.own, row as usize, panel);
        let found = &mut self.found[row as usize..];
        for (((anchor, own), sums), found) in (self.first + row..).zip(owns).zip(&sums).zip(found) {
            for ((image, label), &d) in (first..).zip(people).zip(sums) {
                if (label == own) == same && image != anchor {
                    see(found, image, d);
                }
            }
        }
    }
}

/// Of each column `N` floats from position `at`, together in memory; zeros behind the end.
fn part<T: Float, const N: usize>(columns: &[T], size: usize, at: usize, part: &mut [[T; N]]) {
    for (part, column) in part.iter_mut().zip(columns.chunks_exact(size)) {
        if let Some(whole) = column[at..].first_chunk() {
            *part = *whole;
        } else {
            *part = [T::zero(); N];
            part[..size - at].copy_from_slice(&column[at..]);
        }
    }
}

/// Squared distances of the anchors `row..row + ROWS` and the images of a panel; sums in the order of the floats.
fn tile<T: Float>(own: &[[T; TASK]], row: usize, panel: &[[T; LANES]]) -> [[T; LANES]; ROWS] {
    let mut sums = [[T::zero(); LANES]; ROWS];
    for (own, other) in own.iter().zip(panel) {
        for (r, sums) in sums.iter_mut().enumerate() {
            let own = own[row + r];
            for (sum, &other) in sums.iter_mut().zip(other) {
                *sum += (own - other) * (own - other);
            }
        }
    }
    sums
}
