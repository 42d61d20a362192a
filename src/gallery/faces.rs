//! The faces of a gallery in memory.

use super::{EmbeddingModel, VectorKind};
use crate::search::{ByteSearcher, ByteVectors, Neighbours, Pairs, Points, Queries, Question, Searcher};
use crate::{Engine, Error, Result};

/// All embeddings of a gallery, one behind the other, and whose they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Faces {
    pub(super) model: EmbeddingModel,
    pub(super) vectors: Vectors,
    pub(super) names: Vec<String>,
    pub(super) owners: Vec<u32>,
    pub(super) ids: Vec<u64>,
}

impl Faces {
    /// The model of the embeddings.
    pub fn model(&self) -> &EmbeddingModel {
        &self.model
    }

    /// Number of faces.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none; never true for what [`Gallery::load`](super::Gallery::load) gave.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Number of people.
    pub fn people(&self) -> usize {
        self.names.len()
    }

    /// The name of a person, as a [`Candidate`](super::Candidate) numbers them.
    ///
    /// # Panics
    /// If there is no such person.
    pub fn name(&self, person: usize) -> &str {
        &self.names[person]
    }

    /// The embeddings.
    pub fn vectors(&self) -> &Vectors {
        &self.vectors
    }

    /// Whose the face at this place is.
    pub(super) fn owner(&self, place: u32) -> usize {
        self.owners[place as usize] as usize
    }
}

/// Embeddings in memory, `[n, dim]`.
#[derive(Debug, Clone, PartialEq)]
pub enum Vectors {
    /// A byte for each dimension.
    Bytes(ByteVectors),
    /// Floats, row by row.
    Floats {
        /// Dimensions.
        dim: usize,
        /// All values.
        rows: Vec<f32>,
    },
}

impl Vectors {
    /// None yet, with room for `count`.
    pub(super) fn new(kind: VectorKind, dimensions: u32, count: usize) -> Result<Self> {
        let dim = dimensions as usize;
        Ok(match kind {
            VectorKind::Bytes => {
                let mut vectors = ByteVectors::new(dim)?;
                vectors.reserve(count);
                Self::Bytes(vectors)
            }
            VectorKind::Floats => Self::Floats { dim, rows: Vec::with_capacity(count * dim) },
        })
    }

    /// Takes an embedding as the file keeps it.
    pub(super) fn push(&mut self, row: &[u8]) -> Result<()> {
        match self {
            Self::Bytes(vectors) => vectors.push_bytes(bytemuck::cast_slice(row)),
            Self::Floats { dim, rows } => {
                let before = rows.len();
                rows.extend(row.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)));
                if row.len() != *dim * size_of::<f32>() || rows[before..].iter().any(|x| !x.is_finite()) {
                    return Err(Error::NotFinite("an embedding is damaged".to_string()));
                }
                Ok(())
            }
        }
    }

    /// Dimensions of an embedding.
    pub fn dim(&self) -> usize {
        match self {
            Self::Bytes(vectors) => vectors.dim(),
            Self::Floats { dim, .. } => *dim,
        }
    }

    /// Prepares to find the `k` nearest for about `queries` queries at a time.
    pub(super) fn searcher(&self, engine: &Engine, k: u32, queries: usize) -> Result<AnySearcher<'_>> {
        Ok(match self {
            Self::Bytes(vectors) => AnySearcher::Bytes(ByteSearcher::new(engine, vectors, k, queries)?),
            Self::Floats { dim, rows } => {
                let question = Question { k, farthest: false, pairs: Pairs::Any };
                AnySearcher::Floats(Box::new(Searcher::new(engine, Points::new(rows, *dim)?, question, queries)?))
            }
        })
    }
}

/// A searcher among either kind of vectors.
#[derive(Debug)]
pub(super) enum AnySearcher<'a> {
    Bytes(ByteSearcher<'a>),
    Floats(Box<Searcher>),
}

impl AnySearcher<'_> {
    /// The neighbours of embeddings `[n, dim]`.
    pub(super) fn search(&mut self, rows: &[f32], dim: usize) -> Result<Neighbours> {
        let goes_on = |_, _| std::ops::ControlFlow::Continue(());
        let found = match self {
            Self::Bytes(searcher) => searcher.search(&ByteVectors::quantise(rows, dim)?, goes_on)?,
            Self::Floats(searcher) => searcher.search(&Queries::new(Points::new(rows, dim)?), goes_on)?,
        };
        Ok(found.expect("it was not ended"))
    }
}
