//! Where a number that is not one came from.

use std::path::Path;

use crate::data::prefetch::HostBatch;
use crate::executor::Options;
use crate::graph::Recording;
use crate::model::{build, load_weights};
use crate::net::{Build, Network};
use crate::plan::Role;
use crate::weights::Weights;
use crate::{Engine, Result};

/// Runs the network forward over `batch` with every buffer kept, and says which tensor is the first that is not finite:
/// a parameter, or the output of a layer. `None` if all are finite, so that other images must have caused it.
///
/// # Errors
/// The device is lost or lacks memory.
pub(super) fn first_bad_tensor(
    engine: &Engine,
    network: &Network,
    weights: &Weights,
    batch: &HostBatch,
) -> Result<Option<String>> {
    let bad = |data: &[f32]| data.iter().any(|x| !x.is_finite());
    if let Some((name, ..)) = weights.tensors.iter().find(|(.., data)| bad(data)) {
        return Ok(Some(format!("the parameter {name}")));
    }
    let size = u32::try_from(batch.labels.len()).expect("a batch fits 32 bits");
    let net = network.graph(&build(&weights.metadata, Build::training(size)))?;
    let recording = Recording::forward(&net.graph, &[net.embeddings]);
    let images = recording.value(net.images);
    let mut executor = engine.executor(recording.finish(), &Options { share: false, ..Options::default() })?;
    load_weights(executor.as_mut(), weights, Path::new("the weights in memory"))?;
    executor.write(images, &batch.images)?;
    executor.run_all()?;
    let layers: Vec<_> = executor
        .plan()
        .buffers
        .iter()
        .filter(|b| b.ty == crate::plan::Type::F32 && !matches!(b.role, Role::Param | Role::Statistic))
        .map(|b| b.name.clone())
        .collect();
    for name in layers {
        let buf = executor.plan().find(&name).expect("the name comes from the plan");
        if bad(&executor.read(buf)?) {
            return Ok(Some(format!("the output of the layer {name}")));
        }
    }
    Ok(None)
}
