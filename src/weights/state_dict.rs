//! State dicts of other programs: named tensors in safetensors files, and in the files of PyTorch, Torch and dlib.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

use super::container::explain;
use super::detector::DETECTOR_FORMAT;
use super::entry::{Entry, Meaning, damaged, width};
use super::layout::contiguous;
use super::{FORMAT, OLDER_FORMAT, dlib, kinds, pytorch, torch7, unusable};
use crate::text::{listed, shown};
use crate::{Error, Result};

/// Named tensors of a file. Their values are read when they are asked for.
#[derive(Debug)]
pub(super) struct StateDict {
    path: PathBuf,
    file: File,
    tensors: BTreeMap<String, Entry>,
    /// What the file says of itself; only safetensors do.
    info: HashMap<String, String>,
    /// Where the state dict was chosen from others: what stood before its names, with a dot.
    key: String,
    /// Names that a pickle would have looked up: data, and what is off the list.
    met: [Vec<String>; 2],
}

impl StateDict {
    /// Opens a file: safetensors, what `torch.save` or Torch wrote, or dlib's network. `key` chooses one of several state dicts.
    ///
    /// # Errors
    /// It cannot be read, is of another kind, is cut short or damaged, is a weights file of ours, holds something else than
    /// tensors, or has nothing under `key`; pickled code is not run.
    pub(super) fn open(path: &Path, key: Option<&str>) -> Result<Self> {
        let mut start = Vec::new();
        let file = File::open(path).map_err(Error::io("read", path))?;
        (&file).take(kinds::LOOKED_AT as u64).read_to_end(&mut start).map_err(Error::io("read", path))?;
        if start.is_empty() {
            return Err(unusable(path, "is empty; copy it again"));
        }
        if let Some(message) = kinds::of(&start) {
            return Err(unusable(path, &message));
        }
        let mut dict = Self {
            path: path.to_path_buf(),
            file,
            tensors: BTreeMap::new(),
            info: HashMap::new(),
            key: String::new(),
            met: [Vec::new(), Vec::new()],
        };
        // The first eight bytes of safetensors are the length of the header, which begins with a brace.
        if start.get(8) == Some(&b'{') {
            dict.read_safetensors()?;
        } else if torch7::begins(&start) {
            dict.tensors = torch7::read(path)?;
        } else if dlib::begins(&start) {
            dict.tensors = dlib::read(path)?;
        } else {
            let (tensors, met) = pytorch::read(path)?;
            dict.tensors = tensors;
            dict.met = [met.passed, met.foreign].map(|names| names.into_iter().collect());
        }
        match key {
            Some(key) => dict.under(key),
            None => Ok(dict),
        }
    }

    fn read_safetensors(&mut self) -> Result<()> {
        let path = &self.path;
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let (size, header) = SafeTensors::read_metadata(&bytes).map_err(|e| explain(path, &bytes, e))?;
        self.info = header.metadata().clone().unwrap_or_default();
        if self
            .info
            .get("format")
            .is_some_and(|format| [FORMAT, OLDER_FORMAT, DETECTOR_FORMAT].contains(&format.as_str()))
        {
            return Err(unusable(path, "was written by facenet-gpu and needs no import; use it as it is"));
        }
        let tensors = header.tensors().into_iter().map(|(name, info)| {
            // The header follows its eight bytes of length, and the values follow the header.
            let begin = (8 + size + info.data_offsets.0) as u64;
            let (shape, strides) = (info.shape.clone(), contiguous(&info.shape));
            let dtype = format!("{:?}", info.dtype);
            (name, Entry { shape, dtype, begin, strides, big_endian: false, meaning: Meaning::Values })
        });
        self.tensors = tensors.collect();
        Ok(())
    }

    /// Only what lies under `key`, such as `model_ema`.
    fn under(mut self, key: &str) -> Result<Self> {
        let prefix = format!("{}.", key.trim_end_matches('.'));
        let keys: BTreeSet<&str> =
            self.tensors.keys().filter_map(|name| name.split_once('.')).map(|(key, _)| key).collect();
        if !self.tensors.keys().any(|name| name.starts_with(&prefix)) {
            let keys: Vec<&str> = keys.into_iter().collect();
            let have = if keys.is_empty() { "no keys".to_owned() } else { listed(&keys) };
            return Err(self.fail(format!("has no tensors under the `key` {}; it has {have}", shown(key))));
        }
        self.tensors = std::mem::take(&mut self.tensors)
            .into_iter()
            .filter_map(|(name, entry)| Some((name.strip_prefix(&prefix)?.to_owned(), entry)))
            .collect();
        self.key = prefix;
        Ok(self)
    }

    /// What the file says of itself under this name.
    pub(super) fn info(&self, name: &str) -> Option<&String> {
        self.info.get(name)
    }

    /// Data that a pickle holds beside its tensors, as Python calls them; they were passed over.
    pub(super) fn passed(&self) -> &[String] {
        &self.met[0]
    }

    /// What a pickle asks Python to look up or to call, other than what state dicts need; it was not done.
    pub(super) fn foreign(&self) -> &[String] {
        &self.met[1]
    }

    /// An error about this file.
    pub(super) fn fail(&self, message: String) -> Error {
        unusable(&self.path, &message)
    }

    /// As [`fail`](Self::fail), for what may be missing because it was not called.
    pub(super) fn fail_missing(&self, message: String) -> Error {
        match self.foreign() {
            [] => self.fail(message),
            foreign => self.fail(format!("{message}; it asks Python to call {}, which was not done", listed(foreign))),
        }
    }

    /// Names and tensors, in the order of their names.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.tensors.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// The tensor of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.tensors.get(name)
    }

    /// What stands before `name` in this file: nothing, or the keys under which the state dict was saved, such as
    /// `state_dict.` or `module.`. `None` if no tensor ends with that name.
    ///
    /// # Errors
    /// Several tensors end with that name; the message lists their keys.
    pub(super) fn prefix(&self, name: &str) -> Result<Option<&str>> {
        let keys = self.tensors.keys().filter_map(|full| full.strip_suffix(name));
        let found: Vec<&str> = keys.filter(|keys| keys.is_empty() || keys.ends_with('.')).collect();
        match found[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ if found.contains(&"") => Ok(Some("")),
            _ => {
                let keys: Vec<String> =
                    found.iter().map(|keys| format!("{}{}", self.key, keys.trim_end_matches('.'))).collect();
                let message =
                    format!("holds several state dicts, under {}; choose one of them with `key`", listed(&keys));
                Err(self.fail(message))
            }
        }
    }

    /// Checks that a tensor is no larger than the file: a view may repeat a few bytes without end.
    ///
    /// # Errors
    /// It is.
    pub(super) fn check_size(&self, name: &str) -> Result<()> {
        let Some(entry) = self.get(name) else { return Ok(()) };
        let length = self.file.metadata().map_err(Error::io("read", &self.path))?.len();
        let bytes = entry.shape.iter().fold(width(&entry.dtype), |bytes, &size| bytes.saturating_mul(size));
        if bytes as u64 <= length {
            return Ok(());
        }
        let (name, shape) = (shown(name), &entry.shape);
        let message = format!("has the tensor {name} {shape:?} of {bytes} bytes, more than the file of {length} bytes");
        Err(self.fail(format!("{message} holds; save it again with tensor.contiguous()")))
    }

    /// The values of a tensor as `f32`, row-major.
    ///
    /// # Errors
    /// There is no such tensor, it is no float, or the file is damaged.
    pub(super) fn values(&self, name: &str) -> Result<Vec<f32>> {
        let entry = self.get(name).ok_or_else(|| self.fail(format!("lacks the tensor {}", shown(name))))?;
        if !entry.is_float() {
            let (name, dtype) = (shown(name), &entry.dtype);
            let message = format!("has the tensor {name} as {dtype}, but F32, F16, BF16 or F64 is needed");
            return Err(self.fail(message));
        }
        entry.read(&self.file).map_err(|e| self.fail(damaged(&format!("the tensor {}: {e}", shown(name)))))
    }
}
