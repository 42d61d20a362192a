//! What a run needs before its first step.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::chunk::evaluation_bytes;
use super::offline::OfflineBatches;
use super::on_pairs::OnPairs;
use super::ready::Ready;
use super::{Baselines, Compatible, Config, Evaluator, Observer, Setup, Trainer, TrainingState};
use crate::data::faces::FaceSet;
use crate::data::prefetch::{Prefetcher, depth};
use crate::data::sampler::Batch;
use crate::model::Model;
use crate::weights::Weights;
use crate::{Engine, Error, Result};

/// Everything that a run works with.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The settings, with the chunk that was chosen.
    pub(super) config: Config,
    pub(super) trainer: Trainer,
    pub(super) evaluator: Evaluator,
    pub(super) baselines: Option<Baselines>,
    /// The old network's embeddings, where the new ones are to stay comparable.
    pub(super) old: Option<Arc<Compatible>>,
    pub(super) offline: Option<OfflineBatches>,
    pub(super) batches: Prefetcher,
    pub(super) batch_size: usize,
    pub(super) epoch_steps: usize,
    /// Steps of the whole run.
    pub(super) steps: usize,
    /// People held out, as places in the set's list.
    pub(super) held_out: Vec<usize>,
    /// The starting weights, where they cannot be drawn again.
    pub(super) start: Option<Arc<Weights>>,
    /// The first batch of the run.
    pub(super) first_batch: Batch,
    /// Digest of the data.
    pub(super) data: String,
}

impl Prepared {
    /// Checks that the run has the step that a state was saved at.
    ///
    /// # Errors
    /// It has fewer steps, or epochs of another length.
    pub(super) fn check_state(&self, state: &TrainingState) -> Result<()> {
        let &Self { steps, epoch_steps, .. } = self;
        let done = usize::try_from(state.progress.step).unwrap_or(usize::MAX);
        let begun = state.run.steps_of_epoch();
        if begun > epoch_steps || !done.saturating_sub(begun).is_multiple_of(epoch_steps) {
            return Err(Error::Data(format!(
                "the training state is that of step {done}, {begun} steps into an epoch, which this run does not have ({steps} steps, \
                 {epoch_steps} an epoch): the settings or the data differ"
            )));
        }
        if done > steps {
            return Err(Error::Setting(format!(
                "`epochs` asks for {steps} steps, {epoch_steps} an epoch, and {done} are done already; give at least {} epochs",
                done.div_ceil(epoch_steps)
            )));
        }
        Ok(())
    }

    /// Splits the people, puts the model with its starting weights on the device and measures the baselines, unless `state`,
    /// from which the run goes on, has them. `None` if `stop` was set before that was done.
    ///
    /// # Errors
    /// The settings or the data cannot be used, or the device lacks memory.
    pub(super) fn new(
        engine: &Engine,
        model: &Model,
        config: &Config,
        set: &Arc<FaceSet>,
        state: Option<&TrainingState>,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Option<Self>> {
        // A run that goes on has its weights in its state.
        let init = config.init.as_deref().filter(|_| state.is_none());
        let ready = Ready::new(engine, model, config, set, init, observer)?;
        let (epoch_steps, batch_size) = (ready.epoch_steps(), ready.batch as usize);
        let Ready { config, model, split, sampler, mut trainer, start, .. } = ready;
        let model = &model;
        let used = *sampler.config();
        let train_images = sampler.paired_images();
        let steps = epoch_steps * config.epochs as usize;
        let old = match &config.compatible_with {
            Some(path) => match Compatible::new(engine, path, set, model.dimensions()?, stop, observer)? {
                Some(old) => Some(Arc::new(old)),
                None => return Ok(None),
            },
            None => None,
        };
        if let Some(old) = &old {
            trainer.compare_with(old.clone());
        }
        let mut evaluator = Evaluator::new(engine, model, trainer.store(), &config, set.clone(), &split.held_out)?;
        if let (Some(list), Some(dir)) = (&config.eval_pairs, &config.eval_data) {
            if split.held_out.is_empty() {
                return Err(Error::Setting(
                    "`eval_pairs` takes its threshold from held-out people, and nobody is held out; raise `held_out`"
                        .into(),
                ));
            }
            let (pairs, left_out) = OnPairs::read(list, dir, set.preprocess())?;
            left_out.iter().for_each(|said| observer.warning(said));
            evaluator.also_on(pairs);
        }
        if evaluator.needs_weights() {
            evaluator.load(&trainer.weights()?)?;
        }
        let baselines = match state.and_then(|state| state.run.baselines) {
            Some(known) => Some(known),
            None => evaluator.baselines(stop, observer)?,
        };
        let first = state.map_or(0, |state| usize::try_from(state.progress.step).unwrap_or(usize::MAX));
        let setup = Setup {
            set,
            train_people: split.train.len(),
            train_images,
            held_out: &split.held_out,
            people: used.people,
            images: used.images,
            negatives: sampler.negatives(),
            chunk: trainer.chunk() as usize,
            steps,
            first,
            params: model.param_count(),
            macs: model.sized(1, crate::graph::Purpose::Inference)?.graph.macs(),
            bytes: trainer.executor().plan().bytes() + evaluation_bytes(model)?,
            pairs: evaluator.pairs(),
            baselines,
        };
        observer.begin(&setup);
        let offline =
            config.offline.map(|offline| OfflineBatches::new((offline, config.margin), set, sampler.clone(), steps));
        // Offline selection makes batches of its own, the first time before the first step.
        let own = if offline.is_some() { 0 } else { steps.saturating_sub(first) };
        let first_batch = sampler.clone().batches(0).next().expect("batches have no end");
        let batches = Prefetcher::start(set.clone(), sampler.batches(first as u64).take(own), depth(set, batch_size))?;
        let data = set.digest()?;
        Ok(Some(Self {
            config,
            trainer,
            evaluator,
            baselines,
            old,
            offline,
            batches,
            batch_size,
            epoch_steps,
            steps,
            held_out: split.held_out,
            start,
            first_batch,
            data,
        }))
    }
}
