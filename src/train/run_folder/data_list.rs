//! The list of a run's images, by which a change of the data is found.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::table::{self, Format};
use crate::data::faces::FaceSet;
use crate::text::listed;
use crate::weights::write_whole;
use crate::{Error, Result};

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    person: String,
    /// Name of the file.
    image: String,
    bytes: u64,
    /// Whether the person is held out.
    held_out: bool,
}

/// The images of a set that come from files.
fn rows(set: &FaceSet, held_out: &[usize]) -> Vec<Row> {
    let row = |image: usize| {
        let (path, person) = (set.path(image)?, set.person_of(image));
        let bytes = std::fs::metadata(path).map_or(0, |found| found.len());
        let held_out = held_out.contains(&person);
        let image = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Some(Row { person: set.people()[person].name.clone(), image, bytes, held_out })
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

/// Compares the list in `path`, if there is one, with the images of `set`.
pub(super) fn check(path: &Path, set: &FaceSet) -> Result<()> {
    let before = table::read::<Row>(path, Format::Csv, |_| true)?;
    if before.is_empty() {
        return Ok(());
    }
    let known = |rows: Vec<Row>| -> BTreeMap<String, u64> {
        rows.into_iter().map(|row| (format!("{}/{}", row.person, row.image), row.bytes)).collect()
    };
    let (before, now) = (known(before), known(rows(set, &[])));
    let only = |a: &BTreeMap<String, u64>, b: &BTreeMap<String, u64>| -> Vec<String> {
        a.keys().filter(|key| !b.contains_key(*key)).cloned().collect()
    };
    let (gone, new) = (only(&before, &now), only(&now, &before));
    let changed: Vec<String> = now
        .iter()
        .filter(|(key, bytes)| before.get(*key).is_some_and(|was| was != *bytes))
        .map(|(k, _)| k.clone())
        .collect();
    let differences: Vec<String> = [("are new", new), ("are missing", gone), ("have another size", changed)]
        .into_iter()
        .filter(|(_, images)| !images.is_empty())
        .map(|(what, images)| format!("{} images {what} ({})", images.len(), listed(&images)))
        .collect();
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::Data(format!(
        "the data has changed since the run began: {}; restore it, or begin a new run from this one's weights with `init`",
        differences.join(", ")
    )))
}
