//! All pairs of all images, as the paper measures its hold-out: distances in blocks, of which only counts are kept.

use rayon::prelude::*;

use super::interval::{Dyads, wilson};
use super::rates::AtFar;
use super::roc::Roc;
use crate::{Error, Result};

/// Distances are counted in steps of 1 / 65,536; thresholds are multiples of it, and what is counted up to them is exact.
pub const STEPS_PER_UNIT: u32 = 1 << 16;
/// Steps from 0 to 4, the largest distance of rows of unit length. Each ends with its own distance; the first is 0 alone. For
/// longer rows they are as much wider as a power of four above their squared length, so that widening is exact.
const STEPS: usize = 4 * STEPS_PER_UNIT as usize + 1;
/// Rows and columns of a block of distances: 512 KiB, a processor core's own cache.
const BLOCK: (usize, usize) = (256, 512);

/// How many pairs of either kind have which squared distance.
#[derive(Clone, Debug, PartialEq)]
pub struct AllPairs {
    /// Pairs of one person by the step of their distance.
    same: Vec<u64>,
    /// Pairs of different people.
    different: Vec<u64>,
    /// How much wider the steps are than those of rows of unit length.
    scale: f32,
}

/// Counts the squared distances of all pairs of rows. `rows` are embeddings, `dim` floats each, and `people`
/// says whose image each is. Memory is 4 MiB a thread, whatever the number of rows. A distance is a difference of dot
/// products, right to about 5e-7.
///
/// # Errors
/// [`Error::Shape`] where the lengths do not match, [`Error::Data`] where there are no two images of one person or no two
/// people, [`Error::NotFinite`] where a value is NaN or infinite.
pub fn all_pairs(rows: &[f32], dim: usize, people: &[usize]) -> Result<AllPairs> {
    let scale = scale_of(rows, dim);
    let mut same = each_pair(rows, dim, people, 2 * STEPS, &|counts, a, b, distance| {
        let kind = if people[a] == people[b] { 0 } else { STEPS };
        counts[kind + step(distance / scale)] += 1;
    })?;
    let different = same.split_off(STEPS);
    let images = people.len();
    let found = AllPairs { same, different, scale };
    let (same, different) = found.pairs();
    if same == 0 || different == 0 {
        return Err(Error::Data(format!(
            "{images} images give {same} pairs of one person and {different} of different people; give two people or more, one \
             of them with two images"
        )));
    }
    Ok(found)
}

/// Calls `count` for each pair of rows once, with counters of each thread's own, and adds the counters.
fn each_pair(
    rows: &[f32],
    dim: usize,
    people: &[usize],
    counters: usize,
    count: &(impl Fn(&mut [u64], usize, usize, f32) + Sync),
) -> Result<Vec<u64>> {
    if dim == 0 || rows.len() != people.len() * dim {
        let message = format!("expected {} rows of {dim} dimensions, got {} values", people.len(), rows.len());
        return Err(Error::shape("all_pairs", message));
    }
    if rows.iter().any(|x| !x.is_finite()) {
        return Err(Error::NotFinite("an embedding holds NaN or infinite values".into()));
    }
    let squares: Vec<f32> = rows.chunks_exact(dim).map(|row| row.iter().map(|x| x * x).sum()).collect();
    let images = people.len();
    let blocks = (0..images).step_by(BLOCK.0).flat_map(|row| {
        let first = row / BLOCK.1 * BLOCK.1;
        (first..images).step_by(BLOCK.1).map(move |column| (row, column))
    });
    let blocks: Vec<(usize, usize)> = blocks.collect();
    let count_block = |(mut counts, mut products): (Vec<u64>, Vec<f32>), &(row, column): &(usize, usize)| {
        let (height, width) = (BLOCK.0.min(images - row), BLOCK.1.min(images - column));
        product(&rows[row * dim..][..height * dim], &rows[column * dim..][..width * dim], dim, &mut products);
        for a in row..row + height {
            // Each pair once: columns behind the row.
            let begin = column.max(a + 1).min(column + width);
            let line = &products[(a - row) * BLOCK.1..][begin - column..width];
            for (b, dot) in (begin..).zip(line) {
                count(&mut counts, a, b, squares[a] + squares[b] - 2.0 * dot);
            }
        }
        (counts, products)
    };
    let nothing = || (vec![0_u64; counters], vec![0.0; BLOCK.0 * BLOCK.1]);
    let add = |mut a: Vec<u64>, b: Vec<u64>| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    };
    // As many counts as threads: a fold of rayon's own would make more.
    let each = blocks.len().div_ceil(rayon::current_num_threads()).max(1);
    let parts = blocks.par_chunks(each).map(|part| part.iter().fold(nothing(), count_block).0);
    Ok(parts.reduce(|| vec![0; counters], add))
}

/// How much wider steps must be for these rows: 1 for those of unit length, else a power of four.
fn scale_of(rows: &[f32], dim: usize) -> f32 {
    let longest = rows.chunks(dim.max(1)).map(|row| row.iter().map(|x| x * x).sum()).fold(0.0, f32::max);
    let mut scale = 1.0;
    // Lengths are right to a few parts in a thousand, as those of bytes are.
    while scale < 0.98 * longest && scale < f32::MAX / 4.0 {
        scale *= 4.0;
    }
    scale
}

/// The step that a distance lies in.
fn step(distance: f32) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the number of a step; a cast saturates"
    )]
    let step = (distance * STEPS_PER_UNIT as f32).ceil() as u32 as usize;
    step.min(STEPS - 1)
}

/// Dot products of all rows of `a` with all rows of `b`, in lines of the block's width.
fn product(a: &[f32], b: &[f32], dim: usize, out: &mut [f32]) {
    let (height, width) = (a.len() / dim, b.len() / dim);
    assert!((height.max(1) - 1) * BLOCK.1 + width <= out.len(), "a block is too small");
    let stride = dim.cast_signed();
    // SAFETY: `a` holds `height` rows of `dim` floats, `b` `width` of them, read as its transpose, and `out`, as was checked,
    // `height` lines of `BLOCK.1` floats of which `width` are written.
    unsafe {
        matrixmultiply::sgemm(
            height,
            dim,
            width,
            1.0,
            a.as_ptr(),
            stride,
            1,
            b.as_ptr(),
            1,
            stride,
            0.0,
            out.as_mut_ptr(),
            BLOCK.1.cast_signed(),
            1,
        );
    }
}

impl AllPairs {
    /// Pairs of one person and pairs of different people.
    pub fn pairs(&self) -> (u64, u64) {
        (self.same.iter().sum(), self.different.iter().sum())
    }

    /// The largest distance that is told from others: 4 for rows of unit length.
    pub fn largest(&self) -> f32 {
        4.0 * self.scale
    }

    /// Parts of the pairs of one person, or of different people, in `bins` equal bins of the distances from 0 to
    /// [`largest`](Self::largest), from their lower ends on.
    pub fn histogram(&self, same: bool, bins: usize) -> Vec<f64> {
        let counts = if same { &self.same } else { &self.different };
        let all: u64 = counts.iter().sum();
        let mut parts = vec![0.0; bins];
        for (step, &count) in counts.iter().enumerate() {
            parts[step * bins / STEPS] += count as f64 / all as f64;
        }
        parts
    }

    /// The curve with a point for each step that holds a pair. Pairs within a step count as equally far, which moves the area
    /// and the equal error rate by less than 1e-4.
    pub fn roc(&self) -> Roc {
        let (same, different) = self.pairs();
        let (mut right, mut wrong) = (0_u64, 0_u64);
        let mut points = vec![(0.0, 0.0)];
        for (&s, &d) in self.same.iter().zip(&self.different).filter(|(s, d)| **s + **d > 0) {
            (right, wrong) = (right + s, wrong + d);
            points.push((wrong as f64 / different as f64, right as f64 / same as f64));
        }
        Roc { points }
    }

    /// Both rates at growing thresholds: the ends of the steps that hold a pair.
    pub fn curve(&self) -> impl Iterator<Item = AtFar> + '_ {
        let (same, different) = self.pairs();
        let (mut right, mut wrong) = (0_u64, 0_u64);
        (0_u32..).zip(self.same.iter().zip(&self.different)).filter_map(move |(step, (s, d))| {
            (right, wrong) = (right + s, wrong + d);
            (s + d > 0).then(|| {
                let (far, val) = (wrong as f64 / different as f64, right as f64 / same as f64);
                let false_accepts = usize::try_from(wrong).unwrap_or(usize::MAX);
                AtFar {
                    wanted: far,
                    threshold: step as f32 / STEPS_PER_UNIT as f32 * self.scale,
                    false_accepts,
                    far,
                    val,
                }
            })
        })
    }

    /// VAL at the largest threshold, of the multiples of a step, up to which lies at most `wanted` of the pairs of different
    /// people; `None` where fewer than `1 / wanted` such pairs are there.
    pub fn val_at_far(&self, wanted: f64) -> Option<AtFar> {
        let (_, different) = self.pairs();
        if wanted * (different as f64) < 1.0 {
            return None;
        }
        // Nothing is accepted below the smallest distance.
        let mut found = AtFar { wanted, threshold: 0.0_f32.next_down(), false_accepts: 0, far: 0.0, val: 0.0 };
        for at in self.curve() {
            if at.far > wanted {
                // The steps between hold no pair.
                found.threshold = (at.threshold - self.scale / STEPS_PER_UNIT as f32).max(found.threshold);
                break;
            }
            found = AtFar { wanted, ..at };
        }
        Some(found)
    }
}

/// How certain both rates at a threshold are, which the number of people limits.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Certainty {
    /// Ends of the 95 % confidence interval of FAR.
    pub far: [f64; 2],
    /// Ends of that of VAL.
    pub val: [f64; 2],
    /// Number of independent pairs of different people that would tell as much as all there are.
    pub different: f64,
    /// Number of independent pairs of one person that would.
    pub same: f64,
}

impl Certainty {
    /// That of rates on pairs that tell as much as so many independent pairs of one person, and of different people.
    pub fn of(at: &AtFar, same: f64, different: f64) -> Self {
        Self { far: wilson(at.far, different), val: wilson(at.val, same), different, same }
    }
}

/// How certain the rates at each of some thresholds are: people are drawn, and with a person all of their pairs (see
/// [`effective_pairs`](super::interval::effective_pairs)). Arguments as those of [`all_pairs`].
///
/// # Errors
/// As [`all_pairs`].
pub fn certainty(rows: &[f32], dim: usize, people: &[usize], at: &[AtFar]) -> Result<Vec<Certainty>> {
    let number = people.iter().max().map_or(0, |most| most + 1);
    let scale = scale_of(rows, dim);
    let steps: Vec<usize> = at.iter().map(|at| step(at.threshold / scale)).collect();
    let last = steps.iter().copied().max().unwrap_or_default();
    // Of each threshold and person: accepted pairs of their own, and with others.
    let accepted = each_pair(rows, dim, people, 2 * number * at.len(), &|counts, a, b, distance| {
        let own = step(distance / scale);
        if own > last {
            return;
        }
        let (a, b) = (people[a], people[b]);
        for (place, _) in steps.iter().enumerate().filter(|(_, end)| own <= **end) {
            let of = |person: usize| 2 * (place * number + person);
            if a == b {
                counts[of(a)] += 1;
            } else {
                counts[of(a) + 1] += 1;
                counts[of(b) + 1] += 1;
            }
        }
    })?;
    let mut images = vec![0_u64; number];
    people.iter().for_each(|&person| images[person] += 1);
    let all = people.len() as u64;
    let own = |person: usize| (images[person] * images[person].saturating_sub(1) / 2) as f64;
    let others = |person: usize| (images[person] * (all - images[person])) as f64;
    let present: Vec<usize> = (0..number).filter(|&person| images[person] > 0).collect();
    let several: Vec<usize> = present.iter().copied().filter(|&person| own(person) > 0.0).collect();
    let of_place = |(place, at): (usize, &AtFar)| {
        let found = |person: usize, kind: usize| accepted[2 * (place * number + person) + kind] as f64;
        let n = several.iter().map(|&person| own(person)).sum();
        let same = Dyads { n, mean: at.val, twice: 0.0, kinds: several.len() as f64 };
        let same = same.effective(several.iter().map(|&person| found(person, 0) - at.val * own(person)));
        let n = present.iter().map(|&person| others(person)).sum::<f64>() / 2.0;
        let kinds = present.len() as f64 * (present.len() as f64 - 1.0) / 2.0;
        let different = Dyads { n, mean: at.far, twice: n * at.far * (1.0 - at.far), kinds };
        let different = different.effective(present.iter().map(|&p| found(p, 1) - at.far * others(p)));
        Certainty::of(at, same, different)
    };
    Ok(at.iter().enumerate().map(of_place).collect())
}

#[cfg(test)]
mod tests;
