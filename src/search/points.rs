//! Embeddings as a search takes them.

use crate::{Error, Result};

/// Embeddings `[n, dim]`, row by row, and a label for each.
#[derive(Debug, Clone, Copy)]
pub struct Points<'a> {
    rows: &'a [f32],
    dim: usize,
    labels: Option<&'a [u32]>,
}

impl<'a> Points<'a> {
    /// Embeddings of `dim` dimensions, one after another, all with the same label.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are none or the last one is not whole, [`Error::NotFinite`] where one is NaN or Inf.
    pub fn new(rows: &'a [f32], dim: usize) -> Result<Self> {
        if rows.is_empty() || dim == 0 {
            return Err(Error::shape("nearest", "expected embeddings to select from, got none"));
        }
        if !rows.len().is_multiple_of(dim) {
            return Err(Error::shape(
                "nearest",
                format!("expected embeddings of {dim} dimensions, got {} values", rows.len()),
            ));
        }
        let points = Self { rows, dim, labels: None };
        for (name, n) in [("embeddings", points.len()), ("dimensions of an embedding", dim)] {
            if u32::try_from(n).is_err() {
                return Err(Error::shape("nearest", format!("{n} {name} are too many for 32-bit indices")));
            }
        }
        if let Some(at) = rows.iter().position(|x| !x.is_finite()) {
            return Err(Error::NotFinite(format!("embedding {} of the selection is NaN or Inf", at / dim)));
        }
        Ok(points)
    }

    /// The same with labels.
    ///
    /// # Errors
    /// There are not as many labels as embeddings.
    pub fn labelled(self, labels: &'a [u32]) -> Result<Self> {
        if labels.len() != self.len() {
            let message = format!("expected {} labels, got {}", self.len(), labels.len());
            return Err(Error::shape("nearest", message));
        }
        Ok(Self { labels: Some(labels), ..self })
    }

    /// Number of embeddings.
    pub fn len(&self) -> usize {
        self.rows.len() / self.dim
    }

    /// Whether there are none; never true for points that were made without an error.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Floats of an embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Label of an embedding.
    pub(super) fn label(&self, at: usize) -> u32 {
        self.labels.map_or(0, |labels| labels[at])
    }

    /// The embeddings `first..first + count`, transposed: `[dim, width]`, with zeros behind the last one.
    pub(super) fn columns(&self, first: usize, count: usize, width: usize) -> Vec<f32> {
        let rows = &self.rows[first * self.dim..(first + count) * self.dim];
        let mut columns = vec![0.0; self.dim * width];
        for (at, row) in rows.chunks_exact(self.dim).enumerate() {
            columns[at..].iter_mut().step_by(width).zip(row).for_each(|(to, from)| *to = *from);
        }
        columns
    }
}
