//! Models that are found by name: files in the folder `models`, or in the one that `FACENET_GPU_MODELS` names.

use std::path::{Component, Path, PathBuf};

use crate::text::listed;
use crate::weights::{Kind, kind_of};
use crate::{Error, Result};

/// Extensions of files that a verb takes, or at least understands, as weights.
const EXTENSIONS: [&str; 6] = ["safetensors", "pt", "pth", "t7", "bin", "dat"];

/// The weights that the arguments of a verb begin with, or those of the models folder, and the other arguments. Says which they
/// are where that is not what was given.
///
/// # Errors
/// The arguments begin with no weights, and the models folder does not hold exactly one weights file; or they begin with a name
/// that is neither there nor a file.
pub(super) fn split(arguments: &[PathBuf]) -> Result<(PathBuf, &[PathBuf])> {
    match arguments.split_first() {
        // Alone it is what is to be looked at.
        Some((first, [])) if is_also_folder(first) => {
            let model = file_in_folder(first);
            hint!("hint: {0} is taken as the folder; the model of that name is {1}", first.display(), model.display());
            Ok((the_weights()?, arguments))
        }
        Some((first, others)) if is_weights(first) => Ok((named(first)?, others)),
        _ => Ok((the_weights()?, arguments)),
    }
}

/// The weights that were given, or those of the models folder, and says so.
///
/// # Errors
/// None were given, and the models folder does not hold exactly one weights file; or it holds none of the name that was given.
pub(super) fn given_or_found(weights: Option<&Path>) -> Result<PathBuf> {
    weights.map_or_else(the_weights, named)
}

/// The file of a model that is given by its path, or by its name in the models folder; in that case it is said.
///
/// # Errors
/// It is a name, and no such model is there.
pub(super) fn named(model: &Path) -> Result<PathBuf> {
    let file = file_of(model)?;
    Ok(if file == model { file } else { told(file) })
}

/// The same without a word, for a detector.
///
/// # Errors
/// It is a name, and no such model is there.
pub(super) fn file_of(model: &Path) -> Result<PathBuf> {
    if !is_name(model) {
        return Ok(model.to_path_buf());
    }
    let file = file_in_folder(model);
    if file.is_file() {
        if model.exists() {
            hint!("hint: {0} is taken as the model of that name; ./{0} is the folder", model.display());
        }
        return Ok(file);
    }
    let there = [Kind::Weights, Kind::Detector].map(|kind| of_kind(&folder(), kind)).concat();
    let holds = if there.is_empty() { "no models".to_string() } else { listed(&names_of(&there)) };
    Err(Error::setting(format!(
        "there is no file {}, and no model of that name in {}, which holds {holds}; give the path of a file, or such a name",
        model.display(),
        folder().display()
    )))
}

/// Says which weights are taken.
fn told(weights: PathBuf) -> PathBuf {
    say!("model     {}", weights.display());
    weights
}

/// Where a model of that name would lie.
fn file_in_folder(name: &Path) -> PathBuf {
    folder().join(name).with_extension("safetensors")
}

/// Whether an argument is a name, and no file. A folder of that name does not hide the model.
fn is_name(argument: &Path) -> bool {
    let alone = argument.components().count() == 1 && argument.extension().is_none();
    alone && (!argument.exists() || is_also_folder(argument))
}

/// Whether an argument is a model's name and that of a folder, which is not the folder of a run.
fn is_also_folder(argument: &Path) -> bool {
    let alone = matches!(argument.components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
    alone && argument.is_dir() && !is_run(argument) && file_in_folder(argument).is_file()
}

/// Whether a folder is that of a run.
fn is_run(folder: &Path) -> bool {
    ["best", "last"].iter().any(|name| folder.join(format!("weights/{name}.safetensors")).is_file())
}

/// Whether an argument is meant as weights, also where it is of another program or the folder of a run.
fn is_weights(argument: &Path) -> bool {
    let extension = argument.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    EXTENSIONS.contains(&&*extension) || is_name(argument) || is_run(argument)
}

/// The names of files in the folder of models.
fn names_of(files: &[PathBuf]) -> Vec<String> {
    files.iter().filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect()
}

/// The folder of models.
fn folder() -> PathBuf {
    std::env::var_os("FACENET_GPU_MODELS").filter(|name| !name.is_empty()).map_or("models".into(), PathBuf::from)
}

/// The files of a kind in a folder, by their names.
fn of_kind(folder: &Path, wanted: Kind) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| kind_of(path) == Some(wanted)).collect();
    found.sort();
    found
}

/// A face detector in the folder of some weights, or else in the folder of models: the first by name.
pub(super) fn detector_beside(weights: &Path) -> Option<PathBuf> {
    let beside = weights.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let found = beside.and_then(|beside| of_kind(beside, Kind::Detector).into_iter().next());
    found.or_else(|| of_kind(&folder(), Kind::Detector).into_iter().next())
}

/// The face detector of the folder of models.
///
/// # Errors
/// There is none.
pub(super) fn the_detector() -> Result<PathBuf> {
    of_kind(&folder(), Kind::Detector).into_iter().next().ok_or_else(|| {
        let folder = folder();
        Error::setting(format!(
            "there is no face detector: {} holds none; name one with `detector`, or bring one with scripts/get-models, or make one \
             with `facenet-gpu import pnet.pt rnet.pt onet.pt --out {}`",
            folder.display(),
            folder.join("mtcnn.safetensors").display()
        ))
    })
}

/// The only weights in the folder of models.
fn the_weights() -> Result<PathBuf> {
    let folder = folder();
    let mut found = of_kind(&folder, Kind::Weights);
    match (found.pop(), &found[..]) {
        (Some(one), []) => Ok(told(one)),
        (None, _) => Err(Error::setting(format!(
            "no weights are given, and {} holds none; give a weights file first, or bring one with scripts/get-models",
            folder.display()
        ))),
        (Some(last), others) => {
            let names = names_of(&[others, &[last]].concat());
            Err(Error::setting(format!(
                "no weights are given, and {} holds several: {}; give one of the names first",
                folder.display(),
                listed(&names)
            )))
        }
    }
}
