//! What becomes of calls, attributes and references to what lies outside of a pickle.

use std::io::BufRead;

use super::super::names::Known;
use super::super::object::{Made, Object, Storage, Tensor, Value};
use super::{Machine, Result, broken, ended};

/// Most axes of a tensor, as in PyTorch.
const MAX_AXES: usize = 64;
/// Longest name of a storage; PyTorch numbers them.
const MAX_KEY: usize = 256;

impl<R: BufRead> Machine<'_, R> {
    pub(super) fn reduce(&mut self) -> Result<()> {
        let [callee, with] = self.top(2)?[..] else { return Err(ended()) };
        self.call(callee, with, 0)
    }

    /// Puts on the stack what a call would have made; `within` counts calls in calls.
    pub(super) fn call(&mut self, callee: Value, with: Value, within: usize) -> Result<()> {
        let first = self.items(with).first().copied();
        match (self.known(callee), first) {
            (Some(Known::Dict), first) => {
                // A few bytes may copy a large dict, or look through a long list.
                self.hold(first.map_or(0, |from| self.len(from)))?;
                let pairs = first.map(|from| self.pairs(from)).unwrap_or_default();
                self.make(Object::Dict(pairs))
            }
            (Some(Known::Tensor), Some(storage)) => match self.object(storage) {
                Some(Object::Storage(storage)) => {
                    let tensor = self.tensor(storage.clone(), with)?;
                    self.hold(tensor.shape.len() + tensor.strides.len())?;
                    self.make(Object::Tensor(Box::new(tensor)))
                }
                _ => self.made(with),
            },
            (Some(Known::First), Some(first)) => self.push(first),
            (Some(Known::FromType), Some(function)) if within == 0 => {
                let with = self.items(with).get(2).copied().unwrap_or(Value::Plain);
                self.call(function, with, 1)
            }
            _ => self.made(with),
        }
    }

    fn made(&mut self, with: Value) -> Result<()> {
        self.make(Object::Made(Made { with, state: Value::Plain, items: Vec::new() }))
    }

    /// How much [`pairs`](Self::pairs) looks at.
    fn len(&self, from: Value) -> usize {
        match self.object(from) {
            Some(Object::Dict(pairs)) => pairs.len(),
            Some(Object::List(_, items)) => items.len(),
            _ => 0,
        }
    }

    /// The pairs of a dict, or of a list of pairs, whose values are objects.
    fn pairs(&self, from: Value) -> Vec<(Value, Value)> {
        let pair = |&(_, item): &(usize, Value)| match self.object(item)? {
            Object::Tuple(pair) => Some((*pair.first()?, *pair.get(1)?)),
            Object::List(_, pair) => match pair[..] {
                [(0, key), (1, value)] => Some((key, value)),
                _ => None,
            },
            _ => None,
        };
        match self.object(from) {
            Some(Object::Dict(pairs)) => pairs.clone(),
            Some(Object::List(_, items)) => items.iter().filter_map(pair).collect(),
            _ => Vec::new(),
        }
    }

    /// The tensor that `_rebuild_tensor(storage, offset, size, stride, ...)` makes.
    fn tensor(&self, mut storage: Storage, with: Value) -> Result<Tensor> {
        let size = |value: &Value| match value {
            Value::Int(n) => usize::try_from(*n).ok(),
            _ => None,
        };
        let sizes = |value: Option<&Value>| -> Option<Vec<usize>> {
            let value = *value?;
            let items = match self.object(value)? {
                Object::Tuple(items) => items,
                // torch.Size((2, 3))
                Object::Made(made) => self.items(*self.items(made.with).first()?),
                _ => return None,
            };
            (items.len() <= MAX_AXES).then(|| items.iter().map(size).collect())?
        };
        let with = self.items(with);
        let (offset, shape, strides) = (with.get(1).and_then(size), sizes(with.get(2)), sizes(with.get(3)));
        let (Some(offset), Some(shape), Some(strides)) = (offset, shape, strides) else {
            return Err(broken("has a tensor without sizes"));
        };
        storage.offset = storage.offset.checked_add(offset).ok_or_else(|| broken("has a tensor beyond its storage"))?;
        if shape.len() != strides.len() {
            return Err(broken("has a tensor with other strides than sizes"));
        }
        Ok(Tensor { storage, shape, strides })
    }

    /// Attributes of the topmost object. Those of a dict, such as the versions of its modules, say nothing of tensors.
    pub(super) fn build(&mut self) -> Result<()> {
        let given = self.pop()?;
        if let Some(&Value::Object(at)) = self.stack.last()
            && let Object::Made(made) = &mut self.objects[at]
        {
            made.state = given;
        }
        Ok(())
    }

    /// What PyTorch keeps outside of the pickle: `("storage", class, key, device, length, view)`, or in the older format
    /// `("module", class, file, source)`.
    pub(super) fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        let items = self.items(id);
        let odd = || broken("refers to something that is no storage");
        match (items.first().and_then(|&kind| self.str(kind)), items) {
            (Some("storage"), &[_, class, key, _, _, ref view @ ..]) => {
                let Some(Known::Storage(dtype)) = self.known(class) else { return Err(odd()) };
                let key = match key {
                    Value::Int(n) => n.to_string(),
                    key => self.str(key).filter(|key| key.len() <= MAX_KEY).ok_or_else(odd)?.to_owned(),
                };
                // The older format's views: key, offset, length.
                let view = view.first().and_then(|&view| self.items(view).get(1));
                let offset = match view {
                    Some(&Value::Int(offset)) => usize::try_from(offset).map_err(|_| odd())?,
                    _ => 0,
                };
                self.make(Object::Storage(Storage { key: key.into(), dtype, offset }))
            }
            (Some("module"), &[_, class, ..]) => self.push(class),
            _ => Err(odd()),
        }
    }
}
