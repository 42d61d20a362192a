//! The triplet loss on every device against a reference of its own: a plain loop over triplets in f64, with the
//! textbook gradient of each. Embeddings lie on a coarse grid, so that all distances are exact in f32, ties are exact
//! ties, and every device must choose the very same triplets.

mod support;

use facenet_gpu::Error;
use facenet_gpu::cpu::CpuExecutor;
use facenet_gpu::executor::{Executor, Options};
use facenet_gpu::gpu::GpuExecutor;
use facenet_gpu::graph::{Graph, Recording};
use facenet_gpu::op::{TripletLoss, stat};
use facenet_gpu::plan::{Buf, Plan, Shape};
use rand::RngExt;
use support::{gpus, normals, relative_error, rng};

/// Upstream gradient: the two losses, and numbers that must not reach the embeddings.
const DY: [f32; 8] = [0.7, -1.9, 100.0, -50.0, 30.0, 20.0, -10.0, 5.0];

struct Batch {
    dim: usize,
    x: Vec<f32>,
    labels: Vec<u32>,
    margin: f32,
}

impl Batch {
    fn new(dim: usize, x: Vec<f32>, labels: Vec<u32>, margin: f32) -> Self {
        assert_eq!(x.len(), labels.len() * dim);
        Self { dim, x, labels, margin }
    }

    /// Random multiples of 1/8 in -1..=1.
    fn on_a_grid(name: &str, dim: usize, labels: Vec<u32>, margin: f32) -> Self {
        let mut rng = rng(name);
        let x = (0..labels.len() * dim).map(|_| f32::from(rng.random_range(-8i8..=8)) / 8.0).collect();
        Self::new(dim, x, labels, margin)
    }

    fn people(images: u32, people: u32) -> Vec<u32> {
        (0..images).map(|i| i % people).collect()
    }

    fn row(&self, i: usize) -> Vec<f64> {
        self.x[i * self.dim..][..self.dim].iter().map(|&v| f64::from(v)).collect()
    }

    fn distance(&self, i: usize, j: usize) -> f64 {
        self.row(i).iter().zip(self.row(j)).map(|(a, b)| (a - b).powi(2)).sum()
    }

    /// Statistics and gradient by the book.
    #[expect(clippy::needless_range_loop, reason = "the letters are those of the formula")]
    fn reference(&self) -> (Vec<f64>, Vec<f64>) {
        let b = self.labels.len();
        let margin = f64::from(self.margin);
        let d: Vec<Vec<f64>> = (0..b).map(|i| (0..b).map(|j| self.distance(i, j)).collect()).collect();
        let (mut triplets, mut pairs, mut hard) = (Vec::new(), Vec::new(), 0);
        let mut different = Vec::new();
        for a in 0..b {
            for p in 0..b {
                if self.labels[a] != self.labels[p] {
                    different.push(d[a][p]);
                    continue;
                }
                if a == p {
                    continue;
                }
                pairs.push(d[a][p]);
                let mut negative: Option<usize> = None;
                let mut violated = false;
                for n in 0..b {
                    if self.labels[n] == self.labels[a] {
                        continue;
                    }
                    violated |= d[a][n] <= d[a][p];
                    let inside = d[a][n] > d[a][p] && d[a][n] < d[a][p] + margin;
                    if inside && negative.is_none_or(|best| d[a][n] < d[a][best]) {
                        negative = Some(n);
                    }
                }
                hard += usize::from(violated);
                triplets.extend(negative.map(|n| (a, p, n)));
            }
        }
        let mean = |sum: f64, count: usize| if count == 0 { 0.0 } else { sum / count as f64 };
        let loss: f64 = triplets.iter().map(|&(a, p, n)| d[a][p] - d[a][n] + margin).sum();
        let far: f64 = triplets.iter().map(|&(a, _, n)| d[a][n]).sum();
        let mut y = vec![0.0; stat::COUNT];
        y[stat::LOSS] = mean(loss, triplets.len());
        y[stat::LOSS_PER_PAIR] = mean(loss, pairs.len());
        y[stat::PAIRS] = pairs.len() as f64;
        y[stat::ACTIVE] = triplets.len() as f64;
        y[stat::POSITIVE_DISTANCE] = mean(pairs.iter().sum(), pairs.len());
        y[stat::NEGATIVE_DISTANCE] = mean(far, triplets.len());
        y[stat::DIFFERENT_DISTANCE] = mean(different.iter().sum(), different.len());
        y[stat::HARD] = hard as f64;
        let scale = mean(f64::from(DY[0]), triplets.len()) + mean(f64::from(DY[1]), pairs.len());
        let mut dx = vec![0.0; b * self.dim];
        for &(a, p, n) in &triplets {
            let (anchor, positive, negative) = (self.row(a), self.row(p), self.row(n));
            for k in 0..self.dim {
                dx[a * self.dim + k] += scale * 2.0 * (negative[k] - positive[k]);
                dx[p * self.dim + k] += scale * 2.0 * (positive[k] - anchor[k]);
                dx[n * self.dim + k] += scale * 2.0 * (anchor[k] - negative[k]);
            }
        }
        (y, dx)
    }

    fn plan(&self) -> (Plan, [Buf; 5]) {
        let size = |n: usize| u32::try_from(n).unwrap();
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(&[size(self.labels.len()), size(self.dim)]).unwrap());
        let labels = graph.input_u32("labels", Shape::vector(size(self.labels.len())));
        let y = graph.op("loss", TripletLoss::new(self.margin).unwrap(), &[x, labels]).unwrap();
        let mut recording = Recording::forward(&graph, &[y]);
        let dy = recording.backward(y, &[x]);
        let dx = recording.gradient(x).unwrap();
        let bufs = [recording.value(x), recording.value(labels), recording.value(y), dy, dx];
        (recording.finish(), bufs)
    }

    /// Statistics and gradient on every device, with its name.
    fn run(&self) -> Vec<(String, Vec<f32>, Vec<f32>)> {
        let (plan, [x, labels, y, dy, dx]) = self.plan();
        let options = Options::checked();
        let mut devices: Vec<(String, Box<dyn Executor>)> = vec![
            ("CPU in f32".into(), Box::new(CpuExecutor::<f32>::new(plan.clone(), &options).unwrap())),
            ("CPU in f64".into(), Box::new(CpuExecutor::<f64>::new(plan.clone(), &options).unwrap())),
        ];
        for gpu in gpus() {
            let name = format!("GPU, {:?}", gpu.info().family());
            devices.push((name, Box::new(GpuExecutor::new(&gpu, plan.clone(), &options).unwrap())));
        }
        let run = |(name, mut device): (String, Box<dyn Executor>)| {
            device.write(x, &self.x).unwrap();
            device.write_u32(labels, &self.labels).unwrap();
            device.write(dy, &DY).unwrap();
            device.run_all().unwrap();
            assert!(device.check_guards().unwrap().is_empty(), "{name} wrote behind the end of a buffer");
            (name, device.read(y).unwrap(), device.read(dx).unwrap())
        };
        devices.into_iter().map(run).collect()
    }

    /// Holds every device against the reference, which it returns.
    fn check(&self) -> (Vec<f64>, Vec<f64>) {
        let (y, dx) = self.reference();
        for (device, got_y, got_dx) in self.run() {
            for slot in 0..stat::COUNT {
                let error = (f64::from(got_y[slot]) - y[slot]).abs();
                let count = [stat::PAIRS, stat::ACTIVE, stat::HARD].contains(&slot);
                let bound = if count { 0.0 } else { 2e-6 * y[slot].abs() + 1e-7 };
                assert!(error <= bound, "{device}: slot {slot} is {}, not {}", got_y[slot], y[slot]);
            }
            let error = relative_error(&got_dx, &dx);
            assert!(error < 2e-6, "{device}: the gradient is off by {error:.2e}");
        }
        (y, dx)
    }
}

fn is_zero(values: &[f64]) -> bool {
    values.iter().all(|&v| v == 0.0)
}

#[test]
fn crowded_batches_agree_with_a_loop_over_all_triplets() {
    for (images, people, dim, margin) in [
        (200, 2, 16, 0.5),
        (131, 3, 5, 0.2),
        (96, 12, 128, 2.0),
        (55, 7, 130, 0.05),
        (150, 3, 1, 2.0),
        (64, 63, 64, 2.0),
    ] {
        let batch = Batch::on_a_grid("crowded", dim, Batch::people(images, people), margin);
        let (y, _) = batch.check();
        assert!(people == 63 || y[stat::ACTIVE] > 0.0, "nothing was selected from {images} images of {people} people");
    }
}

#[test]
fn people_may_come_in_any_order_and_number() {
    let mut rng = rng("order");
    let labels: Vec<u32> = (0..120).map(|_| [0, 1, 1, 2, 2, 2, 2, 77, u32::MAX][rng.random_range(0..9)]).collect();
    let (y, _) = Batch::on_a_grid("order", 12, labels, 0.5).check();
    assert!(y[stat::ACTIVE] > 100.0);
}

#[test]
fn random_unit_embeddings_agree_too() {
    let labels = Batch::people(45, 9);
    let mut x = normals(&mut rng("unit"), 45 * 128);
    for row in x.chunks_exact_mut(128) {
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        row.iter_mut().for_each(|v| *v /= norm);
    }
    let batch = Batch::new(128, x, labels, 0.2);
    let (y, dx) = batch.reference();
    for (device, got_y, got_dx) in batch.run() {
        for slot in 0..stat::COUNT {
            let error = (f64::from(got_y[slot]) - y[slot]).abs();
            assert!(error <= 1e-5 * y[slot].abs(), "{device}: slot {slot} is {}, not {}", got_y[slot], y[slot]);
        }
        assert!(relative_error(&got_dx, &dx) < 1e-5, "{device}");
    }
}

#[test]
fn of_equally_close_negatives_the_first_is_taken() {
    // Anchor 0 and positive 6 at distance 0.25; images 2, 3 and 5 are all at 1 from the anchor.
    let x = vec![0.0, 0.0, 9.0, 9.0, 1.0, 0.0, 0.0, 1.0, 1.5, 0.0, -1.0, 0.0, 0.0, -0.5];
    let batch = Batch::new(2, x, vec![0, 9, 3, 1, 4, 2, 0], 1.5);
    let (y, dx) = batch.check();
    assert_eq!(y[stat::ACTIVE], 2.0, "anchor 0 chooses 2, anchor 6 chooses 2 (1.25 away, as is 5)");
    assert!(!is_zero(&dx[4..6]));
    assert!(is_zero(&dx[2..4]) && is_zero(&dx[6..12]), "only image 2 may be pushed");
}

#[test]
fn duplicates_of_one_image_count_as_distance_zero() {
    // 0 and 1 are the same picture of one person, 2 and 3 of another, 4 is mislabelled: the same as 0.
    let x = vec![0.5, 0.0, 0.5, 0.0, 0.0, 0.25, 0.0, 0.25, 0.5, 0.0];
    let (y, dx) = Batch::new(2, x, vec![0, 0, 1, 1, 2], 0.5).check();
    assert_eq!((y[stat::PAIRS], y[stat::ACTIVE], y[stat::HARD]), (4.0, 4.0, 2.0));
    assert_eq!(y[stat::POSITIVE_DISTANCE], 0.0);
    assert!(!is_zero(&dx));
}

#[test]
fn collapsed_embeddings_have_no_semi_hard_negatives_and_no_gradient() {
    let x = [0.6, 0.0, 0.8].repeat(40);
    let (y, dx) = Batch::new(3, x, Batch::people(40, 4), 0.2).check();
    assert_eq!((y[stat::LOSS], y[stat::LOSS_PER_PAIR], y[stat::ACTIVE]), (0.0, 0.0, 0.0));
    assert_eq!((y[stat::PAIRS], y[stat::HARD]), (360.0, 360.0), "every pair is hard");
    assert!(is_zero(&dx));
}

#[test]
fn one_person_alone_gives_pairs_but_no_loss() {
    let (y, dx) = Batch::on_a_grid("one person", 7, vec![5; 50], 0.2).check();
    assert_eq!((y[stat::PAIRS], y[stat::ACTIVE], y[stat::LOSS]), (2450.0, 0.0, 0.0));
    assert_eq!((y[stat::DIFFERENT_DISTANCE], y[stat::HARD]), (0.0, 0.0));
    assert!(is_zero(&dx));
}

#[test]
fn no_positive_pair_gives_loss_zero_and_no_gradient() {
    let (y, dx) = Batch::on_a_grid("strangers", 7, Batch::people(50, 50), 0.2).check();
    assert_eq!((y[stat::PAIRS], y[stat::LOSS], y[stat::LOSS_PER_PAIR]), (0.0, 0.0, 0.0));
    assert!(y[stat::DIFFERENT_DISTANCE] > 0.0);
    assert!(is_zero(&dx));
}

#[test]
fn a_margin_of_zero_leaves_no_triplets() {
    let (y, dx) = Batch::on_a_grid("no margin", 16, Batch::people(48, 6), 0.0).check();
    assert_eq!((y[stat::ACTIVE], y[stat::LOSS]), (0.0, 0.0));
    assert!(is_zero(&dx));
}

#[test]
fn an_embedding_that_is_not_finite_makes_the_loss_nan() {
    let labels = || vec![0, 1, 0, 1, 2, 2, 3];
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        // In an image of a pair, and in the only image of a person, which could only ever be a negative.
        for image in [0, 6] {
            let mut batch = Batch::on_a_grid("nan", 3, labels(), 2.0);
            batch.x[image * 3 + 1] = bad;
            for (device, y, _) in batch.run() {
                assert!(y[stat::LOSS].is_nan(), "{device}: {bad} in image {image} gives {}", y[stat::LOSS]);
                assert!(y[stat::LOSS_PER_PAIR].is_nan(), "{device}: {bad} in image {image}");
            }
        }
    }
    for labels in [vec![0, 0], vec![0, 1]] {
        for (device, y, _) in Batch::new(1, vec![f32::NAN, 0.0], labels, 0.2).run() {
            assert!(y[stat::LOSS].is_nan() && y[stat::LOSS_PER_PAIR].is_nan(), "{device}: {y:?}");
        }
    }
}

#[test]
fn inference_plans_have_the_statistics_too() {
    let batch = Batch::on_a_grid("inference", 8, Batch::people(30, 5), 0.5);
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(&[30, 8]).unwrap());
    let labels = graph.input_u32("labels", Shape::vector(30));
    let y = graph.op("loss", TripletLoss::new(0.5).unwrap(), &[x, labels]).unwrap();
    let recording = Recording::forward(&graph, &[y]);
    let [x, labels, y] = [x, labels, y].map(|t| recording.value(t));
    let plan = recording.finish();
    let expected = batch.reference().0;
    for gpu in gpus() {
        let mut device = GpuExecutor::new(&gpu, plan.clone(), &Options::default()).unwrap();
        for _ in 0..2 {
            device.write(x, &batch.x).unwrap();
            device.write_u32(labels, &batch.labels).unwrap();
            device.run_all().unwrap();
            assert!(relative_error(&device.read(y).unwrap(), &expected) < 1e-6);
        }
    }
}

#[test]
fn wrong_margins_and_shapes_are_refused() {
    for margin in [-0.1, f32::NAN, f32::INFINITY] {
        assert!(matches!(TripletLoss::new(margin), Err(Error::Usage(_))), "{margin}");
    }
    assert_eq!(TripletLoss::default().margin(), 0.2);
    for (x, labels, message) in [
        (&[4, 2, 3][..], &[4][..], "expected a matrix"),
        (&[4, 3], &[3], "expected labels [4]"),
        (&[4, 3], &[4, 1], "expected labels [4]"),
        (&[1, 3], &[1], "at least 2 images"),
        (&[70_000, 3], &[70_000], "smaller batch"),
    ] {
        let mut graph = Graph::new();
        let inputs = [graph.input("x", Shape::new(x).unwrap()), graph.input_u32("labels", Shape::new(labels).unwrap())];
        let error = graph.op("loss", TripletLoss::default(), &inputs).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
