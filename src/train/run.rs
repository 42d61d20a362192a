//! The training loop: batches in, statistics out, an evaluation and a save after each epoch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::checkpoints::Checkpoints;
use super::collapse::{Guard, OnCollapse};
use super::diagnose::first_bad_tensor;
use super::prepare::Prepared;
use super::rate::LearningRate;
use super::{
    Best, Config, EpochReport, Measured, Observer, Output, Progress, SelectionReport, StepReport, Summary,
    TrainingState, Versions,
};
use crate::data::faces::FaceSet;
use crate::data::sampler::Batch;
use crate::eval::verification::Accuracy;
use crate::executor::Pending;
use crate::model::Model;
use crate::{Engine, Error, Result};

/// Steps whose statistics may be under way while the device works on.
const STEPS_IN_FLIGHT: usize = 2;

/// Trains `model` on `set` as `config` says, until it is done or `stop` is set, and leaves everything in `output`. Where
/// `output` has a [`TrainingState`], training goes on from it, to the very bits of a run without a
/// break; only the collapse guard begins anew.
///
/// # Errors
/// The data cannot be used, the device fails, the output cannot be written, or the loss is NaN or Inf: then the last good
/// weights are in `output` and the message says at which step and in which layer it happened. Good are weights with which
/// the network gave finite numbers. With [`OnCollapse::Stop`] a collapse is an error, too.
pub fn train(
    engine: &Engine,
    model: &Model,
    config: &Config,
    set: &Arc<FaceSet>,
    output: &mut dyn Output,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    let state = output.state()?;
    let first = state.as_ref().map_or(0, |state| usize::try_from(state.progress.step).unwrap_or(usize::MAX));
    let Some(prepared) = Prepared::new(engine, model, config, set, first, stop, observer)? else {
        return Ok(Summary::stopped_before_the_first_step());
    };
    let model = &model.clone().with_preprocess(set.preprocess().clone())?;
    let mut run = Run::new(model, set, prepared, output, observer);
    if let Some(state) = state {
        run.go_on(&state)?;
    }
    for epoch in run.next_epoch()..=config.epochs {
        if !run.epoch(epoch, stop)? {
            break;
        }
    }
    run.finish()
}

/// A step that the device may still be working on.
struct InFlight {
    step: usize,
    learning_rate: f32,
    batch: Batch,
    skipped: usize,
    statistics: Pending<Vec<f32>>,
}

/// A run between its first step and its last.
struct Run<'a> {
    model: &'a Model,
    set: &'a FaceSet,
    output: &'a mut dyn Output,
    observer: &'a mut dyn Observer,
    parts: Prepared,
    rate: LearningRate,
    checkpoints: Checkpoints,
    guard: Guard,
    begin: Instant,
    /// Time waited for the batches before those of `parts`.
    waited: Duration,
    /// Steps so far.
    done: usize,
    in_flight: VecDeque<InFlight>,
    /// The batch whose statistics arrived last, for a diagnosis.
    last_batch: Option<Batch>,
    best: Option<Accuracy>,
    /// Accuracy across versions, of the best weights.
    versions: Option<Versions>,
    history: Vec<EpochReport>,
}

impl<'a> Run<'a> {
    fn new(
        model: &'a Model,
        set: &'a FaceSet,
        parts: Prepared,
        output: &'a mut dyn Output,
        observer: &'a mut dyn Observer,
    ) -> Self {
        let config = &parts.config;
        Self {
            rate: LearningRate::new(config, parts.steps),
            checkpoints: Checkpoints::new(model, parts.trainer.metadata().clone(), config.seed),
            guard: Guard::new(config.margin),
            model,
            set,
            output,
            observer,
            parts,
            begin: Instant::now(),
            waited: Duration::ZERO,
            done: 0,
            in_flight: VecDeque::new(),
            last_batch: None,
            best: None,
            versions: None,
            history: Vec::new(),
        }
    }

    /// Takes over what an earlier run had reached at the end of an epoch.
    fn go_on(&mut self, state: &TrainingState) -> Result<()> {
        let parts = &mut self.parts;
        parts.trainer.restore(state)?;
        let Progress { step, rate_scale, best, .. } = state.progress;
        self.done = usize::try_from(step).unwrap_or(usize::MAX);
        if self.done > parts.steps || !self.done.is_multiple_of(parts.epoch_steps) {
            let (steps, epoch_steps) = (parts.steps, parts.epoch_steps);
            return Err(Error::Data(format!(
                "the training state is that of step {step}, which ends no epoch of this run ({steps} steps, {epoch_steps} an \
                 epoch): the settings or the data differ"
            )));
        }
        if parts.offline.as_ref().is_some_and(|offline| !offline.due(self.done)) {
            return Err(Error::Setting(format!(
                "step {step} is no multiple of `offline.every`: triplets that were selected before it are not in the training \
                 state; begin anew"
            )));
        }
        self.rate.go_on(rate_scale);
        self.best = best.map(Accuracy::from);
        self.checkpoints.go_on(self.done, self.parts.trainer.weights()?);
        Ok(())
    }

    /// The epoch that follows, counted from 1.
    fn next_epoch(&self) -> u32 {
        u32::try_from(self.done / self.parts.epoch_steps + 1).unwrap_or(u32::MAX)
    }

    /// Everything that a run must know to go on after this epoch.
    fn state(&self) -> Result<TrainingState> {
        let mut state = self.parts.trainer.state()?;
        state.progress.rate_scale = self.rate.scale();
        state.progress.best = self.best.map(Best::from);
        Ok(state)
    }

    fn config(&self) -> &Config {
        &self.parts.config
    }

    /// Runs an epoch, measures it and saves the weights; `false` if it was stopped before its end.
    fn epoch(&mut self, epoch: u32, stop: &AtomicBool) -> Result<bool> {
        let means = match self.steps(epoch, stop) {
            Ok(Some(means)) => means,
            Ok(None) => return Ok(false),
            Err(e) => return Err(self.rescue(e)),
        };
        let measured = self.measure(stop)?;
        let accuracy = measured.and_then(|measured| measured.accuracy);
        let better = match (accuracy, self.best) {
            (Some(now), Some(best)) => now.accuracy > best.accuracy,
            (Some(_), None) => true,
            // Nobody is held out: the latest weights count as the best. Or the evaluation was stopped.
            (None, _) => self.parts.evaluator.pairs() == 0 || !self.output.has_best(),
        };
        if better {
            self.output.save_best(&self.checkpoints.good().1)?;
            self.best = accuracy.or(self.best);
            self.versions = measured.and_then(|measured| measured.versions);
        }
        if self.output.keeps_state() {
            let state = self.state()?;
            self.output.save_state(state)?;
        }
        let report = EpochReport {
            accuracy: accuracy.map(|a| a.accuracy),
            threshold: accuracy.map(|a| a.threshold),
            best: better,
            seconds: self.begin.elapsed().as_secs_f64(),
            ..means
        };
        self.history.push(report);
        self.output.epoch(&self.history, self.parts.baselines.as_ref())?;
        self.observer.epoch(&report);
        Ok(true)
    }

    /// Saves what has not been saved, and sums the run up.
    fn finish(mut self) -> Result<Summary> {
        if self.done > self.checkpoints.good_step() {
            self.save_unfinished()?;
        }
        if let Some(versions) = &self.versions {
            self.output.versions(versions)?;
        }
        Ok(Summary {
            steps: self.done,
            best: self.best,
            baselines: self.parts.baselines,
            versions: self.versions,
            stopped: self.done < self.parts.steps,
            seconds: self.begin.elapsed().as_secs_f64(),
        })
    }

    /// Runs the steps of an epoch. `None` if it was stopped before its end.
    fn steps(&mut self, epoch: u32, stop: &AtomicBool) -> Result<Option<EpochReport>> {
        let (begin, first, steps) = (Instant::now(), self.done, self.parts.epoch_steps);
        let waited = self.waited + self.parts.batches.waited();
        let batch_size = self.parts.batch_size;
        let images_per_second = |done: usize| ((done - first) * batch_size) as f64 / begin.elapsed().as_secs_f64();
        let mut rows = Vec::with_capacity(steps);
        while self.done < first + steps && !stop.load(Ordering::Relaxed) {
            if self.parts.offline.as_ref().is_some_and(|offline| offline.due(self.done)) {
                // What these steps say of the weights must be known before they are used.
                self.land(0, epoch, images_per_second(self.done), &mut rows)?;
                if !self.select_offline(stop)? {
                    break;
                }
            }
            let Some(batch) = self.parts.batches.next_batch() else { break };
            let batch = batch?;
            let learning_rate = self.rate.at(self.done);
            let statistics = self.parts.trainer.step(&batch, learning_rate)?;
            self.done += 1;
            let (batch, skipped) = (batch.into_description(), self.parts.trainer.work().skipped);
            self.in_flight.push_back(InFlight { step: self.done, batch, skipped, statistics, learning_rate });
            self.checkpoints.submitted(self.done, &self.parts.trainer)?;
            self.land(STEPS_IN_FLIGHT, epoch, images_per_second(self.done), &mut rows)?;
        }
        self.land(0, epoch, images_per_second(self.done), &mut rows)?;
        let seconds = begin.elapsed().as_secs_f64();
        Ok((self.done == first + steps).then(|| EpochReport {
            images_per_second: ((self.done - first) * batch_size) as f64 / seconds,
            data_wait: (self.waited + self.parts.batches.waited() - waited).as_secs_f64() / seconds,
            ..EpochReport::means(epoch, self.done, &rows)
        }))
    }

    /// Chooses triplets with the latest weights, for the steps until the next time; `false` if it was stopped meanwhile.
    fn select_offline(&mut self, stop: &AtomicBool) -> Result<bool> {
        let Some(offline) = &self.parts.offline else { return Ok(true) };
        let session = self.parts.evaluator.session();
        let (batches, report) = match offline.select(session, self.done, stop, self.observer) {
            Err(Error::NotFinite(_)) => return Err(self.not_finite(self.done)?),
            Ok(None) => return Ok(false),
            Err(e) => return Err(e),
            Ok(Some(selected)) => selected,
        };
        if report.triplets == 0 {
            let SelectionReport { step, images, .. } = report;
            let message =
                format!("no triplet was found among {images} images at step {step}; the batches choose their own");
            self.observer.warning(&message);
        }
        self.output.selection(&report)?;
        self.observer.selected(&report);
        self.waited += self.parts.batches.waited();
        self.parts.batches = batches;
        Ok(true)
    }

    /// Takes the statistics of finished steps until at most `keep` are under way.
    fn land(&mut self, keep: usize, epoch: u32, images_per_second: f64, rows: &mut Vec<StepReport>) -> Result<()> {
        while self.in_flight.len() > keep {
            let Some(flight) = self.in_flight.pop_front() else { break };
            let statistics = flight.statistics.wait()?;
            let seconds = self.begin.elapsed().as_secs_f64();
            let report = StepReport {
                skipped: flight.skipped,
                offline: !flight.batch.triplets.is_empty(),
                ..StepReport::new(flight.step, epoch, &statistics, flight.learning_rate, seconds)
            };
            self.output.step(&report)?;
            self.last_batch = Some(flight.batch);
            if !(report.loss.is_finite() && report.loss_all.is_finite()) {
                return Err(self.not_finite(flight.step)?);
            }
            self.checkpoints.finite(flight.step)?;
            rows.push(report);
            self.observer.step(&report, images_per_second);
            let collapse = self.guard.step(&report, &self.parts.config, self.rate.start());
            self.checkpoints.prove(flight.step, self.guard.calm_steps());
            if let Some(collapse) = collapse {
                self.collapsed(flight.step, &collapse)?;
            }
        }
        Ok(())
    }

    /// Measures the weights at the end of an epoch and saves them as the last. They are saved before anything else can
    /// go wrong, but never if they give embeddings with NaN or Inf. `None` if it was stopped meanwhile.
    fn measure(&mut self, stop: &AtomicBool) -> Result<Option<Measured>> {
        let weights = self.parts.trainer.checkpoint()?;
        let measured = self.parts.evaluator.measure(self.parts.old.as_deref(), stop, self.observer);
        let weights = weights.wait()?;
        if matches!(measured, Err(Error::NotFinite(_))) || !weights.is_finite() {
            return Err(self.not_finite(self.done)?);
        }
        self.output.save_last(&weights)?;
        self.checkpoints.keep_measured(self.done, weights);
        measured
    }

    /// Does what was asked for in case of a collapse, which a sentence describes.
    fn collapsed(&mut self, step: usize, collapse: &str) -> Result<()> {
        let sound = match self.checkpoints.sound_step() {
            0 => "the starting weights".to_string(),
            step => format!("the weights of step {step}, from before it,"),
        };
        match self.config().on_collapse {
            OnCollapse::Warn => self.observer.warning(&format!("step {step}: {collapse}")),
            OnCollapse::Stop => {
                self.checkpoints.return_to_sound();
                self.save_good()?;
                let place = self.output.last_place();
                return Err(Error::Collapsed(format!("stopped at step {step}: {collapse}; {sound} are in {place}")));
            }
            OnCollapse::BackOff => {
                let weights = self.checkpoints.return_to_sound();
                self.parts.trainer.load(&weights, "the weights of an earlier step".as_ref())?;
                // Its momentum would go on in the direction of the collapse.
                self.parts.trainer.reset_optimiser()?;
                self.rate.back_off();
                self.guard.start_again();
                let rate = self.rate.at(self.done);
                let message =
                    format!("step {step}: {collapse}; back to {sound} with half the learning rate, {rate:.2e}");
                self.observer.warning(&message);
            }
        }
        Ok(())
    }

    /// Saves the weights in the middle of an epoch, after the user has asked to stop.
    fn save_unfinished(&mut self) -> Result<()> {
        let weights = self.parts.trainer.weights()?;
        if !weights.is_finite() {
            return Err(self.not_finite(self.done)?);
        }
        self.checkpoints.keep(self.done, weights);
        self.save_good()
    }

    /// Saves the good weights as the last, and as the best if there are none.
    fn save_good(&mut self) -> Result<()> {
        let (_, weights) = self.checkpoints.good();
        self.output.save_last(&weights)?;
        if self.output.has_best() { Ok(()) } else { self.output.save_best(&weights) }
    }

    /// After an error in the middle of an epoch: saves what can be saved and hands the error on.
    fn rescue(&mut self, error: Error) -> Error {
        if !matches!(error, Error::NotFinite(_) | Error::Collapsed(_)) && self.done > 0 {
            // The first error is the one that the user must hear of.
            if self.save_unfinished().is_err() {
                let _ = self.save_good();
            }
        }
        error
    }

    /// Saves what is good and explains what is not. The update of a step is skipped on the device while its loss is not
    /// finite, so the weights are still those that the step met, and the first bad tensor can be found.
    fn not_finite(&mut self, step: usize) -> Result<Error> {
        self.save_good()?;
        let source = match &self.last_batch {
            Some(batch) => {
                let store = self.parts.trainer.store();
                first_bad_tensor(self.model, store, self.config(), self.set, batch).unwrap_or_default()
            }
            None => None,
        };
        let source = source.unwrap_or_else(|| "the embedding of an image outside the last batch".to_string());
        let kept = match self.checkpoints.good_step() {
            0 => "only the starting weights were good, and they".to_string(),
            step => format!("the last good weights, those of step {step},"),
        };
        Ok(Error::NotFinite(format!(
            "the loss is NaN or Inf at step {step}: the first tensor that is not finite is {source}; {kept} are in {}; \
             try a lower `learning_rate` than {:?}",
            self.output.last_place(),
            self.rate.start()
        )))
    }
}
