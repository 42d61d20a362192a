//! One training step on a device: embed, select triplets, loss, gradients, update.

use std::collections::VecDeque;
use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use super::averages::{averaged, with_averages};
use super::ready::check_precision;
#[cfg(test)]
use super::shortage;
use super::state::{Progress, ROLES};
use super::step::{self, Buffers, Chunks, NOWHERE, Step};
use super::{Compatible, Config, RunState, TrainingState, choose_chunk};
use crate::data::prefetch::HostBatch;
use crate::executor::{Executor, Options, Pending};
use crate::model::Model;
use crate::op::Stat;
use crate::optim::Rate;
use crate::plan::{BufferSpec, Plan, Role};
use crate::session::{OF_THE_LOSS, WEIGHTS, load_weights, store_of, weights_of};
use crate::store::Store;
use crate::text::shown;
use crate::weights::{Metadata, Weights, unusable};
use crate::{Engine, Error, Result};

/// Chunks that may wait for the device: enough to keep it busy, few enough that their images take little memory.
const CHUNKS_IN_FLIGHT: usize = 2;

/// A network in training on a device.
///
/// A batch that is larger than [`Config::chunk`] goes through the network in chunks, twice. The first pass keeps only the
/// embeddings. Loss and gradients of the embeddings are those of the whole batch. The second pass computes the gradients
/// of the parameters, and takes only images whose embedding has a gradient: to leave out the others changes nothing.
/// Where an image's embedding depends on its chunk (batch statistics, dropout), the second pass takes the very chunks of
/// the first, without those in which no image has a gradient, and a last chunk that is not full is filled up with images
/// from the batch's start, which have no gradient of their own. A batch in which no image has a gradient is a step with a
/// gradient of zero, which weight decay and momentum still act on.
#[derive(Debug)]
pub struct Trainer {
    executor: Box<dyn Executor>,
    /// Parameters, running statistics and what the optimiser remembers.
    store: Store,
    buffers: Buffers,
    chunks: Option<Chunks>,
    metadata: Metadata,
    /// The run's seed; with a number that grows it decides what is dropped out and which negatives are taken at random.
    seed: u64,
    /// Grows with every chunk of a step, for dropout.
    dropout: u32,
    /// Grows with every step, for mining, in chunks or not.
    mining: u32,
    /// Steps so far.
    steps: u64,
    /// Steps since the optimiser had nothing to remember.
    optimised: u64,
    /// How the optimiser's means decay.
    betas: [f32; 2],
    /// How the moving average of the weights decays; 0 where there is none.
    average: f32,
    work: Work,
    /// An old network's embeddings, where the new ones are to stay comparable with them.
    compatible: Option<Arc<Compatible>>,
    /// The class of each person for a loss over classes, by the person's place in the set; empty where they are the same.
    classes: Vec<u32>,
    /// The images of a chunk as floats.
    pixels: Vec<f32>,
    /// One for each chunk that the device may not have finished.
    in_flight: VecDeque<Pending<()>>,
}

/// What a step has run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Chunks that went forward for the loss; 1 where the whole batch is one.
    pub embedded: usize,
    /// Chunks that went backward.
    pub trained: usize,
    /// Images without a gradient that the second pass left out.
    pub skipped: usize,
}

impl Trainer {
    /// Plans a step for batches of `batch` images and puts it on the device. All weights are zero until
    /// [`load`](Self::load).
    ///
    /// # Errors
    /// The settings make no sense, or the device lacks memory.
    pub fn new(engine: &Engine, model: &Model, config: &Config, batch: u32) -> Result<Self> {
        config.check()?;
        let chunk = choose_chunk(engine, model, config, batch)?;
        let step = step::plan(model, &Config { chunk: Some(chunk), ..config.clone() }, batch)?;
        Self::of(engine, model, step, config)
    }

    pub(super) fn of(engine: &Engine, model: &Model, step: Step, config: &Config) -> Result<Self> {
        check_precision(engine.precision())?;
        let Step { plan, buffers, chunks } = step;
        let pixels = vec![0.0; plan.spec(buffers.images).shape.len()];
        let store = store_of(engine, model)?;
        store.add_from(&plan, &[Role::Param, Role::State])?;
        let executor = place(&store, plan, buffers)?;
        let metadata = Metadata { origin: config.origin(), ..Metadata::of(model)? };
        let (work, in_flight) = (Work::default(), VecDeque::new());
        Ok(Self {
            executor,
            store,
            buffers,
            chunks,
            metadata,
            seed: config.seed,
            dropout: 0,
            mining: 0,
            steps: 0,
            optimised: 0,
            betas: config.optimiser().betas(),
            average: config.ema,
            work,
            compatible: None,
            classes: Vec::new(),
            pixels,
            in_flight,
        })
    }

    /// The plan of a step, for printing: in chunks if the settings name a chunk that is smaller than the batch.
    ///
    /// # Errors
    /// The settings make no sense.
    pub fn plan(model: &Model, config: &Config, batch: u32) -> Result<Plan> {
        Ok(step::plan(model, config, batch)?.plan)
    }

    /// Keeps the embeddings comparable with these, which the settings must name.
    pub fn compare_with(&mut self, compatible: Arc<Compatible>) {
        self.compatible = Some(compatible);
    }

    /// Numbers the classes of a loss over the people: those of `trained`, places in the set's list, and nobody else.
    pub fn number_classes(&mut self, trained: &[usize]) {
        let mut classes = vec![u32::MAX; trained.iter().max().map_or(0, |&last| last + 1)];
        for (class, &person) in (0..).zip(trained) {
            classes[person] = class;
        }
        self.classes = classes;
    }

    /// Images that go through the network at a time.
    pub fn chunk(&self) -> u32 {
        self.executor.plan().spec(self.buffers.images).shape.batch()
    }

    /// Whether an image's embedding depends on the chunk that it goes through the network with.
    pub fn depends_on_chunk(&self) -> bool {
        self.chunks.as_ref().is_some_and(|chunks| chunks.same)
    }

    /// What the last step has run.
    pub fn work(&self) -> Work {
        self.work
    }

    /// Goes on with another [`Config::chunk`]: the step's plan is made anew for batches of `batch` images, on the same
    /// parameters.
    ///
    /// # Errors
    /// The device lacks memory: then no step is possible before another chunk is set.
    pub(super) fn change_chunk(&mut self, model: &Model, config: &Config, batch: usize) -> Result<()> {
        let batch = u32::try_from(batch).map_err(|_| Error::Setting("the batch is too large".into()))?;
        let Step { plan, buffers, chunks } = step::plan(model, config, batch)?;
        while let Some(oldest) = self.in_flight.pop_front() {
            oldest.wait()?;
        }
        // The old plan's memory is given back before the new one takes its own.
        self.executor = Store::executor(&[&self.store], Plan::default(), &Options::default())?;
        self.pixels = vec![0.0; plan.spec(buffers.images).shape.len()];
        self.executor = place(&self.store, plan, buffers)?;
        (self.buffers, self.chunks) = (buffers, chunks);
        Ok(())
    }

    /// Runs one step. The statistics (see [`Stat`]) arrive later, without a wait in between. A step in chunks waits once,
    /// for the list of images that have a gradient.
    ///
    /// # Errors
    /// The batch has another size, or the device is lost or lacks memory. A step that was not submitted does not count.
    pub fn step(&mut self, batch: &HostBatch, learning_rate: f32) -> Result<Pending<Vec<f32>>> {
        let before = (self.optimised, self.steps, self.mining, self.dropout);
        let submitted = self.submit(batch, learning_rate);
        if submitted.is_err() {
            (self.optimised, self.steps, self.mining, self.dropout) = before;
        }
        submitted
    }

    fn submit(&mut self, batch: &HostBatch, learning_rate: f32) -> Result<Pending<Vec<f32>>> {
        #[cfg(test)]
        shortage::strike()?;
        let b = self.buffers;
        self.write_targets(batch)?;
        let (values, expected) = (batch.images.len(), batch.labels.len() * self.pixels.len() / self.chunk() as usize);
        if values != expected {
            return Err(Error::shape("images", format!("expected {expected} values for the batch, got {values}")));
        }
        self.optimised += 1;
        let rate = Rate { learning_rate, step: self.optimised, betas: self.betas, average: self.average };
        self.executor.write(b.rate, &rate.floats())?;
        if let Some(seed) = b.mining_seed {
            self.executor.write_u32(seed, &[self.folded_seed(), self.mining])?;
            self.mining = self.mining.wrapping_add(1);
        }
        self.steps += 1;
        if let Some(chunks) = self.chunks.clone() {
            return self.step_in_chunks(batch, &chunks);
        }
        self.throttle()?;
        let everyone: Vec<usize> = (0..batch.labels.len()).collect();
        batch.images.write(&everyone, &mut self.pixels)?;
        self.executor.write(b.images, &self.pixels)?;
        self.write_seed(0)?;
        self.dropout = self.dropout.wrapping_add(1);
        self.executor.run_all()?;
        self.work = Work { embedded: 1, trained: 1, skipped: 0 };
        self.statistics()
    }

    /// The statistics of the batch, later. Beside an old version, how far people are apart and how long the mean embedding
    /// is are told of the new embeddings alone.
    fn statistics(&mut self) -> Result<Pending<Vec<f32>>> {
        let all = self.executor.download(self.buffers.loss)?;
        if let Some(watched) = self.buffers.watched {
            let watched = self.executor.download(watched)?;
            return Ok(all.join(watched).map(|(of_classes, mut all)| {
                (all[Stat::Loss], all[Stat::LossPerPair]) = (of_classes[0], of_classes[0]);
                // Behind the slots of the triplets: the part of the images that the classes tell rightly.
                all.push(of_classes[1]);
                all
            }));
        }
        let Some(old) = self.buffers.old else { return Ok(all) };
        let new = self.executor.download(old.statistics)?;
        Ok(all.join(new).map(|(mut all, new)| {
            for slot in [Stat::DifferentDistance, Stat::MeanLength] {
                all[slot] = new[slot];
            }
            all
        }))
    }

    /// Both halves of the run's seed, which devices take as one word.
    fn folded_seed(&self) -> u32 {
        let [low, high] = bytemuck::cast::<u64, [u32; 2]>(self.seed);
        low ^ high.rotate_left(16)
    }

    /// Writes what the loss needs besides the images.
    fn write_targets(&mut self, batch: &HostBatch) -> Result<()> {
        let b = self.buffers;
        let class = |&person: &u32| self.classes.get(person as usize).copied().unwrap_or(person);
        let mut labels: Vec<u32> = batch.labels.iter().map(class).collect();
        if let Some(triplets) = b.triplets {
            let size = labels.len();
            let given = batch.triplets.iter().take(size).flatten().copied();
            let list: Vec<u32> = given.chain(std::iter::repeat(NOWHERE)).take(3 * size).collect();
            self.executor.write_u32(triplets, &list)?;
            if !batch.triplets.is_empty() {
                // Everybody is somebody else: the batch itself gives no triplet.
                labels = (0..u32::try_from(size).expect("a batch fits 32 bits")).collect();
            }
        }
        if let (Some(old), Some(compatible)) = (b.old, &self.compatible) {
            self.executor.write(old.embeddings, &compatible.rows(&batch.indices))?;
            self.executor.write_u32(old.labels, &labels)?;
            labels = labels.repeat(2);
        }
        self.executor.write_u32(b.labels, &labels)
    }

    fn step_in_chunks(&mut self, batch: &HostBatch, chunks: &Chunks) -> Result<Pending<Vec<f32>>> {
        let size = self.chunk() as usize;
        let everyone: Vec<usize> = (0..batch.labels.len()).collect();
        let embedded = everyone.len().div_ceil(size);
        for number in 0..embedded {
            self.write_chunk(batch, &everyone, number, chunks)?;
            self.executor.run(chunks.forward.start..chunks.collect.end)?;
        }
        self.executor.run(chunks.loss.clone())?;
        let statistics = self.statistics()?;
        // The one wait of a step.
        let active = self.executor.read_u32(chunks.active)?;
        let active: Vec<usize> = everyone.iter().copied().filter(|&i| active[i] != 0).collect();
        let again = if chunks.same { &everyone } else { &active };
        let (mut trained, mut skipped) = (0, everyone.len() - again.len());
        for (number, own) in again.chunks(size).enumerate() {
            // A chunk without a gradient adds nothing, but its statistics count.
            let inactive = chunks.same && own.iter().all(|image| active.binary_search(image).is_err());
            if inactive {
                skipped += own.len();
                if chunks.statistics.is_empty() {
                    continue;
                }
            }
            self.write_chunk(batch, again, number, chunks)?;
            self.executor.run(chunks.forward.clone())?;
            if !inactive {
                self.executor.run(chunks.gather.clone())?;
                let backward = if trained == 0 { &chunks.backward } else { &chunks.backward_more };
                self.executor.run(backward.clone())?;
                trained += 1;
            }
            if !chunks.statistics.is_empty() {
                self.executor.run(chunks.statistics.clone())?;
            }
        }
        if trained == 0 {
            // What the first pass's last chunk left, with gradients of zero, sets those of the parameters to zero.
            self.executor.write_u32(chunks.rows, &vec![NOWHERE; size])?;
            self.executor.run(chunks.gather.start..chunks.backward.end)?;
        }
        self.executor.run(chunks.update.clone())?;
        self.dropout = self.dropout.wrapping_add(u32::try_from(embedded).expect("a batch fits 32 bits"));
        self.work = Work { embedded, trained, skipped };
        Ok(statistics)
    }

    /// Waits until the device is at most so many chunks behind.
    fn throttle(&mut self) -> Result<()> {
        if self.in_flight.len() >= CHUNKS_IN_FLIGHT
            && let Some(oldest) = self.in_flight.pop_front()
        {
            oldest.wait()?;
        }
        self.in_flight.push_back(self.executor.fence()?);
        Ok(())
    }

    /// Writes the images number `number * chunk` and up of those that `list` names; where it ends, images from its start
    /// fill the chunk up.
    fn write_chunk(&mut self, batch: &HostBatch, list: &[usize], number: usize, chunks: &Chunks) -> Result<()> {
        self.throttle()?;
        let size = self.chunk() as usize;
        let own = &list[number * size..list.len().min((number + 1) * size)];
        let images: Vec<usize> = own.iter().chain(list.iter().cycle()).copied().take(size).collect();
        let place = |&image: &usize| u32::try_from(image).expect("a batch fits 32 bits");
        let mut rows: Vec<u32> = own.iter().map(place).collect();
        rows.resize(size, NOWHERE);
        batch.images.write(&images, &mut self.pixels)?;
        self.executor.write(self.buffers.images, &self.pixels)?;
        self.executor.write_u32(chunks.rows, &rows)?;
        self.write_seed(u32::try_from(number).expect("a batch fits 32 bits"))
    }

    /// Every chunk of a step drops out something else, and the same in both passes.
    fn write_seed(&mut self, number: u32) -> Result<()> {
        let Some(seed) = self.buffers.seed else { return Ok(()) };
        let word = self.folded_seed();
        self.executor.write_u32(seed, &[word, self.dropout.wrapping_add(number)])
    }

    /// Takes over weights; `path` stands for them in messages.
    ///
    /// # Errors
    /// They belong to another network.
    pub fn load(&mut self, weights: &Weights, path: &std::path::Path) -> Result<()> {
        if weights.metadata.network != self.metadata.network {
            let message = format!("holds {}, not {}", shown(&weights.metadata.network), self.metadata.network);
            return Err(unusable(path, &message));
        }
        load_weights(&self.store, weights, path)?;
        if self.steps == 0 { self.draw_classes() } else { Ok(()) }
    }

    /// Draws the starting weights of a loss over classes.
    fn draw_classes(&self) -> Result<()> {
        for spec in
            self.store.specs().iter().filter(|spec| spec.name.starts_with(OF_THE_LOSS) && spec.role == Role::Param)
        {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(u64::MAX);
            let std = 1.0 / (spec.shape.rows() as f32).sqrt();
            let normal = Normal::new(0.0, std).expect("a standard deviation is finite");
            let drawn: Vec<f32> = normal.sample_iter(&mut rng).take(spec.shape.len()).collect();
            self.store.write(&spec.name, &drawn)?;
        }
        Ok(())
    }

    /// Makes the optimiser forget what it remembers of past gradients.
    ///
    /// # Errors
    /// The device is lost.
    pub fn reset_optimiser(&mut self) -> Result<()> {
        self.optimised = 0;
        self.store.clear(Role::State)
    }

    /// What the weights say of themselves.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The parameters on the device, which other plans may bind to.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A copy of the weights as they are after the last step, or of their moving average, where the settings want one: one
    /// submission, and no wait until they are taken.
    ///
    /// # Errors
    /// The device is lost or lacks memory for the copy.
    pub fn checkpoint(&self) -> Result<Pending<Weights>> {
        let metadata = self.metadata.clone();
        if !self.averages() {
            return Ok(self.store.download(&WEIGHTS)?.map(|tensors| weights_of(tensors, metadata)));
        }
        let wanted = |spec: &BufferSpec| WEIGHTS.contains(&spec.role) || averaged(&spec.name).is_some();
        let tensors = self.store.download_those(wanted)?;
        Ok(tensors.map(|tensors| weights_of(with_averages(tensors), metadata)))
    }

    /// Whether what is saved and measured is the moving average of the weights, and no longer the weights themselves.
    pub fn averages(&self) -> bool {
        self.average > 0.0 && self.optimised > 0
    }

    /// The weights as they are after the last step, or their moving average. Waits for the device.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint).
    pub fn weights(&mut self) -> Result<Weights> {
        self.checkpoint()?.wait()
    }

    /// Everything that training must know to go on from here, as a value. What only the loop around the steps knows
    /// ([`RunState`]) is left at its start. Waits for the device.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint).
    pub fn state(&self) -> Result<TrainingState> {
        let mut tensors = self.store.download(&ROLES)?.wait()?;
        tensors.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        let Self { seed, steps, dropout, mining, optimised, .. } = *self;
        let progress = Progress { seed, step: steps, dropout, mining, optimised };
        Ok(TrainingState { network: self.metadata.network.clone(), tensors, progress, run: RunState::default() })
    }

    /// Goes on from a state: the next step is the one that would have followed it.
    ///
    /// # Errors
    /// The state belongs to another network, optimiser or seed, or the device is lost.
    pub fn restore(&mut self, state: &TrainingState) -> Result<()> {
        let fail = |message: String| Err(Error::Data(format!("the training state {message}")));
        if state.network != self.metadata.network {
            return fail(format!("is of the network {}, not of {}", state.network, self.metadata.network));
        }
        if state.progress.seed != self.seed {
            return fail(format!("is of a run with seed {}, not {}", state.progress.seed, self.seed));
        }
        let specs = self.store.specs();
        for spec in specs.iter().filter(|spec| ROLES.contains(&spec.role)) {
            match state.tensors.iter().find(|t| t.spec == *spec) {
                Some(found) if found.data.len() == spec.shape.len() => self.store.write(&spec.name, &found.data)?,
                _ => return fail(format!("lacks the tensor {} {}: the settings differ", spec.name, spec.shape)),
            }
        }
        if let Some(other) = state.tensors.iter().find(|t| !specs.contains(&t.spec)) {
            let spec = &other.spec;
            return fail(format!(
                "has the tensor {} {}, which this run lacks: the settings differ",
                spec.name, spec.shape
            ));
        }
        let Progress { step, dropout, mining, optimised, .. } = state.progress;
        (self.steps, self.dropout, self.mining, self.optimised) = (step, dropout, mining, optimised);
        Ok(())
    }

    /// The device's side of this trainer.
    pub fn executor(&mut self) -> &mut dyn Executor {
        self.executor.as_mut()
    }
}

/// Puts a step's plan on the device of its store.
fn place(store: &Store, plan: Plan, buffers: Buffers) -> Result<Box<dyn Executor>> {
    let mut executor = Store::executor(&[store], plan, &Options::default())?;
    // The mean over active triplets is what is minimised; the other statistics are watched only.
    let mut dloss = vec![0.0; executor.plan().spec(buffers.dloss).shape.len()];
    dloss[Stat::Loss.index()] = 1.0;
    executor.write(buffers.dloss, &dloss)?;
    Ok(executor)
}
