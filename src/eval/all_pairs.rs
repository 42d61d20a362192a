//! All pairs of all images, as the paper measures its hold-out: distances in blocks, of which only counts are kept.

use rayon::prelude::*;

use super::interval::{effective_pairs_of_people, wilson};
use super::rates::AtFar;
use super::roc::Roc;
use crate::{Error, Result};

/// Distances are counted in steps of 1 / 65,536; thresholds are multiples of it, and what is counted below them is exact.
pub const STEPS_PER_UNIT: u32 = 1 << 16;
/// Steps from 0 to 4, the largest distance of rows of unit length.
const STEPS: usize = 4 * STEPS_PER_UNIT as usize;
/// Rows and columns of a block of distances: 512 KiB, a processor core's own cache.
const BLOCK: (usize, usize) = (256, 512);

/// How many pairs of either kind have which squared distance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllPairs {
    /// Pairs of one person by the step of their distance.
    same: Vec<u64>,
    /// Pairs of different people.
    different: Vec<u64>,
}

/// Counts the squared distances of all pairs of rows. `rows` are embeddings of unit length, `dim` floats each, and `people`
/// says whose image each is. Memory is 4 MiB a thread, whatever the number of rows. A distance is a difference of dot
/// products, right to about 5e-7.
///
/// # Errors
/// [`Error::Shape`] where the lengths do not match, [`Error::Data`] where there are no two images of one person or no two
/// people, [`Error::NotFinite`] where a value is NaN or infinite.
pub fn all_pairs(rows: &[f32], dim: usize, people: &[usize]) -> Result<AllPairs> {
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
    let count = |(mut counts, mut products): (Vec<u64>, Vec<f32>), &(row, column): &(usize, usize)| {
        let (height, width) = (BLOCK.0.min(images - row), BLOCK.1.min(images - column));
        product(&rows[row * dim..][..height * dim], &rows[column * dim..][..width * dim], dim, &mut products);
        for a in row..row + height {
            // Each pair once: columns behind the row.
            let begin = column.max(a + 1).min(column + width);
            let line = &products[(a - row) * BLOCK.1..][begin - column..width];
            let of_b = people[begin..column + width].iter().zip(&squares[begin..column + width]);
            for (dot, (person, square)) in line.iter().zip(of_b) {
                let distance = squares[a] + square - 2.0 * dot;
                let kind = if *person == people[a] { 0 } else { STEPS };
                counts[kind + step(distance)] += 1;
            }
        }
        (counts, products)
    };
    let nothing = || (vec![0_u64; 2 * STEPS], vec![0.0; BLOCK.0 * BLOCK.1]);
    let add = |mut a: Vec<u64>, b: Vec<u64>| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    };
    // As many counts as threads: a fold of rayon's own would make more.
    let each = blocks.len().div_ceil(rayon::current_num_threads()).max(1);
    let parts = blocks.par_chunks(each).map(|part| part.iter().fold(nothing(), count).0);
    let mut same = parts.reduce(|| vec![0; 2 * STEPS], add);
    let different = same.split_off(STEPS);
    let found = AllPairs { same, different };
    let (same, different) = found.pairs();
    if same == 0 || different == 0 {
        return Err(Error::Data(format!(
            "{images} images give {same} pairs of one person and {different} of different people; give two people or more, one \
             of them with two images"
        )));
    }
    Ok(found)
}

/// The step that holds a distance.
fn step(distance: f32) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounding down is meant; a cast saturates"
    )]
    let step = (distance * STEPS_PER_UNIT as f32) as u32 as usize;
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

    /// Parts of the pairs of one person, or of different people, in `bins` equal bins of the distances from 0 to 4, from their
    /// lower ends on.
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

    /// VAL at the largest threshold, of the multiples of a step, below which lies at most `wanted` of the pairs of different
    /// people; `None` where fewer than `1 / wanted` such pairs are there.
    pub fn val_at_far(&self, wanted: f64) -> Option<AtFar> {
        let (same, different) = self.pairs();
        if wanted * (different as f64) < 1.0 {
            return None;
        }
        let (mut right, mut wrong, mut end) = (0, 0, 0);
        while end < STEPS && (wrong + self.different[end]) as f64 / different as f64 <= wanted {
            (right, wrong, end) = (right + self.same[end], wrong + self.different[end], end + 1);
        }
        let threshold = end as f32 / STEPS_PER_UNIT as f32;
        let (far, val) = (wrong as f64 / different as f64, right as f64 / same as f64);
        Some(AtFar { wanted, threshold, false_accepts: usize::try_from(wrong).unwrap_or(usize::MAX), far, val })
    }
}

/// Ends of the 95 % confidence interval of the part of all pairs of one person whose distance is below `threshold`: people are
/// drawn, and with a person all of their pairs. Arguments as those of [`all_pairs`].
///
/// # Panics
/// If the lengths do not match.
pub fn val_interval(rows: &[f32], dim: usize, people: &[usize], threshold: f32) -> [f64; 2] {
    let mut images: Vec<usize> = (0..people.len()).collect();
    images.sort_by_key(|&image| people[image]);
    let row = |image: usize| &rows[image * dim..][..dim];
    let of_person = |images: &[usize]| -> (u64, u64) {
        let pairs = images.iter().enumerate().flat_map(|(at, &a)| images[at + 1..].iter().map(move |&b| (a, b)));
        pairs.fold((0, 0), |(right, all), (a, b)| {
            let accepted = super::verification::squared_distance(row(a), row(b)) < threshold;
            (right + u64::from(accepted), all + 1)
        })
    };
    let groups: Vec<&[usize]> = images.chunk_by(|&a, &b| people[a] == people[b]).collect();
    let counts: Vec<(u64, u64)> = groups.par_iter().map(|images| of_person(images)).collect();
    let (right, all) = counts.iter().fold((0, 0), |(right, all), count| (right + count.0, all + count.1));
    wilson(right as f64 / (all as f64).max(1.0), effective_pairs_of_people(&counts))
}

#[cfg(test)]
mod tests;
