//! Weights of other programs become ours.

use std::path::Path;

use super::layout::{inverse, permute};
use super::names::{Family, Foreign};
use super::state_dict::StateDict;
use super::{Metadata, Origin, Weights};
use crate::Result;
use crate::data::preprocess::Preprocess;
use crate::net::{self, Network};
use crate::plan::Shape;
use crate::text::listed;

/// What was in a file of another program.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Imported {
    /// The weights, with our names and layouts.
    pub weights: Weights,
    /// The program whose names the file has.
    pub program: &'static str,
    /// Tensors of the file that embeddings do not need: counters, classifiers, integers.
    pub ignored: usize,
    /// Those of them that belong to layers which the network does not have, such as `classifier.weight`.
    pub heads: Vec<String>,
    /// Data that a pickle holds beside its tensors, as Python calls them: `pathlib.PosixPath`. They were passed over.
    pub passed: Vec<String>,
    /// What a pickle asks Python to look up or to call, and no state dict needs: `posix.system`. It was not done.
    pub foreign: Vec<String>,
}

/// Reads weights of `network` from another program: facenet-pytorch's or OpenFace's state dict, in safetensors or as
/// `torch.save` or `torch.jit.save` wrote it, OpenFace's own file for Torch (`.t7`), or dlib's (`.dat`). No pickled code is
/// run. `key` chooses one of several state dicts in a file, such as `model_ema`. The dimensions of the embedding are those of
/// the file. If `origin` says nothing of the provenance, it names the file.
///
/// # Errors
/// No other program has `network`; the file cannot be read or is damaged, or has nothing under `key`; a tensor is missing,
/// unknown, misshapen, not of floats or not finite, and is named.
pub fn import(path: &Path, network: &Network, key: Option<&str>, origin: Origin) -> Result<Imported> {
    let family = Family::of(network.name)?;
    let dict = StateDict::open(path, key)?;
    let Read { embedding, tensors, ignored, heads } = read(&dict, family, &|embedding| tensors_of(network, embedding))?;
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let known = origin.provenance.or_else(|| dict.info("provenance").cloned());
    let provenance = known.or_else(|| Some(format!("imported from {file} ({})", family.name())));
    let origin = Origin {
        provenance,
        license: origin.license.or_else(|| dict.info("license").cloned()),
        dataset: origin.dataset.or_else(|| dict.info("dataset").cloned()),
    };
    let version = env!("CARGO_PKG_VERSION").to_string();
    let preprocess = contract(&dict, network, family)?;
    let metadata = Metadata {
        network: network.name.to_string(),
        embedding,
        unit_length: network.model()?.unit_length(),
        preprocess,
        version,
        origin,
        training: None,
        threshold: family.threshold(),
        calibration: None,
    };
    let weights = Weights { metadata, tensors };
    let [passed, foreign] = [dict.passed(), dict.foreign()].map(<[String]>::to_vec);
    Ok(Imported { weights, program: family.name(), ignored, heads, passed, foreign })
}

/// How images must be prepared: as the file says if [`export`](super::export()) wrote it, else as the program does it.
fn contract(dict: &StateDict, network: &Network, family: Family) -> Result<Preprocess> {
    let [height, width] = network.input;
    let own = Preprocess { height, width, normalise: family.normalise(), crop: None, alignment: family.alignment() };
    let Some(text) = dict.info("preprocess").filter(|_| dict.info("network").is_some_and(|n| n == network.name)) else {
        return Ok(own);
    };
    let broken = || dict.fail("has a broken metadata field \"preprocess\"; export it again".into());
    serde_json::from_str(text).map_err(|_| broken())
}

/// The network that a file's names can only belong to.
///
/// # Errors
/// The file cannot be read or is damaged, has nothing under `key`, or its names leave more than one network or none.
pub fn guess_network(path: &Path, key: Option<&str>) -> Result<&'static Network> {
    let dict = StateDict::open(path, key)?;
    if dict.prefix(Family::Dlib.embedding())?.is_some() {
        return net::find("dlib-resnet-v1");
    }
    if dict.prefix(Family::FacenetPytorch.embedding())?.is_some() {
        return net::find("inception-resnet-v1");
    }
    let message = match dict.prefix(Family::OpenFace.embedding())? {
        Some(_) => {
            "has the names of OpenFace, whose networks share them; say which one it is with `network`, \
             openface-nn4-small2-v1 for the published weights"
        }
        None => "has the names of neither facenet-pytorch nor OpenFace; give a state dict of one of them",
    };
    Err(dict.fail_missing(message.into()))
}

/// Name and sizes of everything that a weights file of `network` holds.
pub(super) fn tensors_of(network: &Network, embedding: u32) -> Result<Vec<(String, Shape)>> {
    let model = network.sized(None, Some(embedding))?;
    Ok(model.tensors().map(|(name, shape)| (name.to_string(), shape)).collect())
}

/// Name, sizes and values of our tensors.
type Tensors = Vec<(String, Shape, Vec<f32>)>;

/// What was read of a state dict.
#[derive(Debug, PartialEq)]
struct Read {
    /// Floats of an embedding.
    embedding: u32,
    tensors: Tensors,
    /// Tensors of the file that are not needed.
    ignored: usize,
    /// Those of layers that the network does not have.
    heads: Vec<String>,
}

/// Our tensors; `tensors_of` lists name and sizes of ours for embeddings of that many dimensions.
fn read(dict: &StateDict, family: Family, tensors_of: &dyn Fn(u32) -> Result<Vec<(String, Shape)>>) -> Result<Read> {
    let last = family.embedding();
    let lacks = || {
        let program = family.name();
        dict.fail_missing(format!(
            "lacks the tensor {last}, so it holds no weights of {program}; give a state dict of {program}"
        ))
    };
    let prefix = dict.prefix(last)?.ok_or_else(lacks)?;
    let sizes = dict.get(&format!("{prefix}{last}")).map(|entry| entry.shape.clone()).unwrap_or_default();
    let odd = |why: &str| dict.fail(format!("has the tensor {last} with the odd sizes {sizes:?}{why}"));
    let embedding = family.dimensions(&sizes).ok_or_else(|| odd(""))?;
    dict.check_size(&format!("{prefix}{last}"))?;
    let ours = tensors_of(embedding).map_err(|e| odd(&format!(" ({e})")))?;
    let foreign = family.map(&ours)?;
    let (ignored, heads) = check(dict, family, prefix, &foreign)?;
    let mut tensors = Vec::with_capacity(ours.len());
    for ((name, shape), foreign) in ours.into_iter().zip(&foreign) {
        let values = dict.values(&format!("{prefix}{}", foreign.name))?;
        if let Some(at) = values.iter().position(|x| !x.is_finite()) {
            let (name, value) = (&foreign.name, values[at]);
            return Err(dict.fail(format!("has {value} in the tensor {name}; it cannot be used, get another copy")));
        }
        if name.ends_with("/var")
            && let Some(var) = values.iter().find(|var| **var < 0.0)
        {
            let name = &foreign.name;
            return Err(
                dict.fail(format!("has the variance {var} in the tensor {name}; it is damaged, get another copy"))
            );
        }
        tensors.push((name, shape, permute(&values, &foreign.shape, &inverse(foreign.order))));
    }
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Read { embedding, tensors, ignored, heads })
}

/// Compares the tensors that a network needs with those of the file, before any value is read; gives the number of
/// those that are not needed, and the names of those of layers that the network does not have. A layer of a kind that it
/// has says that the file holds another network.
fn check(dict: &StateDict, family: Family, prefix: &str, foreign: &[Foreign]) -> Result<(usize, Vec<String>)> {
    let find = |f: &Foreign| dict.get(&format!("{prefix}{}", f.name));
    let missing = foreign.iter().filter(|f| find(f).is_none());
    let missing: Vec<String> = missing.map(|f| format!("{} {:?}", f.name, f.shape)).collect();
    if !missing.is_empty() {
        return Err(
            dict.fail_missing(format!("lacks {}; it is not whole or belongs to another network", list(&missing)))
        );
    }
    for f in foreign {
        let Some(entry) = find(f) else { continue };
        if entry.shape != f.shape {
            let (name, have, need) = (&f.name, &entry.shape, &f.shape);
            let message = format!("has the tensor {name} with sizes {have:?}, the network needs {need:?}");
            return Err(dict.fail(format!("{message}; it belongs to another network")));
        }
        if !entry.is_float() {
            let (name, dtype) = (&f.name, &entry.dtype);
            let message = format!("has the tensor {name} as {dtype}, but F32, F16, BF16 or F64 is needed");
            return Err(dict.fail(format!("{message}; convert it with tensor.float()")));
        }
    }
    let (mut extra, mut heads) = (Vec::new(), Vec::new());
    let mut others = 0;
    for (name, entry) in dict.entries() {
        // What a checkpoint holds beside the state dict is no business of ours.
        let inside = name.strip_prefix(prefix);
        if inside.is_some_and(|inside| foreign.iter().any(|f| f.name == inside)) {
            continue;
        }
        others += 1;
        if let Some(inside) = inside.filter(|inside| entry.is_float() && !family.ignores(inside)) {
            if family.may_have(inside, foreign) {
                extra.push(format!("{inside} {:?}", entry.shape));
            } else {
                heads.push(inside.to_owned());
            }
        }
    }
    if !extra.is_empty() {
        return Err(
            dict.fail(format!("has {}, which the network does not know; it belongs to another one", list(&extra)))
        );
    }
    Ok((others, heads))
}

/// `the tensor a`, `the tensors a, b, c and 4 more`.
fn list(names: &[String]) -> String {
    format!("the tensor{} {}", if names.len() == 1 { "" } else { "s" }, listed(names))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
