//! The GPU device: everything that touches wgpu. Adapters, pipelines, and the loop that runs a plan.

mod adapter;
mod device;
mod download;
mod executor;
mod precision;
mod store;
mod wait;

pub use adapter::{AdapterChoice, AdapterInfo, DeviceKind, NO_ADAPTER};
pub use device::Gpu;
pub use executor::GpuExecutor;
pub use precision::Precision;
pub(crate) use store::{GpuShelf, add, download, upload};
pub use wait::adapters;
