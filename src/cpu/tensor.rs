//! A tensor of a store, with what kernels made of it.

use super::aligned::Aligned;
use crate::plan::Kept;

/// A tensor's memory. Whoever writes it drops what was made of it.
#[derive(Debug)]
pub(crate) struct Tensor<T> {
    floats: Aligned<T>,
    kept: Kept,
}

impl<T> Tensor<T> {
    pub(super) fn new(floats: Aligned<T>) -> Self {
        Self { floats, kept: Kept::default() }
    }

    pub(super) fn floats(&self) -> &Aligned<T> {
        &self.floats
    }

    /// The floats, to be changed.
    pub(super) fn floats_mut(&mut self) -> &mut Aligned<T> {
        self.kept = Kept::default();
        &mut self.floats
    }

    /// What kernels made of it.
    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }
}
