//! Memory that begins where a cache line does.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the longest vector.
const LINE: usize = 64;

/// A buffer of fixed length. A vector that begins at a multiple of its own length lies in one cache line; elsewhere most
/// of them lie in two, which costs a depthwise convolution a third of its speed.
#[derive(Debug)]
pub(crate) struct Aligned<T> {
    memory: Vec<T>,
    first: usize,
}

impl<T: Copy> Aligned<T> {
    /// `len` times `fill`, or nothing where the memory cannot be allocated.
    pub(super) fn new(len: usize, fill: T) -> Option<Self> {
        let mut memory = Vec::<T>::new();
        memory.try_reserve_exact(len.checked_add(LINE / size_of::<T>())?).ok()?;
        let first = memory.as_ptr().align_offset(LINE);
        // Within what was reserved, so that the memory stays where it is.
        memory.resize(first + len, fill);
        Some(Self { memory, first })
    }
}

/// An empty buffer.
impl<T> Default for Aligned<T> {
    fn default() -> Self {
        Self { memory: Vec::new(), first: 0 }
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.memory[self.first..]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.first..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_any_length_begin_at_a_cache_line_and_hold_their_fill() {
        let all: Vec<_> = (1..200).map(|len| Aligned::new(len, 3.0f32).unwrap()).collect();
        assert!(all.iter().all(|a| a.as_ptr().addr() % LINE == 0));
        assert!(all.iter().zip(1..).all(|(a, len)| a.len() == len && a.iter().all(|&x| x == 3.0)));
        assert!(Aligned::new(usize::MAX - 3, 0.0f64).is_none());
    }
}
