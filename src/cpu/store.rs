//! The tensors of a store on the CPU device.

use super::aligned::Aligned;
use super::executor::{CpuShelf, get_f32, put_f32};
use super::tensor::Tensor;
use super::{Float, memory};
use crate::plan::BufferSpec;
use crate::{Error, Result};

/// Adds those of `specs` that are not there yet, all zero.
///
/// # Errors
/// An allocation fails, or a tensor of that name has other sizes.
pub(crate) fn add<T: Float>(shelf: &CpuShelf<T>, specs: Vec<BufferSpec>) -> Result<()> {
    let mut left = memory::available();
    shelf.add(specs, |spec| {
        let len = spec.shape.len();
        let fits = left.checked_sub((len * size_of::<T>()) as u64);
        let memory = fits.and_then(|rest| {
            left = rest;
            Aligned::new(len, T::zero()).map(Tensor::new)
        });
        memory.ok_or_else(|| {
            let mib = spec.bytes() as f64 / f64::from(1 << 20);
            Error::Memory(format!(
                "out of memory: the tensor {} {} of {mib:.1} MiB does not fit",
                spec.name, spec.shape
            ))
        })
    })
}

/// Writes a tensor by its position.
pub(crate) fn upload<T: Float>(shelf: &CpuShelf<T>, at: usize, data: &[f32]) {
    shelf.touch();
    put_f32(shelf.write().memory[at].floats_mut(), data);
}

/// Copies tensors by their positions.
pub(crate) fn download<T: Float>(shelf: &CpuShelf<T>, at: &[usize]) -> Vec<Vec<f32>> {
    let tensors = shelf.read();
    at.iter().map(|&at| get_f32(tensors.memory[at].floats())).collect()
}
