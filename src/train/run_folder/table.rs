//! Tables that grow by a row at a time, and that lose none where the disk is full for a while.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::appender::Appender;
use crate::weights::write_whole;
use crate::{Error, Result};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// With a line of the columns' names.
    Csv,
    /// A JSON object a line.
    JsonLines,
}

impl Format {
    /// A row, with the line of names if `header`.
    fn row(self, row: &impl Serialize, header: bool) -> Vec<u8> {
        match self {
            Self::JsonLines => {
                let mut line = serde_json::to_vec(row).expect("a row is plain data");
                line.push(b'\n');
                line
            }
            Self::Csv => {
                let mut out = csv::WriterBuilder::new().has_headers(header).from_writer(Vec::new());
                out.serialize(row).expect("a row is plain data");
                out.into_inner().expect("memory takes every row")
            }
        }
    }
}

/// A table. What cannot be written stays in memory until it can.
#[derive(Debug)]
pub(super) struct Table {
    file: Appender,
    format: Format,
    empty: bool,
}

impl Table {
    /// A table that goes on behind the rows that the file has, if there is one.
    pub(super) fn open(path: PathBuf, format: Format) -> Self {
        let empty = std::fs::metadata(&path).map_or(true, |found| found.len() == 0);
        Self { file: Appender::new(path), format, empty }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// It cannot be written; the next row or [`flush`](Self::flush) tries again.
    pub(super) fn add(&mut self, row: &impl Serialize) -> Result<()> {
        self.file.add(&self.format.row(row, self.empty));
        self.empty = false;
        self.flush()
    }

    /// Writes what is pending.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }
}

/// The rows of a table for which `keep` holds; a last row that a killed program has left unfinished is none.
///
/// # Errors
/// The file cannot be read.
pub(super) fn read<R: DeserializeOwned>(path: &Path, format: Format, keep: impl Fn(&R) -> bool) -> Result<Vec<R>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", path)(e)),
    };
    // A line without its end was being written when the program was killed.
    let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let text = &text[..whole];
    let rows: Vec<R> = match format {
        Format::Csv => csv::Reader::from_reader(text).into_deserialize().map_while(|row| row.ok()).collect(),
        Format::JsonLines => text
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map_while(|line| serde_json::from_slice(line).ok())
            .collect(),
    };
    Ok(rows.into_iter().filter(keep).collect())
}

/// Leaves in a table only the rows for which `keep` holds, and returns them.
///
/// # Errors
/// The file cannot be read or written.
pub(super) fn cut<R: Serialize + DeserializeOwned>(
    path: &Path,
    format: Format,
    keep: impl Fn(&R) -> bool,
) -> Result<Vec<R>> {
    let rows: Vec<R> = read(path, format, keep)?;
    if path.exists() {
        let lines: Vec<u8> = rows.iter().enumerate().flat_map(|(at, row)| format.row(row, at == 0)).collect();
        write_whole(path, &lines)?;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::fs::OpenOptions;
    use std::io::Write;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Row {
        step: usize,
        loss: f64,
        accuracy: Option<f64>,
    }

    fn row(step: usize) -> Row {
        Row { step, loss: 1.0 / (step + 3) as f64, accuracy: step.is_multiple_of(2).then_some(0.1) }
    }

    #[test]
    fn rows_survive_both_formats_and_are_cut_to_those_that_count() {
        let dir = tempfile::tempdir().unwrap();
        for format in [Format::Csv, Format::JsonLines] {
            let path = dir.path().join(format!("{format:?}"));
            let mut table = Table::open(path.clone(), format);
            (0..5).for_each(|step| table.add(&row(step)).unwrap());
            drop(table);
            let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
            torn.write_all(br#"{"step":5,"#).unwrap();
            assert_eq!(read::<Row>(&path, format, |_| true).unwrap(), (0..5).map(row).collect::<Vec<_>>());
            assert_eq!(cut::<Row>(&path, format, |row| row.step < 3).unwrap().len(), 3);
            let mut table = Table::open(path.clone(), format);
            table.add(&row(9)).unwrap();
            assert_eq!(read::<Row>(&path, format, |_| true).unwrap(), [0, 1, 2, 9].map(row));
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.matches("step,loss").count(), usize::from(format == Format::Csv), "{text}");
        }
        assert!(read::<Row>(&dir.path().join("none"), Format::Csv, |_| true).unwrap().is_empty());
    }

    #[test]
    fn rows_that_cannot_be_written_are_written_later_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder/table");
        let mut table = Table::open(path.clone(), Format::Csv);
        assert!(table.add(&row(0)).is_err() && table.add(&row(1)).is_err());
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        table.add(&row(2)).unwrap();
        assert_eq!(read::<Row>(&path, Format::Csv, |_| true).unwrap(), [0, 1, 2].map(row));
    }
}
