//! One of MTCNN's networks on a device.

use std::time::{Duration, Instant};

use crate::executor::Pending;
use crate::model::Model;
use crate::session::{Plans, WEIGHTS, store_of};
use crate::store::Store;
use crate::weights::DetectorWeights;
use crate::{Engine, Error, Result};

/// Plans that a stage keeps: images of one size need one for each level of their pyramid.
const PLANS: usize = 32;

/// What suits a device.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Pixels that go through a network together.
    pixels: u32,
    /// Bytes that the plans of a stage may have together.
    plans: u64,
}

/// What is between two layers stays in the cache.
const CPU: Sizes = Sizes { pixels: 1 << 17, plans: 96 << 20 };
/// Enough to keep it busy.
const GPU: Sizes = Sizes { pixels: 1 << 20, plans: 512 << 20 };

/// Where a stage's time went.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Time {
    pub(super) resampling: Duration,
    pub(super) network: Duration,
    pub(super) suppression: Duration,
}

/// One of MTCNN's networks on a device.
#[derive(Debug)]
pub(super) struct Stage {
    engine: Engine,
    model: Model,
    store: Store,
    plans: Plans,
    /// Pixels that go through together; fewer than at first where the device lacks memory.
    pixels: u32,
    pub(super) time: Time,
}

/// The outputs of a batch, under way: values of each output that was asked for.
pub(super) type Outputs = Pending<Vec<Vec<f32>>>;

impl Stage {
    pub(super) fn new(engine: &Engine, name: &str, model: Model, weights: &DetectorWeights) -> Result<Self> {
        let store = store_of(engine, &model)?;
        for spec in store.specs().iter().filter(|spec| WEIGHTS.contains(&spec.role)) {
            store.write(&spec.name, weights.values(name, &spec.name))?;
        }
        let Sizes { pixels, plans } = if matches!(engine.device(), Engine::Gpu(_)) { GPU } else { CPU };
        let plans = Plans::new(PLANS, plans);
        Ok(Self { engine: engine.clone(), model, store, plans, pixels, time: Time::default() })
    }

    /// Height and width of the network's own images.
    pub(super) fn input(&self) -> [u32; 2] {
        self.model.input()
    }

    /// Bytes of the plans that are kept.
    #[cfg(test)]
    pub(super) fn plan_bytes(&self) -> u64 {
        self.plans.bytes()
    }

    /// Images of this height and width that should go through together: at least one.
    pub(super) fn most(&self, [height, width]: [u32; 2]) -> usize {
        (self.pixels / (height * width)).max(1) as usize
    }

    /// Submits `count` images of this height and width, which `write` writes as floats; gives the values of `outputs`. Where
    /// the device lacks memory for so many, fewer are [the most](Self::most) from now on.
    ///
    /// # Errors
    /// [`Error::Memory`] where the device lacks memory; with fewer images it may not. The device is lost.
    pub(super) fn submit(
        &mut self,
        count: u32,
        size: [u32; 2],
        outputs: &[&str],
        write: impl FnOnce(&mut [f32]),
    ) -> Result<Outputs> {
        let plan = match self.plans.get(&self.engine, &self.model, &self.store, None, (count, size)) {
            Err(e @ Error::Memory(_)) if count > 1 => {
                self.pixels = count / 2 * size[0] * size[1];
                return Err(e);
            }
            plan => plan?,
        };
        let begin = Instant::now();
        let mut images = vec![0.0; count as usize * size[0] as usize * size[1] as usize * 3];
        write(&mut images);
        let written = Instant::now();
        self.time.resampling += written - begin;
        plan.executor.write(plan.images, &images)?;
        drop(images);
        plan.executor.run_all()?;
        let mut all: Option<Outputs> = None;
        for wanted in outputs {
            let found = plan.outputs.iter().find(|(name, ..)| name == wanted);
            let download = plan.executor.download(found.expect("the network has this output").1)?;
            all = Some(match all {
                None => download.map(|values| vec![values]),
                Some(before) => before.join(download).map(|(mut before, values)| {
                    before.push(values);
                    before
                }),
            });
        }
        self.time.network += written.elapsed();
        Ok(all.expect("an output was asked for"))
    }

    /// Waits for outputs.
    pub(super) fn wait(&mut self, outputs: Outputs) -> Result<Vec<Vec<f32>>> {
        let begin = Instant::now();
        let values = outputs.wait();
        self.time.network += begin.elapsed();
        values
    }

    /// Does something with windows, and counts its time.
    pub(super) fn suppressing<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let done = work();
        self.time.suppression += begin.elapsed();
        done
    }
}
