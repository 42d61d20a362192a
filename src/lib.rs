//! `FaceNet` (Schroff et al., 2015) as a GPU compute-shader engine: a face image becomes a unit-length embedding, and the
//! squared distance of two embeddings says whether they show one person.
//!
//! ```no_run
//! use facenet_gpu::{DeviceChoice, Engine, Session};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::open(&DeviceChoice::Auto)?;
//! let mut session = Session::open(&engine, "runs/train/run/weights/best.safetensors")?;
//! let embeddings = session.embed_files(&["one.jpg", "other.jpg"])?;
//! let distance = embeddings.squared_distance(0, 1);
//! println!("squared distance {distance:.3}: below the threshold that training printed, they are one person");
//! # Ok(())
//! # }
//! ```
//!
//! [`Engine`] is a device, [`Model`] a network as a value, [`Weights`] its trained tensors, [`Session`] all three together.
//! [`detect`] finds faces on photographs, [`align`](mod@align) cuts them out, [`train`](mod@train) trains, [`eval`] measures, [`embed`](mod@embed) embeds whole folders, [`data`] reads faces, [`search`] finds nearest neighbours, `gallery` keeps known people and says who is on an image, [`weights`] exchanges
//! weights with other programs. Your own networks are built from [`net::Blocks`], or from [`graph`] and [`op`].
//! `ARCHITECTURE.md` shows the layers and the life of a training step.
//!
//! Modules that are hidden here are for this package's own tests and benches; they change without notice.

pub mod align;
#[doc(hidden)]
pub mod bench;
#[cfg(feature = "program")]
#[doc(hidden)]
pub mod chart;
#[cfg(feature = "program")]
#[doc(hidden)]
pub mod cli;
pub mod cluster;
#[doc(hidden)]
pub mod cpu;
pub mod data;
pub mod detect;
mod digest;
pub mod embed;
mod embeddings;
mod engine;
mod error;
pub mod eval;
#[doc(hidden)]
pub mod executor;
#[cfg(feature = "gallery")]
pub mod gallery;
pub mod gpu;
pub mod graph;
pub mod model;
pub mod net;
pub mod op;
#[doc(hidden)]
pub mod optim;
#[doc(hidden)]
pub mod plan;
pub mod search;
mod session;
pub mod store;
mod text;
pub mod train;
pub mod tune;
pub mod weights;

pub use embeddings::{Embeddings, squared_distance};
pub use engine::{DeviceChoice, Engine, MemoryBudget};
pub use error::{Error, Result};
pub use gpu::Precision;
pub use model::Model;
pub use plan::Shape;
pub use session::{Output, Session, initial_weights};
pub use weights::Weights;
pub use {image, wgpu};
