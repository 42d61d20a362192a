//! State dicts of other programs: named tensors in safetensors files and in PyTorch's own files.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::SafeTensors;

use super::container::explain;
use super::entry::{Data, Entry, damaged};
use super::{FORMAT, OLDER_FORMAT, pytorch, unusable};
use crate::text::{listed, shown};
use crate::{Error, Result};

/// Named tensors of a file. Their values are read when they are asked for.
#[derive(Debug)]
pub(super) struct StateDict {
    path: PathBuf,
    tensors: BTreeMap<String, Entry>,
    /// What the file says of itself; PyTorch's own files say nothing.
    info: HashMap<String, String>,
    /// The whole file, if it is safetensors.
    bytes: Vec<u8>,
}

impl StateDict {
    /// Opens a file: safetensors, or what `torch.save` wrote.
    ///
    /// # Errors
    /// It cannot be read, is neither, is cut short or damaged, is a weights file of ours, or holds something else than
    /// tensors; pickled code is not run.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut start = Vec::new();
        let file = File::open(path).map_err(Error::io("read", path))?;
        file.take(9).read_to_end(&mut start).map_err(Error::io("read", path))?;
        if start.is_empty() {
            return Err(unusable(path, "is empty; copy it again"));
        }
        // The first eight bytes of safetensors are the length of the header, which begins with a brace.
        if start.get(8) != Some(&b'{') {
            let (tensors, bytes) = (pytorch::read(path)?, Vec::new());
            return Ok(Self { path: path.to_path_buf(), tensors, info: HashMap::new(), bytes });
        }
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let (size, header) = SafeTensors::read_metadata(&bytes).map_err(|e| explain(path, &bytes, e))?;
        let info = header.metadata().clone().unwrap_or_default();
        if info.get("format").is_some_and(|format| [FORMAT, OLDER_FORMAT].contains(&format.as_str())) {
            return Err(unusable(path, "was written by facenet-gpu and needs no import; use it as it is"));
        }
        let tensors = header.tensors().into_iter().map(|(name, info)| {
            let (begin, end) = info.data_offsets;
            // The header follows its eight bytes of length, and the values follow the header.
            let data = Data::Range(8 + size + begin..8 + size + end);
            (name, Entry { shape: info.shape.clone(), dtype: format!("{:?}", info.dtype), data })
        });
        let tensors = tensors.collect();
        Ok(Self { path: path.to_path_buf(), tensors, info, bytes })
    }

    /// What the file says of itself under this name.
    pub(super) fn info(&self, name: &str) -> Option<&String> {
        self.info.get(name)
    }

    /// An error about this file.
    pub(super) fn fail(&self, message: String) -> Error {
        unusable(&self.path, &message)
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
    /// Several tensors end with that name; the message lists some of their keys.
    pub(super) fn prefix(&self, name: &str) -> Result<Option<&str>> {
        let keys = self.tensors.keys().filter_map(|full| full.strip_suffix(name));
        let found: Vec<&str> = keys.filter(|keys| keys.is_empty() || keys.ends_with('.')).collect();
        match found[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ if found.contains(&"") => Ok(Some("")),
            _ => Err(self.fail(format!(
                "holds several state dicts, under {}; save one of them alone with torch.save",
                listed(&found)
            ))),
        }
    }

    /// The values of a tensor as `f32`, row-major.
    ///
    /// # Errors
    /// There is no such tensor, it is no float, or the file is damaged.
    pub(super) fn values(&self, name: &str) -> Result<Vec<f32>> {
        let entry = self.get(name).ok_or_else(|| self.fail(format!("lacks the tensor {}", shown(name))))?;
        let bytes: Cow<'_, [u8]> = match &entry.data {
            Data::Range(range) => self.bytes.get(range.clone()).unwrap_or_default().into(),
            #[cfg(feature = "program")]
            Data::PyTorch(tensor) => tensor.read().map_err(|e| self.fail(damaged(&e.to_string())))?.into(),
        };
        #[expect(clippy::cast_possible_truncation, reason = "rounding to the precision of the tensor is meant")]
        let values: Vec<f32> = match entry.dtype.as_str() {
            "F32" => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            "F64" => bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32).collect(),
            "F16" => bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
            "BF16" => bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect(),
            other => {
                let name = shown(name);
                let message = format!("has the tensor {name} as {other}, but F32, F16, BF16 or F64 is needed");
                return Err(self.fail(message));
            }
        };
        if values.len() != entry.len() {
            return Err(self.fail(damaged(&format!("the tensor {} is cut short", shown(name)))));
        }
        Ok(values)
    }
}
