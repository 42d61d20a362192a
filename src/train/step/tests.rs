//! What a plan for chunks must keep while its phases are run again and again, and what networks whose embeddings depend
//! on the chunk ask for.

use std::path::Path;

use super::*;
use crate::Engine;
use crate::data::prefetch::HostBatch;
use crate::data::preprocess::{Normalise, Preprocess};
use crate::executor::Options;
use crate::graph::{Grad, Init, Io, Op, Recorder};
use crate::model::{EMBEDDINGS, IMAGES, REFERENCE_BATCH};
use crate::net::find;
use crate::op::{L2Normalize, Linear, Relu};
use crate::plan::reflect::{Access, interface};
use crate::plan::{Plan, assign_slots, assign_slots_except};
use crate::session::initial_weights;
use crate::train::{Trainer, Work};
use crate::weights::{Metadata, Weights};

fn zf64(chunk: u32, batch: u32) -> Step {
    plan(&find("zf64").unwrap().model().unwrap(), &Config { chunk: Some(chunk), ..Config::default() }, batch).unwrap()
}

/// What lies in each allocation while a plan's phases are run.
struct Memory<'p> {
    plan: &'p Plan,
    of: Vec<usize>,
    holds: Vec<Option<Buf>>,
}

impl Memory<'_> {
    /// Runs steps: whatever they read must still be there.
    fn run(&mut self, steps: &Range<usize>) {
        for step in &self.plan.steps[steps.clone()] {
            let interface = interface(step.kernel.variants.last().unwrap()).unwrap();
            let adds = step.overrides.iter().any(|(name, on)| *name == "ACCUMULATE" && *on != 0.0);
            let uses = || interface.bindings[1..].iter().zip(&step.buffers);
            for (binding, &buf) in uses() {
                let spec = self.plan.spec(buf);
                if spec.role == Role::Temporary && (binding.access == Access::Read || adds) {
                    let holds = self.holds[self.of[buf.index()]].map(|b| self.plan.spec(b).name.clone());
                    let (kernel, layer) = (step.kernel.name, &step.layer);
                    assert_eq!(holds.as_ref(), Some(&spec.name), "{kernel} of {layer} reads what was overwritten");
                }
            }
            for (_, &buf) in uses().filter(|(binding, _)| binding.access == Access::ReadWrite) {
                self.holds[self.of[buf.index()]] = Some(buf);
            }
        }
    }
}

#[test]
fn no_phase_overwrites_what_another_one_needs_however_often_it_is_run() {
    let step = zf64(8, 30);
    let (plan, chunks) = (&step.plan, step.chunks.as_ref().unwrap());
    let slots = assign_slots(plan, true);
    let mut memory =
        Memory { plan, of: slots.of.iter().map(|slot| slot.unwrap()).collect(), holds: vec![None; slots.bytes.len()] };
    for _ in 0..2 {
        for _ in 0..4 {
            memory.run(&chunks.forward);
            memory.run(&chunks.collect);
        }
        memory.run(&chunks.loss);
        // A batch in which nothing is active goes backward right away.
        memory.run(&chunks.gather);
        memory.run(&chunks.backward);
        for backward in [&chunks.backward, &chunks.backward_more, &chunks.backward_more] {
            memory.run(&chunks.forward);
            memory.run(&chunks.gather);
            memory.run(backward);
            memory.run(&chunks.statistics);
        }
        memory.run(&chunks.update);
    }
    // What is handed from phase to phase has an allocation of its own.
    let network = find("zf64").unwrap().model().unwrap();
    let params: Vec<String> = network.graph().params().map(|(_, n)| format!("d {}", n.name)).collect();
    let kept = ["batch embeddings", "d batch embeddings", "labels", "triplet_loss", "rows", "active", "rate"];
    for name in kept.iter().copied().chain(params.iter().map(String::as_str)) {
        let slot = slots.of[plan.find(name).unwrap_or_else(|| panic!("{name}")).index()];
        assert_eq!(slots.of.iter().filter(|s| **s == slot).count(), 1, "{name} shares its memory");
    }
}

#[test]
fn adding_differs_from_setting_in_the_gradients_of_the_parameters_alone() {
    let step = zf64(8, 30);
    let (plan, chunks) = (&step.plan, step.chunks.as_ref().unwrap());
    let (set, add) = (&plan.steps[chunks.backward.clone()], &plan.steps[chunks.backward_more.clone()]);
    assert_eq!(set.len(), add.len());
    let mut written = Vec::new();
    for (set, add) in set.iter().zip(add) {
        assert_eq!((set.kernel, &set.buffers, &set.params), (add.kernel, &add.buffers, &add.params));
        if set.overrides != add.overrides {
            let last = *set.buffers.last().unwrap();
            assert!(plan.spec(last).name.starts_with("d ") && plan.spec(last).role == Role::Output);
            written.push(last);
        }
    }
    assert_eq!(written.len(), plan.with_role(Role::Param).count());
}

#[test]
fn a_step_in_chunks_takes_the_memory_of_a_chunk_and_little_for_the_batch() {
    let bytes = |chunk, batch| zf64(chunk, batch).plan.bytes();
    let (one, many) = (bytes(32, 32), bytes(32, 1800));
    // Embeddings and their gradients, two matrices of distances and what selection needs.
    let batch = 4 * 1800 * (2 * 1800 + 4 * 128);
    // In the plan of a whole batch some gradients of parameters share the memory of activations.
    let params = 4 * find("zf64").unwrap().model().unwrap().param_count();
    assert!(many < one + batch + params, "{many} bytes, {one} for a chunk alone");
    assert!(bytes(1800, 1800) > 8 * many);
}

/// Multiplies by one, and says of itself that it looks at the whole batch.
#[derive(Debug)]
struct LooksAround(Relu);

impl Op for LooksAround {
    fn name(&self) -> &'static str {
        "relu"
    }
    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        self.0.output_shape(x)
    }
    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        self.0.forward(r, io);
    }
    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        self.0.backward(r, io, dy, dx);
    }
    fn depends_on_batch(&self) -> bool {
        true
    }
}

/// One linear layer on images of 2x2 pixels.
fn network(looks_around: bool) -> Model {
    let mut graph = Graph::new();
    let shape = |dims: &[u32]| Shape::new(dims).unwrap();
    let images = graph.input(IMAGES, shape(&[REFERENCE_BATCH, 2, 2, 3]));
    let w = graph.param("w", shape(&[12, 4]), Init::LecunNormal { fan_in: 12 }, true);
    let b = graph.param("b", shape(&[4]), Init::Zeros, false);
    let mut x = graph.op("linear", Linear { relu: false }, &[images, w, b]).unwrap();
    if looks_around {
        x = graph.op("relu", LooksAround(Relu), &[x]).unwrap();
    } else {
        x = graph.op("relu", Relu, &[x]).unwrap();
    }
    let embeddings = graph.op("embeddings", L2Normalize::default(), &[x]).unwrap();
    graph.set_output(EMBEDDINGS, embeddings);
    Model::new(
        "n",
        "",
        Preprocess { height: 2, width: 2, normalise: Normalise::Fixed, crop: None, alignment: None },
        graph,
    )
    .unwrap()
}

fn instance(batch: u32, looks_around: bool) -> Instance {
    network(looks_around).training(batch).unwrap()
}

/// Eleven images: three people with two each, five strangers who look all the same.
fn batch() -> HostBatch {
    let labels = vec![0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7];
    let pixel = |image: usize, i: usize| ((image * 31 + i * 17) % 23) as f32 / 11.0 - 1.0;
    let images = (0..11usize).flat_map(|image| (0..12).map(move |i| pixel(image.min(6), i)));
    HostBatch::of_floats(images.collect(), labels)
}

/// Weights after three steps, and what the last one has run.
fn train(step: Step, config: &Config) -> (Weights, Work) {
    let model = network(false);
    let start = initial_weights(&model, Metadata::of(&model).unwrap(), 5);
    let mut trainer = Trainer::of(&Engine::CpuF64, &model, step, config).unwrap();
    trainer.load(&start, Path::new("start")).unwrap();
    for _ in 0..3 {
        trainer.step(&batch(), 0.1).unwrap();
    }
    (trainer.weights().unwrap(), trainer.work())
}

#[test]
fn a_network_that_looks_around_meets_the_very_same_chunks_in_the_second_pass() {
    let config = Config { margin: 2.0, ..Config::default() };
    let (expected, _) = train(whole(instance(11, false), &config, 11, &[]).unwrap(), &config);
    let (packed, work) = train(in_chunks(instance(4, false), &config, 11, &[]).unwrap(), &config);
    assert_eq!((work.embedded, work.trained), (3, 2));
    assert!(work.skipped >= 4, "{work:?}");
    let (same, work) = train(in_chunks(instance(4, true), &config, 11, &[]).unwrap(), &config);
    // Nobody in the last chunk has a gradient.
    assert_eq!(work, Work { embedded: 3, trained: 2, skipped: 3 });
    for weights in [packed, same] {
        for ((name, _, got), (_, _, expected)) in weights.tensors.iter().zip(&expected.tensors) {
            let close = got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-6);
            assert!(close, "{name}: {got:?}, not {expected:?}");
        }
    }
    assert!(Options::default().share, "the trainer's plans share memory");
}

#[test]
fn frozen_layers_stay_as_they_are_and_cost_no_gradients() {
    let model = find("zf64").unwrap().model().unwrap();
    let set = crate::data::testing::noise_faces(&[2, 2], 64);
    let batch = crate::data::sampler::Batch {
        images: vec![0, 1, 2, 3],
        labels: vec![0, 0, 1, 1],
        views: vec![crate::data::augment::View::default(); 4],
        triplets: Vec::new(),
    };
    let batch = crate::data::prefetch::host_batch(&set, &batch).unwrap();
    let start = initial_weights(&model, Metadata::of(&model).unwrap(), 1);
    let steps = |freeze: &[&str], rate_of: &[&str], chunk: u32, rate: f32| {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let config = Config::default().with(|c| {
            (c.chunk, c.margin, c.optimiser) = (Some(chunk), 2.0, Some(crate::train::OptimiserKind::Sgd));
            (c.freeze, c.rate_of) = (owned(freeze), owned(rate_of));
        });
        let mut trainer = Trainer::new(&Engine::Cpu, &model, &config, 4).unwrap();
        trainer.load(&start, Path::new("start")).unwrap();
        let plan = trainer.executor().plan().steps.len();
        trainer.step(&batch, rate).unwrap().wait().unwrap();
        (trainer.weights().unwrap().tensors, plan)
    };
    let moved = |tensors: &[(String, Shape, Vec<f32>)]| -> Vec<bool> {
        tensors.iter().zip(&start.tensors).map(|(now, then)| now.2 != then.2).collect()
    };
    for chunk in [4, 2] {
        let (all, whole) = steps(&[], &[], chunk, 0.01);
        assert!(moved(&all).iter().all(|&moved| moved));
        let (upper, fewer) = steps(&["conv*"], &[], chunk, 0.01);
        for ((name, ..), moved) in start.tensors.iter().zip(moved(&upper)) {
            assert_eq!(moved, !name.starts_with("conv"), "{name}");
        }
        assert!(2 * fewer < whole + fewer, "{fewer} of {whole} steps: nothing goes backward through frozen layers");
        // A factor of a half is half the rate.
        let (halved, _) = steps(&[], &["*=0.5"], chunk, 0.01);
        assert!(halved == steps(&[], &[], chunk, 0.005).0);
    }
}

#[test]
fn with_a_moving_average_it_is_what_leaves_the_trainer_and_the_weights_are_what_is_trained() {
    let model = network(false);
    let start = initial_weights(&model, Metadata::of(&model).unwrap(), 5);
    for chunk in [11, 4] {
        let trainer = |ema| {
            let config = Config { margin: 2.0, ema, chunk: Some(chunk), ..Config::default() };
            let mut trainer = Trainer::new(&Engine::CpuF64, &model, &config, 11).unwrap();
            trainer.load(&start, Path::new("start")).unwrap();
            trainer
        };
        let (mut plain, mut averaging) = (trainer(0.0), trainer(0.75));
        assert_eq!(averaging.weights().unwrap().tensors, start.tensors, "before a step there is no average");
        let mut expected: Vec<Vec<f32>> = Vec::new();
        for step in 0..4 {
            plain.step(&batch(), 0.1).unwrap();
            averaging.step(&batch(), 0.1).unwrap();
            let now = plain.weights().unwrap();
            expected.resize(now.tensors.len(), Vec::new());
            for (average, (_, _, now)) in expected.iter_mut().zip(&now.tensors) {
                let moved = average.iter().zip(now).map(|(average, now)| average + 0.25 * (now - average)).collect();
                *average = if step == 0 { now.clone() } else { moved };
            }
            let got = averaging.weights().unwrap();
            for ((name, _, got), expected) in got.tensors.iter().zip(&expected) {
                let close = got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1e-6);
                assert!(close, "{name} after step {step}: {got:?}, not {expected:?}");
            }
            assert!(step == 0 || got.tensors != now.tensors);
        }
        averaging.reset_optimiser().unwrap();
        assert!(averaging.weights().unwrap().tensors == plain.weights().unwrap().tensors, "the average begins anew");
    }
}

#[test]
fn allocations_of_a_training_step_are_little_larger_than_what_is_alive() {
    let ratio = |name: &str| {
        let plan = Trainer::plan(&find(name).unwrap().model().unwrap(), &Config::default(), 64).unwrap();
        let slots = assign_slots_except(&plan, true, |buf| plan.spec(buf).role.is_persistent());
        slots.bytes.iter().sum::<u64>() as f64 / slots.live as f64
    };
    let ratios = ["zf64", "nn4", "inception-resnet-v1"].map(ratio);
    assert!(ratios.iter().all(|ratio| (1.0..=1.3).contains(ratio)), "{ratios:.3?}");
}
