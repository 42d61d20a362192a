//! How many images go through the network at a time.

use super::{Config, Trainer};
use crate::executor::Options;
use crate::graph::{Recording, Tensor};
use crate::model::{Instance, Model, derive_plan};
use crate::plan::{BufferSpec, Role};
use crate::session::SESSION_BATCH;
use crate::{Engine, Error, Result};

/// The chunk for batches of `batch` images: what the settings ask for, at most the batch, or else the whole batch if the
/// device has the memory for it beside that of the evaluation, or else the first of a half, a quarter, ... of it that the device has the memory for.
/// Where a device does not tell how much it has, plans are put on it until one fits.
///
/// # Errors
/// The settings make no sense, or the device fails for another reason than its memory. That not even one image fits is
/// found out when the plan is put on the device.
pub fn choose_chunk(engine: &Engine, model: &Model, config: &Config, batch: u32) -> Result<u32> {
    if let Some(chunk) = config.chunk {
        return Ok(chunk.min(batch));
    }
    let mut budget = engine.memory_budget();
    if let Some(total) = &mut budget.total {
        *total = total.saturating_sub(evaluation_bytes(model)?);
    }
    let mut chunks = 1u32;
    loop {
        let chunk = batch.div_ceil(chunks).max(1);
        let plan = Trainer::plan(model, &Config { chunk: Some(chunk), ..config.clone() }, batch);
        let fits = match plan {
            Ok(plan) if !budget.holds(&plan, false) => false,
            Ok(plan) if budget.total.is_none() => match engine.executor(plan, &Options::default()) {
                Ok(_) => true,
                Err(Error::Memory(_)) => false,
                Err(e) => return Err(e),
            },
            Ok(_) => true,
            // A tensor of the whole batch may be too large to count, and that of a chunk not.
            Err(Error::Shape { .. } | Error::Setting(_)) if chunk > 1 => false,
            Err(e) => return Err(e),
        };
        if fits || chunk == 1 {
            return Ok(chunk);
        }
        chunks = chunks.saturating_mul(2);
    }
}

/// Bytes of what measures the network beside its training: inference of some images at a time. Its parameters are those in
/// training.
///
/// # Errors
/// The model cannot be used for inference.
pub(super) fn evaluation_bytes(model: &Model) -> Result<u64> {
    let Instance { graph, folds, .. } = model.inference(SESSION_BATCH)?;
    let outputs: Vec<Tensor> = graph.outputs().map(|(_, tensor)| tensor).collect();
    let plan = Recording::forward(&graph, &outputs).finish();
    let derived = derive_plan(&folds);
    let persistent = plan.buffers.iter().filter(|spec| spec.role.is_persistent());
    let derived: u64 = derived.with_role(Role::Derived).map(|(_, spec)| spec.bytes()).sum();
    Ok(plan.bytes() - persistent.map(BufferSpec::bytes).sum::<u64>() + derived)
}
