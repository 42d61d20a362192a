//! Optimisers on every device: against the f64 twin over several steps, against numbers worked out by hand, and that a
//! loss which is not finite leaves weights and state alone.

use crate::support::{gpus, normals, relative_error, rng};
use facenet_gpu::cpu::CpuExecutor;
use facenet_gpu::executor::{Executor, Options};
use facenet_gpu::gpu::GpuExecutor;
use facenet_gpu::graph::{Optimiser, RATE_LEN, Recorder, Update};
use facenet_gpu::optim::{AVERAGE, AdaGrad, Adam, Averaged, Clipped, Rate, RmsProp, Sgd};
use facenet_gpu::plan::{Buf, Plan, Role, Shape, Type};

/// The update of one parameter as a plan.
struct Bench {
    plan: Plan,
    w: Buf,
    dw: Buf,
    states: Vec<Buf>,
    rate: Buf,
    loss: Buf,
    betas: [f32; 2],
    average: f32,
}

impl Bench {
    fn of(optimiser: &dyn Optimiser, len: u32, decay: bool) -> Self {
        let mut plan = Plan::default();
        let w = plan.buffer("w", Shape::vector(len), Type::F32, Role::Param);
        let dw = plan.buffer("dw", Shape::vector(len), Type::F32, Role::Input);
        let rate = plan.buffer("rate", Shape::vector(RATE_LEN), Type::F32, Role::Input);
        let loss = plan.buffer("loss", Shape::vector(1), Type::F32, Role::Input);
        optimiser.prepare(&mut Recorder::new(&mut plan, "gradients"), &[(dw, len)], rate);
        let update = Update { w, dw, len, decay, rate, factor: 1.0, loss };
        optimiser.record(&mut Recorder::new(&mut plan, "w"), &update);
        let states = plan.with_role(Role::State).map(|(buf, _)| buf).collect();
        Self { plan, w, dw, states, rate, loss, betas: optimiser.betas(), average: optimiser.average() }
    }

    /// This plan on every device that there is, with weights `w` and the state that a run starts with.
    fn devices(&self, w: &[f32]) -> Vec<(String, Box<dyn Executor>)> {
        let options = Options::checked();
        let mut devices: Vec<(String, Box<dyn Executor>)> =
            vec![("CPU".into(), Box::new(CpuExecutor::<f32>::new(self.plan.clone(), &options).unwrap()))];
        for gpu in gpus() {
            let executor = GpuExecutor::new(&gpu, self.plan.clone(), &options).unwrap();
            devices.push((format!("{:?}", gpu.info().family()), Box::new(executor)));
        }
        devices.iter_mut().for_each(|(_, executor)| self.start(executor.as_mut(), w));
        devices
    }

    fn start(&self, executor: &mut dyn Executor, w: &[f32]) {
        executor.write(self.w, w).unwrap();
        self.states.iter().for_each(|&state| executor.write(state, &vec![0.0; w.len()]).unwrap());
    }

    /// Step number `step`, counted from 1.
    fn step(&self, executor: &mut dyn Executor, step: u64, dw: &[f32], learning_rate: f32, loss: f32) {
        executor.write(self.dw, dw).unwrap();
        let rate = Rate { learning_rate, step, betas: self.betas, average: self.average };
        executor.write(self.rate, &rate.floats()).unwrap();
        executor.write(self.loss, &[loss]).unwrap();
        executor.run_all().unwrap();
    }
}

/// Every optimiser, plain and with everything that it has.
fn optimisers() -> Vec<Box<dyn Optimiser>> {
    vec![
        Box::new(Sgd { momentum: 0.0, ..Sgd::default() }),
        Box::new(Sgd { momentum: 0.9, ..Sgd::default() }),
        Box::new(Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.05 }),
        Box::new(AdaGrad::default()),
        Box::new(AdaGrad { initial_accumulator: 0.0, eps: 0.01, weight_decay: 0.05 }),
        Box::new(RmsProp::default()),
        Box::new(RmsProp { alpha: 0.9, momentum: 0.8, eps: 1e-3, weight_decay: 0.05 }),
        Box::new(Adam::default()),
        Box::new(Adam { beta1: 0.8, beta2: 0.9, eps: 1e-3, weight_decay: 0.05, decoupled: false }),
        Box::new(Adam { weight_decay: 0.05, decoupled: true, ..Adam::default() }),
        Box::new(Averaged { optimiser: Box::new(AdaGrad::default()), decay: 0.9 }),
    ]
}

/// One float, several workgroups one float at a time, the same four at a time.
const LENGTHS: [u32; 3] = [1, 1031, 2060];

#[test]
fn every_device_takes_the_steps_of_the_f64_twin() {
    for optimiser in optimisers() {
        for (len, decay) in LENGTHS.into_iter().flat_map(|len| [(len, true), (len, false)]) {
            let bench = Bench::of(optimiser.as_ref(), len, decay);
            let mut rng = rng(&format!("{optimiser:?} {len}"));
            let w = normals(&mut rng, len as usize);
            let mut reference = CpuExecutor::<f64>::new(bench.plan.clone(), &Options::checked()).unwrap();
            bench.start(&mut reference, &w);
            let mut devices = bench.devices(&w);
            for (step, learning_rate) in (1..).zip([0.1, 0.1, 0.05, 0.02, 0.02]) {
                let dw = normals(&mut rng, len as usize);
                bench.step(&mut reference, step, &dw, learning_rate, 0.5);
                for (device, executor) in &mut devices {
                    bench.step(executor.as_mut(), step, &dw, learning_rate, 0.5);
                    for &buf in bench.states.iter().chain([&bench.w]) {
                        let error = relative_error(&executor.read(buf).unwrap(), reference.floats(buf));
                        let name = &bench.plan.spec(buf).name;
                        assert!(error < 1e-6, "{optimiser:?} on {device}: {name} off by {error:.1e} in step {step}");
                    }
                    assert_eq!(executor.check_guards().unwrap(), Vec::<String>::new(), "{optimiser:?} on {device}");
                }
            }
        }
    }
}

#[test]
fn a_loss_that_is_not_finite_changes_no_bit() {
    for optimiser in optimisers() {
        for len in LENGTHS {
            let bench = Bench::of(optimiser.as_ref(), len, true);
            let mut rng = rng(&format!("skip {optimiser:?} {len}"));
            let (w, dw) = (normals(&mut rng, len as usize), normals(&mut rng, len as usize));
            for (device, mut executor) in bench.devices(&w) {
                let mut bits = |dw: &[f32], loss: f32| -> Vec<u32> {
                    bench.step(executor.as_mut(), 1, dw, 0.1, loss);
                    let read = bench.states.iter().chain([&bench.w]).map(|&buf| executor.read(buf).unwrap());
                    read.flatten().map(f32::to_bits).collect()
                };
                let before = bits(&dw, 0.0);
                let nan = vec![f32::NAN; len as usize];
                for loss in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    assert!(bits(&nan, loss) == before, "{optimiser:?} on {device}: the loss {loss} changed something");
                }
                assert!(bits(&dw, f32::MAX) != before, "{optimiser:?} on {device}: the largest loss is finite");
            }
        }
    }
}

/// Three steps of one weight from 1, with the gradients 0.5, -0.25, 1 and the learning rate 0.1.
fn three_steps(optimiser: &dyn Optimiser, decay: bool, expected: [f64; 3]) {
    let bench = Bench::of(optimiser, 1, decay);
    for (device, mut executor) in bench.devices(&[1.0]) {
        for (step, (dw, expected)) in (1..).zip([0.5, -0.25, 1.0].into_iter().zip(expected)) {
            bench.step(executor.as_mut(), step, &[dw], 0.1, 0.0);
            let w = f64::from(executor.read(bench.w).unwrap()[0]);
            assert!((w - expected).abs() < 2e-7, "{optimiser:?} on {device}: {w} instead of {expected}");
        }
    }
}

#[test]
fn sgd_takes_the_steps_worked_out_by_hand() {
    // v = 0.51, 0.21849, 1.20591251
    three_steps(&Sgd { momentum: 0.9, weight_decay: 0.01, ..Sgd::default() }, true, [0.949, 0.927_151, 0.806_559_749]);
    // v = 0.5, 0.2, 1.18
    three_steps(&Sgd { momentum: 0.9, weight_decay: 0.01, ..Sgd::default() }, false, [0.95, 0.93, 0.812]);
    three_steps(&Sgd { momentum: 0.0, ..Sgd::default() }, true, [0.95, 0.975, 0.875]);
}

#[test]
fn adagrad_takes_the_steps_worked_out_by_hand() {
    // 0.1 g / sqrt of 0.35, 0.4125, 1.4125
    three_steps(&AdaGrad::default(), true, [0.915_484_575, 0.954_409_522, 0.870_268_889]);
    // g = 0.51, -0.241, 1.00942725: the first step is the learning rate whatever the gradient is.
    let decaying = AdaGrad { initial_accumulator: 0.0, eps: 0.0, weight_decay: 0.01 };
    three_steps(&decaying, true, [0.9, 0.942_724_788, 0.855_429_838]);
}

/// What `golden/make_optimisers.py` wrote: floats by name.
fn golden(name: &str) -> Vec<f32> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/optimisers.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    bytemuck::pod_collect_to_vec(file.tensor(name).unwrap().data())
}

#[test]
fn twenty_steps_of_each_optimiser_are_those_of_pytorch_on_every_device() {
    let sgd =
        |momentum, nesterov, weight_decay| -> Box<dyn Optimiser> { Box::new(Sgd { momentum, nesterov, weight_decay }) };
    let cases: [(&str, Box<dyn Optimiser>); 10] = [
        ("sgd", sgd(0.0, false, 0.0)),
        ("sgd_momentum", sgd(0.9, false, 0.01)),
        ("sgd_nesterov", sgd(0.9, true, 0.01)),
        ("sgd_clipped", Box::new(Clipped { optimiser: sgd(0.9, false, 0.0), most: 1.5 })),
        ("adagrad", Box::new(AdaGrad { weight_decay: 0.01, ..AdaGrad::default() })),
        ("rmsprop", Box::new(RmsProp { weight_decay: 0.01, ..RmsProp::default() })),
        ("rmsprop_momentum", Box::new(RmsProp { momentum: 0.9, alpha: 0.9, ..RmsProp::default() })),
        ("adam", Box::new(Adam { weight_decay: 0.01, ..Adam::default() })),
        ("adam_betas", Box::new(Adam { beta1: 0.8, beta2: 0.95, ..Adam::default() })),
        ("adamw", Box::new(Adam { weight_decay: 0.1, decoupled: true, ..Adam::default() })),
    ];
    let (w, gradients) = (golden("w"), golden("dw"));
    for (name, optimiser) in cases {
        let bench = Bench::of(optimiser.as_ref(), u32::try_from(w.len()).unwrap(), true);
        let expected: Vec<f64> = golden(name).into_iter().map(f64::from).collect();
        for (device, mut executor) in bench.devices(&w) {
            for (step, (dw, expected)) in (1..).zip(gradients.chunks(w.len()).zip(expected.chunks(w.len()))) {
                bench.step(executor.as_mut(), step, dw, 0.01, 0.5);
                let error = relative_error(&executor.read(bench.w).unwrap(), expected);
                assert!(error < 1e-5, "{name} on {device}: off by {error:.1e} in step {step}");
            }
        }
    }
}

#[test]
fn the_average_of_the_weights_is_pytorchs_on_every_device() {
    let optimiser = Averaged { optimiser: Box::new(Sgd { momentum: 0.0, ..Sgd::default() }), decay: 0.9 };
    let (w, gradients, expected) = (golden("w"), golden("dw"), golden("sgd_average"));
    let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
    let bench = Bench::of(&optimiser, u32::try_from(w.len()).unwrap(), true);
    let is_average = |&&state: &&Buf| bench.plan.spec(state).name == format!("w/{AVERAGE}");
    let average = *bench.states.iter().find(is_average).unwrap();
    for (device, mut executor) in bench.devices(&w) {
        for (step, (dw, expected)) in (1..).zip(gradients.chunks(w.len()).zip(expected.chunks(w.len()))) {
            bench.step(executor.as_mut(), step, dw, 0.01, 0.5);
            let error = relative_error(&executor.read(average).unwrap(), expected);
            assert!(error < 1e-6, "{device}: off by {error:.1e} in step {step}");
        }
    }
}

#[test]
fn gradients_are_clipped_by_the_norm_over_all_of_them_on_every_device() {
    // Several parts of one gradient, and a gradient within the limit.
    for (len, most, clipped) in [(9_000_u32, 2.0, true), (9_000, 1e6, false), (1, 0.5, true)] {
        let optimiser = Box::new(Sgd { momentum: 0.0, ..Sgd::default() });
        let bench = Bench::of(&Clipped { optimiser, most }, len, false);
        let mut rng = rng(&format!("clip {len}"));
        let dw: Vec<f32> = normals(&mut rng, len as usize).into_iter().map(|x| x + 3.0).collect();
        let norm = dw.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        let scale = if clipped { f64::from(most) / (norm + 1e-6) } else { 1.0 };
        let expected: Vec<f64> = dw.iter().map(|&x| -f64::from(x) * scale).collect();
        for (device, mut executor) in bench.devices(&vec![0.0; len as usize]) {
            bench.step(executor.as_mut(), 1, &dw, 1.0, 0.0);
            let error = relative_error(&executor.read(bench.w).unwrap(), &expected);
            assert!(error < 1e-6, "{len} floats on {device}: off by {error:.1e}");
        }
    }
}
