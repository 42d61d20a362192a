//! Times the ways of one shape, in turn, on buffers of their own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shapes::ShapeOf;
use super::{Device, Tuning};
use crate::Result;
use crate::cpu::{self, CpuExecutor, CpuShelf};
use crate::executor::{Executor, Options};
use crate::gpu::GpuExecutor;
use crate::plan::{Buf, Plan, Role, Type};

/// Rounds that count, at least and at most.
const ROUNDS: (usize, usize) = (3, 30);
/// After so much time in rounds no further one is begun.
const ENOUGH: Duration = Duration::from_millis(60);
/// Rounds that decide if the time ends before there are enough.
const FEW: usize = 2;
/// A way that takes so many times as long as the best is left out of further rounds.
const HOPELESS: f64 = 1.5;

/// Until when a plan's shapes are timed.
#[derive(Debug)]
pub(super) struct Until<'t> {
    pub(super) tuning: &'t Tuning,
    pub(super) deadline: Instant,
}

impl Until<'_> {
    /// Whether no measurement of this length may begin.
    pub(super) fn is_over(&self, ahead: Duration) -> bool {
        Instant::now() + ahead >= self.deadline || (self.tuning.stop)()
    }
}

/// What measuring a shape gave.
#[derive(Debug)]
pub(super) struct Measured {
    /// Of each candidate the shortest time; `None` if there was not enough time.
    pub(super) seconds: Option<Vec<f64>>,
    /// What it took to make buffers and to compile and run a way for the first time, which cannot be stopped.
    pub(super) start: Duration,
}

/// Times the candidates of a shape of `plan`. Whether it is over is asked before each run.
///
/// # Errors
/// The device is lost or lacks memory, or a kernel does not compile.
pub(super) fn measure(device: &Device, plan: &Plan, shape: &ShapeOf<'_>, until: &Until<'_>) -> Result<Measured> {
    let begin = Instant::now();
    let mut executor = scratch(device, plan, shape)?;
    let count = shape.candidates.names.len();
    let made = begin.elapsed();
    let mut start = made;
    // One round to warm up: caches, and weights that are brought into another order once.
    for at in 0..count {
        if until.is_over(Duration::ZERO) {
            return Ok(Measured { seconds: None, start });
        }
        let begin = Instant::now();
        executor.time(at..at + 1)?;
        // Some drivers compile only now.
        start = start.max(made + begin.elapsed());
    }
    let mut seconds = vec![f64::INFINITY; count];
    let mut rounds = 0;
    let counted = Instant::now();
    'rounds: while rounds < ROUNDS.1 && (rounds < ROUNDS.0 || counted.elapsed() < ENOUGH) {
        let best = seconds.iter().copied().fold(f64::INFINITY, f64::min);
        for (at, seconds) in seconds.iter_mut().enumerate() {
            if until.is_over(Duration::ZERO) {
                break 'rounds;
            }
            if !is_hopeless(*seconds, best, rounds) {
                *seconds = executor.time(at..at + 1)?[0].min(*seconds);
            }
        }
        rounds += 1;
    }
    Ok(Measured { seconds: (rounds >= FEW).then_some(seconds), start })
}

/// Whether a way needs no further round after so many. A short run may have been disturbed each time so far, on a busy machine; a
/// long one was not.
fn is_hopeless(seconds: f64, best: f64, rounds: usize) -> bool {
    let disturbed = rounds < ROUNDS.0 && seconds < ENOUGH.as_secs_f64();
    rounds > 0 && !disturbed && seconds > HOPELESS * best
}

/// A plan with a step for each candidate on the same buffers, which are those of the shape's first step and hold ordinary
/// numbers, on the device.
fn scratch(device: &Device, plan: &Plan, shape: &ShapeOf<'_>) -> Result<Box<dyn Executor>> {
    let step = &plan.steps[shape.steps[0]];
    let mut own = Plan::default();
    let mut buffers: Vec<(Buf, Buf)> = Vec::new();
    for &buf in &step.buffers {
        if buffers.iter().all(|(from, _)| *from != buf) {
            let spec = plan.spec(buf);
            // Weights that stay as they are lie in a store, as they will.
            let role = if shape.asked.fixed && spec.role.is_persistent() { spec.role } else { Role::Input };
            buffers.push((buf, own.buffer(spec.name.clone(), spec.shape, spec.ty, role)));
        }
    }
    let place = |buf: &Buf| buffers.iter().find(|(from, _)| from == buf).expect("every buffer was added").1;
    for &name in &shape.candidates.names {
        let mut step = step.clone();
        step.buffers = step.buffers.iter().map(place).collect();
        step.choice = Some(name);
        own.steps.push(step);
    }
    let floats = |of: &dyn Fn(Role) -> bool| -> Vec<(Buf, usize, Role)> {
        let specs = own.buffers.iter().zip(0u32..).filter(|(spec, _)| spec.ty == Type::F32 && of(spec.role));
        specs.map(|(spec, at)| (Buf(at), spec.shape.len(), plan.spec(buffers[at as usize].0).role)).collect()
    };
    let fill = |executor: &mut dyn Executor, floats: Vec<(Buf, usize, Role)>| {
        floats.into_iter().try_for_each(|(buf, len, role)| executor.write(buf, &values(role, len)))
    };
    match device {
        Device::Gpu(gpu) => {
            let all = floats(&|_| true);
            let mut executor = GpuExecutor::new(gpu, own, &Options::default())?;
            fill(&mut executor, all)?;
            Ok(Box::new(executor))
        }
        Device::Cpu => {
            let others = floats(&|role| !role.is_persistent());
            let weights = own.buffers.iter().filter(|spec| spec.role.is_persistent()).cloned().collect::<Vec<_>>();
            let shelf = Arc::new(CpuShelf::<f32>::default());
            cpu::add(&shelf, weights.clone())?;
            for (at, spec) in weights.iter().enumerate() {
                cpu::upload(&shelf, at, &values(spec.role, spec.shape.len()));
            }
            let stores = if weights.is_empty() { Vec::new() } else { vec![shelf] };
            let mut executor = CpuExecutor::<f32>::bound(own, &Options::default(), stores)?;
            fill(&mut executor, others)?;
            Ok(Box::new(executor))
        }
    }
}

/// Numbers for a buffer: a variance is positive.
fn values(role: Role, len: usize) -> Vec<f32> {
    let (centre, scale) = if role == Role::Statistic { (1.0, 0.5) } else { (0.0, 0.1) };
    ordinary(len, centre, scale)
}

/// Numbers that keep every kernel busy, at most `scale` away from `centre`: nothing denormal, nothing constant.
pub(crate) fn ordinary(len: usize, centre: f32, scale: f32) -> Vec<f32> {
    // A multiplicative hash: cheap, and without the patterns that a ramp has.
    let hash = |i: u32| i.wrapping_mul(2_654_435_761) >> 8;
    let share = |i: u32| hash(i) as f32 / f32::from(1u16 << 15) / 256.0 - 1.0;
    (0..=u32::MAX).take(len).map(|i| centre + scale * share(i)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_was_disturbed_once_gets_further_rounds() {
        assert!(
            !is_hopeless(0.020, 0.001, 0) && !is_hopeless(0.020, 0.001, 1),
            "a short run may be another program's time"
        );
        assert!(is_hopeless(0.020, 0.001, ROUNDS.0), "not three times");
        assert!(is_hopeless(0.200, 0.010, 1) && !is_hopeless(0.014, 0.010, ROUNDS.0));
    }

    #[test]
    fn ordinary_numbers_are_spread_about_their_centre() {
        let numbers = ordinary(10_000, 1.0, 0.5);
        let mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / 1e4;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        let below = numbers.iter().filter(|&&x| x < 0.75).count();
        assert!((2000..3000).contains(&below) && numbers.iter().all(|x| (0.5..=1.5).contains(x)), "{below}");
    }
}
