//! What is made of a tensor for its kernels and kept with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What kernels made of a tensor, such as weights in the order in which their loops read them. It is made at the first use and
/// kept until the tensor changes: for inference, the weights are prepared once.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Vec<Made>>);

/// A name, and what was made under it.
type Made = (&'static str, Arc<Vec<f32>>);

impl Kept {
    /// What is kept under a name, made by `make` if nothing is. `make` may run on several threads at once; one result stays.
    pub(crate) fn get(&self, name: &'static str, make: impl FnOnce(&mut Vec<f32>)) -> Arc<Vec<f32>> {
        let find = |all: &[Made]| all.iter().find(|(n, _)| *n == name).map(|(_, made)| made.clone());
        if let Some(made) = find(&self.lock()) {
            return made;
        }
        // Without the lock: `make` uses the thread pool, and a thread that waits there may take up another plan's work.
        let mut made = Vec::new();
        make(&mut made);
        let mut all = self.lock();
        find(&all).unwrap_or_else(|| {
            let made = Arc::new(made);
            all.push((name, made.clone()));
            made
        })
    }

    /// Bytes of all that is kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().iter().map(|(_, made)| size_of_val(&made[..]) as u64).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Made>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_made_once_for_each_name() {
        let kept = Kept::default();
        let make = |with: f32| move |to: &mut Vec<f32>| to.push(with);
        assert_eq!(*kept.get("a", make(1.0)), [1.0]);
        assert_eq!(*kept.get("b", make(2.0)), [2.0]);
        assert_eq!(*kept.get("a", make(3.0)), [1.0]);
        assert_eq!(kept.bytes(), 8);
    }
}
