//! One training step as a plan on a device: embed, select triplets, loss, gradients, update.

use crate::data::prefetch::HostBatch;
use crate::executor::{Executor, Options, Pending};
use crate::graph::Recording;
use crate::model::{load_weights, save_weights};
use crate::net::Network;
use crate::op::stat;
use crate::plan::{Buf, Plan, Shape};
use crate::train::Config;
use crate::weights::{Metadata, Weights};
use crate::{Engine, Error, Result};

/// A network in training on a device.
#[derive(Debug)]
pub struct Trainer {
    executor: Box<dyn Executor>,
    buffers: Buffers,
    metadata: Metadata,
    /// The run's seed and the number of the step decide what is dropped out, and which negatives are taken at random.
    seed: [u32; 2],
}

#[derive(Debug, Clone, Copy)]
struct Buffers {
    images: Buf,
    labels: Buf,
    seed: Option<Buf>,
    mining_seed: Option<Buf>,
    loss: Buf,
    learning_rate: Buf,
    dloss: Buf,
}

impl Trainer {
    /// Plans a step for batches of `batch` images and puts it on the device. All weights are zero until
    /// [`load`](Self::load).
    ///
    /// # Errors
    /// The settings make no sense, or the device lacks memory.
    pub fn new(engine: &Engine, network: &Network, config: &Config, metadata: Metadata, batch: u32) -> Result<Self> {
        let (plan, buffers) = plan(network, config, batch)?;
        let mut executor = engine.executor(plan, &Options::default())?;
        // The mean over active triplets is what is minimised; the other statistics are watched only.
        let mut dloss = vec![0.0; stat::COUNT];
        dloss[stat::LOSS] = 1.0;
        executor.write(buffers.dloss, &dloss)?;
        // Both halves of the run's seed count.
        let [low, high] = bytemuck::cast::<u64, [u32; 2]>(config.seed);
        Ok(Self { executor, buffers, metadata, seed: [low ^ high.rotate_left(16), 0] })
    }

    /// The plan of a step, for printing.
    ///
    /// # Errors
    /// The settings make no sense.
    pub fn plan(network: &Network, config: &Config, batch: u32) -> Result<Plan> {
        Ok(plan(network, config, batch)?.0)
    }

    /// Runs one step. The statistics (see [`stat`]) arrive later, without a wait in between.
    ///
    /// # Errors
    /// The batch has another size, or the device is lost.
    pub fn step(&mut self, batch: &HostBatch, learning_rate: f32) -> Result<Pending> {
        let b = self.buffers;
        self.executor.write(b.images, &batch.images)?;
        self.executor.write_u32(b.labels, &batch.labels)?;
        self.executor.write(b.learning_rate, &[learning_rate])?;
        for seed in [b.seed, b.mining_seed].into_iter().flatten() {
            self.executor.write_u32(seed, &self.seed)?;
        }
        self.seed[1] = self.seed[1].wrapping_add(1);
        self.executor.run_all()?;
        self.executor.read_later(b.loss)
    }

    /// Takes over weights; `path` stands for them in messages.
    ///
    /// # Errors
    /// They belong to another network.
    pub fn load(&mut self, weights: &Weights, path: &std::path::Path) -> Result<()> {
        if weights.metadata.network != self.metadata.network {
            return Err(Error::Weights {
                path: path.to_path_buf(),
                message: format!("holds {}, not {}", weights.metadata.network, self.metadata.network),
            });
        }
        load_weights(self.executor.as_mut(), weights, path)
    }

    /// The weights as they are after the last step.
    ///
    /// # Errors
    /// The device is lost.
    pub fn weights(&mut self) -> Result<Weights> {
        save_weights(self.executor.as_mut(), self.metadata.clone())
    }

    /// The device's side of this trainer.
    pub fn executor(&mut self) -> &mut dyn Executor {
        self.executor.as_mut()
    }
}

fn plan(network: &Network, config: &Config, batch: u32) -> Result<(Plan, Buffers)> {
    config.check()?;
    let mut net = network.graph(&config.build(batch))?;
    let labels = net.graph.input_u32("labels", Shape::new(&[batch])?);
    let mut inputs = vec![net.embeddings, labels];
    let mining_seed = config.mining.is_random().then(|| net.graph.input_u32("mining seed", Shape::vector(2)));
    inputs.extend(mining_seed);
    let loss = net.graph.op("triplet_loss", config.loss()?, &inputs)?;
    let mut recording = Recording::forward(&net.graph, &[loss]);
    let dloss = recording.backward(loss, &[]);
    let learning_rate = recording.update(loss, config.optimiser().as_ref());
    let buffers = Buffers {
        images: recording.value(net.images),
        labels: recording.value(labels),
        seed: net.seed.map(|seed| recording.value(seed)),
        mining_seed: mining_seed.map(|seed| recording.value(seed)),
        loss: recording.value(loss),
        learning_rate,
        dloss,
    };
    Ok((recording.finish(), buffers))
}
