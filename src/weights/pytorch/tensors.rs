//! The tensors of a pickle, under the names that a state dict has for them.

use std::collections::BTreeMap;

use super::object::{Made, Object, Pickle, Tensor, Value};

/// Deepest nesting in which tensors are looked for.
const DEEPEST: usize = 64;
/// Most bytes of names, and as many values, that are looked at: shared objects are met once for each of their names.
const MOST: usize = 1 << 26;

/// What a module of PyTorch keeps its tensors and its parts in.
const OF_MODULE: [&str; 3] = ["_parameters", "_buffers", "_modules"];

/// Name and place of every tensor. The name is made of the keys and attributes on the way to it, with dots between them.
pub(super) fn tensors(pickle: &Pickle) -> BTreeMap<String, &Tensor> {
    let mut walk = Walk { pickle, found: BTreeMap::new(), left: MOST };
    walk.value(pickle.root, "", 0);
    walk.found
}

struct Walk<'p> {
    pickle: &'p Pickle,
    found: BTreeMap<String, &'p Tensor>,
    left: usize,
}

impl<'p> Walk<'p> {
    fn value(&mut self, value: Value, name: &str, depth: usize) {
        self.spend(1 + name.len());
        let Some(object) = self.pickle.object(value).filter(|_| depth < DEEPEST && self.left > 0) else { return };
        match object {
            Object::Tensor(tensor) => drop(self.found.entry(name.to_owned()).or_insert(tensor)),
            Object::Dict(pairs) => self.pairs(pairs, name, depth),
            Object::List(_, items) => self.items(items.iter().copied(), name, depth),
            Object::Tuple(items) => self.items(items.iter().copied().enumerate(), name, depth),
            Object::Made(made) => self.made(made, name, depth),
            Object::Text(_) | Object::Name(_) | Object::Storage(_) => {}
        }
    }

    /// Counts what was looked at.
    fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    fn items(&mut self, items: impl Iterator<Item = (usize, Value)>, name: &str, depth: usize) {
        for (i, item) in items {
            if self.left == 0 {
                return;
            }
            self.value(item, &join(name, &i.to_string()), depth + 1);
        }
    }

    fn pairs(&mut self, pairs: &[(Value, Value)], name: &str, depth: usize) {
        for &(key, value) in pairs {
            if self.left == 0 {
                return;
            }
            if let Some(key) = self.key(key) {
                self.value(value, &join(name, &key), depth + 1);
            }
        }
    }

    /// What a tensor's name may have in it: a text or a whole number.
    fn key(&self, key: Value) -> Option<String> {
        match (key, self.pickle.object(key)) {
            (Value::Int(n), _) => Some(n.to_string()),
            (_, Some(Object::Text(text))) => Some(text.clone()),
            _ => None,
        }
    }

    /// The attributes of an object that was not made, and what was set in it. A module keeps its tensors where its state
    /// dict does not say so.
    fn made(&mut self, made: &'p Made, name: &str, depth: usize) {
        self.pairs(&made.items, name, depth);
        let states = match self.pickle.object(made.state) {
            // Attributes and slots.
            Some(Object::Tuple(states)) => states.as_slice(),
            _ => &[made.state],
        };
        for &state in states {
            let Some(Object::Dict(attributes)) = self.pickle.object(state) else { continue };
            self.spend(attributes.len());
            let named = |pair: &&(Value, Value)| matches!(self.pickle.object(pair.0), Some(Object::Text(text)) if OF_MODULE.contains(&text.as_str()));
            let of_module: Vec<Value> = attributes.iter().filter(named).map(|&(_, value)| value).collect();
            if of_module.is_empty() {
                self.pairs(attributes, name, depth);
            }
            of_module.into_iter().for_each(|part| self.value(part, name, depth + 1));
        }
    }
}

fn join(name: &str, key: &str) -> String {
    if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") }
}
