//! Scratch memory that a thread keeps from one call to the next: fresh pages cost more than what is done with them.

use std::cell::RefCell;

thread_local! {
    static KEPT: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Lends `len` floats that hold whatever an earlier user left.
pub(crate) fn lend_floats<R>(len: usize, use_it: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut scratch = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
    if scratch.len() < len {
        scratch.resize(len, 0.0);
    }
    let result = use_it(&mut scratch[..len]);
    KEPT.with_borrow_mut(|kept| kept.push(scratch));
    result
}

/// Lends an empty vector with whatever capacity an earlier user left. The loans of a thread may nest.
pub(crate) fn lend<R>(use_it: impl FnOnce(&mut Vec<f32>) -> R) -> R {
    let mut scratch = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
    scratch.clear();
    let result = use_it(&mut scratch);
    KEPT.with_borrow_mut(|kept| kept.push(scratch));
    result
}
