//! What a file of Torch holds.

use std::collections::HashMap;

use super::super::entry::{Entry, Meaning, damaged, span, width};
use crate::text::shown;

/// Deepest nesting of objects; a network needs some ten.
const DEEPEST: usize = 100;
/// Most fields of an object. A larger table may be met by many names, and each look at it would take long.
const MOST_FIELDS: usize = 1024;

type Result<T> = std::result::Result<T, String>;

/// A value in a file.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Nothing, a truth value, or a function.
    Other,
    Number(f64),
    Text(String),
    /// A place in the list of objects.
    Object(usize),
}

/// What a file refers to by a number.
#[derive(Debug)]
pub(super) enum Object {
    /// One whose end has not been reached.
    Open,
    /// A table, or an object with fields, whose class is not empty then.
    Table { class: String, pairs: Vec<(Value, Value)> },
    /// Where values lie: first byte and number.
    Storage { dtype: &'static str, begin: u64, length: usize },
    /// A tensor; `None` if it is empty.
    Tensor(Option<Entry>),
}

/// Everything in a file.
#[derive(Debug)]
pub(super) struct Objects {
    pub(super) all: Vec<Object>,
    pub(super) root: Value,
}

impl Objects {
    /// Class and pairs of a table or of an object with fields.
    pub(super) fn table(&self, value: &Value) -> Option<(&str, &[(Value, Value)])> {
        match value {
            Value::Object(at) => match &self.all[*at] {
                Object::Table { class, pairs } => Some((class, pairs)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The field of that name, if it is among the first ones.
    pub(super) fn field(&self, value: &Value, name: &str) -> Option<&Value> {
        let named = |key: &Value| matches!(key, Value::Text(text) if text == name);
        self.table(value)?.1.iter().take(MOST_FIELDS).find(|(key, _)| named(key)).map(|(_, value)| value)
    }

    /// The field of that name, if it is a number.
    pub(super) fn number(&self, value: &Value, name: &str) -> Option<f64> {
        match self.field(value, name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The field of that name, if it is a tensor with values.
    pub(super) fn tensor(&self, value: &Value, name: &str) -> Option<&Entry> {
        match self.field(value, name)? {
            Value::Object(at) => match &self.all[*at] {
                Object::Tensor(entry) => entry.as_ref(),
                _ => None,
            },
            _ => None,
        }
    }

    /// The items of a list, in order; `None` if they are more than `most`.
    pub(super) fn list(&self, value: &Value, most: usize) -> Option<Vec<&Value>> {
        let (_, pairs) = self.table(value).filter(|(_, pairs)| pairs.len() <= most)?;
        let mut items: Vec<(f64, &Value)> = Vec::new();
        for (key, item) in pairs {
            if let Value::Number(place) = key {
                items.push((*place, item));
            }
        }
        items.sort_by(|a, b| a.0.total_cmp(&b.0));
        Some(items.into_iter().map(|(_, item)| item).collect())
    }
}

/// Reads a file.
///
/// # Errors
/// It is cut short or damaged; the sentence follows the file's name.
pub(super) fn read(bytes: &[u8]) -> Result<Objects> {
    let mut reader = Reader { bytes, at: 0, all: Vec::new(), places: HashMap::new() };
    let root = reader.value(0)?;
    Ok(Objects { all: reader.all, root })
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    all: Vec<Object>,
    /// Places of objects by their numbers in the file.
    places: HashMap<i32, usize>,
}

impl Reader<'_> {
    fn take(&mut self, size: usize) -> Result<&[u8]> {
        let end = self.at.checked_add(size).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| damaged("an object has no end"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as many as were taken"))
    }

    fn int(&mut self) -> Result<i32> {
        self.array().map(i32::from_le_bytes)
    }

    /// A size, of which Torch writes the eight bytes of a C `long`.
    fn long(&mut self) -> Result<usize> {
        let long = self.array().map(i64::from_le_bytes)?;
        usize::try_from(long).map_err(|_| damaged("a size below zero"))
    }

    fn text(&mut self) -> Result<String> {
        let length = usize::try_from(self.int()?).map_err(|_| damaged("a length below zero"))?;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        if depth > DEEPEST {
            return Err(damaged("objects within each other without end"));
        }
        match self.int()? {
            0 => Ok(Value::Other),
            1 => self.array().map(f64::from_le_bytes).map(Value::Number),
            2 => self.text().map(Value::Text),
            3 => self.numbered(|reader, place| reader.table(place, String::new(), depth)),
            4 => self.numbered(|reader, place| reader.object(place, depth)),
            5 => self.int().map(|_| Value::Other),
            // A function: its code, which nobody runs, and the values that it refers to.
            6 => {
                self.text()?;
                self.value(depth + 1).map(|_| Value::Other)
            }
            7 | 8 => self.numbered(|reader, _| {
                reader.text()?;
                reader.value(depth + 1).map(drop)
            }),
            kind => Err(damaged(&format!("an object of the unknown type {kind}"))),
        }
    }

    /// An object with a number: one that was there before, or a new one that `fill` reads into its place.
    fn numbered(&mut self, fill: impl FnOnce(&mut Self, usize) -> Result<()>) -> Result<Value> {
        let number = self.int()?;
        if let Some(&place) = self.places.get(&number) {
            return Ok(Value::Object(place));
        }
        let place = self.all.len();
        self.all.push(Object::Open);
        self.places.insert(number, place);
        fill(self, place)?;
        Ok(Value::Object(place))
    }

    fn table(&mut self, place: usize, class: String, depth: usize) -> Result<()> {
        let count = usize::try_from(self.int()?).map_err(|_| damaged("a count below zero"))?;
        let mut pairs = Vec::new();
        for _ in 0..count {
            let key = self.value(depth + 1)?;
            pairs.push((key, self.value(depth + 1)?));
        }
        self.all[place] = Object::Table { class, pairs };
        Ok(())
    }

    fn object(&mut self, place: usize, depth: usize) -> Result<()> {
        // A version, or in older files the class itself.
        let version = self.text()?;
        let class = if version.starts_with("V ") { self.text()? } else { version };
        let kind = class.strip_prefix("torch.").unwrap_or_default();
        if let Some(dtype) = kind.strip_suffix("Storage").and_then(dtype) {
            let length = self.long()?;
            let begin = self.at as u64;
            let bytes = length.checked_mul(width(dtype)).ok_or_else(|| damaged("a size beyond measure"))?;
            self.take(bytes)?;
            self.all[place] = Object::Storage { dtype, begin, length };
            return Ok(());
        }
        if let Some(dtype) = kind.strip_suffix("Tensor").and_then(dtype) {
            return self.tensor(place, dtype, depth);
        }
        // All other classes write their fields as one table.
        let fields = self.value(depth + 1)?;
        let fields = match fields {
            Value::Object(at) => std::mem::replace(&mut self.all[at], Object::Open),
            _ => Object::Open,
        };
        match fields {
            Object::Table { pairs, .. } => {
                self.all[place] = Object::Table { class, pairs };
                Ok(())
            }
            _ => Err(damaged(&format!("an object of the class {} without fields", shown(&class)))),
        }
    }

    fn tensor(&mut self, place: usize, dtype: &'static str, depth: usize) -> Result<()> {
        let axes = usize::try_from(self.int()?).ok().filter(|axes| *axes <= 16);
        let axes = axes.ok_or_else(|| damaged("a tensor of too many dimensions"))?;
        let shape = (0..axes).map(|_| self.long()).collect::<Result<Vec<_>>>()?;
        let strides = (0..axes).map(|_| self.long()).collect::<Result<Vec<_>>>()?;
        let offset = self.long()?;
        let storage = self.value(depth + 1)?;
        let storage = match storage {
            Value::Object(storage) if axes > 0 => storage,
            _ => {
                self.all[place] = Object::Tensor(None);
                return Ok(());
            }
        };
        let (begin, length) = match self.all[storage] {
            Object::Storage { dtype: own, begin, length } if own == dtype => (begin, length),
            _ => return Err(damaged("a tensor whose values are of another type")),
        };
        // Torch counts from one.
        let offset = offset.saturating_sub(1);
        let end = span(&shape, &strides).and_then(|values| values.checked_add(offset));
        if end.is_none_or(|end| end > length) {
            return Err(damaged("a tensor lies outside of its values"));
        }
        let (begin, dtype) = (begin + (offset * width(dtype)) as u64, dtype.to_owned());
        let entry = Entry { shape, dtype, begin, strides, big_endian: false, meaning: Meaning::Values };
        self.all[place] = Object::Tensor(Some(entry));
        Ok(())
    }
}

/// The type of values of a class of tensors or storages.
fn dtype(class: &str) -> Option<&'static str> {
    Some(match class.strip_prefix("Cuda").unwrap_or(class) {
        "Float" | "" => "F32",
        "Double" => "F64",
        "Half" => "F16",
        "Long" => "I64",
        "Int" => "I32",
        "Short" => "I16",
        "Char" => "I8",
        "Byte" => "U8",
        _ => return None,
    })
}
