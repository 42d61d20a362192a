//! What can be timed: plans with numbers to run them on.

use std::fmt;

use super::fill::{fill, fill_all};
use super::{Gauge, Row, timing};
use crate::executor::{Executor, Options};
use crate::graph::Recording;
use crate::model::Model;
use crate::net;
use crate::op::{Case, CasePlan, ENTRIES, Pairs, Question, Values};
use crate::plan::{Kernel, Plan, assign_slots};
use crate::search::SearchPlan;
use crate::train::{Config, Trainer};
use crate::{Engine, Result};

/// What stands for the ceiling of a kernel that makes fewer multiplications than are counted, and so has no share of one.
pub const SAVES: &str = "saves products";

/// A plan with numbers to run it on.
pub struct Task {
    /// Its name in tables.
    pub case: String,
    /// Images of a run, for networks.
    images: Option<u32>,
    plan: Plan,
    fill: Fill,
}

type Fill = Box<dyn FnOnce(&mut dyn Executor) -> Result<()>>;

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, images, .. } = self;
        f.debug_struct("Task").field("case", case).field("images", images).finish_non_exhaustive()
    }
}

impl Task {
    /// The kernels that it runs, each once.
    pub fn kernels(&self) -> Vec<&'static Kernel> {
        let mut kernels: Vec<&'static Kernel> = Vec::new();
        for step in &self.plan.steps {
            if kernels.iter().all(|kernel| kernel.name != step.kernel.name) {
                kernels.push(step.kernel);
            }
        }
        kernels
    }

    /// Puts it on a device.
    ///
    /// # Errors
    /// The device fails or lacks memory.
    pub fn ready(self, engine: &Engine) -> Result<Ready> {
        let memory = assign_slots(&self.plan, true).bytes.iter().sum();
        let mut executor = engine.executor(self.plan, &Options::default())?;
        (self.fill)(executor.as_mut())?;
        let ways = matches!(engine.device(), Engine::Cpu);
        Ok(Ready { device: engine.describe(), ways, case: self.case, images: self.images, memory, executor })
    }
}

/// A task on a device.
#[derive(Debug)]
pub struct Ready {
    device: String,
    /// The device computes kernels in one of their ways in Rust.
    ways: bool,
    case: String,
    images: Option<u32>,
    memory: u64,
    executor: Box<dyn Executor>,
}

impl Ready {
    /// Times a network's task as a whole; nothing for an op.
    ///
    /// # Errors
    /// The device fails.
    pub fn whole(&mut self) -> Result<Option<Row>> {
        let Some(images) = self.images else { return Ok(None) };
        let seconds = timing::whole(self.executor.as_mut())?;
        let flops = self.executor.plan().steps.iter().map(|step| 2 * step.macs).sum();
        let mut row = self.row("all", &seconds, flops, 0);
        row.images_per_second = Some(f64::from(images) / seconds.percentile(50));
        row.memory = Some(self.memory + self.executor.kept_bytes());
        Ok(Some(row))
    }

    /// Times the kernels one by one, with the ceilings that were taken before, and are taken once more after it.
    ///
    /// # Errors
    /// The device fails.
    pub fn kernels(&mut self, gauge: &mut Gauge) -> Result<Vec<Row>> {
        let before = gauge.last();
        let times = timing::kernels(self.executor.as_mut())?;
        let ceilings = before.max(gauge.take()?);
        let plan = self.executor.plan();
        let row = |(kernel, seconds): &(&'static str, timing::Seconds)| {
            let (mut flops, mut bytes, mut largest, mut saves) = (0, 0, 0, false);
            for (step, asked) in plan.steps.iter().zip(plan.asked()).filter(|(step, _)| step.kernel.name == *kernel) {
                saves |= self.ways && step.kernel.way(step, &asked).name.starts_with("winograd");
                let moved = step.buffers.iter().map(|&buf| plan.spec(buf).bytes()).sum::<u64>();
                (flops, bytes, largest) = (flops + 2 * step.macs, bytes + moved, largest.max(moved));
            }
            let mut row = self.row(kernel, seconds, flops, bytes);
            let (share, ceiling) = if saves { (0.0, SAVES) } else { ceilings.share(row.gflops, row.gbytes, largest) };
            (row.share, row.ceiling) = (share, ceiling.to_string());
            row
        };
        Ok(times.iter().map(row).collect())
    }

    fn row(&self, kernel: &str, seconds: &timing::Seconds, flops: u64, bytes: u64) -> Row {
        let median = seconds.percentile(50);
        let rate = |count: u64| count as f64 / median / 1e9;
        Row {
            device: self.device.clone(),
            case: self.case.clone(),
            kernel: kernel.to_string(),
            median_ms: median * 1e3,
            p95_ms: seconds.percentile(95) * 1e3,
            gflops: rate(flops),
            gbytes: rate(bytes),
            share: 0.0,
            ceiling: String::new(),
            images_per_second: None,
            memory: None,
        }
    }
}

/// Every op's cases at real sizes, forward and backward. They are named by the op, the shapes of its inputs, and its setting if it has
/// one.
///
/// # Errors
/// A case is none for its op.
pub fn op_cases() -> impl Iterator<Item = Result<Task>> {
    let cases = ENTRIES.iter().flat_map(|entry| (entry.bench_cases)().into_iter().map(|case| (entry.name, case)));
    cases.map(|(op, case)| op_case(op, case))
}

fn op_case(op: &str, case: Case) -> Result<Task> {
    let shapes: Vec<String> = case.inputs.iter().map(|input| input.shape.to_string()).collect();
    let setting = if case.setting.is_empty() { String::new() } else { format!(", {}", case.setting) };
    let name = format!("{op} {}{setting}", shapes.join(" "));
    let values: Vec<_> = case.inputs.iter().map(|input| input.values).collect();
    let CasePlan { plan, inputs, dy, .. } = CasePlan::new(case)?;
    let fill = move |executor: &mut dyn Executor| {
        inputs.into_iter().zip(values).try_for_each(|(buf, values)| fill(executor, buf, values))?;
        fill(executor, dy, Values::Normal)
    };
    Ok(Task { case: name, images: None, plan, fill: Box::new(fill) })
}

/// Searches among 4,096 embeddings of 128 dimensions, 128 people with 32 images each, for all of them. The first two are those of
/// offline selection.
const SEARCHES: [(&str, Question); 3] = [
    ("nearest [4096, 128], farthest of the same label", Question { k: 1, farthest: true, pairs: Pairs::SameLabel }),
    ("nearest [4096, 128], nearest of other labels", Question { k: 1, farthest: false, pairs: Pairs::OtherLabel }),
    ("nearest [4096, 128], 10 nearest", Question { k: 10, farthest: false, pairs: Pairs::Any }),
];

/// Searches, as offline selection and galleries need them.
///
/// # Errors
/// A search is too large.
pub fn searches() -> impl Iterator<Item = Result<Task>> {
    SEARCHES.into_iter().map(|(name, question)| {
        let SearchPlan { plan, parts, block, .. } = SearchPlan::new(4096, 128, question, 4096)?;
        let fill = move |executor: &mut dyn Executor| {
            // The queries are the gallery, and labels and indices are counted in the same way.
            let itself: Vec<u32> = (0..4096).collect();
            let labels: Vec<u32> = itself.iter().map(|image| image % 128).collect();
            for part in parts {
                fill(executor, part.columns, Values::Normal)?;
                executor.write_u32(part.labels, &labels)?;
            }
            fill(executor, block.queries, Values::Normal)?;
            executor.write_u32(block.about, &[labels, itself].concat())?;
            executor.write(block.beyond, &[-1.0; 4096])
        };
        Ok(Task { case: name.to_string(), images: None, plan, fill: Box::new(fill) })
    })
}

/// Inference of a network for batches of these sizes, and, if it can be trained, a training step with these settings.
///
/// # Errors
/// The network cannot take such batches.
pub fn network(model: &Model, batches: &[u32], config: Option<&Config>) -> Result<Vec<Task>> {
    let mut tasks = Vec::new();
    let mut task = |case: String, images: u32, plan: Plan| {
        tasks.push(Task { case, images: Some(images), plan, fill: Box::new(fill_all) });
    };
    // Images of another size than the network's own make another case.
    let [height, width] = model.input();
    let own = net::find(model.name()).is_ok_and(|network| network.input == [height, width]);
    let name = if own { model.name().to_string() } else { format!("{} {height}x{width}", model.name()) };
    for &batch in batches {
        let net = model.inference(batch)?;
        let plan = Recording::forward(&net.graph, &[net.embeddings()]).finish();
        task(format!("{name} inference, batch {batch}"), batch, plan);
    }
    if let Some(config) = config.filter(|_| model.unit_length()) {
        let batch = u32::try_from(config.people * config.images).unwrap_or(u32::MAX);
        task(format!("{name} training step, batch {batch}"), batch, Trainer::plan(model, config, batch)?);
    }
    Ok(tasks)
}
