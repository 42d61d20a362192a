//! facenet-pytorch's `pnet.pt`, `rnet.pt` and `onet.pt` become one file of a detector.
//!
//! | ours                 | there                                                            |
//! |----------------------|------------------------------------------------------------------|
//! | `convN/w`, `b`       | `convN.weight` `[out, in, h, w]`, `bias`                          |
//! | `denseN/w`, `b`      | `denseN.weight` `[out, in]`, `bias`                               |
//! | `convN/slope`, `denseN/slope` | `preluN.weight`                                          |
//!
//! Before its first fully connected layer an image there lies as `[width, height, channels]`, here as `[height, width,
//! channels]`.

use std::path::Path;

use super::super::layout::permute;
use super::super::state_dict::StateDict;
use super::{DetectorWeights, Origin, STAGES};
use crate::plan::Shape;
use crate::text::listed;
use crate::{Error, Result};

/// A tensor that only one stage has, and height, width and channels of what its first fully connected layer sees.
const STAGE_HAS: [(&str, [usize; 3]); 3] =
    [("conv4_2.weight", [1, 1, 1]), ("dense5_2.weight", [3, 3, 64]), ("dense6_3.weight", [3, 3, 128])];

/// A tensor of facenet-pytorch: its name and sizes, how its sizes are to be seen, and which of them comes where with us.
struct Foreign {
    name: String,
    shape: Vec<usize>,
    view: Vec<usize>,
    order: Vec<usize>,
}

/// Reads MTCNN's networks from facenet-pytorch's state dicts, in safetensors or as `torch.save` wrote them: from three
/// files in any order, or from fewer that hold them together. No pickled code is run. If `origin` says nothing of the
/// provenance, it names the files.
///
/// # Errors
/// A file cannot be read or is damaged; one of the networks is in none of them or in several; a tensor is missing, unknown,
/// misshapen, not of floats or not finite, and is named.
pub fn import_detector<P: AsRef<Path>>(files: &[P], origin: Origin) -> Result<DetectorWeights> {
    let dicts: Vec<StateDict> = files.iter().map(|file| StateDict::open(file.as_ref(), None)).collect::<Result<_>>()?;
    let mut tensors = Vec::new();
    for ((stage, model), (has, features)) in STAGES.into_iter().zip(STAGE_HAS) {
        let (dict, prefix) = find(&dicts, stage, has)?;
        let model = model()?;
        let ours: Vec<(&str, Shape)> = model.tensors().collect();
        let foreign: Vec<Foreign> = ours.iter().map(|(name, shape)| foreign(name, *shape, features)).collect();
        check(dict, prefix, stage, &foreign)?;
        for ((name, shape), foreign) in ours.into_iter().zip(&foreign) {
            let values = dict.values(&format!("{prefix}{}", foreign.name))?;
            if let Some(bad) = values.iter().find(|x| !x.is_finite()) {
                let name = &foreign.name;
                return Err(dict.fail(format!("has {bad} in the tensor {name}; it cannot be used, get another copy")));
            }
            tensors.push((format!("{stage}/{name}"), shape, permute(&values, &foreign.view, &foreign.order)));
        }
    }
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let name = |file: &P| file.as_ref().file_name().unwrap_or(file.as_ref().as_os_str()).to_string_lossy().into_owned();
    let names: Vec<String> = files.iter().map(name).collect();
    let provenance =
        origin.provenance.or_else(|| Some(format!("imported from {} (facenet-pytorch)", names.join(", "))));
    DetectorWeights::new(tensors, Origin { provenance, ..origin })
}

/// Whether a file of another program holds networks of MTCNN, one or more of them.
///
/// # Errors
/// It cannot be read or is damaged.
pub fn holds_detector(file: &Path) -> Result<bool> {
    let dict = StateDict::open(file, None)?;
    // Several of one name say so, too.
    Ok(STAGE_HAS.iter().any(|(has, _)| dict.prefix(has).map_or(true, |prefix| prefix.is_some())))
}

/// The state dict that holds a stage, and what its names begin with.
fn find<'d>(dicts: &'d [StateDict], stage: &str, has: &str) -> Result<(&'d StateDict, &'d str)> {
    let mut found = Vec::new();
    for dict in dicts {
        if let Some(prefix) = dict.prefix(has)? {
            found.push((dict, prefix));
        }
    }
    match found[..] {
        [one] => Ok(one),
        [] => Err(Error::Data(format!(
            "no {stage} among the files: none of them has the tensor {has}; give facenet-pytorch's pnet.pt, rnet.pt and \
             onet.pt"
        ))),
        [_, (second, _), ..] => Err(second.fail(format!("holds {stage}, as another of the files does; give it once"))),
    }
}

/// What one of our tensors is called there, and how it lies there.
fn foreign(name: &str, shape: Shape, [height, width, channels]: [usize; 3]) -> Foreign {
    let (layer, part) = name.split_once('/').expect("a tensor belongs to a layer");
    let dims: Vec<usize> = shape.dims().iter().map(|&d| d as usize).collect();
    let same = |name| Foreign { name, shape: dims.clone(), view: dims.clone(), order: vec![0] };
    match (part, &dims[..]) {
        ("slope", _) => {
            let number = layer.trim_start_matches(char::is_alphabetic);
            same(format!("prelu{number}.weight"))
        }
        ("b", _) => same(format!("{layer}.bias")),
        (_, &[k_h, k_w, c_in, c_out]) => {
            let shape = vec![c_out, c_in, k_h, k_w];
            Foreign { name: format!("{layer}.weight"), view: shape.clone(), shape, order: vec![2, 3, 1, 0] }
        }
        (_, &[c_in, c_out]) => {
            let spread = c_in == height * width * channels;
            let (view, order) = match spread {
                true => (vec![c_out, width, height, channels], vec![2, 1, 3, 0]),
                false => (vec![c_out, c_in], vec![1, 0]),
            };
            Foreign { name: format!("{layer}.weight"), shape: vec![c_out, c_in], view, order }
        }
        _ => unreachable!("weights have two sizes or four"),
    }
}

/// Compares the tensors that a stage needs with those of the file, before any value is read.
fn check(dict: &StateDict, prefix: &str, stage: &str, foreign: &[Foreign]) -> Result<()> {
    for Foreign { name, shape, .. } in foreign {
        let Some(entry) = dict.get(&format!("{prefix}{name}")) else {
            return Err(dict.fail(format!("lacks the tensor {name} {shape:?} of {stage}; it is not whole")));
        };
        if entry.shape != *shape {
            let have = &entry.shape;
            return Err(dict.fail(format!(
                "has the tensor {name} with sizes {have:?}, {stage} needs {shape:?}; it is another network"
            )));
        }
    }
    let inside = dict.entries().filter_map(|(name, _)| name.strip_prefix(prefix));
    let unknown: Vec<&str> = inside.filter(|name| foreign.iter().all(|f| f.name != *name)).collect();
    match unknown.is_empty() {
        true => Ok(()),
        false => {
            Err(dict.fail(format!("has {}, which {stage} does not know; it is another network", listed(&unknown))))
        }
    }
}
