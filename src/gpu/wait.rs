//! The one place where the program waits for a GPU. Everything else of this module is asynchronous: it submits, and what
//! comes back is a future.

use std::future::Future;

use wgpu::PollType;

use super::Gpu;
use crate::executor::Drive;
use crate::{Error, Result};

/// Waits for what needs no device to move on: opening adapters and devices, and error scopes, which are settled when the
/// call that they surround returns.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
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
