//! What a device can do at its best, taken again and again: clocks and neighbours change it.

use serde::{Deserialize, Serialize};

use crate::executor::{Executor, Options};
use crate::op::{Case, CasePlan, Concat, Linear, Values};
use crate::{Engine, Result};

/// Sides of the product.
const PRODUCT: u32 = 1024;
/// MiB that the copies read and write together. A small one stays in caches, where kernels on small tensors find their data,
/// too.
const COPIES: [(&str, u32); 3] = [("copy 1 MiB", 1), ("copy 8 MiB", 8), ("copy 64 MiB", 64)];
/// Runs of each, of which the best counts.
const RUNS: usize = 3;

/// What the device reached at its best with these kernels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ceilings {
    /// A matrix product of 1024 x 1024 x 1024, GFLOP/s.
    pub gflops: f64,
    /// Copies that read and write 1, 8 and 64 MiB together, GB/s.
    pub gbytes: [f64; 3],
}

impl Ceilings {
    /// The higher of each.
    pub(super) fn max(self, other: Self) -> Self {
        let gbytes = std::array::from_fn(|i| self.gbytes[i].max(other.gbytes[i]));
        Self { gflops: self.gflops.max(other.gflops), gbytes }
    }

    /// The ceiling that a kernel is nearest to, and how near: above 1 where its data or its operands lie nearer than those of the
    /// product and the copies.
    pub(super) fn share(&self, gflops: f64, gbytes: f64, bytes: u64) -> (f64, &'static str) {
        let copy = COPIES.iter().position(|(_, mib)| bytes <= u64::from(*mib) << 20).unwrap_or(COPIES.len() - 1);
        let (product, copied) = (gflops / self.gflops, gbytes / self.gbytes[copy]);
        if product > copied { (product, "product") } else { (copied, COPIES[copy].0) }
    }
}

/// Takes the ceilings of a device.
#[derive(Debug)]
pub struct Gauge {
    product: Box<dyn Executor>,
    copies: Vec<Box<dyn Executor>>,
    last: Ceilings,
}

impl Gauge {
    /// Readies the product and the copies, and takes the ceilings once.
    ///
    /// # Errors
    /// The device fails or lacks memory.
    pub fn new(engine: &Engine) -> Result<Self> {
        let put = |case: Case| engine.executor(CasePlan::forward(case)?, &Options::default());
        let square: &[u32] = &[PRODUCT, PRODUCT];
        let inputs = [(square, Values::Normal), (square, Values::Normal), (&[PRODUCT][..], Values::Normal)];
        let product = put(Case::new(Linear { relu: false }, &inputs))?;
        let copy = |(_, mib): &(&str, u32)| {
            // Two halves, each read and written: a quarter of the bytes, four to a float.
            let half: &[u32] = &[mib << 6, 1 << 10];
            put(Case::new(Concat, &[(half, Values::Normal), (half, Values::Normal)]))
        };
        let copies = COPIES.iter().map(copy).collect::<Result<_>>()?;
        let mut gauge = Self { product, copies, last: Ceilings { gflops: 0.0, gbytes: [0.0; 3] } };
        gauge.product.time(0..1)?;
        gauge.take()?;
        Ok(gauge)
    }

    /// The ceilings as they were taken last.
    pub fn last(&self) -> Ceilings {
        self.last
    }

    /// Takes them.
    ///
    /// # Errors
    /// The device fails.
    pub(super) fn take(&mut self) -> Result<Ceilings> {
        let flops = 2.0 * f64::from(PRODUCT).powi(3);
        let gflops = flops / best(self.product.as_mut())? / 1e9;
        let mut gbytes = [0.0; 3];
        for ((rate, copy), (_, mib)) in gbytes.iter_mut().zip(&mut self.copies).zip(COPIES) {
            *rate = f64::from(mib << 20) / best(copy.as_mut())? / 1e9;
        }
        self.last = Ceilings { gflops, gbytes };
        Ok(self.last)
    }
}

/// Seconds of the best run.
fn best(executor: &mut dyn Executor) -> Result<f64> {
    let steps = 0..executor.plan().steps.len();
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        best = best.min(executor.time(steps.clone())?.iter().sum());
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_the_nearer_ceiling() {
        let ceilings = Ceilings { gflops: 100.0, gbytes: [40.0, 20.0, 10.0] };
        assert_eq!(ceilings.share(50.0, 4.0, 1 << 20), (0.5, "product"));
        assert_eq!(ceilings.share(5.0, 30.0, 1 << 20), (0.75, "copy 1 MiB"));
        assert_eq!(ceilings.share(5.0, 15.0, (1 << 20) + 4), (0.75, "copy 8 MiB"));
        assert_eq!(ceilings.share(5.0, 5.0, 1 << 40), (0.5, "copy 64 MiB"));
        assert_eq!(ceilings.share(180.0, 5.0, 1 << 40), (1.8, "product"), "the truth");
        let later = Ceilings { gflops: 90.0, gbytes: [50.0, 10.0, 10.0] };
        assert_eq!(ceilings.max(later), Ceilings { gflops: 100.0, gbytes: [50.0, 20.0, 10.0] });
    }

    #[test]
    fn the_copies_move_as_many_bytes_as_they_say() {
        let gauge = Gauge::new(&Engine::Cpu).unwrap();
        for (copy, (name, mib)) in gauge.copies.iter().zip(COPIES) {
            let plan = copy.plan();
            let moved: u64 = plan.buffers.iter().map(crate::plan::BufferSpec::bytes).sum();
            assert_eq!(moved, u64::from(mib) << 20, "{name}");
        }
        assert!(gauge.last().gflops > 0.0 && gauge.last().gbytes.iter().all(|&rate| rate > 0.0));
    }
}
