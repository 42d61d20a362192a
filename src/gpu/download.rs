//! Bringing buffers back to the program: copy to staging buffers, map them, hand out the bytes.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use wgpu::{BufferUsages, MapMode};

use super::Gpu;
use crate::{Error, Result};

/// Copies that are under way from the device to the program: one submission, whatever their number.
#[derive(Debug)]
pub(super) struct Download {
    gpu: Gpu,
    staging: Vec<wgpu::Buffer>,
    /// For each copy its staging buffer and its place there.
    copies: Vec<(usize, Range<u64>)>,
    mapping: Arc<Mutex<Mapping>>,
}

/// What has become of the mappings of the staging buffers.
#[derive(Debug)]
struct Mapping {
    /// Buffers that are not mapped yet.
    left: usize,
    failure: Option<String>,
    waker: Option<Waker>,
}

impl Download {
    /// Asks for ranges of buffers (bytes, multiples of four) as they are after everything submitted so far. They lie one
    /// behind the other in staging buffers as large as the device allows.
    pub(super) fn start(gpu: &Gpu, ranges: &[(&wgpu::Buffer, Range<u64>)]) -> Result<Self> {
        let most = gpu.info().max_buffer;
        let mut sizes: Vec<u64> = Vec::new();
        let mut copies = Vec::with_capacity(ranges.len());
        for (_, range) in ranges {
            let len = range.end - range.start;
            if sizes.last().is_none_or(|size| size + len > most) {
                sizes.push(0);
            }
            let number = sizes.len() - 1;
            copies.push((number, sizes[number]..sizes[number] + len));
            sizes[number] += len;
        }
        let mut staging = Vec::with_capacity(sizes.len());
        for size in sizes {
            staging.push(gpu.buffer("download", size, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?);
        }
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for ((buffer, from), (number, to)) in ranges.iter().zip(&copies) {
            encoder.copy_buffer_to_buffer(buffer, from.start, &staging[*number], to.start, to.end - to.start);
        }
        gpu.queue().submit([encoder.finish()]);
        let mapping = Arc::new(Mutex::new(Mapping { left: staging.len(), failure: None, waker: None }));
        for buffer in &staging {
            let mapping = mapping.clone();
            buffer.map_async(MapMode::Read, .., move |result| {
                let mut mapping = mapping.lock().unwrap_or_else(PoisonError::into_inner);
                mapping.left -= 1;
                if let Err(e) = result {
                    mapping.failure.get_or_insert(e.to_string());
                }
                if let Some(waker) = mapping.waker.take() {
                    waker.wake();
                }
            });
        }
        Ok(Self { gpu: gpu.clone(), staging, copies, mapping })
    }

    /// The bytes of every range, once all are mapped.
    fn bytes(&self) -> Result<Vec<Vec<u8>>> {
        let mut all = Vec::with_capacity(self.copies.len());
        for (number, range) in &self.copies {
            let view = self.staging[*number].get_mapped_range(range.clone());
            all.push(view.map_err(|e| self.failed(&format!("{e:?}")))?.to_vec());
        }
        self.staging.iter().for_each(wgpu::Buffer::unmap);
        Ok(all)
    }

    fn failed(&self, what: &str) -> Error {
        Error::Device(format!("{}: cannot read results: {what}", self.gpu.info().name))
    }
}

impl Future for Download {
    type Output = Result<Vec<Vec<u8>>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut mapping = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
        if mapping.left > 0 {
            mapping.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(match mapping.failure.take() {
            Some(what) => Err(self.failed(&what)),
            None => self.bytes(),
        })
    }
}

/// A fence: done once the device has done everything submitted so far.
pub(super) fn fence(gpu: &Gpu) -> impl Future<Output = Result<()>> + Send + 'static {
    let mapping = Arc::new(Mutex::new(Mapping { left: 1, failure: None, waker: None }));
    let done = mapping.clone();
    gpu.queue().on_submitted_work_done(move || {
        let mut mapping = done.lock().unwrap_or_else(PoisonError::into_inner);
        mapping.left = 0;
        if let Some(waker) = mapping.waker.take() {
            waker.wake();
        }
    });
    std::future::poll_fn(move |context| {
        let mut mapping = mapping.lock().unwrap_or_else(PoisonError::into_inner);
        if mapping.left == 0 {
            return Poll::Ready(Ok(()));
        }
        mapping.waker = Some(context.waker().clone());
        Poll::Pending
    })
}
