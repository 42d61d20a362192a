//! A table that grows row by row and survives being cut off.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{About, Format, beside, npy, tensors, text};
use crate::embed::Row;
use crate::weights::sync_folder;
use crate::{Error, Result};

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
    /// Opens a file whose first `keep` bytes stay.
    fn open(path: PathBuf, keep: u64) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(Error::io("write", &path))?;
        file.set_len(keep).map_err(Error::io("write", &path))?;
        Ok(Self { path, file })
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
        let before = if part.exists() { About::of(path)? } else { None };
        let mut writer = match before {
            Some(before) if before.fits(&about) => Self::go_on(path, format, before)?,
            Some(_) if !overwrite => {
                return Err(Error::Data(format!(
                    "{} was begun with other images or other weights; remove it, give another `out`, or `overwrite` to \
                     begin anew",
                    part.display()
                )));
            }
            _ => Self::begin(path, format, about)?,
        };
        writer.about.complete = false;
        writer.about.save(path)?;
        Ok(writer)
    }

    fn begin(path: &Path, format: Format, about: About) -> Result<Self> {
        let mut table = Growing::open(beside(path, ".part"), 0)?;
        table.add(&header(format, &about))?;
        let mut list = None;
        if format.is_binary() {
            let mut growing = Growing::open(beside(path, ".rows.csv"), 0)?;
            growing.add(text::LIST_HEADER)?;
            list = Some(growing);
        }
        Ok(Self { path: path.to_path_buf(), format, about, rows: 0, table, list })
    }

    /// Keeps the whole rows of what was begun.
    fn go_on(path: &Path, format: Format, about: About) -> Result<Self> {
        let (part, rows_csv) = (beside(path, ".part"), beside(path, ".rows.csv"));
        let read = |path: &Path| fs::read(path).map_err(Error::io("read", path));
        let head = header(format, &about);
        let begun = read(&part)?;
        if !begun.starts_with(&head) {
            return Self::begin(path, format, Self::without_rows(about));
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
                let list = if rows_csv.exists() { read(&rows_csv)? } else { Vec::new() };
                let rows = ((begun.len() - head.len()) / size).min(text::whole_records(&list).1.saturating_sub(1));
                // As many rows in both.
                let mut end = 0;
                for line in records(&list).take(rows + 1) {
                    end = line;
                }
                if rows == 0 {
                    return Self::begin(path, format, Self::without_rows(about));
                }
                (rows, head.len() + rows * size, Some(Growing::open(rows_csv, end as u64)?))
            }
        };
        let table = Growing::open(part, keep as u64)?;
        Ok(Self { path: path.to_path_buf(), format, about, rows, table, list })
    }

    fn without_rows(about: About) -> About {
        About { failed: 0, ..about }
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

    /// Ends the table: all rows are there, and `failed` of them have no embedding.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self, failed: usize) -> Result<()> {
        self.list.as_ref().map_or(Ok(()), Growing::sync)?;
        self.table.sync()?;
        (self.about.failed, self.about.complete) = (failed, true);
        fs::rename(&self.table.path, &self.path).map_err(Error::io("write", &self.path))?;
        self.about.save(&self.path)?;
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
