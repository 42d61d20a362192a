//! What every way to train needs before its first step: people split, batches drawn, a trainer with its starting weights.

use std::path::Path;
use std::sync::Arc;

use super::start::{Start, start};
use super::{Config, Observer, Trainer, choose_chunk};
use crate::data::faces::FaceSet;
use crate::data::sampler::PkSampler;
use crate::data::split::{HeldOut, Split, split_people};
use crate::model::Model;
use crate::weights::Weights;
use crate::{Engine, Error, Precision, Result};

/// Refuses a precision that rounds factors: a step would follow the gradient of another network than it runs.
///
/// # Errors
/// The precision is not `f32`.
pub(crate) fn check_precision(precision: Precision) -> Result<()> {
    match precision {
        Precision::F32 => Ok(()),
        rounded => Err(Error::Setting(format!(
            "`precision` {rounded} is for using a network: training computes in f32; leave it out"
        ))),
    }
}

/// A trainer and the batches for it.
#[derive(Debug)]
pub(super) struct Ready {
    /// The settings, with the chunk that was chosen.
    pub(super) config: Config,
    /// The model with the images' preprocessing.
    pub(super) model: Model,
    pub(super) split: Split,
    pub(super) sampler: PkSampler,
    pub(super) trainer: Trainer,
    /// The starting weights, where they cannot be drawn again.
    pub(super) start: Option<Arc<Weights>>,
    /// Images of a batch.
    pub(super) batch: u32,
}

impl Ready {
    /// Splits the people and puts the model on the device, with the starting weights of `init` or of the seed.
    ///
    /// # Errors
    /// The settings or the data cannot be used, or the device lacks memory.
    pub(super) fn new(
        engine: &Engine,
        model: &Model,
        config: &Config,
        set: &FaceSet,
        init: Option<&Path>,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        config.check()?;
        let split = split_people(set, HeldOut::Fraction(config.held_out), config.seed)?;
        split.warning.iter().for_each(|w| observer.warning(w));
        let config = &config.clone().with(|c| c.classes = classes(&split));
        let (sampler, warnings) = PkSampler::new(set, &split.train, config.sampling())?;
        warnings.iter().for_each(|w| observer.warning(w));
        let batch = batch_of(&sampler)?;
        if sampler.unused_singles() > 0 {
            observer.warning(&format!(
                "{} people with a single image are not used; `negatives` gives them places in the batches",
                sampler.unused_singles()
            ));
        }
        let model = model.clone().with_preprocess(set.preprocess().clone())?;
        let mut config = Config { chunk: Some(choose_chunk(engine, &model, config, batch)?), ..config.clone() };
        let mut halved = 0;
        let mut trainer = loop {
            match Trainer::new(engine, &model, &config, batch) {
                Err(Error::Memory(message)) => less_memory(&mut config, &mut halved, &message, observer)?,
                trainer => break trainer?,
            }
        };
        trainer.number_classes(&split.train);
        let Start { weights, said } = start(&model, trainer.metadata().clone(), config.seed, init)?;
        trainer.load(&weights, "the starting weights".as_ref())?;
        let start = said.map(|said| {
            observer.starting(&said);
            Arc::new(weights)
        });
        if trainer.depends_on_chunk() {
            observer.warning(&format!(
                "batch statistics and dropout are those of each chunk of {} images, not of the whole batch of {batch}; \
                 `frozen_statistics` lifts it for batch normalisation",
                trainer.chunk()
            ));
        }
        Ok(Self { config, model, split, sampler, trainer, start, batch })
    }

    /// Steps of an epoch.
    pub(super) fn epoch_steps(&self) -> usize {
        self.sampler.paired_images().div_ceil(self.batch as usize).max(Config::MIN_EPOCH)
    }
}

/// Times that a run halves its chunk because the device lacks memory.
const HALVINGS: u32 = 3;

/// Halves the chunk after the device lacked memory, which `message` tells of; `halved` counts how often that was done.
///
/// # Errors
/// It was done often enough, or a chunk is one image.
pub(super) fn less_memory(
    config: &mut Config,
    halved: &mut u32,
    message: &str,
    observer: &mut dyn Observer,
) -> Result<()> {
    match config.chunk {
        Some(chunk) if chunk > 1 && *halved < HALVINGS => {
            let half = chunk.div_ceil(2);
            (config.chunk, *halved) = (Some(half), *halved + 1);
            observer.warning(&format!(
                "{message}; the run goes on with {half} images at a time instead of {chunk}, as with `chunk` {half}"
            ));
            Ok(())
        }
        chunk => Err(Error::Memory(format!(
            "{message}, also with a chunk of {} (halved {halved} times); give a smaller `chunk` or `input`, or another `network`",
            chunk.unwrap_or_default()
        ))),
    }
}

/// Classes of a loss over the people: those who are trained on.
fn classes(split: &Split) -> u32 {
    u32::try_from(split.train.len()).unwrap_or(u32::MAX)
}

/// The settings with what only the data tell, and images of a batch, before anything is written.
///
/// # Errors
/// Those of [`train`](super::train) that are about the settings and the data.
pub fn check_data(config: &mut Config, set: &FaceSet) -> Result<u32> {
    config.check()?;
    let split = split_people(set, HeldOut::Fraction(config.held_out), config.seed)?;
    config.classes = classes(&split);
    batch_of(&PkSampler::new(set, &split.train, config.sampling())?.0)
}

fn batch_of(sampler: &PkSampler) -> Result<u32> {
    u32::try_from(sampler.batch_size()).map_err(|_| Error::Setting("the batch is too large".into()))
}
