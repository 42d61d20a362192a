//! Settings as `args.toml` holds them.

use std::fmt;
use std::path::Path;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use toml::de::{DeTable, DeValue};

use super::{Augment, Config, Offline};
use crate::{Error, Result};

/// What `args.toml` says of the run beside its settings.
const OF_THE_RUN: [&str; 11] = [
    "version",
    "device",
    "threads",
    "tune",
    "data",
    "val",
    "synth_people",
    "synth_images",
    "detector",
    "alignment",
    "no_face",
];

impl Config {
    /// Settings from text as `args.toml` holds it. A setting that is missing has its default; what else a
    /// run's `args.toml` says (version, device, data) is passed over. Ranges are for [`check`](Self::check).
    ///
    /// # Errors
    /// It is not TOML, a setting has the wrong type, or there is none of that name; the message says what is nearest.
    pub fn from_toml(text: &str) -> Result<Self> {
        let fail = |e: toml::de::Error| {
            // What it sets in backticks is a key of the file.
            let message = e.message().trim().replace('\n', " ").replace('`', "\"");
            let Some(span) = e.span() else { return Error::Data(message) };
            let line = line_of(text, span.start);
            let key = text.lines().nth(line - 1).and_then(|line| Some(line.split_once('=')?.0.trim()));
            // A message about the form of the file is about no setting.
            match key.filter(|_| message.starts_with("invalid") || message.starts_with("unknown variant")) {
                Some(key) => Error::Data(format!("line {line}: \"{key}\": {message}")),
                None => Error::Data(format!("line {line}: {message}")),
            }
        };
        let mut table = DeTable::parse(text).map_err(fail)?;
        for key in OF_THE_RUN {
            table.get_mut().remove(key);
        }
        known(text, table.get_ref(), "", fields::<Self>())?;
        for (key, fields) in [("augment", fields::<Augment>()), ("offline", fields::<Offline>())] {
            if let Some(DeValue::Table(inner)) = table.get_ref().get(key).map(|value| value.get_ref()) {
                known(text, inner, &format!("{key}."), fields)?;
            }
        }
        Self::deserialize(toml::Deserializer::from(table)).map_err(fail)
    }

    /// Settings from a file such as a run's `args.toml`: see [`from_toml`](Self::from_toml).
    ///
    /// # Errors
    /// The file cannot be read, or [`from_toml`](Self::from_toml) cannot take it; the message names the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::from_toml(&text).map_err(|e| Error::Data(format!("{}: {e}", path.display())))
    }
}

/// The line, from 1, of a place in a text.
fn line_of(text: &str, place: usize) -> usize {
    1 + text.bytes().take(place).filter(|&b| b == b'\n').count()
}

/// Refuses keys that are no setting.
fn known(text: &str, table: &DeTable<'_>, prefix: &str, fields: &[&str]) -> Result<()> {
    let unknown = table.keys().filter(|key| !fields.contains(&key.get_ref().as_ref()));
    let Some(key) = unknown.min_by_key(|key| key.span().start) else { return Ok(()) };
    let line = line_of(text, key.span().start);
    let key = key.get_ref().as_ref();
    let likeness = |field: &str| strsim::jaro_winkler(key, field);
    let nearest = fields.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let nearest = nearest.map_or_else(String::new, |field| format!("; the nearest is \"{prefix}{field}\""));
    Err(Error::Data(format!("line {line}: there is no setting \"{prefix}{key}\"{nearest}")))
}

/// The names of a struct's fields, as serde reads them.
fn fields<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut found: &'static [&'static str] = &[];
    // It ends with an error as soon as it has seen the names.
    let _ = T::deserialize(Fields(&mut found));
    found
}

/// Keeps the names of the fields that a struct asks for.
struct Fields<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = Seen;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> std::result::Result<V::Value, Seen> {
        Err(Seen)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> std::result::Result<V::Value, Seen> {
        *self.0 = fields;
        Err(Seen)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The end of [`fields`].
#[derive(Debug)]
struct Seen;

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the names have been seen")
    }
}

impl std::error::Error for Seen {}

impl serde::de::Error for Seen {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}
