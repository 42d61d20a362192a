//! A table of embeddings as a whole.

use std::fs;
use std::path::Path;

use super::{About, Format, beside, npy, tensors, text};
use crate::{Embeddings, Error, Result};

/// The embeddings of a table, and the files without one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EmbeddingTable {
    /// The embeddings, with the paths of their files as ids; numbers of rows where the table names no files.
    pub embeddings: Embeddings,
    /// Files without an embedding, and why.
    pub failed: Vec<(String, String)>,
    /// What made the rows; `None` for a table of another program.
    pub about: Option<About>,
}

/// Each row: the file, and the embedding or the reason why there is no embedding.
type Rows = Vec<(String, Result<Vec<f32>, String>)>;

impl EmbeddingTable {
    /// Reads a table: one that [`TableWriter`](super::TableWriter) wrote, or a `.npy` or safetensors file with a matrix of floats,
    /// a CSV with the columns d0, d1, ..., or JSON lines with "path" and "embedding".
    ///
    /// # Errors
    /// It cannot be read, is cut short, or has no embedding that could be used.
    pub fn read(path: &Path) -> Result<Self> {
        let fail = |message: String| Error::Data(format!("{}: {message}", path.display()));
        let format = Format::of(path)?;
        if !path.exists() && beside(path, ".part").exists() {
            let message = "is not complete; the command that makes it goes on where it was cut off";
            return Err(fail(message.to_string()));
        }
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let rows = match format {
            Format::Csv => csv_rows(&bytes).map_err(fail)?,
            Format::Jsonl => json_rows(&bytes).map_err(fail)?,
            Format::Npy => matrix(npy::parse(&bytes).map_err(fail)?, path)?,
            Format::Safetensors => matrix(tensors::parse(&bytes).map_err(fail)?, path)?,
        };
        let dim = rows.iter().find_map(|(_, outcome)| outcome.as_ref().ok()).map(Vec::len);
        let Some(dim) = dim.filter(|&dim| dim > 0) else { return Err(fail("holds no embedding".to_string())) };
        let (mut data, mut ids, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (at, (id, outcome)) in rows.into_iter().enumerate() {
            match outcome {
                Ok(row) if row.len() != dim => {
                    return Err(fail(format!("row {} has {} dimensions, those before have {dim}", at + 1, row.len())));
                }
                Ok(row) if row.iter().any(|x| !x.is_finite()) => failed.push((id, "holds NaN or Inf".to_string())),
                Ok(row) => {
                    data.extend(row);
                    ids.push(id);
                }
                Err(reason) => failed.push((id, reason)),
            }
        }
        if ids.is_empty() {
            return Err(fail("holds no embedding without NaN or Inf".to_string()));
        }
        let (embeddings, about) = (Embeddings::new(dim, data)?.with_ids(ids)?, About::of(path)?);
        let free = about.as_ref().is_some_and(|about| !about.unit_length);
        Ok(Self { embeddings: if free { embeddings.of_any_length() } else { embeddings }, failed, about })
    }
}

fn csv_rows(bytes: &[u8]) -> Result<Rows, String> {
    let mut reader = csv::Reader::from_reader(bytes);
    let names = reader.headers().map_err(|_| "is no text in UTF-8, and so no CSV; make it again".to_string())?.clone();
    let column = |name: &str| names.iter().position(|other| other == name);
    let numbers: Vec<usize> = (0..).map_while(|d| column(&format!("d{d}"))).collect();
    if numbers.is_empty() {
        return Err("has no columns d0, d1, ... with the dimensions of embeddings".to_string());
    }
    let (path, reason) = (column("path").or_else(|| column("file")), column("reason"));
    let mut rows = Rows::new();
    for (at, record) in reader.records().enumerate() {
        let record = record.map_err(|e| {
            let line = e.position().map_or(0, csv::Position::line);
            format!(
                "line {line} has other columns than those before it: the file is cut short or damaged; make it again"
            )
        })?;
        let id = path.map_or_else(|| at.to_string(), |path| record[path].to_string());
        let reason = reason.map_or("", |reason| &record[reason]);
        if !reason.is_empty() {
            rows.push((id, Err(reason.to_string())));
            continue;
        }
        let line = record.position().map_or(0, csv::Position::line);
        let row: Option<Vec<f32>> = numbers.iter().map(|&number| record[number].trim().parse().ok()).collect();
        rows.push((id, Ok(row.ok_or_else(|| format!("line {line} holds something that is no number"))?)));
    }
    Ok(rows)
}

fn json_rows(bytes: &[u8]) -> Result<Rows, String> {
    let lines = (1..).zip(bytes.split(|&byte| byte == b'\n')).filter(|(_, line)| !line.trim_ascii().is_empty());
    lines
        .map(|(number, line)| {
            let line: text::Line = serde_json::from_slice(line).map_err(|_| {
                format!("line {number} is no embedding: the file is cut short or damaged; make it again")
            })?;
            let missing = || line.reason.clone().unwrap_or_else(|| "has no embedding".to_string());
            let outcome = line.embedding.clone().ok_or_else(missing);
            Ok((line.path, outcome))
        })
        .collect()
}

/// Rows of a matrix, with what the list beside it says of them, if there is one.
fn matrix((rows, dim, values): (usize, usize, Vec<f32>), path: &Path) -> Result<Rows> {
    let list = beside(path, ".rows.csv");
    let numbered = |row: usize| (row.to_string(), String::new());
    let named: Vec<(String, String)> = match fs::read(&list) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => (0..rows).map(numbered).collect(),
        Err(e) => return Err(Error::io("read", &list)(e)),
        Ok(text) => {
            let records = csv::Reader::from_reader(&text[..]).into_deserialize().collect::<Result<Vec<_>, _>>();
            let broken = |_| format!("{} is damaged, and names the rows of {}", list.display(), path.display());
            records.map_err(|e| Error::Data(format!("{}; make the table again", broken(e))))?
        }
    };
    if named.len() != rows {
        return Err(Error::Data(format!(
            "{} has {rows} rows and {} names {}; they do not belong together",
            path.display(),
            list.display(),
            named.len()
        )));
    }
    let outcome = |(row, reason): (&[f32], String)| if reason.is_empty() { Ok(row.to_vec()) } else { Err(reason) };
    let rows = values.chunks_exact(dim).zip(named);
    Ok(rows.map(|(row, (id, reason))| (id, outcome((row, reason)))).collect())
}
