//! What a pickle makes, as far as a state dict needs it.

use std::collections::BTreeSet;
use std::rc::Rc;

/// A value on the machine's stack. Objects lie in a list of their own, so that values are small, and objects that contain
/// themselves do no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// A whole number.
    Int(i64),
    /// A place in the list of objects.
    Object(usize),
    /// Anything else: None, floats, truth values, bytes, texts too long for a name.
    Plain,
}

/// An object.
#[derive(Debug)]
pub(super) enum Object {
    /// A text, such as a key.
    Text(String),
    /// `module.name`, which Python would look up.
    Name(String),
    /// All items.
    Tuple(Vec<Value>),
    /// A list or set: how many items, and those that are objects with their places.
    List(usize, Vec<(usize, Value)>),
    /// Pairs whose value is an object.
    Dict(Vec<(Value, Value)>),
    /// Where the values of tensors lie.
    Storage(Storage),
    /// A tensor.
    Tensor(Box<Tensor>),
    /// What a call would have made.
    Made(Made),
}

/// Where the values of tensors lie.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    /// Its name in the file.
    pub(super) key: Rc<str>,
    /// The type of its values.
    pub(super) dtype: &'static str,
    /// Its first value within the storage of that key.
    pub(super) offset: usize,
}

/// A tensor in a storage, in values.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) storage: Storage,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// What a call would have made, had anything been called.
#[derive(Debug)]
pub(super) struct Made {
    /// What something would have been called with.
    pub(super) with: Value,
    /// Its attributes.
    pub(super) state: Value,
    /// Pairs that were set in it, where the value is an object.
    pub(super) items: Vec<(Value, Value)>,
}

/// Names that a file looks up and that make no state dict.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in super::super) struct Met {
    /// Data that were passed over, as Python calls them.
    pub(in super::super) passed: BTreeSet<String>,
    /// Names off the list: what Python would have called.
    pub(in super::super) foreign: BTreeSet<String>,
}

/// What a pickle has made.
#[derive(Debug)]
pub(super) struct Pickle {
    pub(super) objects: Vec<Object>,
    pub(super) root: Value,
    pub(super) met: Met,
}

impl Pickle {
    /// The object behind a value.
    pub(super) fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(at) => self.objects.get(at),
            _ => None,
        }
    }

    /// What the root is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.object(self.root) {
            Some(Object::Text(_)) => "text",
            Some(Object::Tuple(_) | Object::List(..)) => "list",
            Some(Object::Dict(_)) => "dict without tensors",
            Some(Object::Tensor(_)) => "lone tensor",
            Some(_) => "Python object without tensors",
            None => "number",
        }
    }
}
