//! Files of Torch (Lua) in its binary format, as OpenFace's `nn4.small2.v1.t7`: objects one after the other, each with its type;
//! tables and classes also with a number, under which they are referred to later. Torch's code is not needed and functions are
//! not read: such files hold data, and a network is a tree of layers.

mod layers;
mod object;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::entry::Entry;
use super::unusable;
use crate::{Error, Result};

/// Whether a file with these first bytes is Torch's: a class or a table, the first of the file.
pub(super) fn begins(start: &[u8]) -> bool {
    matches!(start, [3 | 4, 0, 0, 0, 1, 0, 0, 0, ..])
}

/// Every tensor of the network in the file, by the names that OpenFace's port to PyTorch has for them.
///
/// # Errors
/// The file cannot be read, is cut short or damaged, or holds no network that is made as OpenFace's are.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Entry>> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let entries = object::read(&bytes).and_then(|objects| layers::entries(&objects));
    entries.map_err(|message| unusable(path, &message))
}
