//! Parameters between weights files and the store that holds them on a device.

use std::collections::BTreeSet;
use std::path::Path;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use crate::data::preprocess::Preprocess;
use crate::graph::{Init, Source};
use crate::model::Model;
use crate::net;
use crate::plan::{BufferSpec, Role, Type};
use crate::store::{NamedTensor, Store};
use crate::text::shown;
use crate::weights::{Metadata, Weights, unusable};
use crate::{Engine, Result};

/// The roles of what a weights file holds.
pub(crate) const WEIGHTS: [Role; 2] = [Role::Param, Role::Statistic];

/// What the names of parameters begin with that belong to a loss and not to the model: weights files do not hold them.
pub(crate) const OF_THE_LOSS: &str = "loss/";

/// A store with the parameters and running statistics of a model, all zero.
///
/// # Errors
/// The device lacks memory.
pub(crate) fn store_of(engine: &Engine, model: &Model) -> Result<Store> {
    let store = Store::new(engine);
    store.add(model.graph().nodes().iter().filter_map(|node| {
        let role = match node.source {
            Source::Param { .. } => Role::Param,
            Source::Statistic { .. } => Role::Statistic,
            _ => return None,
        };
        Some(BufferSpec { name: node.name.clone(), shape: node.shape, ty: Type::F32, role })
    }))?;
    Ok(store)
}

/// Uploads weights; `path` stands for them in messages.
///
/// # Errors
/// A tensor is missing or misshapen, or the device is lost.
pub(crate) fn load_weights(store: &Store, weights: &Weights, path: &Path) -> Result<()> {
    for spec in store.specs().iter().filter(|spec| spec.role.is_weight() && !spec.name.starts_with(OF_THE_LOSS)) {
        store.write(&spec.name, weights.tensor(&spec.name, spec.shape, path)?)?;
    }
    Ok(())
}

/// Downloaded tensors as weights.
pub(crate) fn weights_of(tensors: Vec<NamedTensor>, metadata: Metadata) -> Weights {
    let of_the_model = |t: &NamedTensor| t.spec.role.is_weight() && !t.spec.name.starts_with(OF_THE_LOSS);
    let tensors = tensors.into_iter().filter(of_the_model);
    Weights { metadata, tensors: tensors.map(|t| (t.spec.name, t.spec.shape, t.data)).collect() }
}

/// The model that weights were made for, one of those that [`net::find`] knows.
///
/// # Errors
/// The network is unknown, or cannot have the sizes that the file claims; `path` names the file in the message.
pub(crate) fn model_of(weights: &Weights, path: &Path) -> Result<Model> {
    let fail = |message: String| unusable(path, &message);
    let Metadata { network: name, embedding, preprocess, version, .. } = &weights.metadata;
    let network = net::find(name).map_err(|_| {
        let names: Vec<_> = net::NETWORKS.iter().map(|n| n.name).collect();
        fail(format!(
            "holds weights of the network {}, this version knows {}; update facenet-gpu (the file was written by \
             version {})",
            shown(name),
            names.join(", "),
            shown(version)
        ))
    })?;
    let Preprocess { height, width, .. } = preprocess;
    let model = network.sized(Some([*height, *width]), Some(*embedding)).map_err(|e| {
        fail(format!(
            "has images of {height}x{width} and embeddings of {embedding} dimensions ({e}); the file is damaged"
        ))
    })?;
    model.with_preprocess(preprocess.clone())
}

/// Checks that weights fit a model: everything that a device would choke on is found out here.
///
/// # Errors
/// They belong to another model, or a tensor is missing, unknown, misshapen or holds NaN or Inf.
pub(crate) fn check_fit(model: &Model, weights: &Weights, path: &Path) -> Result<()> {
    let fail = |message: String| unusable(path, &message);
    let name = &weights.metadata.network;
    if name != model.name() {
        return Err(fail(format!("holds weights of the network {}, not of {}", shown(name), model.name())));
    }
    let mut known = BTreeSet::new();
    for (name, shape) in model.tensors() {
        let data = weights.tensor(name, shape, path)?;
        known.insert(name);
        if name.ends_with("/var") && data.iter().any(|var| *var < 0.0) {
            return Err(fail(format!("has a negative variance in the tensor {name}; the file is damaged")));
        }
    }
    if let Some((name, ..)) = weights.tensors.iter().find(|(name, ..)| !known.contains(name.as_str())) {
        return Err(fail(format!(
            "has the tensor {}, which {} does not know; the file is damaged",
            shown(name),
            model.name()
        )));
    }
    if !weights.is_finite() {
        return Err(fail("holds NaN or Inf; train again with a lower learning rate".into()));
    }
    Ok(())
}

/// Draws the starting values of a model, in order, from a seed.
pub fn initial_weights(model: &Model, metadata: Metadata, seed: u64) -> Weights {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut tensors = Vec::new();
    for (node, init) in model.graph().weights() {
        let len = node.shape.len();
        let mut draw = |std: f32| {
            let normal = Normal::new(0.0, std).expect("a standard deviation is finite");
            normal.sample_iter(&mut rng).take(len).collect()
        };
        let data = match init {
            Init::Zeros => vec![0.0; len],
            Init::Ones => vec![1.0; len],
            Init::HeNormal { fan_in } => draw((2.0 / fan_in as f32).sqrt()),
            Init::LecunNormal { fan_in } => draw((1.0 / fan_in as f32).sqrt()),
        };
        tensors.push((node.name.clone(), node.shape, data));
    }
    Weights { metadata, tensors }
}
