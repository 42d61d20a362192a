//! Embeddings as bytes: one for each dimension, 128 a face as in the paper (section 5.1).

mod searcher;
mod tile;

use std::ops::Range;

use crate::text::count;
use crate::{Error, Result};

pub use searcher::ByteSearcher;

/// Most dimensions: the sums of 32-bit integers hold so many products of bytes.
const MOST_DIMENSIONS: usize = 1 << 16;
/// The largest byte of an embedding.
const LARGEST: f32 = 127.0;

/// Embeddings of unit length, `[n, dim]`, each a direction in bytes.
///
/// The largest number of an embedding becomes 127 or -127, the others are rounded on that scale. The scale itself is not
/// kept: what the bytes stand for is the vector of unit length in their direction, so an embedding of 128 dimensions takes
/// 128 bytes. (In memory there are 4 more, one over the length of the bytes.) With `s` the largest number of the embedding,
/// no number moves by more than `s / 254`; squared distances of unit vectors of 128 dimensions move by less than 0.01, and
/// by 0.002 on average of squares.
#[derive(Debug, Clone, PartialEq)]
pub struct ByteVectors {
    dim: usize,
    data: Vec<i8>,
    /// One over the length of each.
    inverse: Vec<f32>,
}

impl ByteVectors {
    /// No vectors yet, of `dim` dimensions.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are no dimensions, or more than 65,536.
    pub fn new(dim: usize) -> Result<Self> {
        if dim == 0 || dim > MOST_DIMENSIONS {
            let message = format!("expected 1 to {} dimensions, got {dim}", count(MOST_DIMENSIONS as u64));
            return Err(Error::shape("byte vectors", message));
        }
        Ok(Self { dim, data: Vec::new(), inverse: Vec::new() })
    }

    /// Quantises embeddings, `[n, dim]`.
    ///
    /// # Errors
    /// As [`new`](Self::new) and [`push`](Self::push).
    pub fn quantise(rows: &[f32], dim: usize) -> Result<Self> {
        let mut vectors = Self::new(dim)?;
        if !rows.len().is_multiple_of(dim) {
            let message = format!("expected embeddings of {dim} dimensions, got {} values", rows.len());
            return Err(Error::shape("byte vectors", message));
        }
        vectors.reserve(rows.len() / dim);
        rows.chunks_exact(dim).try_for_each(|row| vectors.push(row))?;
        Ok(vectors)
    }

    /// Makes room for so many more.
    pub fn reserve(&mut self, more: usize) {
        self.data.reserve(more * self.dim);
        self.inverse.reserve(more);
    }

    /// Quantises an embedding and puts it behind the others. Only its direction counts.
    ///
    /// # Errors
    /// [`Error::Shape`] where it has another number of dimensions, [`Error::NotFinite`] where it is NaN, infinite or of
    /// length zero.
    pub fn push(&mut self, embedding: &[f32]) -> Result<()> {
        self.check_dimensions(embedding.len())?;
        if let Some(x) = embedding.iter().find(|x| !x.is_finite()) {
            return Err(Error::NotFinite(format!("embedding {} has the value {x}", self.len())));
        }
        let largest = embedding.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let scale = LARGEST / largest;
        if !scale.is_finite() {
            return Err(Error::NotFinite(format!("embedding {} has length zero and so no direction", self.len())));
        }
        #[expect(clippy::cast_possible_truncation, reason = "the scale brings every number to -127..=127")]
        self.data.extend(embedding.iter().map(|x| (x * scale).round() as i8));
        self.end_row();
        Ok(())
    }

    /// Puts bytes behind the others, as [`row`](Self::row) gave them.
    ///
    /// # Errors
    /// [`Error::Shape`] where they have another number of dimensions, [`Error::NotFinite`] where all are zero.
    pub fn push_bytes(&mut self, row: &[i8]) -> Result<()> {
        self.check_dimensions(row.len())?;
        if row.iter().all(|&x| x == 0) {
            return Err(Error::NotFinite(format!("the bytes of embedding {} are all zero", self.len())));
        }
        self.data.extend_from_slice(row);
        self.end_row();
        Ok(())
    }

    fn check_dimensions(&self, found: usize) -> Result<()> {
        if found != self.dim {
            let message = format!("expected an embedding of {} dimensions, got one of {found}", self.dim);
            return Err(Error::shape("byte vectors", message));
        }
        Ok(())
    }

    fn end_row(&mut self) {
        let row = &self.data[self.data.len() - self.dim..];
        let square: u32 = row.iter().map(|&x| u32::from(x.unsigned_abs()).pow(2)).sum();
        #[expect(clippy::cast_possible_truncation, reason = "rounding to the precision of the distances is meant")]
        self.inverse.push((1.0 / f64::from(square).sqrt()) as f32);
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.inverse.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.inverse.is_empty()
    }

    /// Bytes of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The bytes of a vector.
    ///
    /// # Panics
    /// If there is no such vector.
    pub fn row(&self, at: usize) -> &[i8] {
        &self.data[at * self.dim..][..self.dim]
    }

    /// The vectors as floats, `[n, dim]`, each of unit length.
    ///
    /// # Panics
    /// If there are no such vectors.
    pub fn floats(&self, rows: Range<usize>) -> Vec<f32> {
        let float = |at: usize| self.row(at).iter().map(move |&x| f32::from(x) * self.inverse[at]);
        rows.flat_map(float).collect()
    }

    /// Squared Euclidean distance of a vector and one of `others`, 0 to 4, as a search tells it.
    ///
    /// # Panics
    /// If there are no such vectors, or they have different dimensions.
    pub fn squared_distance(&self, at: usize, others: &Self, other: usize) -> f32 {
        assert_eq!(self.dim, others.dim, "vectors of different dimensions");
        let products = self.row(at).iter().zip(others.row(other)).map(|(&a, &b)| i32::from(a) * i32::from(b));
        distance(value(products.sum(), others.inverse[other]), self.inverse[at])
    }

    /// One over the lengths of all vectors.
    fn inverse(&self) -> &[f32] {
        &self.inverse
    }
}

/// What a search compares: the product of the query's bytes with the vector of unit length.
#[inline(always)]
#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 1,040 dimensions, rounded to the precision of floats beyond"
)]
fn value(product: i32, inverse: f32) -> f32 {
    product as f32 * inverse
}

/// The squared distance that a value means, where `inverse` is one over the length of the query's bytes.
fn distance(value: f32, inverse: f32) -> f32 {
    (2.0 - 2.0 * value * inverse).clamp(0.0, 4.0)
}

#[cfg(test)]
mod tests;
