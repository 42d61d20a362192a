//! Where a NaN or an Inf came from.

use super::Config;
use crate::Result;
use crate::data::faces::FaceSet;
use crate::data::prefetch::host_batch;
use crate::data::sampler::Batch;
use crate::executor::Options;
use crate::graph::{Purpose, Recording};
use crate::model::Model;
use crate::plan::{Buf, Type};
use crate::session::WEIGHTS;
use crate::store::Store;

/// Runs the model forward over `batch` with the parameters as they are now, in the chunks of training, with every buffer
/// kept, and says which tensor is the first that is not finite: a parameter, or the output of a layer. `None` if all are
/// finite, so that other images must have caused it.
///
/// # Errors
/// An image can no longer be read, or the device is lost or lacks memory.
pub(super) fn first_bad_tensor(
    model: &Model,
    parameters: &Store,
    config: &Config,
    set: &FaceSet,
    batch: &Batch,
) -> Result<Option<String>> {
    let bad = |data: &[f32]| data.iter().any(|x| !x.is_finite());
    if let Some(tensor) = parameters.download(&WEIGHTS)?.wait()?.iter().find(|tensor| bad(&tensor.data)) {
        return Ok(Some(format!("the parameter {}", tensor.spec.name)));
    }
    let size = u32::try_from(batch.labels.len()).expect("a batch fits 32 bits");
    let chunk = config.chunk.map_or(size, |chunk| chunk.min(size));
    let net = model.sized(chunk, Purpose::Training { dropout: 0.0, frozen: config.frozen_statistics })?;
    let recording = Recording::forward(&net.graph, &[net.embeddings()]);
    let images = recording.value(net.images);
    let plan = recording.finish();
    let mut layers: Vec<Buf> = (0u32..)
        .map(Buf)
        .zip(&plan.buffers)
        .filter_map(|(buf, spec)| (spec.ty == Type::F32 && !spec.role.is_persistent()).then_some(buf))
        .collect();
    let mut executor = Store::executor(&[parameters], plan, &Options { share: false, ..Options::default() })?;
    let batch = host_batch(set, batch)?;
    let everyone: Vec<usize> = (0..batch.labels.len()).collect();
    let mut pixels = vec![0.0; executor.plan().spec(images).shape.len()];
    let mut first = None;
    for own in everyone.chunks(chunk as usize) {
        let filled: Vec<usize> = own.iter().chain(everyone.iter().cycle()).copied().take(chunk as usize).collect();
        batch.images.write(&filled, &mut pixels)?;
        executor.write(images, &pixels)?;
        executor.run_all()?;
        for (at, &layer) in layers.iter().enumerate() {
            if bad(&executor.read(layer)?) {
                first = Some(layer);
                // Only an earlier layer is of interest in the chunks to come.
                layers.truncate(at);
                break;
            }
        }
    }
    Ok(first.map(|layer| format!("the output of the layer {}", executor.plan().spec(layer).name)))
}
