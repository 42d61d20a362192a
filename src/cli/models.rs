//! Models that are found by name: files in the folder `models`, or in the one that `FACENET_GPU_MODELS` names.

use std::path::{Path, PathBuf};

use crate::text::listed;
use crate::weights::{Kind, kind_of};
use crate::{Error, Result};

/// Extensions of files that a verb takes, or at least understands, as weights.
const EXTENSIONS: [&str; 6] = ["safetensors", "pt", "pth", "t7", "bin", "dat"];

/// The weights that the arguments of a verb begin with, or those of the models folder, and the other arguments.
///
/// # Errors
/// The arguments begin with no weights, and the models folder does not hold exactly one weights file.
pub(super) fn split(arguments: &[PathBuf]) -> Result<(PathBuf, &[PathBuf])> {
    match arguments.split_first() {
        Some((first, others)) if is_weights(first) => Ok((named(first), others)),
        _ => Ok((the_weights()?, arguments)),
    }
}

/// The weights that were given, or those of the models folder.
///
/// # Errors
/// None were given, and the models folder does not hold exactly one weights file.
pub(super) fn given_or_found(weights: Option<&Path>) -> Result<PathBuf> {
    weights.map_or_else(the_weights, |weights| Ok(named(weights)))
}

/// The file of a model that is given by its path, or by its name in the models folder.
pub(super) fn named(model: &Path) -> PathBuf {
    let is_name = model.components().count() == 1 && model.extension().is_none() && !model.exists();
    let file = folder().join(model).with_extension("safetensors");
    if is_name && file.is_file() { file } else { model.to_path_buf() }
}

/// Whether an argument is meant as weights, also where it is of another program or the folder of a run.
fn is_weights(argument: &Path) -> bool {
    let extension = argument.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let is_run = || ["best", "last"].iter().any(|name| argument.join(format!("weights/{name}.safetensors")).is_file());
    EXTENSIONS.contains(&&*extension) || named(argument) != argument || is_run()
}

/// The folder of models.
fn folder() -> PathBuf {
    std::env::var_os("FACENET_GPU_MODELS").filter(|name| !name.is_empty()).map_or("models".into(), PathBuf::from)
}

/// The files of a kind in the folder of models, by their names.
fn files(wanted: Kind) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| kind_of(path) == Some(wanted)).collect();
    found.sort();
    found
}

/// The only weights in the folder of models.
fn the_weights() -> Result<PathBuf> {
    let (mut found, folder) = (files(Kind::Weights), folder());
    match (found.pop(), &found[..]) {
        (Some(one), []) => Ok(one),
        (None, _) => Err(Error::setting(format!(
            "no weights are given, and {} holds none; give a weights file first, or bring one with scripts/get-models",
            folder.display()
        ))),
        (Some(last), others) => {
            let all = others.iter().chain([&last]);
            let names: Vec<String> =
                all.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
            Err(Error::setting(format!(
                "no weights are given, and {} holds several: {}; give one of the names first",
                folder.display(),
                listed(&names)
            )))
        }
    }
}
