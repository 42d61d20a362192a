//! Runs a plan until its times are known.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::Result;
use crate::executor::Executor;

/// Runs that count, at least and at most; between them a measurement ends after [`ENOUGH`].
const RUNS: (usize, usize) = (5, 200);
/// Seconds of measuring after which no further run is started.
const ENOUGH: f64 = 0.5;

/// Seconds of each run, sorted.
#[derive(Debug)]
pub(super) struct Seconds(Vec<f64>);

impl Seconds {
    fn of(mut runs: Vec<f64>) -> Self {
        runs.sort_by(f64::total_cmp);
        Self(runs)
    }

    /// The nearest rank: a small number of runs has no finer percentiles.
    pub(super) fn percentile(&self, percent: usize) -> f64 {
        let rank = (percent * self.0.len()).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or(f64::NAN)
    }
}

/// Runs `run` once to warm up, which compiles kernels, then until there are enough runs.
fn repeat(mut run: impl FnMut() -> Result<()>) -> Result<()> {
    run()?;
    let begin = Instant::now();
    let mut runs = 0;
    while runs < RUNS.1 && (runs < RUNS.0 || begin.elapsed().as_secs_f64() < ENOUGH) {
        run()?;
        runs += 1;
    }
    Ok(())
}

/// Times whole runs from outside.
pub(super) fn whole(executor: &mut dyn Executor) -> Result<Seconds> {
    let mut seconds = Vec::new();
    repeat(|| {
        let start = Instant::now();
        executor.run_all()?;
        executor.fence()?.wait()?;
        seconds.push(start.elapsed().as_secs_f64());
        Ok(())
    })?;
    Ok(Seconds::of(seconds.split_off(1)))
}

/// Times the kernels, each by the sum of its steps, in order of first use.
pub(super) fn kernels(executor: &mut dyn Executor) -> Result<Vec<(&'static str, Seconds)>> {
    let names: Vec<&'static str> = executor.plan().steps.iter().map(|step| step.kernel.name).collect();
    let mut runs: Vec<BTreeMap<&str, f64>> = Vec::new();
    repeat(|| {
        let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
        for (name, seconds) in names.iter().zip(executor.time(0..names.len())?) {
            *sums.entry(name).or_default() += seconds;
        }
        runs.push(sums);
        Ok(())
    })?;
    let runs = runs.split_off(1);
    let mut order: Vec<&'static str> = Vec::new();
    for name in names {
        if !order.contains(&name) {
            order.push(name);
        }
    }
    let of = |name: &'static str| (name, Seconds::of(runs.iter().map(|sums| sums[name]).collect()));
    Ok(order.into_iter().map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let seconds = Seconds::of(vec![5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!([50, 95, 1].map(|p| seconds.percentile(p)), [3.0, 5.0, 1.0]);
        assert!(Seconds::of(Vec::new()).percentile(50).is_nan());
    }
}
