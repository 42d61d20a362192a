//! The CPU device: runs a plan with the kernels' Rust twins. In `f32` it is a device, in `f64` the oracle that the GPU
//! kernels are tested against.

mod aligned;
mod executor;
mod four;
mod memory;
pub(crate) mod scratch;
mod shared;
mod store;
mod tensor;
pub(crate) mod tile;
mod vectorized;
pub(crate) mod winograd;

pub(crate) use self::memory::available as available_memory;
pub(crate) use crate::plan::put;
pub use crate::plan::{Arg, Call, Float};
pub use executor::CpuExecutor;
pub(crate) use executor::CpuShelf;
#[cfg(test)]
pub(crate) use executor::TwinOf;
pub(crate) use shared::Shared;
pub(crate) use store::{add, download, upload};
pub(crate) use vectorized::vectorized;

/// Name of the instruction set that the matrix products of this processor use.
pub fn instruction_set() -> &'static str {
    tile::tiles().name
}
