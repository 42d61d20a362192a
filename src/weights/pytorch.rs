//! PyTorch's own files, read without Python: a pickle with the tensors' names and sizes, and their values beside it. A pickle is
//! a program; here it is only read, and what it would call is not called.

mod archive;
mod legacy;
mod machine;
mod names;
mod object;
mod tensors;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

pub(super) use self::object::Met;
use self::object::Pickle;
use super::entry::{Entry, Meaning, damaged, span, width};
use super::unusable;
use crate::text::{listed, shown};
use crate::{Error, Result};

/// Every tensor of a file that `torch.save` or `torch.jit.save` wrote, in the zip format or the older one, and what else the
/// file would have Python look up. Values are not read yet.
///
/// # Errors
/// The file cannot be read, is neither, is cut short or damaged, or holds no tensors.
pub(super) fn read(path: &Path) -> Result<(BTreeMap<String, Entry>, Met)> {
    let fail = |message: String| unusable(path, &message);
    let mut file = BufReader::new(File::open(path).map_err(Error::io("read", path))?);
    let start = file.fill_buf().map_err(Error::io("read", path))?;
    let read = match start {
        [b'P', b'K', 3, 4, ..] => archive::read(file),
        _ if start.get(257..262) == Some(b"ustar") => {
            Err("is a tar archive, as PyTorch wrote before 2017; load it with torch.load and save it again".into())
        }
        // All protocols since 2003 begin with this byte.
        [0x80, ..] => legacy::read(file),
        _ => Err("is neither safetensors nor a file that torch.save wrote; give one of these".into()),
    };
    let (pickle, places) = read.map_err(fail)?;
    let mut entries = BTreeMap::new();
    for (name, tensor) in tensors::tensors(&pickle) {
        let storage = &tensor.storage;
        let lost = |why: &str| fail(damaged(&format!("the tensor {} {why}", shown(&name))));
        let place = places.storages.get(&*storage.key).ok_or_else(|| lost("has no values"))?;
        let size = width(storage.dtype);
        let values = span(&tensor.shape, &tensor.strides);
        // An empty tensor may lie anywhere.
        let offset = if values == Some(0) { 0 } else { storage.offset };
        let bytes = values.and_then(|values| values.checked_add(offset)?.checked_mul(size));
        if bytes.is_none_or(|bytes| bytes as u64 > place.length) {
            return Err(lost("lies outside of its values"));
        }
        let entry = Entry {
            shape: tensor.shape.clone(),
            dtype: storage.dtype.to_owned(),
            begin: place.begin + (offset * size) as u64,
            strides: tensor.strides.clone(),
            big_endian: places.big_endian,
            meaning: Meaning::Values,
        };
        entries.insert(name, entry);
    }
    if entries.is_empty() {
        let foreign: Vec<&String> = pickle.met.foreign.iter().collect();
        return Err(fail(if foreign.is_empty() {
            format!("holds a {}, not a state dict; save one with torch.save(network.state_dict(), ...)", pickle.kind())
        } else {
            format!(
                "asks Python to call {}, which was not done, and holds no tensors; save them with \
                 torch.save(network.state_dict(), ...)",
                listed(&foreign)
            )
        }));
    }
    Ok((entries, pickle.met))
}

/// Where the values of tensors lie.
#[derive(Debug, Default)]
struct Places {
    storages: BTreeMap<String, Place>,
    big_endian: bool,
}

/// A part of the file, bytes.
#[derive(Debug, Clone, Copy)]
struct Place {
    begin: u64,
    length: u64,
}

/// A pickle, and the places of its storages; or a sentence that follows the file's name.
type Read = std::result::Result<(Pickle, Places), String>;
