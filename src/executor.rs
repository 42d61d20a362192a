//! What every device offers once it holds a plan: write inputs, run steps, read results.

use std::fmt;
use std::ops::Range;

use crate::Result;
use crate::plan::{Buf, Plan};

/// How a plan is laid out on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// Writes a float buffer.
    ///
    /// # Errors
    /// The length or type differs from the plan's, or the device is lost.
    fn write(&mut self, buf: Buf, data: &[f32]) -> Result<()>;

    /// Writes an integer buffer.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn write_u32(&mut self, buf: Buf, data: &[u32]) -> Result<()>;

    /// Reads a float buffer; waits for the device.
    ///
    /// # Errors
    /// The buffer holds integers, or the device is lost.
    fn read(&mut self, buf: Buf) -> Result<Vec<f32>>;

    /// Reads an integer buffer; waits for the device.
    ///
    /// # Errors
    /// The buffer holds floats, or the device is lost.
    fn read_u32(&mut self, buf: Buf) -> Result<Vec<u32>>;

    /// Asks for a small float buffer as it is after all that was run so far, without waiting for it.
    ///
    /// # Errors
    /// The buffer holds integers, or the device is lost.
    fn read_later(&mut self, buf: Buf) -> Result<Pending>;

    /// Runs a range of the plan's steps. May return before the device is done.
    ///
    /// # Errors
    /// The device is lost or refuses a dispatch.
    fn run(&mut self, steps: Range<usize>) -> Result<()>;

    /// Runs a range of steps and measures the seconds of each.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn time(&mut self, steps: Range<usize>) -> Result<Vec<f64>>;

    /// Names of the buffers behind which a kernel has written; empty if all is well or there are no guard zones.
    ///
    /// # Errors
    /// The device is lost.
    fn check_guards(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Runs all steps.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn run_all(&mut self) -> Result<()> {
        self.run(0..self.plan().steps.len())
    }
}

type Poll = Box<dyn FnMut(bool) -> Result<Option<Vec<f32>>> + Send>;

/// A read that is under way.
pub struct Pending(Poll);

impl Pending {
    pub(crate) fn new(poll: impl FnMut(bool) -> Result<Option<Vec<f32>>> + Send + 'static) -> Self {
        Self(Box::new(poll))
    }

    pub(crate) fn ready(data: Vec<f32>) -> Self {
        let mut data = Some(data);
        Self::new(move |_| Ok(data.take()))
    }

    /// This and another read as one, once both have arrived: `join` takes the other's data into this one's.
    pub(crate) fn joined(mut self, mut other: Self, join: fn(&mut [f32], &[f32])) -> Self {
        let (mut mine, mut theirs) = (None, None);
        Self::new(move |wait| {
            for (data, read) in [(&mut mine, &mut self.0), (&mut theirs, &mut other.0)] {
                if data.is_none() {
                    *data = read(wait)?;
                }
            }
            if let (Some(mine), Some(theirs)) = (&mut mine, &theirs) {
                join(mine, theirs);
                return Ok(Some(std::mem::take(mine)));
            }
            Ok(None)
        })
    }

    /// The data if it has arrived; never waits.
    ///
    /// # Errors
    /// The device is lost.
    pub fn try_take(&mut self) -> Result<Option<Vec<f32>>> {
        (self.0)(false)
    }

    /// Waits for the data.
    ///
    /// # Errors
    /// The device is lost.
    pub fn wait(mut self) -> Result<Vec<f32>> {
        Ok((self.0)(true)?.unwrap_or_default())
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}
