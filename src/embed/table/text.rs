//! Rows as text: CSV and JSON lines.

use serde::{Deserialize, Serialize};

use crate::embed::Row;

/// A line of JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) embedding: Option<Vec<f32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

/// A row as a line of JSON.
pub(super) fn json(row: &Row<'_>) -> Vec<u8> {
    let path = row.path.to_string_lossy().into_owned();
    let (embedding, reason) = match &row.outcome {
        Ok(embedding) => (Some(embedding.clone()), None),
        Err(reason) => (None, Some(reason.clone())),
    };
    let mut line = serde_json::to_vec(&Line { path, embedding, reason }).expect("it is plain data");
    line.push(b'\n');
    line
}

/// The line of names of a CSV table.
pub(super) fn csv_header(dim: usize) -> Vec<u8> {
    let names: Vec<String> = (0..dim).map(|d| format!("d{d}")).collect();
    format!("path,reason,{}\n", names.join(",")).into_bytes()
}

/// A row as a line of CSV. Numbers have as many digits as it takes to read them back to the bit.
pub(super) fn csv(row: &Row<'_>, dim: usize) -> Vec<u8> {
    let (reason, numbers) = match &row.outcome {
        Ok(embedding) => ("", embedding.iter().map(ToString::to_string).collect()),
        Err(reason) => (reason.as_str(), vec![String::new(); dim]),
    };
    let fields = [row.path.to_string_lossy().into_owned(), reason.to_string()].into_iter().chain(numbers);
    record(fields)
}

/// A row of the list beside a table of numbers.
pub(super) fn listed(row: &Row<'_>) -> Vec<u8> {
    record([row.path.to_string_lossy().into_owned(), row.outcome.as_ref().err().cloned().unwrap_or_default()])
}

/// The line of names of that list.
pub(super) const LIST_HEADER: &[u8] = b"path,reason\n";

fn record(fields: impl IntoIterator<Item = String>) -> Vec<u8> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(fields).expect("memory takes every row");
    out.into_inner().expect("memory takes every row")
}

/// Lengths in bytes of the whole records that `text` begins with, the line of names included, and how many they are.
pub(super) fn whole_records(text: &[u8]) -> (usize, usize) {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text);
    let (mut record, mut records, mut end) = (csv::ByteRecord::new(), 0, 0);
    while reader.read_byte_record(&mut record).is_ok_and(|more| more) {
        let now = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        // A last record without the end of its line was being written.
        if text.get(now.wrapping_sub(1)) != Some(&b'\n') {
            break;
        }
        (records, end) = (records + 1, now);
    }
    (end, records)
}
