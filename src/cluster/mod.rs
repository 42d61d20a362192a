//! Which images show the same person, where nobody is known: embeddings into clusters, by a threshold on squared distances.
//!
//! [`agglomerative()`] is the paper's method, in memory that grows with the square of the number of images. [`graph()`] looks at
//! each image's nearest neighbours alone, and takes hundreds of thousands of images. Neither needs files;
//! [`neighbours`] needs a device, which may be the CPU. [`eval::clusters`](crate::eval::clusters) says how good clusters are.
//!
//! ```
//! use facenet_gpu::cluster::{Linkage, agglomerative};
//! use facenet_gpu::Embeddings;
//!
//! # fn main() -> facenet_gpu::Result<()> {
//! let embeddings = Embeddings::new(2, vec![1.0, 0.0, 0.0, 1.0, 0.8, 0.6])?;
//! let clusters = agglomerative(&embeddings, Linkage::Average, 0.5, 1 << 30)?;
//! assert_eq!(clusters.labels, [0, 1, 0]);
//! # Ok(())
//! # }
//! ```

mod agglomerative;
mod clusters;
mod condensed;
mod graph;
#[cfg(test)]
mod testing;

pub use agglomerative::{Dendrogram, Linkage, agglomerative};
pub use clusters::Clusters;
pub use condensed::matrix_bytes;
pub use graph::{graph, neighbours};
