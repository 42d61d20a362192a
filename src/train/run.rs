//! The training loop: batches in, statistics out, an evaluation and a save after each epoch.

mod recover;
mod saving;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use self::saving::Saving;
use super::checkpoints::Checkpoints;
use super::collapse::Guard;
use super::prepare::Prepared;
use super::rate::LearningRate;
use super::ready::less_memory;
use super::sums::EpochSums;
use super::{
    Begun, Config, End, EpochReport, LossKind, Measured, Observer, OfflineState, Output, Pace, RunState,
    SelectionReport, StepReport, Summary, TrainingState, Versions,
};
use crate::data::faces::FaceSet;
use crate::data::prefetch::HostBatch;
use crate::data::sampler::Batch;
use crate::eval::verification::Accuracy;
use crate::executor::Pending;
use crate::model::Model;
use crate::weights::{Trained, Weights};
use crate::{Engine, Error, Result};

/// Steps whose statistics may be under way while the device works on.
const STEPS_IN_FLIGHT: usize = 2;

/// Trains `model` on `set` as `config` says, until it is done or `stop` is set, and leaves everything in `output`. Where
/// `output` has a [`TrainingState`], training goes on from it, to the very bits of a run without a break. (Where the run
/// returns to older weights, after a collapse or a NaN, and these are from before the break, they are those of the break.)
///
/// # Errors
/// The data cannot be used, the device fails, the output cannot be written, or the loss is NaN or Inf again and again: then
/// the last good weights are in `output` and the message says at which step and in which layer it happened. Good are
/// weights with which the network gave finite numbers. With [`OnCollapse::Stop`](super::OnCollapse::Stop) a collapse is an
/// error, too.
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
    let Some(prepared) = Prepared::new(engine, model, config, set, state.as_ref(), stop, observer)? else {
        return Ok(Summary::stopped_before_the_first_step());
    };
    let model = &model.clone().with_preprocess(set.preprocess().clone())?;
    if let Some(state) = &state {
        // Before anything is written.
        prepared.check_state(state)?;
    }
    let Prepared { held_out, config: used, first_batch, .. } = &prepared;
    output.begin(&Begun { set, held_out, config: used, first_batch })?;
    let mut run = Run::new(model, set, prepared, output, observer);
    if let Some(state) = state {
        run.go_on(state)?;
    }
    let end = loop {
        if run.epochs() >= config.epochs {
            break End::Done;
        }
        if let Some(end) = run.epoch(stop)? {
            break end;
        }
    };
    run.finish(end)
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
    saving: Saving,
    begin: Instant,
    /// Time before `begin`, in earlier runs that this one goes on from.
    before: Duration,
    /// Steps so far.
    done: usize,
    /// The epoch that has begun.
    sums: EpochSums,
    in_flight: VecDeque<InFlight>,
    /// The batch whose statistics arrived last, for a diagnosis.
    last_batch: Option<Batch>,
    best: Option<Accuracy>,
    /// The epoch of the best weights, or 0.
    best_epoch: u32,
    /// Accuracy across versions, of the best weights.
    versions: Option<Versions>,
    /// The triplets that were chosen offline last.
    offline: Option<OfflineState>,
    /// The embeddings of different people were equal in the last epoch.
    all_equal: bool,
    /// Times that the run has returned to older weights because the loss was NaN or Inf.
    rescues: u32,
    /// Times that the chunk was halved because the device lacked memory.
    halved: u32,
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
            rate: LearningRate::new(config, parts.epoch_steps, parts.steps),
            checkpoints: Checkpoints::new(model, parts.trainer.metadata().clone(), config.seed, parts.start.clone()),
            guard: Guard::new(config.margin),
            saving: Saving::default(),
            model,
            set,
            output,
            observer,
            parts,
            begin: Instant::now(),
            before: Duration::ZERO,
            done: 0,
            sums: EpochSums::default(),
            in_flight: VecDeque::new(),
            last_batch: None,
            best: None,
            best_epoch: 0,
            versions: None,
            offline: None,
            all_equal: false,
            rescues: 0,
            halved: 0,
        }
    }

    /// Takes over what an earlier run had reached.
    fn go_on(&mut self, state: TrainingState) -> Result<()> {
        let parts = &mut self.parts;
        parts.trainer.restore(&state)?;
        let RunState { rate_scale, rescues, best, best_epoch, versions, seconds, offline, epoch, guard, baselines: _ } =
            state.run;
        self.done = usize::try_from(state.progress.step).unwrap_or(usize::MAX);
        if let (Some(own), Some(state)) = (&parts.offline, &offline)
            && !own.due(self.done)
        {
            parts.batches = own.batches(state, self.done)?.0;
        }
        self.saving = Saving::go_on();
        self.rate.go_on(rate_scale);
        (self.best, self.best_epoch, self.versions) = (best, best_epoch, versions);
        (self.sums, self.guard, self.offline, self.rescues) = (epoch, guard, offline, rescues);
        self.before = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self.checkpoints.go_on(self.done, self.parts.trainer.weights()?);
        Ok(())
    }

    /// Epochs that are complete and measured.
    fn epochs(&self) -> u32 {
        u32::try_from((self.done - self.sums.steps()) / self.parts.epoch_steps).unwrap_or(u32::MAX)
    }

    /// Seconds of training so far, those before a break included.
    fn seconds(&self) -> f64 {
        (self.before + self.begin.elapsed()).as_secs_f64()
    }

    /// Everything that a run must know to go on after this step.
    fn state(&self) -> Result<TrainingState> {
        let mut state = self.parts.trainer.state()?;
        state.run = RunState {
            rate_scale: self.rate.scale(),
            rescues: self.rescues,
            best: self.best,
            best_epoch: self.best_epoch,
            versions: self.versions,
            baselines: self.parts.baselines,
            seconds: self.seconds(),
            offline: self.offline.clone(),
            epoch: self.sums.clone(),
            guard: self.guard.clone(),
        };
        Ok(state)
    }

    fn config(&self) -> &Config {
        &self.parts.config
    }

    /// Whether the time that the run may take is over.
    fn time_is_over(&self) -> bool {
        self.config().time.is_some_and(|limit| self.seconds() >= limit.as_secs_f64())
    }

    /// Runs what is left of an epoch, measures it and saves the weights. How the run ends, if it does here.
    fn epoch(&mut self, stop: &AtomicBool) -> Result<Option<End>> {
        let epoch = self.epochs() + 1;
        if let Err(e) = self.steps(epoch, stop) {
            return Err(self.rescue(e));
        }
        let complete = self.sums.steps() == self.parts.epoch_steps;
        if !complete && !self.time_is_over() {
            return Ok(Some(End::Stopped));
        }
        let Some((weights, measured)) = self.measure(stop)? else { return Ok(Some(End::Stopped)) };
        let accuracy = measured.accuracy;
        let better = match (accuracy, self.best) {
            (Some(now), Some(best)) => now.accuracy > best.accuracy,
            // Where nobody is held out, no epoch is worse than another.
            (Some(_), None) | (None, _) => true,
        };
        let report = EpochReport {
            accuracy: accuracy.map(|a| a.accuracy),
            accuracy_low: accuracy.map(|a| a.interval()[0]),
            accuracy_high: accuracy.map(|a| a.interval()[1]),
            threshold: accuracy.map(|a| a.threshold),
            pairs_accuracy: measured.on_pairs.map(|(accuracy, _)| accuracy),
            pairs_accuracy_low: measured.on_pairs.map(|(_, [low, _])| low),
            pairs_accuracy_high: measured.on_pairs.map(|(_, [_, high])| high),
            best: better,
            seconds: self.seconds(),
            ..self.sums.report(epoch, self.done, self.parts.batch_size)
        };
        // The row comes before the weights that it tells of: whoever finds weights finds their row.
        let baselines = self.parts.baselines;
        self.row(|output| output.epoch(&report, baselines.as_ref()));
        let weights = self.stamped(weights, epoch, accuracy);
        self.save_weights(&weights, better && accuracy.is_some())?;
        if better {
            self.best = accuracy.or(self.best);
            self.parts.evaluator.keep_best();
            (self.best_epoch, self.versions) = (epoch, measured.versions);
        }
        self.checkpoints.keep_measured(self.done, weights);
        if complete {
            self.sums = EpochSums::default();
        }
        self.save_state()?;
        self.all_equal = report.all_equal();
        self.observer.epoch(&report);
        Ok(match self.config().patience {
            _ if self.time_is_over() && self.done < self.parts.steps => Some(End::TimeOver),
            Some(patience) if epoch >= self.best_epoch + patience && self.done < self.parts.steps => {
                Some(End::NoBetter(patience))
            }
            _ => None,
        })
    }

    /// Weights that say from which moment of the run they are.
    fn stamped(&self, mut weights: Weights, epoch: u32, accuracy: Option<Accuracy>) -> Weights {
        weights.metadata.training = Some(Trained {
            epoch,
            accuracy: accuracy.map(|a| a.accuracy),
            pairs: accuracy.map(|a| a.pairs),
            threshold: accuracy.map(|a| a.threshold),
            data: Some(self.parts.data.clone()),
            ..Trained::at(self.done as u64)
        });
        weights
    }

    /// Saves what has not been saved, and sums the run up.
    fn finish(mut self, end: End) -> Result<Summary> {
        if self.done > self.checkpoints.good_step() {
            self.save_unfinished()?;
        }
        match self.parts.evaluator.best_pairs() {
            Ok(found) => self.row(|output| output.pictures(found.as_ref())),
            // Pictures are no reason to fail at the end of a run.
            Err(e) => self.observer.warning(&e.to_string()),
        }
        self.last_save()?;
        if let Some(versions) = &self.versions {
            self.output.versions(versions)?;
        }
        Ok(Summary {
            steps: self.done,
            epochs: self.epochs(),
            best: self.best,
            baselines: self.parts.baselines,
            versions: self.versions,
            all_equal: self.all_equal,
            end,
            seconds: self.seconds(),
        })
    }

    /// Runs the steps that an epoch still needs, unless the run is stopped or its time is over before.
    fn steps(&mut self, epoch: u32, stop: &AtomicBool) -> Result<()> {
        let last = self.done - self.sums.steps() + self.parts.epoch_steps;
        let mut lap = Instant::now();
        let mut waited = self.parts.batches.waited();
        while self.done < last && !stop.load(Ordering::Relaxed) && !self.time_is_over() {
            if self.parts.offline.as_ref().is_some_and(|offline| offline.due(self.done)) {
                // What these steps say of the weights must be known before they are used.
                self.land(0, epoch)?;
                self.time(&mut lap, &mut waited);
                if !self.select_offline(stop)? {
                    break;
                }
                waited = self.parts.batches.waited();
            }
            let Some(batch) = self.parts.batches.next_batch() else { break };
            let batch = batch?;
            let learning_rate = self.rate.at(self.done);
            let statistics = self.step(&batch, learning_rate, epoch)?;
            self.done += 1;
            let (batch, skipped) = (batch.into_description(), self.parts.trainer.work().skipped);
            self.in_flight.push_back(InFlight { step: self.done, batch, skipped, statistics, learning_rate });
            self.checkpoints.submitted(self.done, &self.parts.trainer)?;
            self.land(STEPS_IN_FLIGHT, epoch)?;
            self.tell_vanished();
            self.time(&mut lap, &mut waited);
            if self.done < last && self.saving.due(self.done, self.config().save_every) {
                self.land(0, epoch)?;
                self.time(&mut lap, &mut waited);
                self.save_state()?;
            }
        }
        self.land(0, epoch)?;
        self.time(&mut lap, &mut waited);
        Ok(())
    }

    /// Submits a step. Where the device lacks memory for it, with a smaller chunk.
    fn step(&mut self, batch: &HostBatch, learning_rate: f32, epoch: u32) -> Result<Pending<Vec<f32>>> {
        loop {
            let message = match self.parts.trainer.step(batch, learning_rate) {
                Err(Error::Memory(message)) => message,
                submitted => return submitted,
            };
            self.land(0, epoch)?;
            loop {
                less_memory(&mut self.parts.config, &mut self.halved, &message, self.observer)?;
                match self.parts.trainer.change_chunk(self.model, &self.parts.config, self.parts.batch_size) {
                    Err(Error::Memory(_)) => {}
                    changed => break changed?,
                }
            }
        }
    }

    /// Tells of images that can no longer be read.
    fn tell_vanished(&mut self) {
        for image in self.set.vanished() {
            self.observer.warning(&format!("{} {}", image.path.display(), image.reason));
            self.row(|output| output.skipped(&image));
        }
    }

    /// Adds the time since `lap`, and what of it was waited for images, to the epoch's.
    fn time(&mut self, lap: &mut Instant, waited: &mut Duration) {
        let so_far = self.parts.batches.waited();
        self.sums.seconds += lap.elapsed().as_secs_f64();
        self.sums.waited += so_far.saturating_sub(*waited).as_secs_f64();
        (*lap, *waited) = (Instant::now(), so_far);
    }

    /// Chooses triplets with the latest weights, for the steps until the next time; `false` if it was stopped meanwhile.
    fn select_offline(&mut self, stop: &AtomicBool) -> Result<bool> {
        let Some(offline) = &self.parts.offline else { return Ok(true) };
        if self.parts.evaluator.needs_weights() {
            self.parts.evaluator.load(&self.parts.trainer.weights()?)?;
        }
        let session = self.parts.evaluator.session();
        let (batches, state, report) = match offline.select(session, self.done, stop, self.observer) {
            Err(Error::NotFinite(_)) => {
                self.return_to_good(self.done)?;
                return self.select_offline(stop);
            }
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
        self.row(|output| output.selection(&report));
        self.observer.selected(&report);
        (self.parts.batches, self.offline) = (batches, Some(state));
        Ok(true)
    }

    /// Takes the statistics of finished steps until at most `keep` are under way.
    fn land(&mut self, keep: usize, epoch: u32) -> Result<()> {
        while self.in_flight.len() > keep {
            let Some(flight) = self.in_flight.pop_front() else { break };
            let statistics = flight.statistics.wait()?;
            let report = StepReport {
                skipped: flight.skipped,
                offline: !flight.batch.triplets.is_empty(),
                ..StepReport::new(flight.step, epoch, &statistics, flight.learning_rate, self.seconds())
            };
            self.row(|output| output.step(&report));
            self.last_batch = Some(flight.batch);
            if !(report.loss.is_finite() && report.loss_all.is_finite()) {
                self.sums.skip();
                self.return_to_good(flight.step)?;
                continue;
            }
            self.sums.add(&report);
            self.checkpoints.finite(flight.step)?;
            let pace = Pace {
                images_per_second: self.sums.steps() as f64 * self.parts.batch_size as f64 / self.sums.seconds,
                data_wait: if self.sums.seconds > 0.0 { self.sums.waited / self.sums.seconds } else { 0.0 },
            };
            self.observer.step(&report, &pace);
            let collapse = match self.config().loss {
                LossKind::Triplet => self.guard.step(&report, &self.parts.config, self.rate.start()),
                // What it looks for are the ways in which triplets come to nothing.
                LossKind::Softmax | LossKind::ArcFace => None,
            };
            self.checkpoints.prove(flight.step, self.guard.calm_steps());
            if let Some(collapse) = collapse {
                self.collapsed(flight.step, &collapse)?;
            }
        }
        Ok(())
    }

    /// Measures the weights at the end of an epoch; `None` if it was stopped meanwhile. Weights that give embeddings with
    /// NaN or Inf are never handed on.
    fn measure(&mut self, stop: &AtomicBool) -> Result<Option<(Weights, Measured)>> {
        let mut copy = self.parts.trainer.checkpoint()?;
        if self.parts.evaluator.needs_weights() {
            let weights = copy.wait()?;
            self.parts.evaluator.load(&weights)?;
            copy = Pending::ready(weights);
        }
        let measured = self.parts.evaluator.measure(self.parts.old.as_deref(), stop, self.observer);
        let weights = copy.wait()?;
        if matches!(measured, Err(Error::NotFinite(_))) || !weights.is_finite() {
            self.return_to_good(self.done)?;
            return self.measure(stop);
        }
        Ok(measured?.map(|measured| (weights, measured)))
    }
}

#[cfg(test)]
mod tests;
