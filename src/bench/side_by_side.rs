//! One plan on two devices, step by step: which step is the first whose results differ, and by how much.

use super::fill::fill;
use crate::executor::{Executor, Options};
use crate::model::Model;
use crate::op::Values;
use crate::plan::{Buf, Role, Type};
use crate::session::initial_weights;
use crate::train::{Config, Trainer};
use crate::weights::Metadata;
use crate::{Engine, Error, Result};

/// How far one step's results lie apart on two devices.
#[derive(Debug, Clone, PartialEq)]
pub struct StepDifference {
    /// Position in the plan.
    pub step: usize,
    /// The kernel.
    pub kernel: &'static str,
    /// The layer that it works for.
    pub layer: String,
    /// The written buffer that differs most.
    pub buffer: String,
    /// Position of the largest difference in that buffer.
    pub at: usize,
    /// The two values there.
    pub values: (f64, f64),
    /// The difference, relative to the largest magnitude of the buffer; infinite where one side is not finite.
    pub error: f64,
}

/// Runs both executors step by step and hands each step's difference to `each` until that returns false. Both must hold
/// the same plan with the same inputs, without shared memory (`Options { share: false, .. }`), so that everything that
/// was written stays readable. With `resync` the first device's results are copied to the second after each step: every
/// kernel is then judged by its own error, without what it inherits.
///
/// # Errors
/// A device fails, or the plans differ.
pub fn side_by_side(
    a: &mut dyn Executor,
    b: &mut dyn Executor,
    resync: bool,
    each: &mut dyn FnMut(StepDifference) -> bool,
) -> Result<()> {
    let (steps, others) = (a.plan().steps.len(), b.plan().steps.len());
    if steps != others {
        return Err(Error::Setting(format!(
            "the plans have {steps} and {others} steps; give both devices the same plan"
        )));
    }
    for step in 0..steps {
        a.run(step..step + 1)?;
        b.run(step..step + 1)?;
        let mut worst: Option<StepDifference> = None;
        for buf in a.plan().steps[step].written() {
            let difference = compare(a, b, step, buf)?;
            if worst.as_ref().is_none_or(|w| difference.error > w.error) {
                worst = Some(difference);
            }
            if resync {
                copy(a, b, buf)?;
            }
        }
        if worst.is_some_and(|worst| !each(worst)) {
            break;
        }
    }
    Ok(())
}

/// A training step of a network for [`side_by_side`]: two images of each of `people` people, starting weights from seed
/// 0, every buffer kept.
///
/// # Errors
/// The device fails or lacks memory.
pub fn training_step(engine: &Engine, model: &Model, people: u32) -> Result<Box<dyn Executor>> {
    let config = Config::default();
    let plan = Trainer::plan(model, &config, people * 2)?;
    let mut executor = engine.executor(plan, &Options { share: false, ..Options::default() })?;
    for (name, _, data) in initial_weights(model, Metadata::of(model)?, 0).tensors {
        let buf = executor.plan().find(&name).expect("a training step has every parameter of its model");
        executor.write(buf, &data)?;
    }
    let written = |role: Role| executor.plan().with_role(role).map(|(buf, _)| buf).collect::<Vec<Buf>>();
    let inputs = [written(Role::Input), written(Role::Constant)].concat();
    for buf in inputs {
        fill(executor.as_mut(), buf, Values::Labels { people })?;
    }
    Ok(executor)
}

fn read(executor: &mut dyn Executor, buf: Buf) -> Result<Vec<f64>> {
    Ok(match executor.plan().spec(buf).ty {
        Type::F32 => executor.read(buf)?.into_iter().map(f64::from).collect(),
        Type::U32 => executor.read_u32(buf)?.into_iter().map(f64::from).collect(),
    })
}

fn copy(from: &mut dyn Executor, to: &mut dyn Executor, buf: Buf) -> Result<()> {
    match from.plan().spec(buf).ty {
        Type::F32 => to.write(buf, &from.read(buf)?),
        Type::U32 => to.write_u32(buf, &from.read_u32(buf)?),
    }
}

fn compare(a: &mut dyn Executor, b: &mut dyn Executor, step: usize, buf: Buf) -> Result<StepDifference> {
    let (left, right) = (read(a, buf)?, read(b, buf)?);
    let scale = left.iter().chain(&right).filter(|x| x.is_finite()).fold(1e-30f64, |m, x| m.max(x.abs()));
    let error = |(x, y): (&f64, &f64)| {
        if x == y || (x.is_nan() && y.is_nan()) {
            0.0
        } else if (x - y).is_finite() {
            (x - y).abs() / scale
        } else {
            f64::INFINITY
        }
    };
    let errors = left.iter().zip(&right).map(error).enumerate();
    let (at, error) = errors.fold((0, 0.0), |worst, now| if now.1 > worst.1 { now } else { worst });
    let plan = a.plan();
    Ok(StepDifference {
        step,
        kernel: plan.steps[step].kernel.name,
        layer: plan.steps[step].layer.clone(),
        buffer: plan.spec(buf).name.clone(),
        at,
        values: (left[at], right[at]),
        error,
    })
}
