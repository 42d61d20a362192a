//! The one place where the program waits for a GPU. Everything else of this module is asynchronous: it submits, and what
//! comes back is a future.

use std::future::Future;
use std::sync::Arc;

use wgpu::{BufferUsages, PollType};

use super::adapter::open_all;
use super::{AdapterChoice, AdapterInfo, Gpu, GpuExecutor, GpuShelf, Precision};
use crate::executor::{Drive, Options};
use crate::plan::Plan;
use crate::{Error, Result};

/// Waits for what needs no device to move on: opening adapters and devices, and error scopes, which are settled when the
/// call that they surround returns.
fn block_on<F: Future>(future: F) -> F::Output {
    pollster::block_on(future)
}

impl Drive for Gpu {
    fn advance(&self, wait: bool) -> Result<()> {
        let poll = if wait { PollType::wait_indefinitely() } else { PollType::Poll };
        let polled = self.device().poll(poll);
        // What the driver has complained about says more than that the wait failed.
        self.check()?;
        polled.map(drop).map_err(|e| Error::Device(format!("{}: {e}", self.info().name)))
    }
}

/// All adapters that wgpu finds, the most capable kind first, otherwise in the order of the drivers. The place in this
/// list is the number of [`AdapterChoice::Number`].
pub fn adapters() -> Vec<AdapterInfo> {
    block_on(open_all()).into_iter().map(|(_, info)| info).collect()
}

impl Gpu {
    /// Opens an adapter.
    ///
    /// # Errors
    /// As [`open_async`](Self::open_async).
    pub fn open(choice: &AdapterChoice) -> Result<Self> {
        block_on(Self::open_async(choice))
    }

    /// Opens an adapter for a precision.
    ///
    /// # Errors
    /// As [`open_with_async`](Self::open_with_async).
    pub fn open_with(choice: &AdapterChoice, precision: Precision) -> Result<Self> {
        block_on(Self::open_with_async(choice, precision))
    }

    /// As [`buffer_async`](Self::buffer_async).
    pub(super) fn buffer(&self, name: &str, bytes: u64, usage: BufferUsages) -> Result<wgpu::Buffer> {
        block_on(self.buffer_async(name, bytes, usage))
    }
}

impl GpuExecutor {
    /// As [`bound_async`](Self::bound_async).
    pub(crate) fn bound(gpu: &Gpu, plan: Plan, options: &Options, stores: Vec<Arc<GpuShelf>>) -> Result<Self> {
        block_on(Self::bound_async(gpu, plan, options, stores))
    }
}
