//! Stands for `pytorch.rs` where the feature `program`, and with it the reader of PyTorch's own files, is off.

use std::collections::BTreeMap;
use std::path::Path;

use super::entry::Entry;
use crate::{Error, Result};

/// Says what to do instead.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Entry>> {
    let message =
        "is no safetensors file, and this build reads no other; save it as safetensors, or build facenet-gpu \
                   with its feature \"program\", which reads what torch.save writes"
            .into();
    Err(Error::Weights { path: path.to_path_buf(), message })
}
