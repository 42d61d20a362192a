//! The files of a run's training state: the latest and the one before it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::train::TrainingState;
use crate::weights::sync_folder;
use crate::{Error, Result};

/// Files that are kept: should the latest be damaged, there is one more.
const KEPT: usize = 2;

fn name(step: u64) -> String {
    format!("step-{step:09}.safetensors")
}

/// The files of `folder` and their steps, the latest first.
fn files(folder: &Path) -> Vec<(u64, PathBuf)> {
    let step = |path: &Path| {
        path.file_name()?.to_str()?.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse::<u64>().ok()
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(u64, PathBuf)> = entries.filter_map(|e| Some((step(&e.path())?, e.path()))).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found
}

/// Whether there is a state, readable or not.
pub(super) fn any(folder: &Path) -> bool {
    !files(folder).is_empty()
}

/// Writes a state and removes those that are no longer needed.
///
/// # Errors
/// It cannot be written; older ones stay.
pub(super) fn save(folder: &Path, state: &TrainingState) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let step = state.progress.step;
    state.save(folder.join(name(step)))?;
    // Later ones are of a run that went on from an older state and is now at this step.
    let stale = files(folder).into_iter().filter(|&(other, _)| other > step);
    let old = files(folder).into_iter().filter(|&(other, _)| other <= step).skip(KEPT);
    for (_, path) in stale.chain(old) {
        // What cannot be removed only takes space.
        let _ = fs::remove_file(path);
    }
    sync_folder(folder);
    Ok(())
}

/// The latest state that can be read, and what is wrong with later ones. `None` if none was saved yet.
///
/// # Errors
/// States were saved, and none of them can be read.
pub(super) fn latest(folder: &Path) -> Result<(Option<TrainingState>, Vec<String>)> {
    let mut troubles = Vec::new();
    for (step, path) in files(folder) {
        match TrainingState::load(&path) {
            Ok(state) if state.progress.step == step => return Ok((Some(state), troubles)),
            Ok(state) => troubles.push(format!("{}: holds step {}", path.display(), state.progress.step)),
            Err(e) => troubles.push(e.to_string()),
        }
    }
    match troubles.is_empty() {
        true => Ok((None, troubles)),
        false => Err(Error::Data(format!(
            "no state in {} can be read ({}); `init` starts a new run from the weights of this one",
            folder.display(),
            troubles.join("; ")
        ))),
    }
}
