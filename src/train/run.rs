//! The training loop: batches in, statistics out, an evaluation and a save after each epoch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::collapse::{Guard, OnCollapse};
use super::compatible::VersionsFile;
use super::diagnose::first_bad_tensor;
use super::offline::OfflineBatches;
use super::{
    Compatible, Config, EpochReport, Evaluator, Observer, RunFolder, SelectionReport, Setup, StepReport, Summary,
    Trainer, choose_chunk, plot,
};
use crate::data::faces::FaceSet;
use crate::data::prefetch::{Prefetcher, depth};
use crate::data::sampler::{Batch, PkSampler};
use crate::data::split::{HeldOut, split_people};
use crate::eval::verification::Accuracy;
use crate::executor::Pending;
use crate::model::initial_weights;
use crate::net::Network;
use crate::weights::{Metadata, Weights};
use crate::{Engine, Error, Result};

/// Steps whose statistics may be under way while the device works on.
const STEPS_IN_FLIGHT: usize = 2;
/// A copy of the weights is kept this often, so that a long epoch that ends in numbers that are none costs little.
const KEEP_EVERY: usize = 100;
/// Steps without a sign of a collapse that prove the weights before them sound. Below [`Config::MIN_EPOCH`], so that those
/// of each epoch get their chance before the next ones are kept.
const PROOF: usize = 10;

/// Trains `network` on `set` as `config` says, until it is done or `stop` is set, and leaves everything in `folder`.
///
/// # Errors
/// The data cannot be used, the device fails, the folder cannot be written, or the loss is no longer a number: then the
/// last good weights are in `folder` and the message says at which step and in which layer it happened. Good are weights
/// with which the network gave numbers. With [`OnCollapse::Stop`] a collapse is an error, too.
pub fn train(
    engine: &Engine,
    network: &Network,
    config: &Config,
    set: &Arc<FaceSet>,
    folder: &mut RunFolder,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    config.check()?;
    let metadata = Metadata {
        network: network.name.to_string(),
        embedding: config.embedding.unwrap_or(network.embedding),
        preprocess: set.preprocess().clone(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        origin: config.origin(),
    };
    let split = split_people(set, HeldOut::Fraction(config.held_out), config.seed)?;
    split.warning.iter().for_each(|w| observer.warning(w));
    let (sampler, warnings) = PkSampler::new(set, &split.train, config.sampling())?;
    warnings.iter().for_each(|w| observer.warning(w));
    let used = *sampler.config();

    let batch = batch_size(&sampler)?;
    let batch_size = sampler.batch_size();
    let train_images: usize = set.faces_of(&split.train).iter().map(Vec::len).sum();
    let epoch_steps = train_images.div_ceil(batch_size).max(Config::MIN_EPOCH);
    let steps = epoch_steps * config.epochs as usize;

    let net = network.graph(&config.build(1).frozen())?;
    let start = Arc::new(initial_weights(&net.graph, metadata.clone(), config.seed));
    let config = &Config { chunk: Some(choose_chunk(engine, network, config, batch)?), ..config.clone() };
    let mut trainer = Trainer::new(engine, network, config, metadata.clone(), batch)?;
    trainer.load(&start, folder.path())?;
    let old = match &config.compatible_with {
        Some(path) => match Compatible::new(engine, path, set, metadata.embedding, stop, observer)? {
            Some(old) => Some(Arc::new(old)),
            None => return Ok(Summary::stopped_before_the_first_step()),
        },
        None => None,
    };
    if let Some(old) = &old {
        trainer.compare_with(old.clone());
    }
    if trainer.depends_on_chunk() {
        observer.warning(&format!(
            "batch statistics and dropout are those of each chunk of {} images, not of the whole batch of {batch}; \
             `frozen_statistics` lifts it for batch normalisation",
            trainer.chunk()
        ));
    }
    let metadata_of = metadata.clone();
    let mut evaluator = Evaluator::new(engine, network, config, metadata, set.clone(), &split.held_out)?;
    let floors = evaluator.floors(&start, stop, observer)?;
    observer.begin(&Setup {
        set,
        train_people: split.train.len(),
        train_images,
        held_out_people: split.held_out.len(),
        people: used.people,
        images: used.images,
        negatives: used.negatives,
        chunk: trainer.chunk() as usize,
        steps,
        params: net.graph.param_count(),
        macs: net.graph.macs(),
        bytes: trainer.executor().plan().bytes(),
        pairs: evaluator.pairs(),
        floors,
    });

    let offline = match config.offline {
        Some(offline) => {
            let settings = (offline, config.margin);
            Some(OfflineBatches::new(engine, network, settings, metadata_of, set, sampler.clone(), steps)?)
        }
        None => None,
    };
    // Offline selection makes batches of its own, the first time before the first step.
    let own = if offline.is_some() { 0 } else { steps };
    let batches = Prefetcher::start(set.clone(), sampler.batches(0).take(own), depth(set, batch_size))?;
    let mut run = Run {
        engine,
        network,
        config,
        set,
        folder,
        observer,
        trainer,
        batches,
        waited: Duration::ZERO,
        offline,
        steps,
        batch_size,
        begin: Instant::now(),
        done: 0,
        in_flight: VecDeque::new(),
        last_batch: None,
        sound: Kept { step: 0, weights: start.clone() },
        proving: None,
        good: Kept { step: 0, weights: start },
        candidate: None,
        guard: Guard::new(config.margin),
        backed_off: 1.0,
    };
    let mut best: Option<Accuracy> = None;
    let mut history: Vec<EpochReport> = Vec::new();
    for epoch in 1..=config.epochs {
        let means = match run.epoch(epoch, epoch_steps, stop) {
            Ok(Some(means)) => means,
            Ok(None) => break,
            Err(e) => return Err(run.rescue(e)),
        };
        let accuracy = run.evaluate(&mut evaluator, stop)?;
        let better = match (accuracy, best) {
            (Some(now), Some(best)) => now.accuracy > best.accuracy,
            (Some(_), None) => true,
            // Nobody is held out: the latest weights count as the best. Or the evaluation was stopped.
            (None, _) => evaluator.pairs() == 0 || !run.folder.best().exists(),
        };
        if better {
            run.folder.save_best(&run.good.weights)?;
            best = accuracy.or(best);
        }
        let report = EpochReport {
            accuracy: accuracy.map(|a| a.accuracy),
            threshold: accuracy.map(|a| a.threshold),
            best: better,
            seconds: run.begin.elapsed().as_secs_f64(),
            ..means
        };
        run.folder.epoch(&report)?;
        history.push(report);
        run.observer.epoch(&report);
        plot::loss_curve(&run.folder.path().join("loss.svg"), &history, floors.as_ref())?;
    }
    if run.done > run.good.step {
        run.save_unfinished()?;
    }
    let versions = match &old {
        Some(old) if run.done > 0 => {
            evaluator.versions(&Weights::load(&run.folder.best())?, old, stop, run.observer)?
        }
        _ => None,
    };
    if let Some(versions) = &versions {
        run.folder.write_versions(&VersionsFile::from(versions))?;
    }
    let seconds = run.begin.elapsed().as_secs_f64();
    Ok(Summary { steps: run.done, best, floors, versions, stopped: run.done < steps, seconds })
}

/// A step that the device may still be working on.
struct InFlight {
    step: usize,
    learning_rate: f32,
    batch: Batch,
    skipped: usize,
    statistics: Pending,
}

/// Weights and the step after which they were read.
#[derive(Clone)]
struct Kept {
    step: usize,
    weights: Arc<Weights>,
}

struct Run<'a> {
    engine: &'a Engine,
    network: &'a Network,
    config: &'a Config,
    set: &'a FaceSet,
    folder: &'a mut RunFolder,
    observer: &'a mut dyn Observer,
    trainer: Trainer,
    batches: Prefetcher,
    /// What was waited for the batches before these.
    waited: Duration,
    offline: Option<OfflineBatches>,
    steps: usize,
    batch_size: usize,
    begin: Instant,
    done: usize,
    in_flight: VecDeque<InFlight>,
    /// The batch whose statistics arrived last, for a diagnosis.
    last_batch: Option<Batch>,
    /// The latest weights that are known to give numbers.
    good: Kept,
    /// Weights that will be good if the next step's loss is a number.
    candidate: Option<Kept>,
    guard: Guard,
    /// The latest good weights after which [`PROOF`] steps showed no sign of a collapse.
    sound: Kept,
    /// Good weights that will be sound after so many steps.
    proving: Option<Kept>,
    /// What the learning rate is multiplied by.
    backed_off: f32,
}

impl Run<'_> {
    /// Runs the steps of an epoch. `None` if it was stopped before its end.
    fn epoch(&mut self, epoch: u32, steps: usize, stop: &AtomicBool) -> Result<Option<EpochReport>> {
        let (begin, waited, first) = (Instant::now(), self.waited + self.batches.waited(), self.done);
        let mut rows = Vec::with_capacity(steps);
        while self.done < first + steps && !stop.load(Ordering::Relaxed) {
            if self.offline.as_ref().is_some_and(|offline| offline.due(self.done)) {
                // What these steps say of the weights must be known before they are used.
                let rate = ((self.done - first) * self.batch_size) as f64 / begin.elapsed().as_secs_f64();
                self.land(0, epoch, rate, &mut rows)?;
                if !self.select_offline(stop)? {
                    break;
                }
            }
            let Some(batch) = self.batches.next_batch() else { break };
            let batch = batch?;
            let learning_rate = self.backed_off * self.config.learning_rate_at(self.done, self.steps);
            let statistics = self.trainer.step(&batch, learning_rate)?;
            self.done += 1;
            let (batch, skipped) = (batch.description(), self.trainer.work().skipped);
            self.in_flight.push_back(InFlight { step: self.done, batch, skipped, statistics, learning_rate });
            if self.done.is_multiple_of(KEEP_EVERY) {
                self.candidate = Some(Kept { step: self.done, weights: Arc::new(self.trainer.weights()?) });
            }
            let rate = ((self.done - first) * self.batch_size) as f64 / begin.elapsed().as_secs_f64();
            self.land(STEPS_IN_FLIGHT, epoch, rate, &mut rows)?;
        }
        let rate = ((self.done - first) * self.batch_size) as f64 / begin.elapsed().as_secs_f64();
        self.land(0, epoch, rate, &mut rows)?;
        let seconds = begin.elapsed().as_secs_f64();
        Ok((self.done == first + steps).then(|| EpochReport {
            images_per_second: ((self.done - first) * self.batch_size) as f64 / seconds,
            data_wait: (self.waited + self.batches.waited() - waited).as_secs_f64() / seconds,
            ..EpochReport::means(epoch, self.done, &rows)
        }))
    }

    /// Chooses triplets with the latest weights, for the steps until the next time; `false` if it was stopped meanwhile.
    fn select_offline(&mut self, stop: &AtomicBool) -> Result<bool> {
        let weights = self.trainer.weights()?;
        let Some(offline) = self.offline.as_mut() else { return Ok(true) };
        let (batches, report) = match offline.select(self.engine, &weights, self.done, stop, self.observer) {
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
        self.folder.selection(&report)?;
        self.observer.selected(&report);
        self.waited += self.batches.waited();
        self.batches = batches;
        Ok(true)
    }

    /// Takes the statistics of finished steps until at most `keep` are under way.
    fn land(&mut self, keep: usize, epoch: u32, rate: f64, rows: &mut Vec<StepReport>) -> Result<()> {
        while self.in_flight.len() > keep {
            let Some(flight) = self.in_flight.pop_front() else { break };
            let statistics = flight.statistics.wait()?;
            let seconds = self.begin.elapsed().as_secs_f64();
            let report = StepReport {
                skipped: flight.skipped,
                offline: !flight.batch.triplets.is_empty(),
                ..StepReport::new(flight.step, epoch, &statistics, flight.learning_rate, seconds)
            };
            self.folder.step(&report)?;
            self.last_batch = Some(flight.batch);
            if !(report.loss.is_finite() && report.loss_all.is_finite()) {
                return Err(self.not_finite(flight.step)?);
            }
            if self.candidate.as_ref().is_some_and(|kept| kept.step < flight.step)
                && let Some(kept) = self.candidate.take()
            {
                self.keep(kept);
            }
            rows.push(report);
            self.observer.step(&report, rate);
            let rate = self.backed_off * self.config.learning_rate;
            let collapse = self.guard.step(&report, self.config, rate);
            self.prove(flight.step);
            if let Some(collapse) = collapse {
                self.collapsed(flight.step, &collapse)?;
            }
        }
        Ok(())
    }

    /// Measures the weights at the end of an epoch and saves them as the last. They are saved before anything else can
    /// go wrong, but never if they give embeddings that are not numbers.
    fn evaluate(&mut self, evaluator: &mut Evaluator, stop: &AtomicBool) -> Result<Option<Accuracy>> {
        let weights = self.trainer.weights()?;
        let accuracy = evaluator.accuracy(&weights, stop, self.observer);
        if matches!(accuracy, Err(Error::NotFinite(_))) || !weights.is_finite() {
            return Err(self.not_finite(self.done)?);
        }
        self.folder.save_last(&weights)?;
        self.keep(Kept { step: self.done, weights: Arc::new(weights) });
        self.candidate = None;
        accuracy
    }

    /// Keeps good weights, which may prove sound.
    fn keep(&mut self, kept: Kept) {
        self.proving = Some(kept.clone());
        self.good = kept;
    }

    /// After step `step`: weights prove sound if the steps that follow them show no sign of a collapse, and are given up
    /// at the first sign.
    fn prove(&mut self, step: usize) {
        let Some(kept) = self.proving.take() else { return };
        match self.guard.calm_steps() {
            0 => {}
            calm if calm >= PROOF && step >= kept.step + PROOF => self.sound = kept,
            _ => self.proving = Some(kept),
        }
    }

    /// Does what was asked for in case of a collapse, which a sentence describes.
    fn collapsed(&mut self, step: usize, collapse: &str) -> Result<()> {
        let sound = match self.sound.step {
            0 => "the starting weights".to_string(),
            step => format!("the weights of step {step}, from before it,"),
        };
        match self.config.on_collapse {
            OnCollapse::Warn => self.observer.warning(&format!("step {step}: {collapse}")),
            OnCollapse::Stop => {
                self.good = self.sound.clone();
                self.save_good()?;
                let path = self.folder.last().display().to_string();
                return Err(Error::Collapsed(format!("stopped at step {step}: {collapse}; {sound} are in {path}")));
            }
            OnCollapse::BackOff => {
                self.trainer.load(&self.sound.weights, self.folder.path())?;
                // Its momentum would go on in the direction of the collapse.
                self.trainer.reset_optimiser()?;
                self.backed_off *= 0.5;
                self.good = self.sound.clone();
                (self.candidate, self.proving) = (None, None);
                self.guard.start_again();
                let rate = self.backed_off * self.config.learning_rate_at(self.done, self.steps);
                let message =
                    format!("step {step}: {collapse}; back to {sound} with half the learning rate, {rate:.2e}");
                self.observer.warning(&message);
            }
        }
        Ok(())
    }

    /// Saves the weights in the middle of an epoch, after the user has asked to stop.
    fn save_unfinished(&mut self) -> Result<()> {
        let weights = self.trainer.weights()?;
        if !weights.is_finite() {
            return Err(self.not_finite(self.done)?);
        }
        self.good = Kept { step: self.done, weights: Arc::new(weights) };
        self.save_good()
    }

    /// Saves the good weights as the last, and as the best if there are none.
    fn save_good(&self) -> Result<()> {
        self.folder.save_last(&self.good.weights)?;
        if self.folder.best().exists() { Ok(()) } else { self.folder.save_best(&self.good.weights) }
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
        let weights = self.trainer.weights()?;
        let source = match &self.last_batch {
            Some(batch) => {
                first_bad_tensor(self.engine, self.network, self.config, &weights, self.set, batch).unwrap_or_default()
            }
            None => None,
        };
        let source = source.unwrap_or_else(|| "the embedding of an image outside the last batch".to_string());
        let kept = match self.good.step {
            0 => "only the starting weights were good, and they".to_string(),
            step => format!("the last good weights, those of step {step},"),
        };
        Ok(Error::NotFinite(format!(
            "the loss is not a number at step {step}: the first tensor that is not finite is {source}; {kept} are in {}; \
             try a lower `learning_rate` than {:?}",
            self.folder.last().display(),
            self.backed_off * self.config.learning_rate
        )))
    }
}

/// Checks that `set` can be trained on, before anything is written. Returns the images of a batch.
///
/// # Errors
/// Those of [`train`] that are about the settings and the data.
pub fn check_data(config: &Config, set: &FaceSet) -> Result<u32> {
    config.check()?;
    let split = split_people(set, HeldOut::Fraction(config.held_out), config.seed)?;
    batch_size(&PkSampler::new(set, &split.train, config.sampling())?.0)
}

fn batch_size(sampler: &PkSampler) -> Result<u32> {
    u32::try_from(sampler.batch_size()).map_err(|_| Error::Setting("the batch is too large".into()))
}
