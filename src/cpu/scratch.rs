//! Scratch memory that a thread keeps from one call to the next: fresh pages cost more than what is done with them.

use std::cell::RefCell;
use std::thread::LocalKey;

type Pool = RefCell<Vec<Vec<f32>>>;

thread_local! {
    /// Vectors to be filled.
    static VECTORS: Pool = const { RefCell::new(Vec::new()) };
    /// Vectors that are full already: filling them with zeros would cost what this module saves.
    static FLOATS: Pool = const { RefCell::new(Vec::new()) };
}

/// Lends an empty vector with whatever capacity an earlier user left. The loans of a thread may nest.
pub(crate) fn lend<R>(use_it: impl FnOnce(&mut Vec<f32>) -> R) -> R {
    lend_from(&VECTORS, |scratch| {
        scratch.clear();
        use_it(scratch)
    })
}

/// Lends `len` floats that hold whatever an earlier user left.
pub(crate) fn lend_floats<R>(len: usize, use_it: impl FnOnce(&mut [f32]) -> R) -> R {
    lend_from(&FLOATS, |scratch| {
        if scratch.len() < len {
            scratch.resize(len, 0.0);
        }
        use_it(&mut scratch[..len])
    })
}

fn lend_from<R>(pool: &'static LocalKey<Pool>, use_it: impl FnOnce(&mut Vec<f32>) -> R) -> R {
    let mut scratch = pool.with_borrow_mut(Vec::pop).unwrap_or_default();
    let result = use_it(&mut scratch);
    pool.with_borrow_mut(|kept| kept.push(scratch));
    result
}
