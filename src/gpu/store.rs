//! The tensors of a store on the GPU.

use std::sync::Arc;

use wgpu::BufferUsages;

use super::Gpu;
use super::download::Download;
use crate::Result;
use crate::executor::{Pending, Shelf};
use crate::plan::BufferSpec;

/// A store on a GPU.
pub(crate) type GpuShelf = Shelf<wgpu::Buffer>;

/// What buffers of a plan or a store are used for.
pub(super) const STORAGE: BufferUsages =
    BufferUsages::STORAGE.union(BufferUsages::COPY_SRC).union(BufferUsages::COPY_DST);

/// Adds those of `specs` that are not there yet, all zero.
///
/// # Errors
/// An allocation fails, or a tensor of that name has other sizes.
pub(crate) fn add(gpu: &Gpu, shelf: &GpuShelf, specs: Vec<BufferSpec>) -> Result<()> {
    shelf.add(specs, |spec| gpu.buffer(&format!("{} {}", spec.name, spec.shape), spec.bytes(), STORAGE))
}

/// Writes a tensor by its position.
///
/// # Errors
/// The device is lost.
pub(crate) fn upload(gpu: &Gpu, shelf: &GpuShelf, at: usize, data: &[f32]) -> Result<()> {
    shelf.touch();
    gpu.queue().write_buffer(&shelf.read().memory[at], 0, bytemuck::cast_slice(data));
    gpu.check()
}

/// Copies tensors by their positions, as they are after everything submitted so far: one submission.
///
/// # Errors
/// The device is lost or lacks memory.
pub(crate) fn download(gpu: &Gpu, shelf: &GpuShelf, at: &[usize]) -> Result<Pending<Vec<Vec<f32>>>> {
    let tensors = shelf.read();
    let ranges: Vec<_> = at.iter().map(|&at| (&tensors.memory[at], 0..tensors.specs()[at].bytes())).collect();
    let download = Download::start(gpu, &ranges)?;
    let floats = |bytes: Vec<Vec<u8>>| bytes.iter().map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect();
    Ok(Pending::new(Arc::new(gpu.clone()), download).map(floats))
}
