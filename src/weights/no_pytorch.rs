//! Stands for `pytorch.rs` where the feature `program`, and with it the reader of PyTorch's own files, is off.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::entry::Entry;
use super::unusable;
use crate::Result;

/// Names that a file looks up, of which there are none.
#[derive(Debug)]
pub(super) struct Met {
    pub(super) passed: BTreeSet<String>,
    pub(super) foreign: BTreeSet<String>,
}

/// Says what to do instead.
pub(super) fn read(path: &Path) -> Result<(BTreeMap<String, Entry>, Met)> {
    Err(unusable(
        path,
        "is no safetensors file, and this build does not read PyTorch's; save it as safetensors, or build facenet-gpu with its \
         feature \"program\", which reads what torch.save writes",
    ))
}
