//! What `dropout` drops: the same elements on every device, others for another seed, step or site, and as many as asked.

use crate::support::gpus;
use facenet_gpu::cpu::CpuExecutor;
use facenet_gpu::executor::{Executor, Options};
use facenet_gpu::gpu::GpuExecutor;
use facenet_gpu::graph::{Graph, Recording};
use facenet_gpu::op::Dropout;
use facenet_gpu::plan::{Buf, Plan, Shape};

/// One dropout, forward and backward, as a plan.
struct Bench {
    plan: Plan,
    x: Buf,
    seed: Buf,
    y: Buf,
    dy: Buf,
    dx: Buf,
    /// What a kept element is multiplied by.
    scale: f32,
}

impl Bench {
    #[expect(clippy::cast_possible_truncation, reason = "the scale is an f32")]
    fn of(op: Dropout, len: u32) -> Self {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::vector(len));
        let seed = graph.input_u32("seed", Shape::vector(2));
        let y = graph.op("y", op, &[x, seed]).unwrap();
        let mut recording = Recording::forward(&graph, &[y]);
        let dy = recording.backward(y, &[x]);
        let dx = recording.gradient(x).unwrap();
        let [x, seed, y] = [x, seed, y].map(|t| recording.value(t));
        Self { plan: recording.finish(), x, seed, y, dy, dx, scale: (1.0 - f64::from(op.p)).recip() as f32 }
    }

    fn devices(&self) -> Vec<(String, Box<dyn Executor>)> {
        let options = Options::checked();
        let mut devices: Vec<(String, Box<dyn Executor>)> = vec![
            ("CPU".into(), Box::new(CpuExecutor::<f32>::new(self.plan.clone(), &options).unwrap())),
            ("f64".into(), Box::new(CpuExecutor::<f64>::new(self.plan.clone(), &options).unwrap())),
        ];
        for gpu in gpus() {
            let executor = GpuExecutor::new(&gpu, self.plan.clone(), &options).unwrap();
            devices.push((format!("{:?}", gpu.info().family()), Box::new(executor)));
        }
        devices
    }

    /// Which elements are kept. Checks that the others are zero, that backward keeps the same ones, and the scale.
    fn kept(&self, executor: &mut dyn Executor, seed: [u32; 2]) -> Vec<bool> {
        let len = self.plan.spec(self.x).shape.len();
        executor.write(self.x, &vec![1.0; len]).unwrap();
        executor.write_u32(self.seed, &seed).unwrap();
        executor.write(self.dy, &vec![-3.0; len]).unwrap();
        executor.run_all().unwrap();
        let (y, dx) = (executor.read(self.y).unwrap(), executor.read(self.dx).unwrap());
        assert!(y.iter().all(|&y| y == 0.0 || y == self.scale));
        assert!(y.iter().zip(&dx).all(|(&y, &dx)| (dx - -3.0 * y).abs() <= 1e-6 * self.scale));
        y.iter().map(|&y| y != 0.0).collect()
    }

    fn kept_on_cpu(&self, seed: [u32; 2]) -> Vec<bool> {
        let mut cpu = CpuExecutor::<f32>::new(self.plan.clone(), &Options::checked()).unwrap();
        self.kept(&mut cpu, seed)
    }
}

#[test]
fn every_device_drops_the_same_elements_four_at_a_time_or_one() {
    for p in [0.5, 0.2, 0.999] {
        let op = Dropout { p, site: 9 };
        let expected = Bench::of(op, 5003).kept_on_cpu([11, 22]);
        for len in [5003, 5000] {
            let bench = Bench::of(op, len);
            for (device, mut executor) in bench.devices() {
                let kept = bench.kept(executor.as_mut(), [11, 22]);
                assert!(kept == expected[..kept.len()], "{device} drops others of {len} elements with p = {p}");
            }
        }
    }
}

#[test]
fn the_elements_dropped_are_those_that_were_always_dropped() {
    // Words of an independent implementation of Philox4x32-10: counters (0 to 7, 5, 0, 0), key (7, 3).
    let expected = [1, 1, 0, 1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1];
    for len in [32, 31] {
        let bench = Bench::of(Dropout { p: 0.4, site: 5 }, len);
        for (device, mut executor) in bench.devices() {
            let kept: Vec<u8> = bench.kept(executor.as_mut(), [7, 3]).into_iter().map(u8::from).collect();
            assert_eq!(kept, expected[..len as usize], "{device}");
        }
    }
}

#[test]
fn another_seed_step_or_site_drops_independently() {
    const LEN: u32 = 1 << 14;
    let kept = |site, seed| Bench::of(Dropout { p: 0.5, site }, LEN).kept_on_cpu(seed);
    let all = [kept(0, [1, 2]), kept(0, [2, 2]), kept(0, [1, 3]), kept(0, [2, 1]), kept(1, [1, 2])];
    for (i, a) in all.iter().enumerate() {
        for b in &all[..i] {
            // Half agree by chance: 64 is one standard deviation.
            let agreeing = a.iter().zip(b).filter(|(a, b)| a == b).count();
            assert!(agreeing.abs_diff(1 << 13) < 5 * 64, "{agreeing} of {LEN} agree");
        }
    }
    assert_eq!(all[0], kept(0, [1, 2]), "the same seed, step and site drop the same");
}

#[test]
fn the_share_dropped_is_p() {
    const LEN: u32 = 1 << 18;
    for p in [0.0, 0.25, 0.5, 0.9] {
        let kept = Bench::of(Dropout { p, site: 0 }, LEN).kept_on_cpu([3, 4]);
        let dropped = kept.iter().filter(|&&kept| !kept).count() as f64;
        let (p, len) = (f64::from(p), f64::from(LEN));
        let deviation = (len * p * (1.0 - p)).sqrt();
        assert!((dropped - len * p).abs() <= 5.0 * deviation, "{dropped} of {len} with p = {p}");
    }
}

#[test]
fn a_nan_stays_one_where_it_is_dropped() {
    let bench = Bench::of(Dropout { p: 0.9, site: 0 }, 64);
    for (device, mut executor) in bench.devices() {
        executor.write(bench.x, &[f32::NAN; 64]).unwrap();
        executor.write_u32(bench.seed, &[1, 1]).unwrap();
        executor.write(bench.dy, &[1.0; 64]).unwrap();
        executor.run_all().unwrap();
        assert!(executor.read(bench.y).unwrap().iter().all(|y| y.is_nan()), "{device}");
    }
}
