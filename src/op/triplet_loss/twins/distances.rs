//! Squared distances of all images, and their mean.

use rayon::prelude::*;

use super::super::TripletParams;
use super::LANES;
use crate::cpu::{Call, Float};

pub(in super::super) fn transpose<T: Float>(call: Call<'_, T>) {
    let p: TripletParams = call.params();
    let [x, columns] = call.args();
    let (b, dim, x) = (p.b as usize, p.dim as usize, x.f());
    columns.f_mut().par_chunks_exact_mut(b).enumerate().for_each(|(k, column)| {
        for (to, row) in column.iter_mut().zip(x.chunks_exact(dim)) {
            *to = row[k];
        }
    });
}

/// Rows of a tile.
const ROWS: usize = 4;
/// Rows that one thread takes at a time.
const BLOCK: usize = 64;

pub(in super::super) fn distances<T: Float>(call: Call<'_, T>) {
    let p: TripletParams = call.params();
    let [columns, d, pull] = call.args();
    let (b, columns) = (p.b as usize, columns.f());
    pull.u_mut().par_chunks_mut(BLOCK * b).for_each(|rows| rows.fill(0));
    d.f_mut().par_chunks_mut(BLOCK * b).enumerate().for_each(|(block, rows)| {
        let first = block * BLOCK;
        let count = rows.len() / b;
        // The block's own columns, then a panel of others, each together in memory.
        let own: Vec<[T; BLOCK]> = columns.chunks_exact(b).map(|column| part(column, first)).collect();
        let mut panel = vec![[T::zero(); LANES]; own.len()];
        for at in (0..b).step_by(LANES) {
            for (panel, column) in panel.iter_mut().zip(columns.chunks_exact(b)) {
                *panel = part(column, at);
            }
            let width = LANES.min(b - at);
            for row in (0..count).step_by(ROWS) {
                let sums = tile(&own, row, &panel);
                for (r, sums) in sums.iter().enumerate().take(count - row) {
                    rows[(row + r) * b + at..][..width].copy_from_slice(&sums[..width]);
                }
            }
        }
    });
}

/// `N` floats from position `at`, zeros behind the end.
fn part<T: Float, const N: usize>(column: &[T], at: usize) -> [T; N] {
    let mut part = [T::zero(); N];
    let len = N.min(column.len() - at);
    part[..len].copy_from_slice(&column[at..at + len]);
    part
}

fn tile<T: Float>(own: &[[T; BLOCK]], row: usize, panel: &[[T; LANES]]) -> [[T; LANES]; ROWS] {
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

pub(in super::super) fn centre<T: Float>(call: Call<'_, T>) {
    let p: TripletParams = call.params();
    let [x, centre] = call.args();
    let centre = centre.f_mut();
    centre.fill(T::zero());
    for row in x.f().chunks_exact(p.dim as usize) {
        centre.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x);
    }
    centre.iter_mut().for_each(|sum| *sum = *sum / T::count(p.b));
}
