//! Embeddings of many images as one array.

use std::borrow::Cow;
use std::ops::Index;

use crate::{Error, Result};

/// Embeddings as rows of one array, `n` x `dim`, each with an id: the image file, or its number. They are taken to have unit
/// length unless [`of_any_length`](Self::of_any_length) says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    dim: usize,
    data: Vec<f32>,
    ids: Option<Vec<String>>,
    unit_length: bool,
}

impl Embeddings {
    /// Rows of `dim` numbers, one after another; their ids are their numbers.
    ///
    /// # Errors
    /// `dim` is zero, or these are not whole rows.
    pub fn new(dim: usize, data: Vec<f32>) -> Result<Self> {
        if dim == 0 || !data.len().is_multiple_of(dim) {
            let message = format!("expected whole rows of {dim} dimensions, got {} values", data.len());
            return Err(Error::shape("embeddings", message));
        }
        Ok(Self { dim, data, ids: None, unit_length: true })
    }

    /// The same with an id for each row.
    ///
    /// # Errors
    /// There are more or fewer ids than rows.
    pub fn with_ids(mut self, ids: Vec<String>) -> Result<Self> {
        if ids.len() != self.len() {
            return Err(Error::shape("embeddings", format!("expected {} ids, got {}", self.len(), ids.len())));
        }
        self.ids = Some(ids);
        Ok(self)
    }

    /// The same of a model whose embeddings have no unit length, such as dlib's.
    #[must_use]
    pub fn of_any_length(mut self) -> Self {
        self.unit_length = false;
        self
    }

    /// Whether the rows have unit length, or were not made to.
    pub fn unit_length(&self) -> bool {
        self.unit_length
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.data.len() / self.dim
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Dimensions of an embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Row `i`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.dim..][..self.dim]
    }

    /// The id of row `i`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn id(&self, i: usize) -> Cow<'_, str> {
        assert!(i < self.len(), "row {i} of {}", self.len());
        self.ids.as_ref().map_or_else(|| Cow::Owned(i.to_string()), |ids| Cow::Borrowed(ids[i].as_str()))
    }

    /// The rows, in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> + Clone {
        self.data.chunks_exact(self.dim)
    }

    /// All values, row by row.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// All values, row by row.
    pub fn into_vec(self) -> Vec<f32> {
        self.data
    }

    /// Squared Euclidean distance of two rows: 0 is the same image, 4 is the farthest that rows of unit length can be.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn squared_distance(&self, i: usize, j: usize) -> f32 {
        squared_distance(self.row(i), self.row(j))
    }
}

/// Squared Euclidean distance of two vectors of the same length.
///
/// # Panics
/// If the lengths differ.
pub fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of different lengths");
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

impl Index<usize> for Embeddings {
    type Output = [f32];

    fn index(&self, i: usize) -> &[f32] {
        self.row(i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_their_ids_and_distances() {
        let numbered = Embeddings::new(2, vec![1.0, 0.0, 0.0, 1.0, -1.0, 0.0]).unwrap();
        assert_eq!((numbered.len(), numbered.dim(), numbered.id(2).as_ref()), (3, 2, "2"));
        assert_eq!((numbered.squared_distance(0, 1), numbered.squared_distance(0, 2)), (2.0, 4.0));
        assert_eq!(numbered.rows().collect::<Vec<_>>(), [&[1.0, 0.0][..], &[0.0, 1.0], &[-1.0, 0.0]]);
        let named = numbered.clone().with_ids(["a", "b", "c"].map(String::from).into()).unwrap();
        assert_eq!((named.id(1).as_ref(), &named[1]), ("b", &[0.0, 1.0][..]));
        assert!(numbered.with_ids(vec!["a".into()]).unwrap_err().to_string().contains("expected 3 ids, got 1"));
        assert!(Embeddings::new(2, vec![0.0; 3]).unwrap_err().to_string().contains("whole rows of 2 dimensions"));
    }
}
