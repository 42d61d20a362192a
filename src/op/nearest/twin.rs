//! The search in plain Rust: tiles of distances that stay in registers, weighed as they come.

use rayon::prelude::*;

use super::NearestParams;
use crate::cpu::{Call, Float};

/// Queries that one task takes: they share the panels of images.
const TASK: usize = 16;
/// Images of a panel.
const LANES: usize = 16;
/// Queries of a tile: with `LANES` images their sums fit the registers of AVX2 and AVX-512.
const ROWS: usize = 4;
const NONE: u32 = u32::MAX;

pub(super) fn search<T: Float>(call: Call<'_, T>) {
    let p: NearestParams = call.params();
    let rule = Rule { farthest: call.flag("FARTHEST"), same: call.flag("SAME"), other: call.flag("OTHER") };
    let goes_on = call.flag("ACCUMULATE");
    let [queries, gallery, about, labels, beyond, index, distance] = call.args();
    let (queries, gallery, labels, beyond) = (queries.f(), gallery.f(), labels.u(), beyond.f());
    let (count, k) = (p.count as usize, p.k as usize);
    let (own_labels, itself) = about.u().split_at(count);
    let tile = Tile::of_processor();
    let lists = index.u_mut().par_chunks_mut(TASK * k).zip(distance.f_mut().par_chunks_mut(TASK * k));
    lists.enumerate().for_each(|(task, (index, distance))| {
        let first = task * TASK;
        let rows = first..count.min(first + TASK);
        let mut own = vec![[T::zero(); TASK]; p.dim as usize];
        part(queries, count, first, &mut own);
        let (index, distance) = (index.chunks_mut(k), distance.chunks_mut(k));
        let lists = rows.clone().zip(index.zip(distance)).map(|(row, (index, distance))| {
            let mut list = List {
                label: own_labels[row],
                itself: itself[row],
                low: beyond[row],
                worst: T::infinity(),
                index,
                distance,
            };
            if goes_on {
                list.worst = list.to_beat(&rule);
            } else {
                list.index.fill(NONE);
                list.distance.fill(T::zero());
            }
            list
        });
        let mut lists: Vec<_> = lists.collect();
        let mut panel = vec![[T::zero(); LANES]; p.dim as usize];
        for (place, labels) in (0..).step_by(LANES).zip(labels.chunks(LANES)) {
            let mut filled = false;
            for (row, lists) in (0..).step_by(ROWS).zip(lists.chunks_mut(ROWS)) {
                // Few panels hold images with a query's label: where only those count, the others are passed over.
                if rule.same && !lists.iter().any(|list| labels.contains(&list.label)) {
                    continue;
                }
                if !std::mem::replace(&mut filled, true) {
                    part(gallery, p.size as usize, place as usize, &mut panel);
                }
                let sums = tile.distances(&own, row, &panel);
                for (list, sums) in lists.iter_mut().zip(&sums) {
                    for ((at, &label), &d) in (p.from_image + place..).zip(labels).zip(sums) {
                        if rule.signed(d) < list.worst && rule.counts(list, at, label, d) {
                            list.insert(&rule, at, d);
                        }
                    }
                }
            }
        }
    });
}

/// Which images count, and which are wanted.
struct Rule {
    farthest: bool,
    same: bool,
    other: bool,
}

impl Rule {
    /// What makes the wanted distance the least: all comparisons are for the least.
    fn signed<T: Float>(&self, d: T) -> T {
        if self.farthest { -d } else { d }
    }

    fn counts<T: Float>(&self, list: &List<'_, T>, at: u32, label: u32, d: T) -> bool {
        let same = label == list.label;
        at != list.itself && d > list.low && (!self.same || same) && (!self.other || !same)
    }
}

/// A query and the best images for it so far, the best first.
struct List<'a, T> {
    label: u32,
    itself: u32,
    low: T,
    /// The value to beat: that of the last place.
    worst: T,
    index: &'a mut [u32],
    distance: &'a mut [T],
}

impl<T: Float> List<'_, T> {
    /// Puts an image behind all that are as good: they have lower indices.
    fn insert(&mut self, rule: &Rule, at: u32, d: T) {
        let value = rule.signed(d);
        let mut place = self.index.len() - 1;
        while place > 0 && (self.index[place - 1] == NONE || rule.signed(self.distance[place - 1]) > value) {
            self.index[place] = self.index[place - 1];
            self.distance[place] = self.distance[place - 1];
            place -= 1;
        }
        self.index[place] = at;
        self.distance[place] = d;
        self.worst = self.to_beat(rule);
    }

    fn to_beat(&self, rule: &Rule) -> T {
        let last = self.index.len() - 1;
        if self.index[last] == NONE { T::infinity() } else { rule.signed(self.distance[last]) }
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

/// The instructions that a tile is computed with. All give the same bits: no multiplication is fused with an addition.
#[derive(Clone, Copy)]
enum Tile {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Tile {
    fn of_processor() -> Self {
        match crate::cpu::instruction_set() {
            #[cfg(target_arch = "x86_64")]
            "AVX-512" => Self::Avx512,
            #[cfg(target_arch = "x86_64")]
            "AVX2" => Self::Avx2,
            _ => Self::Portable,
        }
    }

    /// Squared distances of the queries `row..row + ROWS` and the images of a panel; sums in the order of the floats.
    fn distances<T: Float>(self, own: &[[T; TASK]], row: usize, panel: &[[T; LANES]]) -> [[T; LANES]; ROWS] {
        match self {
            // SAFETY: the processor has these instructions, or it would not have been said to.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512(own, row, panel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2(own, row, panel) },
            Self::Portable => {
                // Vectors of four floats: half of the sums fill their registers.
                let ([a, b], [c, d]) = (sums(own, row, panel), sums(own, row + 2, panel));
                [a, b, c, d]
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512<T: Float>(own: &[[T; TASK]], row: usize, panel: &[[T; LANES]]) -> [[T; LANES]; ROWS] {
    sums(own, row, panel)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<T: Float>(own: &[[T; TASK]], row: usize, panel: &[[T; LANES]]) -> [[T; LANES]; ROWS] {
    sums(own, row, panel)
}

/// Inlined into the functions above, which compile it for their instructions.
#[inline(always)]
fn sums<T: Float, const N: usize>(own: &[[T; TASK]], row: usize, panel: &[[T; LANES]]) -> [[T; LANES]; N] {
    let mut sums = [[T::zero(); LANES]; N];
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_instructions_gives_the_same_bits() {
        let number = |i: usize| ((i * 2_654_435_761) % 1000) as f32 / 999.0 - 0.5;
        let own: Vec<[f32; TASK]> = (0..77).map(|k| std::array::from_fn(|i| number(k * TASK + i))).collect();
        let panel: Vec<[f32; LANES]> = (0..77).map(|k| std::array::from_fn(|i| number(9999 + k * LANES + i))).collect();
        for row in [0, 4, 12] {
            let expected: [[f32; LANES]; ROWS] = sums(&own, row, &panel);
            for tile in [Tile::of_processor(), Tile::Portable] {
                assert!(tile.distances(&own, row, &panel) == expected);
            }
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                assert!(Tile::Avx2.distances(&own, row, &panel) == expected);
            }
        }
    }
}
