//! The list of a run's images, by which a change of the data is found.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::table::{self, Format};
use crate::data::faces::FaceSet;
use crate::digest::hex;
use crate::text::{counted, listed};
use crate::weights::write_whole;
use crate::{Error, Result};

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    person: String,
    /// Name of the file.
    image: String,
    /// Of the file's content, in hexadecimal digits.
    sha256: String,
    /// Whether the person is held out.
    held_out: bool,
}

/// The images of a set that come from files.
fn rows(set: &FaceSet, held_out: &[usize]) -> Vec<Row> {
    let row = |image: usize| {
        let (path, person) = (set.path(image)?, set.person_of(image));
        let sha256 = hex(&set.content(image)?);
        let held_out = held_out.contains(&person);
        let image = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Some(Row { person: set.people()[person].name.clone(), image, sha256, held_out })
    };
    (0..set.len()).filter_map(row).collect()
}

/// Writes the list, unless there are no files.
pub(super) fn write(path: &Path, set: &FaceSet, held_out: &[usize]) -> Result<()> {
    let rows = rows(set, held_out);
    if rows.is_empty() {
        return Ok(());
    }
    let mut out = csv::Writer::from_writer(Vec::new());
    rows.iter().for_each(|row| out.serialize(row).expect("memory takes every row"));
    write_whole(path, &out.into_inner().expect("memory takes every row"))
}

/// Whether `path` is the image `key`: the person, a slash, the name of the file.
fn is_of(key: &str, path: &Path) -> bool {
    let Some((person, image)) = key.rsplit_once('/') else { return false };
    let person = person.rsplit('/').next().unwrap_or_default();
    path.file_name().is_some_and(|name| name.to_string_lossy() == image)
        && path.iter().any(|part| part.to_string_lossy() == person)
}

/// Compares the list in `path`, if there is one, with the images of `set`.
pub(super) fn check(path: &Path, set: &FaceSet) -> Result<()> {
    let before = table::read::<Row>(path, Format::Csv, |_| true)?;
    if before.is_empty() {
        return Ok(());
    }
    let known = |rows: Vec<Row>| -> BTreeMap<String, String> {
        rows.into_iter().map(|row| (format!("{}/{}", row.person, row.image), row.sha256)).collect()
    };
    let (before, now) = (known(before), known(rows(set, &[])));
    let only = |a: &BTreeMap<String, String>, b: &BTreeMap<String, String>| -> Vec<String> {
        a.keys().filter(|key| !b.contains_key(*key)).cloned().collect()
    };
    let (gone, new) = (only(&before, &now), only(&now, &before));
    let changed = now.iter().filter(|(key, content)| before.get(*key).is_some_and(|was| was != *content));
    let changed: Vec<String> = changed.map(|(key, _)| key.clone()).collect();
    // What is there and cannot be read is not missing.
    let damaged = |key: &String| set.skipped().iter().any(|skipped| is_of(key, &skipped.path));
    let (damaged, gone): (Vec<_>, Vec<_>) = gone.into_iter().partition(damaged);
    let kinds = [
        ("is new", "are new", new),
        ("is missing", "are missing", gone),
        ("can no longer be read", "can no longer be read", damaged),
        ("has another content", "have another content", changed),
    ];
    let difference = |(one, many, images): (&str, &str, Vec<String>)| {
        let what = if images.len() == 1 { one } else { many };
        (!images.is_empty()).then(|| format!("{} {what} ({})", counted(images.len(), "image"), listed(&images)))
    };
    let differences: Vec<String> = kinds.into_iter().filter_map(difference).collect();
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::Data(format!(
        "the data has changed since the run began: {}; restore it, or begin a new run from this one's weights with `init`",
        differences.join(", ")
    )))
}
