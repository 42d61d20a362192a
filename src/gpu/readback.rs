//! Reading buffers back: copy to a staging buffer, map it, hand out the bytes.

use std::ops::Range;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use wgpu::{BufferUsages, MapMode, PollType};

use super::Gpu;
use crate::{Error, Result};

/// A copy that is under way from the device to the program.
#[derive(Debug)]
pub(super) struct Readback {
    gpu: Gpu,
    staging: wgpu::Buffer,
    done: Receiver<std::result::Result<(), wgpu::BufferAsyncError>>,
}

impl Readback {
    /// Asks for bytes of a buffer as they are after everything submitted so far.
    pub(super) fn start(gpu: &Gpu, buffer: &wgpu::Buffer, range: Range<u64>) -> Result<Self> {
        let len = range.end - range.start;
        let staging = gpu.buffer("readback", len, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?;
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, range.start, &staging, 0, len);
        gpu.queue().submit([encoder.finish()]);
        let (send, done) = channel();
        // The receiver may be gone when the mapping arrives: nobody wants the data then.
        staging.map_async(MapMode::Read, .., move |result| drop(send.send(result)));
        Ok(Self { gpu: gpu.clone(), staging, done })
    }

    /// The bytes if they have arrived. With `wait` they always have, unless the device fails.
    pub(super) fn poll(&self, wait: bool) -> Result<Option<Vec<u8>>> {
        let poll = if wait { PollType::wait_indefinitely() } else { PollType::Poll };
        let polled = self.gpu.device().poll(poll);
        self.gpu.check()?;
        polled.map_err(|e| Error::Device(format!("{}: {e}", self.gpu.info().name)))?;
        let failed = |what: String| Error::Device(format!("{}: cannot read results: {what}", self.gpu.info().name));
        match self.done.try_recv() {
            Ok(Ok(())) => {
                let bytes = self.staging.get_mapped_range(..).map_err(|e| failed(format!("{e:?}")))?.to_vec();
                self.staging.unmap();
                Ok(Some(bytes))
            }
            Ok(Err(e)) => Err(failed(e.to_string())),
            Err(TryRecvError::Empty) if !wait => Ok(None),
            Err(e) => Err(failed(e.to_string())),
        }
    }

    /// The bytes, waited for.
    pub(super) fn wait(self) -> Result<Vec<u8>> {
        Ok(self.poll(true)?.unwrap_or_default())
    }
}
