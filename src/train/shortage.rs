//! A device that runs out of memory, for tests: no device does so when it is told to.

use std::cell::Cell;

use crate::{Error, Result};

thread_local! {
    /// Steps of this thread's trainers before the shortage, and how many it lasts.
    pub(super) static COMING: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

pub(super) fn strike() -> Result<()> {
    match COMING.get() {
        (_, 0) => Ok(()),
        (0, left) => {
            COMING.set((0, left - 1));
            Err(Error::Memory("the device has no memory left".into()))
        }
        (steps, left) => {
            COMING.set((steps - 1, left));
            Ok(())
        }
    }
}
