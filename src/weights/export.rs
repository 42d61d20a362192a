//! Our weights become those of other programs.

use std::collections::BTreeSet;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};

use super::Weights;
use super::container::serialise;
use super::file::write_whole;
use super::import::tensors_of;
use super::layout::permute;
use super::names::{COUNTER, Family};
use crate::plan::Shape;
use crate::{Error, Result, net};

/// What an export wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// The program whose names the file has.
    pub program: &'static str,
    /// Tensors in the file, counters included.
    pub tensors: usize,
    /// The program turns bytes into floats in the way that these weights need.
    pub prepares_alike: bool,
}

/// Writes weights as a state dict of facenet-pytorch or OpenFace's PyTorch port, whichever has the network:
/// safetensors with their names and layouts, which `load_state_dict(..., strict=True)` takes. What `weights` say of
/// their origin goes along. `path` stands for the weights in messages.
///
/// # Errors
/// No other program reads the network, a tensor is missing or misshapen, or `out` cannot be written.
pub fn export(weights: &Weights, path: &Path, out: &Path) -> Result<Exported> {
    let network = net::find(&weights.metadata.network)?;
    let family = Family::of(network.name)?;
    if family == Family::Dlib {
        return Err(Error::Setting(format!(
            "dlib reads the network {} from its own files alone, which cannot be written; export weights of facenet-pytorch or \
             OpenFace",
            network.name
        )));
    }
    let tensors = tensors_of(network, weights.metadata.embedding)?;
    write(weights, path, family, &tensors, out)
}

/// As [`export`], with the list of the network's tensors.
pub(super) fn write(
    weights: &Weights,
    path: &Path,
    family: Family,
    tensors: &[(String, Shape)],
    out: &Path,
) -> Result<Exported> {
    let foreign = family.map(tensors)?;
    let mut values = Vec::with_capacity(tensors.len());
    for ((name, shape), foreign) in tensors.iter().zip(&foreign) {
        let dims: Vec<usize> = shape.dims().iter().map(|&d| d as usize).collect();
        values.push(permute(weights.tensor(name, *shape, path)?, &dims, foreign.order));
    }
    let mut views = Vec::new();
    for (foreign, values) in foreign.iter().zip(&values) {
        views.push((foreign.name.clone(), Dtype::F32, foreign.shape.clone(), bytemuck::cast_slice(values)));
    }
    // Each batch normalisation of PyTorch also counts its batches.
    let norms: BTreeSet<&str> = foreign.iter().filter_map(|f| f.name.strip_suffix("running_var")).collect();
    views.extend(norms.iter().map(|norm| (format!("{norm}{COUNTER}"), Dtype::I64, Vec::new(), &[0; 8][..])));
    let mut info = weights.metadata.origin.fields();
    // The program itself reads none of this; our import does, so that nothing is lost on the way there and back.
    info.insert("network".to_string(), weights.metadata.network.clone());
    info.insert("preprocess".to_string(), weights.metadata.preprocess.json());
    // What transformers and others write to say that a file has PyTorch's names and layouts.
    info.insert("format".to_string(), "pt".to_string());
    let count = views.len();
    let views = views.into_iter().map(|(name, dtype, shape, bytes)| {
        (name, TensorView::new(dtype, shape, bytes).expect("a tensor has as many values as its shape says"))
    });
    write_whole(out, &serialise(views, info))?;
    let same = weights.metadata.preprocess.normalise == family.normalise();
    Ok(Exported { program: family.name(), tensors: count, prepares_alike: same })
}
