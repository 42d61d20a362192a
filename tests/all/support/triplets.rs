//! The triplet loss by the book: every triplet of a batch in f64, its loss and its textbook gradient, and the same batch on
//! every device. Shares no code with the crate's kernels or twins.
#![allow(unreachable_pub, reason = "shared by the modules of a test program")]

use facenet_gpu::cpu::CpuExecutor;
use facenet_gpu::executor::{Executor, Options};
use facenet_gpu::gpu::GpuExecutor;
use facenet_gpu::graph::{Graph, Recording};
use facenet_gpu::op::{Mining, Positives, Stat, TripletLoss};
use facenet_gpu::plan::{Buf, Plan, Shape};
use rand::RngExt;

use crate::support::{gpus_of_every_family, is_worth_testing, normals, relative_error, rng};

/// Upstream gradient: the two losses, and numbers that must not reach the embeddings.
fn upstream() -> Vec<f32> {
    let mut dy = vec![100.0, -50.0, 30.0, 20.0, -10.0, 5.0, 7.0, -8.0, 9.0, 11.0, -12.0, 13.0, 14.0, -15.0, 16.0, 17.0];
    (dy[Stat::Loss], dy[Stat::LossPerPair]) = (0.7, -1.9);
    assert_eq!(dy.len(), Stat::COUNT);
    dy
}

/// Slots that hold numbers of things.
const COUNTS: [Stat; 8] = [
    Stat::Pairs,
    Stat::Active,
    Stat::Hard,
    Stat::SemiHard,
    Stat::Easy,
    Stat::Candidates,
    Stat::SkippedPairs,
    Stat::Triplets,
];

/// Ways to select: every mining with every choice of positives that it leaves.
pub fn ways() -> Vec<(Mining, Positives)> {
    let both = Mining::EVERY.into_iter().flat_map(|m| [(m, Positives::All), (m, Positives::Hardest)]);
    both.filter(|&(mining, positives)| mining != Mining::BatchHard || positives == Positives::Hardest).collect()
}

#[derive(Debug, Clone)]
pub struct Batch {
    pub dim: usize,
    pub x: Vec<f32>,
    pub labels: Vec<u32>,
    pub margin: f32,
    pub mining: Mining,
    pub positives: Positives,
    pub seed: [u32; 2],
}

/// What a device made of a batch.
pub struct Outcome {
    pub device: String,
    pub y: Vec<f32>,
    pub dx: Vec<f32>,
}

impl Batch {
    pub fn new(dim: usize, x: Vec<f32>, labels: Vec<u32>, margin: f32) -> Self {
        assert_eq!(x.len(), labels.len() * dim);
        let (mining, positives) = (Mining::default(), Positives::default());
        Self { dim, x, labels, margin, mining, positives, seed: [5, 9] }
    }

    /// Random multiples of 1/8 in -1..=1: all distances are exact in f32, ties are exact ties, and every device must choose
    /// the very same triplets.
    pub fn on_a_grid(name: &str, dim: usize, labels: Vec<u32>, margin: f32) -> Self {
        let mut rng = rng(name);
        let x = (0..labels.len() * dim).map(|_| f32::from(rng.random_range(-8i8..=8)) / 8.0).collect();
        Self::new(dim, x, labels, margin)
    }

    /// Random rows of length 1.
    pub fn of_unit_rows(name: &str, dim: usize, labels: Vec<u32>, margin: f32) -> Self {
        let mut x = normals(&mut rng(name), labels.len() * dim);
        for row in x.chunks_exact_mut(dim) {
            let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter_mut().for_each(|v| *v /= norm);
        }
        Self::new(dim, x, labels, margin)
    }

    pub fn people(images: u32, people: u32) -> Vec<u32> {
        (0..images).map(|i| i % people).collect()
    }

    /// The same batch, selected in another way.
    pub fn by(&self, (mining, positives): (Mining, Positives)) -> Self {
        Self { mining, positives, ..self.clone() }
    }

    fn row(&self, i: usize) -> Vec<f64> {
        self.x[i * self.dim..][..self.dim].iter().map(|&v| f64::from(v)).collect()
    }

    fn distance(&self, i: usize, j: usize) -> f64 {
        self.row(i).iter().zip(self.row(j)).map(|(a, b)| (a - b).powi(2)).sum()
    }

    /// Statistics and gradient.
    #[expect(clippy::needless_range_loop, reason = "the letters are those of the formula")]
    pub fn reference(&self) -> (Vec<f64>, Vec<f64>) {
        let b = self.labels.len();
        let margin = f64::from(self.margin);
        let d: Vec<Vec<f64>> = (0..b).map(|i| (0..b).map(|j| self.distance(i, j)).collect()).collect();
        let (mut pairs, mut triplets) = (Vec::new(), Vec::new());
        let (mut candidates, mut skipped, mut possible) = (0, 0, 0);
        let (mut easy, mut semi_hard, mut hard) = (0, 0, 0);
        for a in 0..b {
            let others: Vec<usize> = (0..b).filter(|&n| self.labels[n] != self.labels[a]).collect();
            let mut own: Vec<usize> = (0..b).filter(|&p| self.labels[p] == self.labels[a] && p != a).collect();
            if self.positives == Positives::Hardest {
                let farthest = own.iter().map(|&p| d[a][p]).fold(0.0, f64::max);
                own = own.into_iter().find(|&p| d[a][p] == farthest).into_iter().collect();
            }
            for p in own {
                pairs.push(d[a][p]);
                let closest = others.iter().map(|&n| d[a][n]).fold(f64::INFINITY, f64::min);
                match closest - d[a][p] {
                    gap if gap <= 0.0 => hard += 1,
                    gap if gap < margin => semi_hard += 1,
                    _ => easy += 1,
                }
                let chosen = self.choose(&d[a], &others, [a, p]);
                candidates += chosen.0;
                skipped += usize::from(chosen.0 == 0);
                possible += if self.mining == Mining::BatchAll { others.len() } else { 1 };
                triplets.extend(chosen.1.into_iter().map(|n| [a, p, n]));
            }
        }
        let number = |n: usize| n as f64;
        let mean = |sum: f64, count: usize| if count == 0 { 0.0 } else { sum / number(count) };
        let average = |values: &[f64]| mean(values.iter().sum(), values.len());
        let spread = |values: &[f64]| {
            let centre = average(values);
            mean(values.iter().map(|v| (v - centre).powi(2)).sum(), values.len()).sqrt()
        };
        let different = |(i, j): (usize, usize)| (self.labels[i] != self.labels[j]).then(|| d[i][j]);
        let different: Vec<f64> = (0..b * b).filter_map(|at| different((at / b, at % b))).collect();
        let far: Vec<f64> = triplets.iter().map(|&[a, _, n]| d[a][n]).collect();
        let loss: f64 = triplets.iter().map(|&[a, p, n]| d[a][p] - d[a][n] + margin).sum();
        let centre = (0..self.dim).map(|k| (0..b).map(|i| self.row(i)[k]).sum::<f64>() / number(b));
        let mut y = vec![0.0; Stat::COUNT];
        y[Stat::Loss] = mean(loss, triplets.len());
        y[Stat::LossPerPair] = mean(loss, possible);
        y[Stat::Pairs] = number(pairs.len());
        y[Stat::Active] = number(triplets.len());
        y[Stat::PositiveDistance] = average(&pairs);
        y[Stat::NegativeDistance] = average(&far);
        y[Stat::DifferentDistance] = average(&different);
        y[Stat::Hard] = number(hard);
        y[Stat::SemiHard] = number(semi_hard);
        y[Stat::Easy] = number(easy);
        y[Stat::Candidates] = number(candidates);
        y[Stat::SkippedPairs] = number(skipped);
        y[Stat::PositiveStd] = spread(&pairs);
        y[Stat::NegativeStd] = spread(&far);
        y[Stat::MeanLength] = centre.map(|x| x * x).sum::<f64>().sqrt();
        y[Stat::Triplets] = number(possible);
        let dy = upstream();
        let scale = mean(f64::from(dy[Stat::Loss]), triplets.len()) + mean(f64::from(dy[Stat::LossPerPair]), possible);
        let mut dx = vec![0.0; b * self.dim];
        for &[a, p, n] in &triplets {
            let (anchor, positive, negative) = (self.row(a), self.row(p), self.row(n));
            for k in 0..self.dim {
                dx[a * self.dim + k] += scale * 2.0 * (negative[k] - positive[k]);
                dx[p * self.dim + k] += scale * 2.0 * (positive[k] - anchor[k]);
                dx[n * self.dim + k] += scale * 2.0 * (anchor[k] - negative[k]);
            }
        }
        (y, dx)
    }

    /// Number of candidates of a pair, and its negatives.
    fn choose(&self, d: &[f64], others: &[usize], [a, p]: [usize; 2]) -> (usize, Vec<usize>) {
        let margin = f64::from(self.margin);
        let semi_hard = matches!(self.mining, Mining::SemiHard | Mining::SemiHardRandom);
        let fits = |&n: &usize| d[n] - d[p] < margin && (!semi_hard || d[n] > d[p]);
        let candidates: Vec<usize> = others.iter().copied().filter(fits).collect();
        let closest = candidates.iter().copied().reduce(|best, n| if d[n] < d[best] { n } else { best });
        let random = || {
            let size = |n: usize| u32::try_from(n).unwrap();
            let word = philox([size(a), size(p), 0, 1], self.seed);
            (!candidates.is_empty()).then(|| candidates[word as usize % candidates.len()])
        };
        let negatives = match self.mining {
            Mining::SemiHard | Mining::Hard | Mining::BatchHard => closest.into_iter().collect(),
            Mining::SemiHardRandom | Mining::RandomViolating => random().into_iter().collect(),
            Mining::BatchAll => candidates.clone(),
        };
        (candidates.len(), negatives)
    }

    fn plan(&self) -> (Plan, Vec<Buf>) {
        let size = |n: usize| u32::try_from(n).unwrap();
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(&[size(self.labels.len()), size(self.dim)]).unwrap());
        let labels = graph.input_u32("labels", Shape::vector(size(self.labels.len())));
        let mut inputs = vec![x, labels];
        if self.mining.is_random() {
            inputs.push(graph.input_u32("seed", Shape::vector(2)));
        }
        let loss = TripletLoss::new(self.margin).unwrap().with_mining(self.mining).with_positives(self.positives);
        let y = graph.op("loss", loss, &inputs).unwrap();
        let mut recording = Recording::forward(&graph, &[y]);
        let dy = recording.backward(y, &[x]);
        let dx = recording.gradient(x).unwrap();
        let mut bufs = vec![recording.value(y), dy, dx];
        bufs.extend(inputs.iter().map(|&t| recording.value(t)));
        (recording.finish(), bufs)
    }

    /// The batch on one device, as often as there are seeds.
    pub fn run_on(&self, device: &str, executor: &mut dyn Executor, seeds: &[[u32; 2]]) -> Vec<Outcome> {
        let (_, bufs) = self.plan();
        let run = |seed: &[u32; 2]| {
            executor.write(bufs[3], &self.x).unwrap();
            executor.write_u32(bufs[4], &self.labels).unwrap();
            if let Some(&buf) = bufs.get(5) {
                executor.write_u32(buf, seed).unwrap();
            }
            executor.write(bufs[1], &upstream()).unwrap();
            executor.run_all().unwrap();
            assert!(executor.check_guards().unwrap().is_empty(), "{device} wrote behind the end of a buffer");
            let (y, dx) = (executor.read(bufs[0]).unwrap(), executor.read(bufs[2]).unwrap());
            Outcome { device: device.to_string(), y, dx }
        };
        seeds.iter().map(run).collect()
    }

    /// The batch on the CPU in f32, as often as there are seeds.
    pub fn run_on_cpu(&self, seeds: &[[u32; 2]]) -> Vec<Outcome> {
        let mut cpu = CpuExecutor::<f32>::new(self.plan().0, &Options::checked()).unwrap();
        self.run_on("CPU in f32", &mut cpu, seeds)
    }

    /// The batch on every device, with every family of kernels.
    pub fn run(&self) -> Vec<Outcome> {
        let plan = self.plan().0;
        let options = Options::checked();
        let mut devices: Vec<(String, Box<dyn Executor>)> = vec![
            ("CPU in f32".into(), Box::new(CpuExecutor::<f32>::new(plan.clone(), &options).unwrap())),
            ("CPU in f64".into(), Box::new(CpuExecutor::<f64>::new(plan.clone(), &options).unwrap())),
        ];
        for gpu in gpus_of_every_family().into_iter().filter(|gpu| is_worth_testing(gpu, &plan)) {
            let name = format!("GPU, {:?}", gpu.info().family());
            devices.push((name, Box::new(GpuExecutor::new(&gpu, plan.clone(), &options).unwrap())));
        }
        let run = |(name, mut device): (String, Box<dyn Executor>)| self.run_on(&name, device.as_mut(), &[self.seed]);
        devices.into_iter().flat_map(run).collect()
    }

    /// Holds every device against the reference, which it returns.
    pub fn check(&self) -> (Vec<f64>, Vec<f64>) {
        self.check_within(2e-6)
    }

    /// The same with another bound, for embeddings whose distances f32 rounds.
    pub fn check_within(&self, bound: f64) -> (Vec<f64>, Vec<f64>) {
        let (y, dx) = self.reference();
        for got in self.run() {
            let name = format!("{}, {:?} of {:?} positives", got.device, self.mining, self.positives);
            assert_eq!((got.y.len(), y.len()), (Stat::COUNT, Stat::COUNT));
            for (slot, (&got, &y)) in Stat::ALL.into_iter().zip(got.y.iter().zip(&y)) {
                let error = (f64::from(got) - y).abs();
                let bound = match slot {
                    slot if COUNTS.contains(&slot) => 0.0,
                    // The root of a difference of squares has half their digits where it is small.
                    Stat::PositiveStd | Stat::NegativeStd => 10.0 * bound * y + 1e-4,
                    _ => bound * y.abs() + 1e-7,
                };
                assert!(error <= bound, "{name}: {slot:?} is {got}, not {y}");
            }
            let error = relative_error(&got.dx, &dx);
            assert!(error < bound, "{name}: the gradient is off by {error:.2e}");
        }
        (y, dx)
    }
}

/// The first word of Philox4x32-10.
#[expect(clippy::cast_possible_truncation, reason = "the halves of a product are taken apart")]
fn philox(counter: [u32; 4], key: [u32; 2]) -> u32 {
    let (mut c, mut k) = (counter.map(u64::from), key);
    for _ in 0..10 {
        let (first, second) = (0xD251_1F53 * c[0], 0xCD9E_8D57 * c[2]);
        c = [
            (second >> 32) ^ c[1] ^ u64::from(k[0]),
            second & 0xFFFF_FFFF,
            (first >> 32) ^ c[3] ^ u64::from(k[1]),
            first & 0xFFFF_FFFF,
        ];
        k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
    }
    c[0] as u32
}

pub fn is_zero(values: &[f64]) -> bool {
    values.iter().all(|&v| v == 0.0)
}
