//! The running statistics of `batch_norm` on every device: against numbers worked out by hand, against the f64 twin, and
//! that a loss which is not finite leaves them alone.

use crate::support::{gpus_of_every_family, is_worth_testing, normals, relative_error, rng};
use facenet_gpu::cpu::CpuExecutor;
use facenet_gpu::executor::{Executor, Options};
use facenet_gpu::gpu::GpuExecutor;
use facenet_gpu::graph::{Graph, Init, Recording, Updating};
use facenet_gpu::op::BatchNorm;
use facenet_gpu::optim::Sgd;
use facenet_gpu::plan::{Buf, Phase, Plan, Shape};

/// Forward and update of one op as a plan.
struct Bench {
    plan: Plan,
    x: Buf,
    mean: Buf,
    var: Buf,
    loss: Buf,
}

impl Bench {
    fn of(op: BatchNorm, dims: &[u32]) -> Self {
        let shape = Shape::new(dims).unwrap();
        let channels = Shape::vector(shape.channels());
        let mut graph = Graph::new();
        let x = graph.input("x", shape);
        let gamma = graph.param("gamma", channels, Init::Ones, false);
        let beta = graph.param("beta", channels, Init::Zeros, false);
        let mean = graph.statistic("mean", channels, Init::Zeros);
        let var = graph.statistic("var", channels, Init::Ones);
        let loss = graph.input("loss", Shape::vector(1));
        let y = graph.op("y", op, &[x, gamma, beta, mean, var]).unwrap();
        let mut recording = Recording::forward(&graph, &[y]);
        recording.update(loss, &Sgd::default(), &Updating::default());
        let [x, mean, var, loss] = [x, mean, var, loss].map(|t| recording.value(t));
        Self { plan: recording.finish(), x, mean, var, loss }
    }

    /// This plan on every device that there is, with every family of kernels and the statistics that a network starts with.
    fn devices(&self) -> Vec<(String, Box<dyn Executor>)> {
        let options = Options::checked();
        let mut devices: Vec<(String, Box<dyn Executor>)> =
            vec![("CPU".into(), Box::new(CpuExecutor::<f32>::new(self.plan.clone(), &options).unwrap()))];
        for gpu in gpus_of_every_family().into_iter().filter(|gpu| is_worth_testing(gpu, &self.plan)) {
            let executor = GpuExecutor::new(&gpu, self.plan.clone(), &options).unwrap();
            devices.push((format!("{:?}", gpu.info().family()), Box::new(executor)));
        }
        devices.iter_mut().for_each(|(_, executor)| self.start(executor.as_mut()));
        devices
    }

    fn start(&self, executor: &mut dyn Executor) {
        let c = self.plan.spec(self.mean).shape.len();
        executor.write(self.mean, &vec![0.0; c]).unwrap();
        executor.write(self.var, &vec![1.0; c]).unwrap();
    }

    fn step(&self, executor: &mut dyn Executor, x: &[f32], loss: f32) {
        executor.write(self.x, x).unwrap();
        executor.write(self.loss, &[loss]).unwrap();
        executor.run_all().unwrap();
    }

    fn statistics(&self, executor: &mut dyn Executor) -> Vec<f32> {
        [self.mean, self.var].map(|buf| executor.read(buf).unwrap()).concat()
    }
}

#[test]
fn two_steps_move_the_statistics_as_worked_out_by_hand() {
    // One channel, channels one at a time, channels four at a time; channel k has k + 1 times these values.
    for c in [1u8, 5, 8] {
        let bench = Bench::of(BatchNorm::default(), &[4, u32::from(c)]);
        let rows = |values: [f32; 4]| values.map(|x| (1..=c).map(|k| x * f32::from(k)).collect::<Vec<_>>()).concat();
        for (device, mut executor) in bench.devices() {
            // Mean 4, unbiased variance 20/3, then mean 4 and variance 8: PyTorch's 0.4, 1.5666667 and 0.76, 2.21.
            for (x, mean, var) in
                [([1.0, 3.0, 5.0, 7.0], 0.4, (0.9, 0.666_666_667)), ([2.0, 2.0, 4.0, 8.0], 0.76, (0.81, 1.4))]
            {
                bench.step(executor.as_mut(), &rows(x), 0.5);
                let expected = (1..=c).map(f64::from).map(|k| mean * k);
                let expected = expected.chain((1..=c).map(f64::from).map(|k| var.0 + var.1 * k * k));
                for (got, expected) in bench.statistics(executor.as_mut()).into_iter().zip(expected) {
                    let error = (f64::from(got) - expected).abs() / expected;
                    assert!(error < 1e-6, "{device}, {c} channels: {got} instead of {expected}");
                }
            }
        }
    }
}

#[test]
fn every_device_moves_the_statistics_as_the_f64_twin_does() {
    // Several parts, far from zero and not; and parts of more than a hundred rows.
    for (dims, centre, momentum) in [
        ([3, 17, 19, 12], 0.0, 0.1),
        ([2, 17, 19, 7], 1000.0, 0.01),
        ([66, 32, 32, 3], 3.0, 0.1),
        ([66, 32, 32, 8], -10.0, 0.1),
    ] {
        let bench = Bench::of(BatchNorm { momentum, ..BatchNorm::new(1e-3) }, &dims);
        let len = bench.plan.spec(bench.x).shape.len();
        let mut rng = rng(&format!("statistics {dims:?}"));
        let mut reference = CpuExecutor::<f64>::new(bench.plan.clone(), &Options::checked()).unwrap();
        bench.start(&mut reference);
        let mut devices = bench.devices();
        for step in 0..4 {
            let x: Vec<f32> = normals(&mut rng, len).into_iter().map(|x| centre + x).collect();
            bench.step(&mut reference, &x, 1.0);
            for (device, executor) in &mut devices {
                bench.step(executor.as_mut(), &x, 1.0);
                for buf in [bench.mean, bench.var] {
                    let error = relative_error(&executor.read(buf).unwrap(), reference.floats(buf));
                    let name = &bench.plan.spec(buf).name;
                    assert!(error < 1e-5, "{device}: {name} around {centre} is off by {error:.1e} in step {step}");
                }
                assert_eq!(executor.check_guards().unwrap(), Vec::<String>::new(), "{device}");
            }
        }
    }
}

#[test]
fn a_loss_that_is_not_finite_changes_no_statistic() {
    for c in [3, 4] {
        let bench = Bench::of(BatchNorm::default(), &[6, c]);
        let mut rng = rng(&format!("skip {c}"));
        let (first, second) = (normals(&mut rng, 6 * c as usize), normals(&mut rng, 6 * c as usize));
        for (device, mut executor) in bench.devices() {
            let mut bits = |x: &[f32], loss: f32| -> Vec<u32> {
                bench.step(executor.as_mut(), x, loss);
                bench.statistics(executor.as_mut()).iter().map(|x| x.to_bits()).collect()
            };
            let before = bits(&first, 0.0);
            let nan = vec![f32::NAN; first.len()];
            for loss in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                assert!(bits(&nan, loss) == before, "{device}: the loss {loss} changed something");
                assert!(bits(&second, loss) == before, "{device}: the loss {loss} changed something");
            }
            assert!(bits(&second, f32::MAX) != before, "{device}: the largest loss is finite");
        }
    }
}

#[test]
fn frozen_statistics_are_not_updated() {
    let bench = Bench::of(BatchNorm::default().frozen(), &[6, 4]);
    assert_eq!(bench.plan.phase(Phase::Update).unwrap().len(), 0);
}
