//! A buffer that several threads write, each its own floats.

use std::marker::PhantomData;

/// Floats of which every thread writes some that no other thread touches, such as some channels of some pixels. Whoever
/// writes says so: the methods are unsafe.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    first: *mut f32,
    len: usize,
    owner: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a `&mut [f32]` that is handed out in pieces; that the pieces do not overlap is what its users promise.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Shares a buffer as long as it is borrowed.
    pub(crate) fn new(floats: &'a mut [f32]) -> Self {
        Self { first: floats.as_mut_ptr(), len: floats.len(), owner: PhantomData }
    }

    /// Floats of the whole buffer.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The beginning, for kernels that check their addresses against [`len`](Self::len).
    pub(crate) fn as_mut_ptr(&self) -> *mut f32 {
        self.first
    }

    /// `len` floats from `at` on.
    ///
    /// # Safety
    /// No other thread reads or writes them while the result lives.
    ///
    /// # Panics
    /// If they are not all there.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that the floats are its own")]
    pub(crate) unsafe fn floats(&self, at: usize, len: usize) -> &mut [f32] {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.len), "floats in bounds");
        // SAFETY: in bounds as checked; alone as promised.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(at), len) }
    }
}
