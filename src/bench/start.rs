//! Where the time goes from the start to the first results.

use std::path::Path;
use std::time::Instant;

use crate::data::prefetch::HostBatch;
use crate::model::Model;
use crate::session::{Session, initial_weights};
use crate::train::{Config, Trainer};
use crate::tune::ordinary;
use crate::weights::Metadata;
use crate::{Engine, Precision, Result};

/// Embeds one image twice and, if the network can be trained, makes two training steps, each from nothing. `told` gets each part
/// with its seconds when it is done.
///
/// # Errors
/// The device fails or lacks memory.
pub fn start(engine: &Engine, model: &Model, config: &Config, told: &mut dyn FnMut(&str, f64)) -> Result<()> {
    let mut begin = Instant::now();
    let mut done = |part: &str| {
        told(part, begin.elapsed().as_secs_f64());
        begin = Instant::now();
    };
    let weights = initial_weights(model, Metadata::of(model)?, 0);
    done("weights are drawn, where a program reads a file");
    let mut session = Session::new(engine, model.clone(), &weights, "weights")?;
    done("weights go to the device");
    let len = model.preprocess().face_len();
    let image = ordinary(len, 0.0, 1.0);
    session.embed_floats(&image)?;
    done("first image: plan, kernels, run");
    session.embed_floats(&image)?;
    done("second image");
    drop(session);
    if !model.unit_length() || engine.precision() != Precision::F32 {
        return Ok(());
    }
    let images = config.people * config.images;
    let batch = u32::try_from(images).unwrap_or(u32::MAX);
    // As `train` does, which times no kernels unless it is told to.
    let mut trainer = Trainer::new(engine.device(), model, config, batch)?;
    trainer.load(&weights, Path::new("weights"))?;
    done("training step: plan, kernels");
    let people = u32::try_from(config.people).unwrap_or(u32::MAX);
    let batch = HostBatch::of_floats(ordinary(images * len, 0.0, 1.0), (0..batch).map(|i| i % people).collect());
    done("images are drawn, where a program reads files");
    for step in ["first step", "second step"] {
        trainer.step(&batch, 0.0)?.wait()?;
        done(step);
    }
    Ok(())
}
