//! A table that grows row by row and survives being cut off.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{About, Format, beside, npy, tensors, text};
use crate::embed::Row;
use crate::weights::sync_folder;
use crate::{Error, Result};

/// What stands behind the name of a table that is not complete, for what lies beside it.
const ABOUT: &str = ".json.part";
const LIST: &str = ".rows.csv.part";

/// A table under way.
#[derive(Debug)]
pub struct TableWriter {
    path: PathBuf,
    format: Format,
    about: About,
    rows: usize,
    table: Growing,
    /// Files and reasons, beside numbers.
    list: Option<Growing>,
}

/// A file that grows.
#[derive(Debug)]
struct Growing {
    path: PathBuf,
    file: File,
}

impl Growing {
    /// Opens a file that no other program writes as long as it is open.
    fn open(path: PathBuf) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(Error::io("write", &path))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                Err(Error::Data(format!("another program is writing {}; wait for its end", path.display())))
            }
            // A file system without locks, such as some network drives.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { path, file }),
        }
    }

    /// Keeps the first `length` bytes alone.
    fn keep(self, length: usize) -> Result<Self> {
        self.file.set_len(length as u64).map_err(Error::io("write", &self.path))?;
        Ok(self)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(Error::io("write", &self.path))
    }
}

impl TableWriter {
    /// Begins the table `path`, or goes on with it where an earlier run for the same inputs and weights was cut off:
    /// [`rows`](Self::rows) says how far that had come.
    ///
    /// # Errors
    /// There is a whole table of that name, unless it may be replaced (`overwrite`); one that was begun with other inputs or
    /// weights; or the folder cannot be written.
    pub fn open(path: &Path, format: Format, about: About, overwrite: bool) -> Result<Self> {
        let part = beside(path, ".part");
        if !overwrite && path.exists() {
            return Err(Error::Data(format!(
                "{} exists already; give another `out`, or `overwrite` to replace it",
                path.display()
            )));
        }
        let begun = part.exists();
        let table = Growing::open(part.clone())?;
        let before = if begun { About::load(&beside(path, ABOUT))? } else { None };
        let mut writer = match before {
            Some(before) if before.fits(&about) => Self::go_on(path, format, before, table)?,
            Some(_) if !overwrite => {
                return Err(Error::Data(format!(
                    "{} was begun with other images or other weights; remove it, give another `out`, or `overwrite` to \
                     begin anew",
                    part.display()
                )));
            }
            _ => Self::begin(path, format, about, table)?,
        };
        writer.about.complete = false;
        writer.about.save(&beside(path, ABOUT))?;
        Ok(writer)
    }

    fn begin(path: &Path, format: Format, about: About, table: Growing) -> Result<Self> {
        let mut table = table.keep(0)?;
        table.add(&header(format, &about))?;
        let mut list = None;
        if format.is_binary() {
            let mut growing = Growing::open(beside(path, LIST))?.keep(0)?;
            growing.add(text::LIST_HEADER)?;
            list = Some(growing);
        }
        let about = About { failed: 0, ..about };
        Ok(Self { path: path.to_path_buf(), format, about, rows: 0, table, list })
    }

    /// Keeps the whole rows of what was begun.
    fn go_on(path: &Path, format: Format, about: About, table: Growing) -> Result<Self> {
        let read = |path: &Path| fs::read(path).map_err(Error::io("read", path));
        let head = header(format, &about);
        let begun = read(&table.path)?;
        if !begun.starts_with(&head) {
            return Self::begin(path, format, about, table);
        }
        let dim = about.dimensions as usize;
        let (rows, keep, list) = match format {
            Format::Csv => {
                let (keep, records) = text::whole_records(&begun);
                (records.saturating_sub(1), keep, None)
            }
            Format::Jsonl => {
                let keep = begun.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
                (begun[..keep].iter().filter(|&&byte| byte == b'\n').count(), keep, None)
            }
            Format::Npy | Format::Safetensors => {
                let size = dim * size_of::<f32>();
                let list = beside(path, LIST);
                let lines = if list.exists() { read(&list)? } else { Vec::new() };
                let rows = ((begun.len() - head.len()) / size).min(text::whole_records(&lines).1.saturating_sub(1));
                if rows == 0 {
                    return Self::begin(path, format, about, table);
                }
                // As many rows in both.
                let end = records(&lines).nth(rows).unwrap_or(lines.len());
                (rows, head.len() + rows * size, Some(Growing::open(list)?.keep(end)?))
            }
        };
        let table = table.keep(keep)?;
        Ok(Self { path: path.to_path_buf(), format, about, rows, table, list })
    }

    /// Rows that are there.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds rows, which must follow those that are there.
    ///
    /// # Errors
    /// They cannot be written; those before stay, and a later run goes on behind them.
    pub fn add(&mut self, rows: &[Row<'_>]) -> Result<()> {
        let dim = self.about.dimensions as usize;
        let bytes: Vec<u8> = match self.format {
            Format::Csv | Format::Jsonl => self.format.text(rows, dim),
            Format::Npy | Format::Safetensors => {
                let missing = vec![f32::NAN; dim];
                rows.iter()
                    .flat_map(|row| bytemuck::cast_slice::<f32, u8>(row.outcome.as_ref().unwrap_or(&missing)))
                    .copied()
                    .collect()
            }
        };
        // The list first: a row of numbers without its file would be worth nothing.
        if let Some(list) = &mut self.list {
            list.add(&rows.iter().flat_map(text::listed).collect::<Vec<u8>>())?;
        }
        self.table.add(&bytes)?;
        self.rows += rows.len();
        Ok(())
    }

    /// Ends the table: all rows are there, and `failed` of them have no embedding. It and what lies beside it get their names.
    ///
    /// # Errors
    /// Rows are missing, or it cannot be written.
    pub fn finish(mut self, failed: usize) -> Result<()> {
        if self.rows != self.about.rows {
            let message = format!("{} has {} of {} rows", self.path.display(), self.rows, self.about.rows);
            return Err(Error::Data(message));
        }
        self.list.as_ref().map_or(Ok(()), Growing::sync)?;
        self.table.sync()?;
        (self.about.failed, self.about.complete) = (failed, true);
        let about = beside(&self.path, ABOUT);
        self.about.save(&about)?;
        let rename = |from: &Path, to: &Path| fs::rename(from, to).map_err(Error::io("write", to));
        rename(&self.table.path, &self.path)?;
        if let Some(list) = &self.list {
            rename(&list.path, &beside(&self.path, ".rows.csv"))?;
        }
        rename(&about, &beside(&self.path, ".json"))?;
        if let Some(folder) = self.path.parent() {
            sync_folder(folder);
        }
        Ok(())
    }

    /// Rows without an embedding among those that are there.
    ///
    /// # Errors
    /// What was written cannot be read.
    pub fn failed(&self) -> Result<usize> {
        let path = self.list.as_ref().map_or(&self.table.path, |list| &list.path);
        let text = fs::read(path).map_err(Error::io("read", path))?;
        Ok(match self.format {
            Format::Jsonl => {
                let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
                lines
                    .filter(|line| serde_json::from_slice::<text::Line>(line).is_ok_and(|l| l.reason.is_some()))
                    .count()
            }
            _ => {
                let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(&text[..]);
                reader.records().flatten().filter(|record| record.get(1).is_some_and(|r| !r.is_empty())).count()
            }
        })
    }
}

/// Ends, in bytes, of the records of a CSV text.
fn records(text: &[u8]) -> impl Iterator<Item = usize> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    let mut record = csv::ByteRecord::new();
    std::iter::from_fn(move || {
        let more = reader.read_byte_record(&mut record).is_ok_and(|more| more);
        more.then(|| usize::try_from(reader.position().byte()).unwrap_or(usize::MAX))
    })
}

fn header(format: Format, about: &About) -> Vec<u8> {
    let dim = about.dimensions as usize;
    match format {
        Format::Csv => text::csv_header(dim),
        Format::Jsonl => Vec::new(),
        Format::Npy => npy::header(about.rows, dim),
        Format::Safetensors => {
            let info = BTreeMap::from([
                ("format", "facenet-gpu-embeddings/1".to_string()),
                ("network", about.network.clone()),
                ("model_id", about.model_id.clone()),
            ]);
            tensors::header(about.rows, dim, &info)
        }
    }
}
