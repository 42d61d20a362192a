//! Timing: every op's cases at real sizes, and networks as a whole, on one device, held against what the device itself
//! can do.

mod fill;
mod side_by_side;

use std::collections::BTreeMap;
use std::time::Instant;

pub use side_by_side::{StepDifference, side_by_side, training_step};

use serde::{Deserialize, Serialize};

use self::fill::{fill, fill_all};
use crate::executor::{Executor, Options};
use crate::graph::Recording;
use crate::model::Model;
use crate::op::{Case, CasePlan, Concat, Linear, Pairs, Question, Values};
use crate::plan::Plan;
use crate::search::SearchPlan;
use crate::train::{Config, Trainer};
use crate::{Engine, Result};

/// Runs that count, at least and at most; between them a measurement ends after [`ENOUGH`].
const RUNS: (usize, usize) = (5, 50);
/// Seconds of measuring after which no further run is started.
const ENOUGH: f64 = 0.4;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The op's case or the network's task.
    pub case: String,
    /// The kernel, or `all` for the whole of it.
    pub kernel: String,
    /// Median over the runs, milliseconds.
    pub median_ms: f64,
    /// 95th percentile, milliseconds.
    pub p95_ms: f64,
    /// 10^9 floating-point operations per second (a multiply-add counts two); 0 where none are counted.
    pub gflops: f64,
    /// 10^9 bytes per second, each buffer counted once.
    pub gbytes: f64,
    /// Share of the device's ceiling that limits this kernel, 0 to 1.
    pub share: f64,
    /// Images per second, for networks.
    pub images_per_second: Option<f64>,
}

impl Row {
    /// What identifies a row between two tables.
    pub fn key(&self) -> (&str, &str) {
        (&self.case, &self.kernel)
    }
}

/// What the device reaches at its best with these kernels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ceilings {
    /// A matrix product of 1024 x 1024 x 1024, GFLOP/s.
    pub gflops: f64,
    /// A copy of 32 MiB, GB/s read and written.
    pub gbytes: f64,
}

/// A whole table with what it was measured on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Version of the crate.
    pub version: String,
    /// Device and driver.
    pub device: String,
    /// The device's own best.
    pub ceilings: Ceilings,
    /// The rows.
    pub rows: Vec<Row>,
}

/// Seconds of each run of a plan, by kernel.
struct Timing {
    /// For each kernel in order of first use: seconds of each run.
    kernels: Vec<(&'static str, Vec<f64>)>,
    /// Seconds of each run as a whole, measured from outside.
    whole: Vec<f64>,
}

/// Measures the ceilings.
///
/// # Errors
/// The device fails or lacks memory.
pub fn ceilings(engine: &Engine) -> Result<Ceilings> {
    let square: &[u32] = &[1024, 1024];
    let product = Case::new(
        Linear { relu: false },
        &[(square, Values::Normal), (square, Values::Normal), (&[1024], Values::Normal)],
    );
    let half: &[u32] = &[1 << 10, 1 << 12];
    let copy = Case::new(Concat, &[(half, Values::Normal), (half, Values::Normal)]);
    let best = |case: Case| -> Result<f64> {
        let timing = time(engine.executor(CasePlan::forward(case)?, &Options::default())?.as_mut())?;
        let sums = (0..timing.whole.len()).map(|run| timing.kernels.iter().map(|(_, s)| s[run]).sum::<f64>());
        Ok(sums.fold(f64::INFINITY, f64::min))
    };
    let flops = 2.0 * 1024f64.powi(3);
    let bytes = 4.0 * 4.0 * f64::from(1u32 << 22); // two halves, each read and written
    Ok(Ceilings { gflops: flops / best(product)? / 1e9, gbytes: bytes / best(copy)? / 1e9 })
}

/// The name of an op's case in tables: the op, the shapes of its inputs, and its setting if it has one.
pub fn case_name(op: &str, case: &Case) -> String {
    let shapes: Vec<String> = case.inputs.iter().map(|i| i.shape.to_string()).collect();
    let setting = if case.setting.is_empty() { String::new() } else { format!(", {}", case.setting) };
    format!("{op} {}{setting}", shapes.join(" "))
}

/// Times one case of an op, forward and backward, kernel by kernel.
///
/// # Errors
/// The device fails or lacks memory.
pub fn op_case(engine: &Engine, op: &str, case: Case, ceilings: Ceilings) -> Result<Vec<Row>> {
    let label = case_name(op, &case);
    let labels: Vec<_> = case.inputs.iter().map(|i| i.values).collect();
    let planned = CasePlan::new(case)?;
    let (inputs, dy) = (planned.inputs.clone(), planned.dy);
    let mut executor = engine.executor(planned.plan, &Options::default())?;
    for (buf, values) in inputs.into_iter().zip(labels) {
        fill(executor.as_mut(), buf, values)?;
    }
    fill(executor.as_mut(), dy, Values::Normal)?;
    let timing = time(executor.as_mut())?;
    Ok(kernel_rows(&label, executor.plan(), &timing, ceilings))
}

/// The searches of [`search`]: names in tables, and what is asked. The first two are those of offline selection.
pub const SEARCHES: [(&str, Question); 3] = [
    ("nearest [4096, 128], farthest of the same label", Question { k: 1, farthest: true, pairs: Pairs::SameLabel }),
    ("nearest [4096, 128], nearest of other labels", Question { k: 1, farthest: false, pairs: Pairs::OtherLabel }),
    ("nearest [4096, 128], 10 nearest", Question { k: 10, farthest: false, pairs: Pairs::Any }),
];

/// Times a search among 4,096 embeddings of 128 dimensions, 128 people with 32 images each, for all of them.
///
/// # Errors
/// The device fails or lacks memory.
pub fn search(engine: &Engine, (name, question): (&str, Question), ceilings: Ceilings) -> Result<Vec<Row>> {
    let SearchPlan { plan, parts, block, .. } = SearchPlan::new(4096, 128, question, 4096)?;
    let mut executor = engine.executor(plan, &Options::default())?;
    // The queries are the gallery, and labels and indices are counted in the same way.
    let itself: Vec<u32> = (0..4096).collect();
    let labels: Vec<u32> = itself.iter().map(|image| image % 128).collect();
    for part in parts {
        fill(executor.as_mut(), part.columns, Values::Normal)?;
        executor.write_u32(part.labels, &labels)?;
    }
    fill(executor.as_mut(), block.queries, Values::Normal)?;
    executor.write_u32(block.about, &[labels, itself].concat())?;
    executor.write(block.beyond, &[-1.0; 4096])?;
    let timing = time(executor.as_mut())?;
    Ok(kernel_rows(name, executor.plan(), &timing, ceilings))
}

/// Times a network: inference of one image, of a batch, and, if it can be trained, a training step with the kernels of the step.
///
/// # Errors
/// The device fails or lacks memory.
pub fn network(engine: &Engine, model: &Model, config: &Config, ceilings: Ceilings) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for batch in [1, 32] {
        let net = model.inference(batch)?;
        let plan = Recording::forward(&net.graph, &[net.embeddings()]).finish();
        let mut executor = engine.executor(plan, &Options::default())?;
        fill_all(executor.as_mut())?;
        let timing = time(executor.as_mut())?;
        let label = format!("{} inference, batch {batch}", model.name());
        rows.push(whole_row(&label, executor.plan(), &timing, ceilings, batch));
    }
    if !model.unit_length() {
        return Ok(rows);
    }
    let batch = u32::try_from(config.people * config.images).unwrap_or(u32::MAX);
    let mut executor = engine.executor(Trainer::plan(model, config, batch)?, &Options::default())?;
    fill_all(executor.as_mut())?;
    let timing = time(executor.as_mut())?;
    let label = format!("{} training step, batch {batch}", model.name());
    rows.push(whole_row(&label, executor.plan(), &timing, ceilings, batch));
    rows.extend(kernel_rows(&label, executor.plan(), &timing, ceilings));
    Ok(rows)
}

/// Runs a plan until there are enough runs: one to warm up, which compiles kernels, then the ones that count.
fn time(executor: &mut dyn Executor) -> Result<Timing> {
    let all = 0..executor.plan().steps.len();
    let names: Vec<&'static str> = executor.plan().steps.iter().map(|s| s.kernel.name).collect();
    let mut timing = Timing { kernels: Vec::new(), whole: Vec::new() };
    executor.time(all.clone())?;
    let begin = Instant::now();
    for run in 0..RUNS.1 {
        if run >= RUNS.0 && begin.elapsed().as_secs_f64() > ENOUGH {
            break;
        }
        let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
        for (name, seconds) in names.iter().zip(executor.time(all.clone())?) {
            *sums.entry(name).or_default() += seconds;
        }
        for &name in &names {
            let Some(seconds) = sums.remove(name) else { continue };
            match timing.kernels.iter_mut().find(|(n, _)| *n == name) {
                Some((_, list)) => list.push(seconds),
                None => timing.kernels.push((name, vec![seconds])),
            }
        }
        let start = Instant::now();
        executor.run_all()?;
        executor.fence()?.wait()?;
        timing.whole.push(start.elapsed().as_secs_f64());
    }
    Ok(timing)
}

fn kernel_rows(case: &str, plan: &Plan, timing: &Timing, ceilings: Ceilings) -> Vec<Row> {
    let row = |(kernel, seconds): &(&'static str, Vec<f64>)| {
        let steps = plan.steps.iter().filter(|s| s.kernel.name == *kernel);
        let (mut flops, mut bytes) = (0, 0);
        for step in steps {
            flops += 2 * step.macs;
            bytes += step.buffers.iter().map(|&b| plan.spec(b).bytes()).sum::<u64>();
        }
        row(case, kernel, seconds, flops, bytes, ceilings)
    };
    timing.kernels.iter().map(row).collect()
}

fn whole_row(case: &str, plan: &Plan, timing: &Timing, ceilings: Ceilings, images: u32) -> Row {
    let flops = plan.steps.iter().map(|s| 2 * s.macs).sum();
    let mut row = row(case, "all", &timing.whole, flops, 0, ceilings);
    row.images_per_second = Some(f64::from(images) / (row.median_ms / 1e3));
    row
}

fn row(case: &str, kernel: &str, seconds: &[f64], flops: u64, bytes: u64, ceilings: Ceilings) -> Row {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| {
        // Nearest rank: a small number of runs has no finer percentiles.
        let rank = (part * sorted.len() as f64).ceil().max(1.0);
        sorted.iter().copied().nth(num_traits::cast::<f64, usize>(rank).unwrap_or(1) - 1).unwrap_or(f64::NAN)
    };
    let median = at(0.5);
    let (gflops, gbytes) = (flops as f64 / median / 1e9, bytes as f64 / median / 1e9);
    Row {
        case: case.to_string(),
        kernel: kernel.to_string(),
        median_ms: median * 1e3,
        p95_ms: at(0.95) * 1e3,
        gflops,
        gbytes,
        share: (gflops / ceilings.gflops).max(gbytes / ceilings.gbytes),
        images_per_second: None,
    }
}
