//! Rows of what was found: a JSON object for each image, or a line of CSV for each face.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::output;
use crate::detect::{Detection, Found};
use crate::{Error, Result};

/// What stands in the column `status` where a face was found, and where none was.
const FACE: &str = "face";
const NO_FACE: &str = "no face";

/// Columns of the landmarks, each as x and y.
const LANDMARKS: [&str; 5] = ["left_eye", "right_eye", "nose", "mouth_left", "mouth_right"];

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowsFormat {
    Csv,
    Jsonl,
}

/// A file of rows, which grows image by image.
#[derive(Debug)]
pub(super) struct Rows {
    path: PathBuf,
    format: RowsFormat,
    file: File,
}

/// An image with its faces, for programs.
#[derive(Serialize)]
struct Line<'a> {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    faces: Vec<Face>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct Face {
    #[serde(rename = "box")]
    bounds: [f32; 4],
    probability: f32,
    landmarks: [[f32; 2]; 5],
}

impl RowsFormat {
    /// What a file begins with.
    pub(super) fn header(self) -> Vec<u8> {
        if self == Self::Jsonl {
            return Vec::new();
        }
        let mut names = ["path", "status", "width", "height", "left", "top", "right", "bottom", "probability"]
            .map(String::from)
            .to_vec();
        names.extend(LANDMARKS.iter().flat_map(|name| ["x", "y"].map(|axis| format!("{name}_{axis}"))));
        csv_line(&names)
    }

    /// The rows of an image: at least one.
    pub(super) fn rows(self, found: &Found<'_>) -> Vec<u8> {
        match self {
            Self::Jsonl => json_line(found),
            Self::Csv => csv_lines(found),
        }
    }
}

fn json_line(found: &Found<'_>) -> Vec<u8> {
    let face = |f: &Detection| Face { bounds: f.bounds, probability: f.probability, landmarks: f.landmarks };
    let path = found.path.to_string_lossy().into_owned();
    let line = match &found.outcome {
        Ok((picture, faces)) => Line {
            path,
            width: Some(picture.width()),
            height: Some(picture.height()),
            faces: faces.iter().map(face).collect(),
            error: None,
        },
        Err(reason) => Line { path, width: None, height: None, faces: Vec::new(), error: Some(reason) },
    };
    let mut text = output::row(&line, "image").to_string().into_bytes();
    text.push(b'\n');
    text
}

fn csv_lines(found: &Found<'_>) -> Vec<u8> {
    let path = found.path.to_string_lossy().into_owned();
    let number = |x: f32| x.to_string();
    let row = |status: &str, size: [String; 2], numbers: Vec<String>| {
        let mut row = vec![path.clone(), status.to_string()];
        row.extend(size);
        row.extend(numbers);
        row.resize(9 + 2 * LANDMARKS.len(), String::new());
        csv_line(&row)
    };
    let (picture, faces) = match &found.outcome {
        Err(reason) => return row(reason, Default::default(), Vec::new()),
        Ok(found) => found,
    };
    let size = || [picture.width().to_string(), picture.height().to_string()];
    if faces.is_empty() {
        return row(NO_FACE, size(), Vec::new());
    }
    let of_face = |face: &Detection| {
        let numbers = face.bounds.into_iter().chain([face.probability]).chain(face.landmarks.into_iter().flatten());
        row(FACE, size(), numbers.map(number).collect())
    };
    faces.iter().flat_map(of_face).collect()
}

fn csv_line(fields: &[String]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields).expect("memory takes everything");
    writer.into_inner().expect("memory takes everything")
}

impl Rows {
    /// Begins a file.
    ///
    /// # Errors
    /// Its name ends in neither `.csv` nor `.jsonl`, it is there already and must not be replaced, or it cannot be written.
    pub(super) fn open(path: &Path, overwrite: bool) -> Result<Self> {
        let format = match path.extension().and_then(|x| x.to_str()) {
            Some("csv") => RowsFormat::Csv,
            Some("jsonl") => RowsFormat::Jsonl,
            _ => {
                let path = path.display();
                return Err(Error::setting(format!("`out` {path} ends in neither .csv nor .jsonl; name such a file")));
            }
        };
        if !overwrite && path.exists() {
            let path = path.display();
            return Err(Error::Data(format!(
                "{path} exists already; give another `out`, or `overwrite` to replace it"
            )));
        }
        let opened = OpenOptions::new().write(true).create(true).truncate(true).open(path);
        let mut file = opened.map_err(Error::io("write", path))?;
        file.write_all(&format.header()).map_err(Error::io("write", path))?;
        Ok(Self { path: path.to_path_buf(), format, file })
    }

    /// Adds the rows of an image.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn add(&mut self, found: &Found<'_>) -> Result<()> {
        self.file.write_all(&self.format.rows(found)).map_err(Error::io("write", &self.path))
    }

    /// Makes sure that all of it is on the disk.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn finish(self) -> Result<()> {
        self.file.sync_all().map_err(Error::io("write", &self.path))
    }
}
