//! Nearest neighbours of embeddings on a device: for each query the `k` nearest images of a gallery, or the farthest, by
//! squared Euclidean distance. The gallery may have any size: it lies on the device in parts that every adapter can bind,
//! queries come in blocks, and there is never a matrix of all distances. What is found depends on neither. Embeddings are floats
//! ([`Searcher`]) or bytes ([`ByteSearcher`]).

mod bytes;
mod plan;
mod points;
mod searcher;

pub use crate::op::{Pairs, Question};
pub use bytes::{ByteSearcher, ByteVectors};
pub use plan::SearchPlan;
pub use points::Points;
pub use searcher::{Neighbours, Queries, Searcher};
