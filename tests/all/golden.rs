//! PyTorch once, for the whole: embeddings, the gradient of every parameter after one step, and ten losses of a small
//! network. `golden/make_small.py` wrote the file; weights and images come from a formula that both sides compute.

use std::path::Path;
use std::sync::LazyLock;

use crate::support::{gpus, relative_error};
use facenet_gpu::data::prefetch::HostBatch;
use facenet_gpu::executor::Options;
use facenet_gpu::graph::{Recording, Tensor};
use facenet_gpu::net::{self, Blocks};
use facenet_gpu::op::{Stat, TripletLoss};
use facenet_gpu::plan::Shape;
use facenet_gpu::train::{Config, OptimiserKind, Schedule, Trainer};
use facenet_gpu::weights::{Metadata, Weights};
use facenet_gpu::{Engine, Model, Result};
use safetensors::SafeTensors;

const PEOPLE: u32 = 4;
const BATCH: u32 = 12;
const DIM: u32 = 16;
/// Floats of one image.
const IMAGE: usize = 16 * 16 * 3;

static SMALL: LazyLock<Model> =
    LazyLock::new(|| net::model("small", "the network of make_small.py", [16, 16], DIM, layers).unwrap());

fn layers(n: &mut Blocks<'_>, images: Tensor) -> Result<Tensor> {
    let x = n.conv("conv1", images, 8, 5, 2)?;
    let x = n.max_pool("pool1", x)?;
    let x = n.conv("conv2", x, 16, 3, 1)?;
    let x = n.fully_connected("fc1", x, 24)?;
    n.embedding(x)
}

/// `formula` of `make_small.py`.
#[expect(clippy::cast_possible_truncation, reason = "the script rounds to f32 too")]
fn formula(count: usize, number: u32, scale: f64) -> Vec<f32> {
    let value = |i: usize| {
        let x = i as f64;
        let angle = (x + 1.0) * (1.7 + 0.31 * f64::from(number)) + 0.013 * (x % 89.0) * (x % 97.0);
        (scale * angle.sin()) as f32
    };
    (0..count).map(value).collect()
}

fn weights() -> Weights {
    let scales = [0.2, 0.1, 0.2, 0.1, 0.15, 0.1, 0.3, 0.1];
    let fill = |((_, node), (number, scale)): ((_, &facenet_gpu::graph::Node), (u32, f64))| {
        (node.name.clone(), node.shape, formula(node.shape.len(), number, scale))
    };
    let tensors = SMALL.graph().params().zip((0u32..).zip(scales)).map(fill).collect();
    Weights { metadata: Metadata::of(&SMALL).unwrap(), tensors }
}

fn batch() -> HostBatch {
    let labels: Vec<u32> = (0..BATCH).map(|i| i % PEOPLE).collect();
    let mut images = Vec::new();
    for (i, &label) in (0u32..).zip(&labels) {
        let (person, view) = (formula(IMAGE, 20 + label, 0.4), formula(IMAGE, 40 + i, 0.9));
        images.extend(person.iter().zip(&view).map(|(a, b)| a + b));
    }
    HostBatch::of_floats(images, labels)
}

/// Tensors of the golden file.
struct Golden(Vec<u8>);

impl Golden {
    fn read() -> Self {
        Self(std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/small.safetensors")).unwrap())
    }

    fn get(&self, name: &str) -> Vec<f64> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        bytemuck::pod_collect_to_vec::<u8, f32>(view.data()).into_iter().map(f64::from).collect()
    }
}

fn engines() -> Vec<Engine> {
    gpus().into_iter().map(Engine::Gpu).chain([Engine::Cpu, Engine::CpuF64]).collect()
}

#[test]
fn embeddings_and_gradients_after_one_step_are_those_of_pytorch() {
    let golden = Golden::read();
    let mut net = SMALL.training(BATCH).unwrap();
    let embeddings = net.embeddings();
    let labels = net.graph.input_u32("labels", Shape::vector(BATCH));
    let loss = net.graph.op("loss", TripletLoss::default(), &[embeddings, labels]).unwrap();
    let params: Vec<(Tensor, String)> = net.graph.params().map(|(t, n)| (t, n.name.clone())).collect();
    let mut recording = Recording::forward(&net.graph, &[loss, embeddings]);
    let wrt: Vec<Tensor> = params.iter().map(|(t, _)| *t).collect();
    let dloss = recording.backward(loss, &wrt);
    let (images, labels) = (recording.value(net.images), recording.value(labels));
    let embeddings = recording.value(embeddings);
    let gradients: Vec<_> = params.iter().map(|(t, name)| (recording.gradient(*t).unwrap(), name)).collect();
    let plan = recording.finish();
    let (weights, batch) = (weights(), batch());
    for engine in engines() {
        let mut executor = engine.executor(plan.clone(), &Options::checked()).unwrap();
        for (name, _, data) in &weights.tensors {
            executor.write(plan.find(name).unwrap(), data).unwrap();
        }
        let mut floats = vec![0.0; BATCH as usize * IMAGE];
        batch.images.write(&(0..BATCH as usize).collect::<Vec<_>>(), &mut floats).unwrap();
        executor.write(images, &floats).unwrap();
        executor.write_u32(labels, &batch.labels).unwrap();
        let mut seed = vec![0.0; Stat::COUNT];
        seed[Stat::Loss] = 1.0;
        executor.write(dloss, &seed).unwrap();
        executor.run_all().unwrap();
        let device = engine.describe();
        let error = relative_error(&executor.read(embeddings).unwrap(), &golden.get("embeddings"));
        assert!(error < 1e-5, "{device}: embeddings are off by {error:.2e}");
        for (buf, name) in &gradients {
            let error = relative_error(&executor.read(*buf).unwrap(), &golden.get(&format!("d {name}")));
            // PyTorch's own f32 gradients are no closer to the f64 ones than this.
            assert!(error < 2e-5, "{device}: the gradient of {name} is off by {error:.2e}");
        }
    }
}

#[test]
fn ten_losses_with_each_optimiser_are_those_of_pytorch_on_every_device_and_in_f64() {
    let golden = Golden::read();
    let (weights, batch) = (weights(), batch());
    for (optimiser, learning_rate, name) in
        [(OptimiserKind::Sgd, 0.003, "sgd"), (OptimiserKind::AdaGrad, 0.005, "adagrad")]
    {
        let config = Config::default().with(|c| (c.optimiser, c.schedule) = (Some(optimiser), Schedule::Constant));
        let expected = golden.get(&format!("losses/{name}"));
        for engine in engines() {
            let mut trainer = Trainer::new(&engine, &SMALL, &config, BATCH).unwrap();
            trainer.load(&weights, Path::new("the formula")).unwrap();
            let mut losses = Vec::new();
            for _ in 0..10 {
                losses.push(trainer.step(&batch, learning_rate).unwrap().wait().unwrap()[Stat::Loss]);
            }
            let error = relative_error(&losses, &expected);
            // Ten steps multiply the differences of single sums; a wrong gradient shows at 1e-2.
            assert!(error < 1e-4, "{}: {name}: {losses:?}, PyTorch {expected:?}", engine.describe());
        }
    }
}
