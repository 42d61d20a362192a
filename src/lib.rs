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
//! From the bottom up: [`plan`] is plain data (buffers and dispatches), [`gpu`] and [`cpu`] run plans, [`graph`] records
//! them, [`op`] and [`optim`] hold the kernels, [`net`] the networks, [`data`] and [`eval`] faces and protocols, and
//! [`train`] the loop. `ARCHITECTURE.md` walks through one training step.

pub mod bench;
#[cfg(feature = "program")]
#[doc(hidden)]
pub mod cli;
pub mod cpu;
pub mod data;
mod engine;
mod error;
pub mod eval;
pub mod executor;
pub mod gpu;
pub mod graph;
pub mod model;
pub mod net;
pub mod op;
pub mod optim;
pub mod plan;
pub mod search;
mod session;
pub mod store;
pub mod text;
pub mod train;
pub mod weights;

pub use engine::{DeviceChoice, Engine, MemoryBudget};
pub use error::{Error, Result};
pub use model::Model;
pub use session::{Embeddings, Output, Session, initial_weights};
pub use weights::Weights;
pub use {image, wgpu};
