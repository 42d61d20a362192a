//! A training run is a value: N + M steps leave the very bits of N steps, a save, a load in a new process and M more.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::gpus;
use facenet_gpu::data::augment::Augment;
use facenet_gpu::data::faces::FaceSet;
use facenet_gpu::data::prefetch::host_batch;
use facenet_gpu::data::preprocess::{Normalise, Preprocess};
use facenet_gpu::data::sampler::PkSampler;
use facenet_gpu::model::Model;
use facenet_gpu::net::{self, Blocks};
use facenet_gpu::op::Mining;
use facenet_gpu::train::{
    Config, End, EpochReport, InMemory, LossKind, Observer, Offline, OptimiserKind, Pace, Schedule, StepReport,
    Summary, Trainer, TrainingState, train,
};
use facenet_gpu::{Engine, initial_weights};

/// Steps of the whole run, and those before the break.
const STEPS: u64 = 9;
const BREAK: u64 = 4;
/// Says to the process that goes on where the state is, and on which device.
const FILE: &str = "FACENET_GPU_TEST_STATE";
const DEVICE: &str = "FACENET_GPU_TEST_STATE_DEVICE";

/// Everything that a run must remember: batch normalisation, dropout, random negatives, an optimiser with a state.
fn model() -> Model {
    let layers = |n: &mut Blocks<'_>, images| {
        n.batch_norm(1e-3, false);
        let x = n.conv("conv1", images, 8, 5, 2)?;
        let x = n.max_pool("pool1", x)?;
        let x = n.conv("conv2", x, 16, 3, 1)?;
        let x = n.avg_pool("pool2", x)?;
        let x = n.dropout("dropout", x)?;
        n.embedding(x)
    };
    net::model("small", "for tests", [16, 16], 8, layers).unwrap()
}

fn config(optimiser: OptimiserKind, chunk: Option<u32>) -> Config {
    Config::default().with(|c| {
        (c.people, c.images) = (4, 3);
        c.optimiser = Some(optimiser);
        c.chunk = chunk;
        c.mining = Mining::RandomViolating;
        c.schedule = Schedule::Cosine;
        c.dropout = 0.3;
        c.margin = 0.5;
        c.weight_decay = 1e-3;
        c.seed = 0x1234_5678_9ABC_DEF0;
    })
}

const SETTINGS: [(OptimiserKind, Option<u32>); 4] = [
    (OptimiserKind::AdaGrad, None),
    (OptimiserKind::Sgd, None),
    (OptimiserKind::Sgd, Some(5)),
    (OptimiserKind::Adam, None),
];

fn faces() -> FaceSet {
    let preprocess = Preprocess { height: 16, width: 16, normalise: Normalise::Fixed, crop: None, alignment: None };
    let byte = |i: usize| u8::try_from((i * 2_654_435_761) >> 7 & 0xFF).unwrap();
    let face = |person: usize, image: usize| (0..768).map(|i| byte(i * 31 + person * 7919 + image * 101)).collect();
    let people = (0..6).map(|person| (person.to_string(), (0..4).map(|image| face(person, image)).collect()));
    FaceSet::from_images(&preprocess, people.collect()).unwrap()
}

/// Runs the steps `from..to` with the batches that belong to them.
fn steps(trainer: &mut Trainer, set: &FaceSet, config: &Config, from: u64, to: u64) {
    let (sampler, _) = PkSampler::new(set, &(0..6).collect::<Vec<_>>(), config.sampling()).unwrap();
    for (step, batch) in (from..to).zip(sampler.batches(from)) {
        let rate = config.learning_rate_at(usize::try_from(step).unwrap(), 1, usize::try_from(STEPS).unwrap());
        let loss = trainer.step(&host_batch(set, &batch).unwrap(), rate).unwrap().wait().unwrap()[0];
        assert!(loss.is_finite());
    }
}

fn trainer(engine: &Engine, config: &Config) -> Trainer {
    let model = model();
    let mut trainer = Trainer::new(engine, &model, config, 12).unwrap();
    let start = initial_weights(&model, trainer.metadata().clone(), 5);
    trainer.load(&start, Path::new("start")).unwrap();
    trainer
}

fn bits(state: &TrainingState) -> Vec<(String, Vec<u32>)> {
    let bits = |data: &[f32]| data.iter().map(|x| x.to_bits()).collect();
    state.tensors.iter().map(|t| (t.spec.name.clone(), bits(&t.data))).collect()
}

#[test]
fn steps_after_a_load_in_a_new_process_are_those_without_a_break_to_the_bit() {
    let dir = tempfile::tempdir().unwrap();
    let set = faces();
    let engines = gpus().into_iter().take(1).map(|gpu| ("gpu", Engine::Gpu(gpu)));
    for (name, engine) in engines.chain([("cpu", Engine::Cpu)]) {
        for (number, (optimiser, chunk)) in SETTINGS.into_iter().enumerate() {
            let config = config(optimiser, chunk);
            let mut whole = trainer(&engine, &config);
            steps(&mut whole, &set, &config, 0, BREAK);
            let file = dir.path().join(format!("{name}{number}.safetensors"));
            whole.state().unwrap().save(&file).unwrap();
            steps(&mut whole, &set, &config, BREAK, STEPS);
            let expected = whole.state().unwrap();

            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "state::the_process_that_goes_on", "--include-ignored", "--quiet"]);
            let done = child.env(FILE, &file).env(DEVICE, format!("{name} {number}")).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
            let got = TrainingState::load(file.with_extension("done")).unwrap();
            assert_eq!(got.progress, expected.progress, "{name}: {optimiser:?}");
            assert!(bits(&got) == bits(&expected), "{name}: {optimiser:?}, chunk {chunk:?}: the bits differ");
            // Without what the optimiser remembers they would.
            let mut forgetful = trainer(&engine, &config);
            forgetful.restore(&TrainingState::load(&file).unwrap()).unwrap();
            forgetful.reset_optimiser().unwrap();
            steps(&mut forgetful, &set, &config, BREAK, STEPS);
            assert!(bits(&forgetful.state().unwrap()) != bits(&expected));
        }
    }
}

/// Only a part of the test above, which runs it in a process of its own.
#[test]
#[ignore = "run by another test"]
fn the_process_that_goes_on() {
    let (Ok(file), Ok(device)) = (std::env::var(FILE), std::env::var(DEVICE)) else { return };
    let (name, number) = device.split_once(' ').unwrap();
    let engine = match name {
        "cpu" => Engine::Cpu,
        _ => Engine::Gpu(gpus().remove(0)),
    };
    let (optimiser, chunk) = SETTINGS[number.parse::<usize>().unwrap()];
    let config = config(optimiser, chunk);
    let mut trainer = trainer(&engine, &config);
    let state = TrainingState::load(&file).unwrap();
    trainer.restore(&state).unwrap();
    steps(&mut trainer, &faces(), &config, state.progress.step, STEPS);
    trainer.state().unwrap().save(Path::new(&file).with_extension("done")).unwrap();
}

/// Ends a run after so many steps.
struct EndAfter<'a>(usize, &'a AtomicBool);

impl Observer for EndAfter<'_> {
    fn step(&mut self, report: &StepReport, _: &Pace) {
        self.1.store(report.step >= self.0, Ordering::Relaxed);
    }
}

/// Runs on the CPU, from `state` on if there is one, until a step has been reported.
fn whole_run(config: &Config, state: Option<TrainingState>, end: usize) -> facenet_gpu::Result<(InMemory, Summary)> {
    let stop = AtomicBool::new(false);
    let mut output = InMemory::resumable(state);
    let (set, observer) = (Arc::new(faces()), &mut EndAfter(end, &stop));
    let summary = train(&Engine::Cpu, &model(), config, &set, &mut output, &stop, observer)?;
    Ok((output, summary))
}

/// A state without the time, which no two runs share.
fn timeless(state: Option<TrainingState>) -> TrainingState {
    let mut state = state.unwrap();
    state.run.seconds = 0.0;
    state
}

/// Whole runs, evaluation, halved learning rate and offline selection included, against runs that end somewhere in an epoch,
/// go through a file and go on.
#[test]
fn a_run_that_goes_on_from_any_step_ends_with_the_bits_and_the_best_score_of_one_without_a_break() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state.safetensors");
    let online = config(OptimiserKind::AdaGrad, None).with(|c| {
        (c.people, c.images, c.epochs) = (3, 3, 3);
        c.held_out = 0.34;
    });
    let mut half = Offline::every(7);
    half.share = 0.5;
    let offline = online.clone().with(|c| (c.offline, c.ema) = (Some(half), 0.9));
    for config in [online, offline] {
        let (whole, expected) = whole_run(&config, None, usize::MAX).unwrap();
        assert_eq!((expected.end, expected.steps, expected.epochs), (End::Done, 60, 3));
        // In the middle of the first epoch, at its end, and in the last one.
        for end in [3, 19, 45] {
            let (broken, part) = whole_run(&config, None, end).unwrap();
            assert!(part.stopped() && part.steps < expected.steps, "{part:?}");
            broken.state.unwrap().save(&file).unwrap();
            let state = TrainingState::load(&file).unwrap();
            assert_eq!(state.run.best, part.best);
            let (resumed, summary) = whole_run(&config, Some(state.clone()), usize::MAX).unwrap();
            assert_eq!(resumed.last, whole.last, "stopped after {} steps", part.steps);
            assert_eq!((summary.steps, summary.best), (expected.steps, expected.best));
            assert_eq!(timeless(resumed.state), timeless(whole.state.clone()));
            // Scales that the schedule does not give must come from the state.
            let mut halved = state;
            halved.run.rate_scale = 0.5;
            assert_ne!(whole_run(&config, Some(halved), usize::MAX).unwrap().0.last, resumed.last);
        }
    }
}

#[test]
fn a_run_that_has_ended_is_prolonged_by_more_epochs() {
    let config = |epochs| {
        config(OptimiserKind::Sgd, None).with(|c| {
            (c.people, c.images, c.epochs) = (3, 3, epochs);
            (c.held_out, c.schedule) = (0.34, Schedule::Constant);
        })
    };
    let (short, ended) = whole_run(&config(1), None, usize::MAX).unwrap();
    assert_eq!(ended.end, End::Done);
    let (prolonged, _) = whole_run(&config(3), short.state.clone(), usize::MAX).unwrap();
    assert_eq!(prolonged.last, whole_run(&config(3), None, usize::MAX).unwrap().0.last);
    let (same, again) = whole_run(&config(1), short.state.clone(), usize::MAX).unwrap();
    assert_eq!((again.end, again.steps), (End::Done, ended.steps));
    assert_eq!(same.last, None, "there is nothing left to do");
    let mut between = short.state.unwrap();
    between.progress.step += 1;
    let refused = whole_run(&config(3), Some(between), usize::MAX).unwrap_err().to_string();
    assert!(refused.contains("which this run does not have"), "{refused}");
}

#[test]
fn a_state_of_another_run_is_refused_with_the_difference() {
    let sgd = config(OptimiserKind::Sgd, None);
    let state = trainer(&Engine::Cpu, &sgd).state().unwrap();
    let refusal = |change: &dyn Fn(&mut TrainingState)| {
        let mut state = state.clone();
        change(&mut state);
        trainer(&Engine::Cpu, &sgd).restore(&state).unwrap_err().to_string()
    };
    let text = refusal(&|s| s.network = "nn4".into());
    assert!(text.contains("is of the network nn4, not of small"), "{text}");
    let text = refusal(&|s| s.progress.seed = 7);
    assert!(text.contains("with seed 7"), "{text}");
    let text = refusal(&|s| drop(s.tensors.remove(0)));
    assert!(text.contains("lacks the tensor conv1/beta [8]"), "{text}");
    let other = trainer(&Engine::Cpu, &config(OptimiserKind::AdaGrad, None)).state().unwrap();
    let text = trainer(&Engine::Cpu, &sgd).restore(&other).unwrap_err().to_string();
    assert!(text.contains("the settings differ"), "{text}");
}

/// The weights of the classes are a part of the state and of no weights file, in whole batches and in chunks.
#[test]
fn a_run_with_a_loss_over_classes_goes_on_to_the_same_bits_and_its_weights_are_those_of_the_network_alone() {
    for (loss, chunk) in [(LossKind::Softmax, None), (LossKind::ArcFace, None), (LossKind::ArcFace, Some(5))] {
        let config = config(OptimiserKind::Adam, chunk).with(|c| {
            (c.people, c.images, c.epochs, c.loss, c.loss_scale) = (3, 3, 2, loss, 10.0);
            (c.held_out, c.dropout) = (0.34, 0.0);
        });
        let (whole, expected) = whole_run(&config, None, usize::MAX).unwrap();
        assert_eq!((expected.end, expected.steps), (End::Done, 40));
        let state = whole.state.clone().unwrap();
        let classes = |state: &TrainingState| {
            let found = state.tensors.iter().find(|t| t.spec.name == "loss/classes").unwrap();
            (found.spec.shape.dims().to_vec(), found.data.clone())
        };
        assert_eq!(classes(&state).0, [8, 4], "two of six people are held out");
        let (broken, _) = whole_run(&config, None, 7).unwrap();
        assert_ne!(classes(&state).1, classes(broken.state.as_ref().unwrap()).1, "the classes learn");
        let (resumed, _) = whole_run(&config, broken.state, usize::MAX).unwrap();
        assert_eq!(timeless(resumed.state), timeless(whole.state));
        assert_eq!(resumed.last, whole.last);
        let weights = whole.last.unwrap();
        assert!(weights.tensors.iter().all(|(name, ..)| !name.starts_with("loss/")));
        assert_eq!(weights.tensors.len(), model().tensors().count());
    }
}

/// A few clearly different people are told apart after some epochs.
#[test]
fn losses_over_classes_learn() {
    for loss in [LossKind::Softmax, LossKind::ArcFace] {
        let config = config(OptimiserKind::Adam, None).with(|c| {
            (c.people, c.images, c.epochs, c.loss, c.loss_scale) = (3, 3, 10, loss, 10.0);
            (c.learning_rate, c.warm_up, c.held_out, c.dropout) = (Some(3e-3), Some(0), 0.0, 0.0);
            c.augment = Augment::default();
        });
        let mut output = InMemory::default();
        let mut watch = Watch::default();
        let set = Arc::new(faces());
        train(&Engine::Cpu, &model(), &config, &set, &mut output, &AtomicBool::new(false), &mut watch).unwrap();
        let (first, last) = (watch.0[0], watch.0[watch.0.len() - 1]);
        assert!(last.loss_all < 0.5 * first.loss_all, "{loss:?}: {} to {}", first.loss_all, last.loss_all);
        assert!(last.class_accuracy > 0.8, "{loss:?}: {}", last.class_accuracy);
        assert!(last.d_different > last.d_ap && last.d_ap > 0.0, "the triplets are watched");
    }
}

/// Keeps the reports of the epochs.
#[derive(Default)]
struct Watch(Vec<EpochReport>);

impl Observer for Watch {
    fn epoch(&mut self, report: &EpochReport) {
        self.0.push(*report);
    }
}
