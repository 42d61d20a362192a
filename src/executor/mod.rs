//! What every device offers once it holds a plan: upload, submit, download, fence. Nothing of it waits for the device but
//! the blocking facade below, which says so.

mod pending;
mod shelf;

use std::fmt;
use std::ops::Range;

pub(crate) use pending::Drive;
pub use pending::Pending;
pub(crate) use shelf::{Shelf, Tensors, find_in};

use crate::Result;
use crate::plan::{Buf, BufferSpec, Plan, Slots, assign_slots_except};

/// How a plan is laid out on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Temporaries whose lives do not overlap share memory.
    pub share: bool,
    /// Fill every buffer with NaN (floats) or 2^32-1 (integers), so that a read of something unwritten shows.
    pub poison: bool,
    /// Put a guard zone behind every buffer, for [`Executor::check_guards`]. Devices without one ignore it.
    pub guard: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { share: true, poison: false, guard: false }
    }
}

impl Options {
    /// Every buffer apart, poisoned and guarded: for tests and for finding the first bad layer.
    pub fn checked() -> Self {
        Self { share: false, poison: true, guard: true }
    }
}

/// A plan on a device.
pub trait Executor: fmt::Debug {
    /// The plan.
    fn plan(&self) -> &Plan;

    /// Uploads a float buffer.
    ///
    /// # Errors
    /// The length or type differs from the plan's, or the device is lost.
    fn write(&mut self, buf: Buf, data: &[f32]) -> Result<()>;

    /// Uploads an integer buffer.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn write_u32(&mut self, buf: Buf, data: &[u32]) -> Result<()>;

    /// Submits a range of the plan's steps. May return before the device is done.
    ///
    /// # Errors
    /// The device is lost or refuses a dispatch.
    fn run(&mut self, steps: Range<usize>) -> Result<()>;

    /// Downloads a float buffer as it is after all that was submitted so far, without waiting for it.
    ///
    /// # Errors
    /// The buffer holds integers, or the device is lost.
    fn download(&mut self, buf: Buf) -> Result<Pending<Vec<f32>>>;

    /// Downloads an integer buffer.
    ///
    /// # Errors
    /// The buffer holds floats, or the device is lost.
    fn download_u32(&mut self, buf: Buf) -> Result<Pending<Vec<u32>>>;

    /// A fence: arrives once the device has done all that was submitted so far. No data moves.
    ///
    /// # Errors
    /// The device is lost.
    fn fence(&mut self) -> Result<Pending<()>>;

    /// Runs a range of steps and measures the seconds of each. Waits for the device.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn time(&mut self, steps: Range<usize>) -> Result<Vec<f64>>;

    /// Bytes of what kernels made of weights and keep beside the plan's buffers, after its first run.
    fn kept_bytes(&self) -> u64 {
        0
    }

    /// Names of the buffers behind which a kernel has written; empty if all is well or there are no guard zones. Waits for
    /// the device.
    ///
    /// # Errors
    /// The device is lost.
    fn check_guards(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Submits all steps.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn run_all(&mut self) -> Result<()> {
        self.run(0..self.plan().steps.len())
    }

    /// Reads a float buffer. Waits for the device.
    ///
    /// # Errors
    /// As [`download`](Self::download).
    fn read(&mut self, buf: Buf) -> Result<Vec<f32>> {
        self.download(buf)?.wait()
    }

    /// Reads an integer buffer. Waits for the device.
    ///
    /// # Errors
    /// As [`download_u32`](Self::download_u32).
    fn read_u32(&mut self, buf: Buf) -> Result<Vec<u32>> {
        self.download_u32(buf)?.wait()
    }
}

/// Where a buffer of a plan lies on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In an allocation of the plan's own.
    Own(usize),
    /// In a store that the plan is bound to.
    Shared {
        /// Which of the stores.
        store: usize,
        /// Which of its tensors.
        tensor: usize,
    },
}

/// Places of a plan's buffers, and its own allocations. `find` looks a buffer up in the stores.
pub(crate) fn places(
    plan: &Plan,
    share: bool,
    find: impl Fn(&BufferSpec) -> Result<Option<(usize, usize)>>,
) -> Result<(Vec<Place>, Slots)> {
    let found: Vec<Option<(usize, usize)>> = plan
        .buffers
        .iter()
        .map(|spec| if spec.role.is_persistent() { find(spec) } else { Ok(None) })
        .collect::<Result<_>>()?;
    let slots = assign_slots_except(plan, share, |buf| found[buf.index()].is_some());
    let place = |(found, slot): (&Option<(usize, usize)>, &Option<usize>)| match (found, slot) {
        (Some((store, tensor)), _) => Place::Shared { store: *store, tensor: *tensor },
        (None, slot) => Place::Own(slot.expect("what no store holds has an allocation")),
    };
    let places = found.iter().zip(&slots.of).map(place).collect();
    Ok((places, slots))
}
