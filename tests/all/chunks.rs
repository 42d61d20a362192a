//! A batch in chunks is the batch: gradients and weights of a small network agree with those of the whole batch on every
//! device, whatever the chunk, and images without a gradient are not run a second time.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Instant;

use crate::support::{gpus, normals, relative_error, rng};
use facenet_gpu::data::prefetch::HostBatch;
use facenet_gpu::executor::Options;
use facenet_gpu::graph::{Recording, Tensor};
use facenet_gpu::net::{self, Blocks};
use facenet_gpu::op::{Mining, Stat, TripletLoss};
use facenet_gpu::plan::{Phase, Shape};
use facenet_gpu::train::{Config, OptimiserKind, Schedule, Trainer, Work, choose_chunk};
use facenet_gpu::weights::{Metadata, Weights};
use facenet_gpu::{Engine, Model, Result, initial_weights};

const BATCH: u32 = 24;
/// The whole batch, parts of it that are full, one that leaves a ragged chunk, and single images.
const CHUNKS: [u32; 4] = [24, 8, 7, 1];

static SMALL: LazyLock<Model> = LazyLock::new(|| net::model("small", "for tests", [16, 16], 16, layers).unwrap());

fn layers(n: &mut Blocks<'_>, images: Tensor) -> Result<Tensor> {
    let x = n.conv("conv1", images, 8, 5, 2)?;
    let x = n.max_pool("pool1", x)?;
    let x = n.conv("conv2", x, 16, 3, 1)?;
    let x = n.fully_connected("fc1", x, 24)?;
    n.embedding(x)
}

fn engines() -> Vec<Engine> {
    gpus().into_iter().map(Engine::Gpu).chain([Engine::Cpu, Engine::CpuF64]).collect()
}

fn start(model: &Model) -> Weights {
    initial_weights(model, Metadata::of(model).unwrap(), 11)
}

/// Noise; `labels` says who is on it. Images from `alike` on are copies of the last.
fn batch(model: &Model, labels: Vec<u32>, alike: usize) -> HostBatch {
    let len = model.preprocess().face_len();
    let mut images = normals(&mut rng("images"), labels.len() * len);
    for image in alike..labels.len() - 1 {
        images.copy_within((labels.len() - 1) * len.., image * len);
    }
    HostBatch::of_floats(images, labels)
}

/// Six people with four images each.
fn people() -> HostBatch {
    batch(&SMALL, (0..BATCH).map(|i| i % 6).collect(), BATCH as usize)
}

/// Three people with four images each, and twelve strangers who look all the same: the first stands for all of them.
fn strangers() -> HostBatch {
    batch(&SMALL, (0..BATCH).map(|i| if i < 12 { i % 3 } else { i }).collect(), 12)
}

fn config(chunk: u32) -> Config {
    Config::default().with(|c| (c.chunk, c.schedule, c.margin) = (Some(chunk), Schedule::Constant, 0.3))
}

fn trainer(engine: &Engine, model: &Model, config: &Config, batch: &HostBatch) -> Trainer {
    let size = u32::try_from(batch.labels.len()).unwrap();
    let mut trainer = Trainer::new(engine, model, config, size).unwrap();
    trainer.load(&start(model), Path::new("start")).unwrap();
    trainer
}

/// Largest difference of two lists of tensors, relative to the largest magnitude of each tensor.
fn difference(got: &[Vec<f32>], expected: &[Vec<f32>]) -> f64 {
    let error = |(got, expected): (&Vec<f32>, &Vec<f32>)| {
        relative_error(got, &expected.iter().map(|&x| f64::from(x)).collect::<Vec<_>>())
    };
    got.iter().zip(expected).map(error).fold(0.0, f64::max)
}

/// Gradients of all parameters of the whole batch at once, by a plan that knows nothing of chunks.
fn whole_gradients(engine: &Engine, batch: &HostBatch) -> Vec<Vec<f32>> {
    let mut net = SMALL.training(BATCH).unwrap();
    let embeddings = net.embeddings();
    let labels = net.graph.input_u32("labels", Shape::vector(BATCH));
    let loss = net.graph.op("loss", TripletLoss::new(0.3).unwrap(), &[embeddings, labels]).unwrap();
    let params: Vec<Tensor> = net.graph.params().map(|(t, _)| t).collect();
    let mut recording = Recording::forward(&net.graph, &[loss]);
    let dloss = recording.backward(loss, &params);
    let (images, labels) = (recording.value(net.images), recording.value(labels));
    let gradients: Vec<_> = params.iter().map(|t| recording.gradient(*t).unwrap()).collect();
    let mut executor = engine.executor(recording.finish(), &Options::default()).unwrap();
    for (name, _, data) in &start(&SMALL).tensors {
        let buf = executor.plan().find(name).unwrap();
        executor.write(buf, data).unwrap();
    }
    let mut floats = vec![0.0; batch.images.len()];
    batch.images.write(&(0..BATCH as usize).collect::<Vec<_>>(), &mut floats).unwrap();
    executor.write(images, &floats).unwrap();
    executor.write_u32(labels, &batch.labels).unwrap();
    let mut seed = vec![0.0; Stat::COUNT];
    seed[Stat::Loss] = 1.0;
    executor.write(dloss, &seed).unwrap();
    executor.run_all().unwrap();
    gradients.into_iter().map(|buf| executor.read(buf).unwrap()).collect()
}

fn gradients(trainer: &mut Trainer) -> Vec<Vec<f32>> {
    let names: Vec<String> = start(&SMALL).tensors.iter().map(|(name, ..)| format!("d {name}")).collect();
    let executor = trainer.executor();
    names.iter().map(|name| executor.read(executor.plan().find(name).unwrap()).unwrap()).collect()
}

fn weights(trainer: &mut Trainer) -> Vec<Vec<f32>> {
    trainer.weights().unwrap().tensors.into_iter().map(|(_, _, data)| data).collect()
}

#[test]
fn gradients_are_those_of_the_whole_batch() {
    for engine in engines() {
        for batch in [people(), strangers()] {
            let expected = whole_gradients(&engine, &batch);
            assert!(expected.iter().flatten().any(|g| *g != 0.0));
            for chunk in &CHUNKS[1..] {
                let mut trainer = trainer(&engine, &SMALL, &config(*chunk), &batch);
                trainer.step(&batch, 0.01).unwrap();
                let error = difference(&gradients(&mut trainer), &expected);
                // In f64 nothing is left but the rounding of what is read.
                let bound = if matches!(engine, Engine::CpuF64) { 1.2e-7 } else { 1e-6 };
                assert!(error < bound, "{}: chunks of {chunk}: gradients are off by {error:.2e}", engine.describe());
            }
        }
    }
}

#[test]
fn weights_and_statistics_after_one_and_five_steps_are_those_of_the_whole_batch() {
    for engine in engines() {
        for (optimiser, learning_rate) in [(OptimiserKind::Sgd, 0.01), (OptimiserKind::AdaGrad, 0.01)] {
            let batch = people();
            let run = |chunk: u32| {
                let config = config(chunk).with(|c| (c.optimiser, c.weight_decay) = (Some(optimiser), 1e-3));
                let mut trainer = trainer(&engine, &SMALL, &config, &batch);
                let mut results = Vec::new();
                for step in 1..=5 {
                    let statistics = trainer.step(&batch, learning_rate).unwrap().wait().unwrap();
                    if step == 1 || step == 5 {
                        results.push((statistics, weights(&mut trainer)));
                    }
                }
                results
            };
            let expected = run(BATCH);
            assert!(
                expected[0].0[Stat::Active] > 10.0
                    && expected[1].0[Stat::LossPerPair] != expected[0].0[Stat::LossPerPair]
            );
            for chunk in &CHUNKS[1..] {
                for ((statistics, weights), (expected_statistics, expected)) in run(*chunk).iter().zip(&expected) {
                    let error = difference(weights, expected)
                        .max(difference(std::slice::from_ref(statistics), std::slice::from_ref(expected_statistics)));
                    let device = engine.describe();
                    assert!(error < 2e-6, "{device}: {optimiser:?}, chunks of {chunk}: off by {error:.2e}");
                }
            }
        }
    }
}

#[test]
fn every_way_to_select_chooses_the_same_in_chunks_and_over_the_whole_batch() {
    let batch = people();
    for mining in Mining::EVERY {
        let run = |chunk: u32| {
            let mut trainer = trainer(&Engine::Cpu, &SMALL, &config(chunk).with(|c| c.mining = mining), &batch);
            let statistics = [0, 1, 2].map(|_| trainer.step(&batch, 0.01).unwrap().wait().unwrap());
            (statistics.to_vec(), weights(&mut trainer))
        };
        let (expected, expected_weights) = run(BATCH);
        for chunk in &CHUNKS[1..] {
            let (statistics, weights) = run(*chunk);
            assert!(difference(&statistics, &expected) < 1e-6, "{mining:?} in chunks of {chunk}");
            assert!(difference(&weights, &expected_weights) < 1e-6, "{mining:?} in chunks of {chunk}");
        }
    }
}

#[test]
fn images_without_a_gradient_are_left_out_of_the_second_pass() {
    let batch = strangers();
    for (chunk, embedded) in [(8, 3), (7, 4), (1, 24)] {
        let mut trainer = trainer(&Engine::Cpu, &SMALL, &config(chunk), &batch);
        trainer.step(&batch, 0.01).unwrap();
        let work = trainer.work();
        let active = BATCH as usize - work.skipped;
        assert!((11..=23).contains(&work.skipped), "{work:?}");
        assert_eq!((work.embedded, work.trained), (embedded, active.div_ceil(chunk as usize)));
    }
    let mut whole = trainer(&Engine::Cpu, &SMALL, &config(100), &batch);
    whole.step(&batch, 0.01).unwrap();
    assert_eq!((whole.chunk(), whole.work()), (BATCH, Work { embedded: 1, trained: 1, skipped: 0 }));
}

#[test]
fn a_batch_without_a_triplet_has_a_gradient_of_zero() {
    // Everybody is somebody else.
    let nothing = batch(&SMALL, (0..BATCH).collect(), BATCH as usize);
    for engine in engines() {
        let run = |chunk: u32, weight_decay: f32| {
            let config =
                config(chunk).with(|c| (c.optimiser, c.weight_decay) = (Some(OptimiserKind::Sgd), weight_decay));
            let mut trainer = trainer(&engine, &SMALL, &config, &nothing);
            trainer.step(&nothing, 0.1).unwrap();
            assert_eq!(trainer.work(), Work { embedded: 4, trained: 0, skipped: 24 });
            let first = weights(&mut trainer);
            // What an earlier step left must not come back.
            trainer.step(&people(), 0.1).unwrap();
            trainer.step(&nothing, 0.1).unwrap();
            assert!(gradients(&mut trainer).iter().flatten().all(|g| *g == 0.0));
            first
        };
        let before: Vec<Vec<f32>> = start(&SMALL).tensors.into_iter().map(|(_, _, data)| data).collect();
        assert_eq!(run(7, 0.0), before, "{}", engine.describe());
        assert_ne!(run(7, 0.1), before, "weight decay still acts");
    }
}

#[test]
fn the_same_steps_give_the_same_bits() {
    for engine in engines() {
        let run = || {
            let batch = strangers();
            let mut trainer = trainer(&engine, &SMALL, &config(7), &batch);
            (0..3).for_each(|_| drop(trainer.step(&batch, 0.01).unwrap()));
            weights(&mut trainer)
        };
        assert_eq!(run(), run(), "{}", engine.describe());
    }
}

#[test]
fn a_loss_that_is_not_a_number_leaves_the_weights_alone() {
    let mut images = normals(&mut rng("images"), BATCH as usize * 16 * 16 * 3);
    images[5000] = f32::NAN;
    let broken = HostBatch::of_floats(images, people().labels);
    for engine in engines() {
        let mut trainer = trainer(&engine, &SMALL, &config(7), &broken);
        let statistics = trainer.step(&broken, 0.1).unwrap().wait().unwrap();
        assert!(statistics[Stat::Loss].is_nan(), "{}", engine.describe());
        let before: Vec<Vec<f32>> = start(&SMALL).tensors.into_iter().map(|(_, _, data)| data).collect();
        assert_eq!(weights(&mut trainer), before, "{}", engine.describe());
    }
}

#[test]
fn a_batch_of_another_size_is_refused() {
    let mut trainer = trainer(&Engine::Cpu, &SMALL, &config(7), &people());
    let small = batch(&SMALL, vec![0, 0, 1], 3);
    assert!(trainer.step(&small, 0.1).unwrap_err().to_string().contains("labels"));
    let cut = HostBatch::of_floats(vec![0.0; 9], people().labels);
    assert!(trainer.step(&cut, 0.1).unwrap_err().to_string().contains("images: expected 18432 values"));
}

#[test]
fn a_chunk_is_the_batch_if_it_fits_and_never_more() {
    let zf64 = net::find("zf64").unwrap().model().unwrap();
    let choose = |engine: &Engine, chunk, batch| {
        choose_chunk(engine, &zf64, &Config::default().with(|c| c.chunk = chunk), batch).unwrap()
    };
    assert_eq!(choose(&Engine::Cpu, None, 24), 24);
    assert_eq!(choose(&Engine::Cpu, Some(500), 24), 24);
    assert_eq!(choose(&Engine::Cpu, Some(5), 24), 5);
    let budget = Engine::Cpu.memory_budget();
    // Far more images than there is memory for, at more than a mebibyte each: a half, a quarter, ... of them is taken.
    let batch = u32::try_from(budget.total.unwrap() / (400 << 10)).unwrap().min(20_000);
    let chunk = choose(&Engine::Cpu, None, batch);
    let plan = |chunk| Trainer::plan(&zf64, &Config::default().with(|c| c.chunk = Some(chunk)), batch).unwrap();
    assert!(chunk < batch || plan(batch).bytes() < 2 * budget.total.unwrap());
    assert!(plan(chunk).bytes() < 2 * budget.total.unwrap());
}

/// Median seconds of some steps. Without a learning rate every step is the first.
fn step_seconds(trainer: &mut Trainer, batch: &HostBatch, steps: usize) -> f64 {
    median((0..steps).map(|_| {
        let begin = Instant::now();
        trainer.step(batch, 0.0).unwrap();
        trainer.weights().unwrap();
        begin.elapsed().as_secs_f64()
    }))
}

fn median(seconds: impl Iterator<Item = f64>) -> f64 {
    let mut seconds: Vec<f64> = seconds.collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// The first GPU or software adapter, and the CPU.
fn measured_engines() -> impl Iterator<Item = Engine> {
    gpus().into_iter().take(1).map(Engine::Gpu).chain([Engine::Cpu])
}

/// Seconds of a step with 480 images in chunks of 32: all of them active, and half of them.
/// `cargo test --release --test all -- chunks:: --ignored --nocapture` prints them; `benches/README.md` keeps them.
#[test]
#[ignore = "measures time"]
fn a_step_with_half_of_the_images_inactive_takes_at_most_three_quarters() {
    for (name, steps) in [("zf64", 9), ("nn4", 5)] {
        let model = net::find(name).unwrap().model().unwrap();
        let all = batch(&model, (0..480).map(|i| i / 4).collect(), 480);
        let half = batch(&model, (0..480).map(|i| if i < 240 { i / 4 } else { i }).collect(), 240);
        for engine in measured_engines() {
            let measure = |batch: &HostBatch| {
                let mut trainer = trainer(&engine, &model, &config(32), batch);
                (step_seconds(&mut trainer, batch, steps), trainer.work())
            };
            let ((all, all_work), (half, half_work)) = (measure(&all), measure(&half));
            let (device, ratio) = (engine.describe(), half / all);
            println!("{name}, {device}: {all:.3} s with {all_work:?}, {half:.3} s with {half_work:?}: {ratio:.2}");
            assert!(all_work.skipped < 24 && half_work.skipped >= 239, "{all_work:?} {half_work:?}");
            assert!(ratio < 0.75, "{name}, {device}");
        }
    }
}

/// Seconds of a step of NN4 with 1,800 images (45 people x 40) in chunks of 32, and of all that happens between its two
/// passes: selection, loss, gradient of the embeddings, and the list of the active ones.
#[test]
#[ignore = "measures time"]
fn selection_among_1800_images_takes_less_than_a_twentieth_of_a_step_of_nn4() {
    let nn4 = net::find("nn4").unwrap().model().unwrap();
    let batch = batch(&nn4, (0..1800).map(|i| i / 40).collect(), 1800);
    for engine in measured_engines() {
        let mut trainer = trainer(&engine, &nn4, &config(32), &batch);
        let step = step_seconds(&mut trainer, &batch, 3);
        let work = trainer.work();
        let loss = trainer.executor().plan().phase(Phase::Loss).unwrap();
        let selection = median((0..9).map(|_| trainer.executor().time(loss.clone()).unwrap().into_iter().sum::<f64>()));
        let (device, share) = (engine.describe(), 100.0 * selection / step);
        println!("{device}: step {step:.1} s with {work:?}, selection {:.1} ms: {share:.2} %", 1e3 * selection);
        assert!(share < 5.0, "{device}");
    }
}
