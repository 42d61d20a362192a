//! All squared distances of a set of embeddings, each pair once.

use rayon::prelude::*;

use crate::cpu::tile::{Rows, Tiles, tiles};
use crate::{Embeddings, Error, Result};

/// Rows that one task computes; they share the panels of columns.
const BLOCK: usize = 56;

/// Bytes of the matrix of distances of `n` images: a float for each pair.
pub fn matrix_bytes(n: usize) -> u64 {
    let n = n as u64;
    4 * (n * n.saturating_sub(1) / 2)
}

/// Squared distances of all pairs, `n (n - 1) / 2`: the upper triangle row by row, (0, 1), (0, 2), ..., (1, 2), ...
///
/// They are computed as `|a|^2 + |b|^2 - 2 a.b` in `f32`, which errs by about 1e-6 for embeddings of unit length.
///
/// # Errors
/// There is no memory for them.
pub(super) fn squared_distances(embeddings: &Embeddings) -> Result<Vec<f32>> {
    let n = embeddings.len();
    let len = n * n.saturating_sub(1) / 2;
    let mut matrix: Vec<f32> = Vec::new();
    matrix.try_reserve_exact(len).map_err(|_| too_large(n, None))?;
    matrix.resize(len, 0.0);
    let product = Product::new(embeddings);
    let mut blocks = Vec::new();
    let mut rest = &mut matrix[..];
    for first in (0..n).step_by(BLOCK) {
        let until = n.min(first + BLOCK);
        let (own, behind) = std::mem::take(&mut rest).split_at_mut(place(n, until) - place(n, first));
        blocks.push((first, until, own));
        rest = behind;
    }
    blocks.into_par_iter().for_each(|(first, until, out)| product.fill(first, until, out));
    Ok(matrix)
}

/// What is said where the matrix of `n` images is more than `budget` bytes or than the system has.
pub(super) fn too_large(n: usize, budget: Option<u64>) -> Error {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let room = budget.map_or("the system has not".into(), |budget| format!("only {:.2} GiB are allowed", gib(budget)));
    Error::setting(format!(
        "agglomerative clustering of {n} images needs {:.2} GiB for their distances, and {room}; use `method` graph, \
         whose memory grows with the number of images and not with its square",
        gib(matrix_bytes(n))
    ))
}

/// Where the row of image `i` begins among the distances of `n` images.
fn place(n: usize, i: usize) -> usize {
    i * (2 * n - i - 1) / 2
}

/// The embeddings, ready to be multiplied with each other.
struct Product<'a> {
    tiles: &'static Tiles,
    rows: &'a [f32],
    dim: usize,
    n: usize,
    /// The embeddings as columns, `[panels, dim, width]`, zeros behind the last one.
    panels: Vec<f32>,
    /// Squared lengths.
    norms: Vec<f32>,
}

impl<'a> Product<'a> {
    fn new(embeddings: &'a Embeddings) -> Self {
        let (tiles, dim, n) = (tiles(), embeddings.dim(), embeddings.len());
        let width = tiles.panel();
        let mut panels = vec![0.0; n.div_ceil(width) * width * dim];
        for (at, row) in embeddings.rows().enumerate() {
            let panel = &mut panels[at / width * width * dim..][..width * dim];
            panel[at % width..].iter_mut().step_by(width).zip(row).for_each(|(to, from)| *to = *from);
        }
        // As the tiles add up, so that equal embeddings have a distance of zero.
        let norms = embeddings.rows().map(|row| row.iter().fold(0.0_f32, |sum, x| x.mul_add(*x, sum))).collect();
        Self { tiles, rows: embeddings.as_slice(), dim, n, panels, norms }
    }

    /// Distances of the rows `first..until` and all images behind each.
    fn fill(&self, first: usize, until: usize, out: &mut [f32]) {
        let (width, height) = (self.tiles.panel(), self.tiles.height);
        let to: Vec<usize> = (0..height).map(|m| m * width).collect();
        let mut products = vec![0.0; height * width];
        for (number, b) in self.panels.chunks_exact(self.dim * width).enumerate().skip(first / width) {
            let columns = number * width..self.n.min((number + 1) * width);
            for top in (first..until).step_by(height).take_while(|top| top + 1 < columns.end) {
                let at: Vec<usize> = (top..until.min(top + height)).map(|row| row * self.dim).collect();
                let (a, dim) = (self.rows, self.dim);
                let job = Rows {
                    a,
                    pitch: 0,
                    runs: 1,
                    len: dim,
                    width,
                    b,
                    bias: None,
                    relu: false,
                    accumulate: false,
                    scale: 1.0,
                    ahead: None,
                    next: None,
                };
                self.tiles.rows(&job, &at, &mut products, &to[..at.len()]);
                for (row, products) in (top..until).zip(products.chunks_exact(width)).take(at.len()) {
                    let from = columns.start.max(row + 1);
                    if from < columns.end {
                        let begin = place(self.n, row) - place(self.n, first) + from - row - 1;
                        let distances = out[begin..].iter_mut().zip(&self.norms[from..columns.end]);
                        for ((d, norm), product) in distances.zip(&products[from - columns.start..]) {
                            *d = (self.norms[row] + norm - 2.0 * product).max(0.0);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::unit_rows;

    #[test]
    fn every_pair_has_its_distance_and_copies_have_none() {
        // Fewer than a tile, a block and a bit, several blocks; the last image is a copy of the first.
        for (n, dim) in [(2, 1), (5, 3), (63, 128), (57, 7), (200, 40)] {
            let mut rows = unit_rows(n - 1, dim, 5);
            rows.extend_from_within(..dim);
            let embeddings = Embeddings::new(dim, rows).unwrap();
            let matrix = squared_distances(&embeddings).unwrap();
            assert_eq!(4 * matrix.len() as u64, matrix_bytes(n));
            let mut at = 0;
            for i in 0..n {
                for j in i + 1..n {
                    let right: f64 =
                        embeddings[i].iter().zip(&embeddings[j]).map(|(a, b)| f64::from(a - b).powi(2)).sum();
                    assert!(
                        (f64::from(matrix[at]) - right).abs() < 2e-6,
                        "{n} x {dim}: ({i}, {j}) {} {right}",
                        matrix[at]
                    );
                    at += 1;
                }
            }
            assert!(matrix[n - 2] < 1e-6, "a copy at {}", matrix[n - 2]);
        }
        assert!(squared_distances(&Embeddings::new(3, vec![0.6, 0.8, 0.0]).unwrap()).unwrap().is_empty());
    }

    #[test]
    fn the_matrix_of_lfw_takes_a_third_of_a_gibibyte() {
        assert_eq!(matrix_bytes(13_233), 350_198_112);
        assert_eq!((matrix_bytes(0), matrix_bytes(1), matrix_bytes(2)), (0, 0, 4));
    }
}
