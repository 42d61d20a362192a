//! Every op, every case: GPU against the f64 reference, backward against central differences, and the harness's traps:
//! NaN-filled outputs, guard zones, exact integer runs, equal bits on repetition, accumulation on and off.

use crate::support::{Content, fill, gpus_of_every_family, integers, is_worth_testing, normals, relative_error, rng};
use facenet_gpu::cpu::CpuExecutor;
use facenet_gpu::executor::{Executor, Options};
use facenet_gpu::gpu::GpuExecutor;
use facenet_gpu::op::{Case, CasePlan, ENTRIES};
use facenet_gpu::plan::{Buf, Phase, Plan};
use rand::RngExt;

/// One case as a plan, with its name and bound.
struct Bench {
    label: String,
    tolerance: f64,
    differentiable: usize,
    case: CasePlan,
}

impl Bench {
    fn of(op: &str, case: Case) -> Self {
        let label = format!("{op}: {}", case.label());
        let (tolerance, differentiable) = (case.tolerance, case.differentiable);
        let case = CasePlan::new(case).unwrap_or_else(|e| panic!("{label}: {e}"));
        Self { label, tolerance, differentiable, case }
    }

    /// The plan with every writer of an input's gradient adding instead of setting.
    fn accumulating(&self) -> Plan {
        let mut plan = self.case.plan.clone();
        for step in plan.steps.iter_mut().filter(|s| s.buffers.iter().any(|b| self.case.dx.contains(b))) {
            for (name, value) in &mut step.overrides {
                if *name == "ACCUMULATE" {
                    *value = 1.0;
                }
            }
        }
        plan
    }

    fn write(&self, executor: &mut dyn Executor, content: &[Content], dy: &[f32]) {
        for (&buf, content) in self.case.inputs.iter().zip(content) {
            match content {
                Content::F(data) => executor.write(buf, data),
                Content::U(data) => executor.write_u32(buf, data),
            }
            .unwrap_or_else(|e| panic!("{}: {e}", self.label));
        }
        executor.write(self.case.dy, dy).unwrap_or_else(|e| panic!("{}: {e}", self.label));
    }

    fn results(&self) -> Vec<Buf> {
        [&[self.case.y][..], &self.case.dx].concat()
    }
}

/// Runs `check` on every case of every op and reports all failures together.
fn for_every_case(test: &str, check: impl Fn(&Bench, &[Content], &[f32], bool) -> Result<(), String>) {
    let mut failures = Vec::new();
    let only = std::env::var("OP").ok(); // OP=conv2d cargo test --release --test all -- ops::
    let found: Vec<_> = ENTRIES.iter().filter(|e| only.as_ref().is_none_or(|o| o == e.name)).collect();
    assert!(!found.is_empty(), "OP={} is no op", only.unwrap_or_default());
    for entry in found {
        for case in (entry.cases)() {
            let mut rng = rng(&format!("{test} {}", case.label()));
            let exact = case.exact_on_integers;
            let whole = exact && test.contains("integers");
            let content: Vec<Content> = case.inputs.iter().map(|i| fill(i, &mut rng, whole)).collect();
            let bench = Bench::of(entry.name, case);
            let len = bench.case.plan.spec(bench.case.y).shape.len();
            let dy = if whole { integers(&mut rng, len) } else { normals(&mut rng, len) };
            if let Err(e) = check(&bench, &content, &dy, exact) {
                failures.push(format!("{}: {e}", bench.label));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

fn oracle(plan: &Plan) -> CpuExecutor<f64> {
    CpuExecutor::new(plan.clone(), &Options::checked()).unwrap()
}

fn name(bench: &Bench, buf: Buf) -> &str {
    &bench.case.plan.spec(buf).name
}

#[test]
fn every_kernel_agrees_with_the_f64_reference_and_stays_inside_its_buffers() {
    let gpus = gpus_of_every_family();
    for_every_case("agreement", |bench, content, dy, _| {
        let mut reference = oracle(&bench.case.plan);
        bench.write(&mut reference, content, dy);
        reference.run_all().unwrap();
        let mut devices: Vec<(String, Box<dyn Executor>)> = Vec::new();
        for gpu in gpus.iter().filter(|gpu| is_worth_testing(gpu, &bench.case.plan)) {
            let executor =
                GpuExecutor::new(gpu, bench.case.plan.clone(), &Options::checked()).map_err(|e| e.to_string())?;
            devices.push((format!("{:?}", gpu.info().family()), Box::new(executor)));
        }
        devices.push((
            "CPU".into(),
            Box::new(CpuExecutor::<f32>::new(bench.case.plan.clone(), &Options::checked()).unwrap()),
        ));
        for (device, executor) in &mut devices {
            bench.write(executor.as_mut(), content, dy);
            executor.run_all().map_err(|e| e.to_string())?;
            for buf in bench.results() {
                let got = executor.read(buf).map_err(|e| e.to_string())?;
                let error = relative_error(&got, reference.floats(buf));
                if error > bench.tolerance {
                    return Err(format!("{device}: {} is off by {error:.2e}", name(bench, buf)));
                }
            }
            let broken = executor.check_guards().map_err(|e| e.to_string())?;
            if !broken.is_empty() {
                return Err(format!("{device}: wrote behind the end of {}", broken.join(", ")));
            }
        }
        Ok(())
    });
}

#[test]
fn every_gradient_agrees_with_central_differences_of_the_f64_forward() {
    for_every_case("differences", |bench, content, dy, _| {
        let mut reference = oracle(&bench.case.plan);
        bench.write(&mut reference, content, dy);
        reference.run_all().unwrap();
        let forward = bench.case.plan.phase(Phase::Forward).unwrap();
        let weighted = |r: &mut CpuExecutor<f64>| -> f64 {
            r.run(forward.clone()).unwrap();
            // Backward is given all of dy: what flows into an output without a gradient must not show.
            r.floats(bench.case.y).iter().zip(dy).take(bench.differentiable).map(|(y, &dy)| y * f64::from(dy)).sum()
        };
        let mut rng = rng(&bench.label);
        for (&x, &dx) in bench.case.wrt.iter().zip(&bench.case.dx) {
            let gradient = reference.floats(dx).to_vec();
            let scale = gradient.iter().fold(1e-12f64, |m, g| m.max(g.abs()));
            for _ in 0..24.min(gradient.len()) {
                let at = rng.random_range(0..gradient.len());
                let h = 1e-5;
                let before = reference.floats(x)[at];
                reference.floats_mut(x)[at] = before + h;
                let up = weighted(&mut reference);
                reference.floats_mut(x)[at] = before - h;
                let down = weighted(&mut reference);
                reference.floats_mut(x)[at] = before;
                let difference = (up - down) / (2.0 * h);
                if (difference - gradient[at]).abs() > 1e-6 * scale {
                    let name = name(bench, dx);
                    return Err(format!("{name}[{at}] is {:.9}, central difference {difference:.9}", gradient[at]));
                }
            }
        }
        Ok(())
    });
}

#[test]
fn every_backward_kernel_adds_when_it_is_told_to() {
    let gpus = gpus_of_every_family();
    for_every_case("accumulation", |bench, content, dy, _| {
        let plan = bench.accumulating();
        let mut reference = oracle(&bench.case.plan);
        bench.write(&mut reference, content, dy);
        reference.run_all().unwrap();
        let mut devices: Vec<Box<dyn Executor>> = vec![Box::new(oracle(&plan))];
        for gpu in gpus.iter().filter(|gpu| is_worth_testing(gpu, &bench.case.plan)) {
            devices
                .push(Box::new(GpuExecutor::new(gpu, plan.clone(), &Options::checked()).map_err(|e| e.to_string())?));
        }
        for executor in &mut devices {
            bench.write(executor.as_mut(), content, dy);
            for &dx in &bench.case.dx {
                let len = plan.spec(dx).shape.len();
                executor.write(dx, &vec![2.0; len]).map_err(|e| e.to_string())?;
            }
            executor.run_all().map_err(|e| e.to_string())?;
            for &dx in &bench.case.dx {
                let expected: Vec<f64> = reference.floats(dx).iter().map(|g| g + 2.0).collect();
                let error = relative_error(&executor.read(dx).map_err(|e| e.to_string())?, &expected);
                if error > bench.tolerance {
                    return Err(format!("{} is off by {error:.2e} when adding to 2", name(bench, dx)));
                }
            }
        }
        Ok(())
    });
}

#[test]
fn sums_of_small_integers_are_exact_on_every_device() {
    let gpus = gpus_of_every_family();
    for_every_case("integers", |bench, content, dy, exact| {
        if !exact {
            return Ok(());
        }
        let mut reference = oracle(&bench.case.plan);
        bench.write(&mut reference, content, dy);
        reference.run_all().unwrap();
        for gpu in gpus.iter().filter(|gpu| is_worth_testing(gpu, &bench.case.plan)) {
            let mut executor =
                GpuExecutor::new(gpu, bench.case.plan.clone(), &Options::checked()).map_err(|e| e.to_string())?;
            bench.write(&mut executor, content, dy);
            executor.run_all().map_err(|e| e.to_string())?;
            for buf in bench.results() {
                let got = executor.read(buf).map_err(|e| e.to_string())?;
                if let Some(at) = (0..got.len()).find(|&i| f64::from(got[i]) != reference.floats(buf)[i]) {
                    let (name, expected) = (name(bench, buf), reference.floats(buf)[at]);
                    return Err(format!("{:?}: {name}[{at}] is {}, not {expected}", gpu.info().family(), got[at]));
                }
            }
        }
        Ok(())
    });
}

#[test]
fn the_same_run_gives_the_same_bits() {
    let gpus = gpus_of_every_family();
    for_every_case("repetition", |bench, content, dy, _| {
        for gpu in gpus.iter().filter(|gpu| is_worth_testing(gpu, &bench.case.plan)) {
            let mut runs: Vec<Vec<Vec<u32>>> = Vec::new();
            for options in [Options::checked(), Options::default()] {
                let mut executor =
                    GpuExecutor::new(gpu, bench.case.plan.clone(), &options).map_err(|e| e.to_string())?;
                bench.write(&mut executor, content, dy);
                for _ in 0..2 {
                    executor.write(bench.case.dy, dy).map_err(|e| e.to_string())?;
                    executor.run_all().map_err(|e| e.to_string())?;
                    let bits = |buf| executor.read(buf).map(|v| v.iter().map(|x| x.to_bits()).collect());
                    let read: Result<Vec<_>, _> = bench.results().into_iter().map(bits).collect();
                    runs.push(read.map_err(|e| e.to_string())?);
                }
            }
            if runs.iter().any(|r| *r != runs[0]) {
                return Err(format!("{:?}: runs differ", gpu.info().family()));
            }
        }
        Ok(())
    });
}

#[test]
fn a_nan_never_disappears_inside_an_op() {
    let gpus = gpus_of_every_family();
    for_every_case("nan", |bench, content, dy, _| {
        let mut devices: Vec<Box<dyn Executor>> = vec![Box::new(oracle(&bench.case.plan))];
        for gpu in gpus.iter().filter(|gpu| is_worth_testing(gpu, &bench.case.plan)) {
            let executor = GpuExecutor::new(gpu, bench.case.plan.clone(), &Options::checked());
            devices.push(Box::new(executor.map_err(|e| e.to_string())?));
        }
        for executor in &mut devices {
            bench.write(executor.as_mut(), content, dy);
            let x = bench.case.inputs[0];
            let len = bench.case.plan.spec(x).shape.len();
            executor.write(x, &vec![f32::NAN; len]).map_err(|e| e.to_string())?;
            executor.run_all().map_err(|e| e.to_string())?;
            if !executor.read(bench.case.y).map_err(|e| e.to_string())?.iter().any(|y| y.is_nan()) {
                return Err(format!("{executor:?}").chars().take(3).collect::<String>() + ": the output is finite");
            }
        }
        Ok(())
    });
}

/// Ops whose kernels multiply the zeros of the padding, which the reference leaves out: a NaN in the weights or in the
/// gradient of the output then also reaches what lies at the border. None may be lost.
const NAN_MAY_SPREAD: [&str; 1] = ["conv2d"];

#[test]
fn every_device_finds_nans_in_the_same_places_of_a_gradient() {
    let gpus = gpus_of_every_family();
    for_every_case("nan in backward", |bench, content, dy, _| {
        let case = &bench.case;
        let mut rng = rng(&bench.label);
        let may_spread = NAN_MAY_SPREAD.iter().any(|op| bench.label.starts_with(&format!("{op}: ")));
        // A NaN in each input, in the output once forward has been run, and in the gradient of the output.
        for &bad in case.wrt.iter().chain([&case.y, &case.dy]) {
            let at = rng.random_range(0..case.plan.spec(bad).shape.len());
            let places = |executor: &mut dyn Executor| -> Result<Vec<Vec<usize>>, String> {
                bench.write(executor, content, dy);
                if case.y == bad {
                    executor.run(case.plan.phase(Phase::Forward).unwrap()).map_err(|e| e.to_string())?;
                }
                let mut data =
                    if case.dy == bad { dy.to_vec() } else { executor.read(bad).map_err(|e| e.to_string())? };
                data[at] = f32::NAN;
                executor.write(bad, &data).map_err(|e| e.to_string())?;
                let rest =
                    if case.y == bad { case.plan.phase(Phase::Backward).unwrap() } else { 0..case.plan.steps.len() };
                executor.run(rest).map_err(|e| e.to_string())?;
                let nans = |data: Vec<f32>| (0..data.len()).filter(|&i| data[i].is_nan()).collect();
                case.dx.iter().map(|&dx| executor.read(dx).map(nans).map_err(|e| e.to_string())).collect()
            };
            let expected = places(&mut oracle(&case.plan))?;
            let mut devices: Vec<(String, Box<dyn Executor>)> = Vec::new();
            for gpu in gpus.iter().filter(|gpu| is_worth_testing(gpu, &bench.case.plan)) {
                let executor = GpuExecutor::new(gpu, case.plan.clone(), &Options::checked());
                devices.push((format!("{:?}", gpu.info().family()), Box::new(executor.map_err(|e| e.to_string())?)));
            }
            let cpu = CpuExecutor::<f32>::new(case.plan.clone(), &Options::checked()).map_err(|e| e.to_string())?;
            devices.push(("CPU".into(), Box::new(cpu)));
            for (device, executor) in &mut devices {
                for ((&dx, got), expected) in case.dx.iter().zip(places(executor.as_mut())?).zip(&expected) {
                    let lost = expected.iter().any(|at| !got.contains(at));
                    if lost || (got != *expected && !may_spread) {
                        let (bad, dx) = (name(bench, bad), name(bench, dx));
                        return Err(format!(
                            "{device}: NaN at {bad}[{at}] makes {dx} NaN at {got:?}, not {expected:?}"
                        ));
                    }
                }
            }
        }
        Ok(())
    });
}
