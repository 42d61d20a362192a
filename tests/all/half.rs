//! Factors of 16 bits: what is rounded, how far results move, who may ask for it.

use std::time::Duration;

use facenet_gpu::cpu::CpuExecutor;
use facenet_gpu::executor::{Executor, Options};
use facenet_gpu::gpu::{AdapterChoice, Gpu, GpuExecutor};
use facenet_gpu::op::{Case, CaseInput, CasePlan, ENTRIES, prove_convolutions};
use facenet_gpu::plan::Phase;
use facenet_gpu::train::{Config, Trainer};
use facenet_gpu::tune::Tuning;
use facenet_gpu::weights::Metadata;
use facenet_gpu::{DeviceChoice, Engine, Precision, Session, initial_weights, net, squared_distance};
use half::f16;
use tempfile::tempdir;

use crate::support::program::{TINY, names, refused, run};
use crate::support::{Content, fill, gpus_that_round, is_worth_testing, normals, relative_error, rng};

/// What rounding the factors to 16 bits may change, as a part of the largest magnitude.
const TOLERANCE: f64 = 2e-3;

/// A case with a kernel that rounds.
struct Rounding {
    label: String,
    /// The bound of the case in `f32`.
    bound: f64,
    inputs: Vec<CaseInput>,
    case: CasePlan,
}

impl Rounding {
    fn inputs(&self, test: &str) -> Vec<Content> {
        let mut rng = rng(&format!("{test} {}", self.label));
        self.inputs.iter().map(|input| fill(input, &mut rng, false)).collect()
    }

    /// What the forward pass gives.
    fn forward(&self, executor: &mut dyn Executor, content: &[Content]) -> Vec<f32> {
        for (&buf, content) in self.case.inputs.iter().zip(content) {
            match content {
                Content::F(data) => executor.write(buf, data).unwrap(),
                Content::U(data) => executor.write_u32(buf, data).unwrap(),
            }
        }
        executor.run(self.case.plan.phase(Phase::Forward).unwrap()).unwrap();
        assert_eq!(executor.check_guards().unwrap(), Vec::<String>::new(), "{}: wrote behind the end", self.label);
        executor.read(self.case.y).unwrap()
    }

    fn on(&self, gpu: &Gpu, content: &[Content]) -> Vec<f32> {
        let mut executor = GpuExecutor::new(gpu, self.case.plan.clone(), &Options::checked()).unwrap();
        self.forward(&mut executor, content)
    }
}

/// Every case of every op with a kernel that rounds.
fn cases() -> Vec<Rounding> {
    let new = |case: Case| {
        let (label, bound, inputs) = (case.label(), case.tolerance, case.inputs.clone());
        Rounding { label, bound, inputs, case: CasePlan::new(case).unwrap() }
    };
    let rounds = |rounding: &Rounding| {
        let variants = rounding.case.plan.steps.iter().flat_map(|step| step.kernel.variants);
        variants.into_iter().any(|variant| variant.family.is_half())
    };
    let found: Vec<_> = ENTRIES.iter().flat_map(|entry| (entry.cases)()).map(new).filter(rounds).collect();
    assert!(found.len() > 10, "{} cases", found.len());
    found
}

/// For every case and family the outputs of two runs on the GPU and the error of the first against the reference. `change` is
/// done to all inputs before.
fn for_every_case(test: &str, change: impl Fn(&mut f32), check: impl Fn(&str, &[Vec<f32>; 2], f64, f64)) {
    let gpus = gpus_that_round();
    for rounding in cases() {
        let mut content = rounding.inputs(test);
        for content in &mut content {
            if let Content::F(data) = content {
                data.iter_mut().for_each(&change);
            }
        }
        let plan = &rounding.case.plan;
        let mut reference = CpuExecutor::<f64>::new(plan.clone(), &Options::checked()).unwrap();
        rounding.forward(&mut reference, &content);
        for gpu in gpus.iter().filter(|gpu| is_worth_testing(gpu, plan)) {
            let got = [rounding.on(gpu, &content), rounding.on(gpu, &content)];
            let error = relative_error(&got[0], reference.floats(rounding.case.y));
            let family = gpu.info().family();
            // Some hardware cuts the sums of matrices in place of rounding them.
            let bound = if family.has_matrices() { 1e-4 } else { rounding.bound };
            check(&format!("{family:?}: {}", rounding.label), &got, error, bound);
        }
    }
}

#[test]
fn results_move_by_what_rounded_factors_make_of_them_and_stay_equal_in_every_run() {
    let check = |label: &str, got: &[Vec<f32>; 2], error: f64, _: f64| {
        assert!(error < TOLERANCE, "{label} is off by {error:.2e}");
        assert!(error > 1e-5, "{label} is off by {error:.2e} only: it does not round");
        assert_eq!(got[0], got[1], "{label}");
    };
    for_every_case("rounded", |_| (), check);
}

#[test]
fn factors_that_need_no_rounding_are_multiplied_and_summed_as_in_32_bits() {
    let check = |label: &str, _: &[Vec<f32>; 2], error: f64, bound: f64| {
        assert!(error <= bound, "{label} is off by {error:.2e}: sums are not of 32 bits");
    };
    for_every_case("exact", |x| *x = f16::from_f32(*x).to_f32(), check);
}

#[test]
fn numbers_that_are_too_large_for_16_bits_show() {
    let rounding = cases().swap_remove(0);
    for gpu in gpus_that_round() {
        for large in [f32::NAN, 1e6] {
            let mut content = rounding.inputs("large");
            if let Content::F(x) = &mut content[0] {
                x.fill(large);
            }
            assert!(rounding.on(&gpu, &content).iter().any(|y| !y.is_finite()), "{large}");
        }
    }
}

#[test]
fn kernels_that_round_stand_the_test_that_cooperative_matrices_have_to_stand() {
    for gpu in gpus_that_round() {
        assert_eq!(prove_convolutions(&gpu), Ok(()), "{:?}", gpu.info().family());
    }
}

#[test]
fn only_a_device_with_cooperative_matrices_multiplies_them() {
    for gpu in gpus_that_round().into_iter().take(1) {
        let choice = AdapterChoice::Named(gpu.info().name.clone());
        for precision in [Precision::F32, Precision::F16] {
            let engine = Engine::Gpu(Gpu::open_with(&choice, precision).unwrap());
            let (engine, wrong) = engine.with_matrices();
            assert_eq!(wrong, None);
            let Engine::Gpu(gpu) = &engine else { panic!("another device") };
            let taken = gpu.info().families().iter().any(|family| family.has_matrices());
            assert_eq!(taken, gpu.info().matrices && precision == Precision::F16);
            assert_eq!(engine.describe().contains("cooperative matrices"), taken);
        }
    }
}

/// The embeddings of 4 images by `zf64`.
fn embed(engine: &Engine) -> Vec<f32> {
    let model = net::find("zf64").unwrap().model().unwrap();
    let weights = initial_weights(&model, Metadata::of(&model).unwrap(), 5);
    let images = normals(&mut rng("images"), 4 * 64 * 64 * 3);
    let mut session = Session::new(engine, model, &weights, "w").unwrap();
    session.run(4, [64, 64], &images).unwrap().remove(0).data
}

#[test]
fn embeddings_move_by_less_than_a_hundredth_of_what_tells_people_apart() {
    let exact = embed(&Engine::Cpu);
    for gpu in gpus_that_round() {
        let rounded = embed(&Engine::Gpu(gpu));
        assert_ne!(exact, rounded);
        for (a, b) in exact.chunks_exact(128).zip(rounded.chunks_exact(128)) {
            let distance = f64::from(squared_distance(a, b)).sqrt();
            assert!(distance < 5e-3, "{distance:.1e}");
        }
    }
}

#[test]
fn choices_of_kernels_are_kept_apart_from_those_in_32_bits() {
    let cache = tempdir().unwrap();
    for gpu in gpus_that_round().into_iter().take(1) {
        let choice = AdapterChoice::Named(gpu.info().name.clone());
        for (files, precision) in [(1, Precision::F32), (2, Precision::F16)] {
            let engine = Engine::Gpu(Gpu::open_with(&choice, precision).unwrap());
            // A driver that compiles may take long.
            let tuning = Tuning::default().kept_in(cache.path()).limit(Duration::from_secs(200));
            let engine = engine.with_tuning(tuning);
            assert_eq!(engine.precision(), precision);
            let rounding = cases().swap_remove(0);
            let mut plan = rounding.case.plan.clone();
            plan.steps.truncate(plan.phase(Phase::Forward).unwrap().end);
            engine.executor(plan, &Options::default()).unwrap();
            let found = names(cache.path()).into_iter().filter(|name| name.ends_with("json")).count();
            assert_eq!(found, files, "{precision}: {:?}", engine.choices());
        }
    }
}

#[test]
fn a_device_of_the_caller_rounds_when_it_can_and_is_told_to() {
    for gpu in gpus_that_round().into_iter().take(1) {
        let choice = AdapterChoice::Named(gpu.info().name.clone());
        let exact = Gpu::open(&choice).unwrap();
        assert_eq!((exact.info().precision, gpu.info().precision), (Precision::F32, Precision::F16));
        let text = exact.with_precision(Precision::F16).unwrap_err().to_string();
        assert!(text.contains("SHADER_F16") && text.contains("`precision` f32"), "{text}");
        assert_eq!(gpu.with_precision(Precision::F32).unwrap().info().precision, Precision::F32);
    }
}

#[test]
fn the_cpu_device_and_training_refuse_to_round() {
    for choice in [DeviceChoice::Cpu, DeviceChoice::CpuF64] {
        let text = Engine::open_with(&choice, Precision::F16).unwrap_err().to_string();
        assert!(text.contains("`precision` f16 is for GPUs") && text.contains("`device` gpu"), "{text}");
    }
    for gpu in gpus_that_round().into_iter().take(1) {
        let model = net::find("zf64").unwrap().model().unwrap();
        let text = Trainer::new(&Engine::Gpu(gpu), &model, &Config::default(), 4).unwrap_err().to_string();
        assert!(text.contains("training computes in f32"), "{text}");
    }
    let dir = tempdir().unwrap();
    for verb in [TINY, "diff"] {
        let answer = run(dir.path(), &format!("{verb} --precision f16"));
        refused(answer, 2, &["--precision f16 is for using a network", "leave it out"]);
    }
    refused(run(dir.path(), "bench --device cpu --precision f16"), 2, &["--precision f16 is for GPUs", "--device gpu"]);
    let unknown = run(dir.path(), "bench --precision bf16").code(2);
    let text = String::from_utf8_lossy(&unknown.get_output().stderr).into_owned();
    assert!(text.contains("use f32 or f16"), "{text}");
}
