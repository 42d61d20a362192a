//! The tensors of a store with their names: what is the same on every device.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::plan::BufferSpec;
use crate::{Error, Result};

/// Named tensors of which `M` is the memory: a `Vec` of floats, or a buffer of a GPU.
#[derive(Debug)]
pub(crate) struct Shelf<M> {
    tensors: RwLock<Tensors<M>>,
    version: AtomicU64,
}

/// What a [`Shelf`] holds.
#[derive(Debug)]
pub(crate) struct Tensors<M> {
    specs: Vec<BufferSpec>,
    index: HashMap<String, usize>,
    pub(crate) memory: Vec<M>,
}

impl<M> Default for Shelf<M> {
    fn default() -> Self {
        let tensors = Tensors { specs: Vec::new(), index: HashMap::new(), memory: Vec::new() };
        Self { tensors: RwLock::new(tensors), version: AtomicU64::new(0) }
    }
}

impl<M> Shelf<M> {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Tensors<M>> {
        self.tensors.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Tensors<M>> {
        self.tensors.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds those of `specs` that are not there yet, with memory from `allocate`.
    pub(crate) fn add(
        &self,
        specs: impl IntoIterator<Item = BufferSpec>,
        mut allocate: impl FnMut(&BufferSpec) -> Result<M>,
    ) -> Result<()> {
        let mut tensors = self.write();
        for spec in specs {
            if tensors.find(&spec)?.is_none() {
                let memory = allocate(&spec)?;
                let at = tensors.memory.len();
                tensors.memory.push(memory);
                tensors.index.insert(spec.name.clone(), at);
                tensors.specs.push(spec);
            }
        }
        Ok(())
    }

    /// Grows with every change of any tensor.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// Some tensor has changed, or is about to.
    pub(crate) fn touch(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
    }
}

impl<M> Tensors<M> {
    pub(crate) fn specs(&self) -> &[BufferSpec] {
        &self.specs
    }

    /// Position of the tensor of that name.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// Position of the tensor that a plan's buffer stands for, if it is there.
    ///
    /// # Errors
    /// A tensor of that name has other sizes or another role.
    pub(crate) fn find(&self, spec: &BufferSpec) -> Result<Option<usize>> {
        let Some(at) = self.position(&spec.name) else { return Ok(None) };
        let own = &self.specs[at];
        if own != spec {
            let message = format!(
                "the store holds it as {:?} {} ({:?}), the plan needs {:?} {} ({:?})",
                own.ty, own.shape, own.role, spec.ty, spec.shape, spec.role
            );
            return Err(Error::shape(&spec.name, message));
        }
        Ok(Some(at))
    }
}

/// Looks a buffer up in several shelves.
///
/// # Errors
/// None holds it, or one holds it with other sizes.
pub(crate) fn find_in<'a, M: 'a>(
    shelves: impl IntoIterator<Item = &'a Shelf<M>>,
    spec: &BufferSpec,
) -> Result<Option<(usize, usize)>> {
    let mut any = false;
    for (number, shelf) in shelves.into_iter().enumerate() {
        any = true;
        if let Some(tensor) = shelf.read().find(spec)? {
            return Ok(Some((number, tensor)));
        }
    }
    if any {
        return Err(Error::shape(&spec.name, format!("no store holds this tensor {}, which a plan needs", spec.shape)));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Role, Shape, Type};

    fn spec(name: &str, len: u32) -> BufferSpec {
        BufferSpec { name: name.into(), shape: Shape::vector(len), ty: Type::F32, role: Role::Param }
    }

    #[test]
    fn a_tensor_is_added_once_and_found_by_name_with_its_sizes() {
        let shelf = Shelf::<usize>::default();
        let mut made = 0;
        let mut add = |specs: &[BufferSpec]| {
            shelf.add(specs.to_vec(), |_| {
                made += 1;
                Ok(made)
            })
        };
        add(&[spec("a", 1), spec("b", 2)]).unwrap();
        add(&[spec("b", 2), spec("c", 3)]).unwrap();
        let text = add(&[spec("a", 9)]).unwrap_err().to_string();
        assert!(text.contains("the store holds it as F32 [1]") && text.contains("needs F32 [9]"), "{text}");
        assert_eq!(shelf.read().memory, [1, 2, 3]);
        assert_eq!(find_in([&shelf], &spec("b", 2)).unwrap(), Some((0, 1)));
        assert_eq!(
            find_in::<usize>([], &spec("b", 2)).unwrap(),
            None,
            "a plan without stores keeps its tensors itself"
        );
        let text = find_in([&shelf], &spec("d", 1)).unwrap_err().to_string();
        assert!(text.contains("d: no store holds this tensor [1]"), "{text}");
    }
}
