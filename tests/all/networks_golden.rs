//! PyTorch once, for whole networks: embeddings of four images, and for NN4 the gradient of every parameter after one
//! triplet step. `golden/make_networks.py` wrote the file; weights and images come from a formula that both sides
//! compute, running statistics and the embedding's bias are in the file: see there why.

use std::path::Path;

use crate::support::gpus;
use facenet_gpu::executor::Options;
use facenet_gpu::graph::{Recording, Tensor};
use facenet_gpu::net;
use facenet_gpu::op::{Stat, TripletLoss};
use facenet_gpu::plan::Shape;
use facenet_gpu::weights::{Metadata, Weights};
use facenet_gpu::{Engine, Model, Session};
use safetensors::{Dtype, SafeTensors};

const BATCH: usize = 4;
/// Who is in the images.
const PEOPLE: [u32; BATCH] = [0, 0, 1, 1];
const LABELS: [u32; BATCH] = [0, 1, 0, 1];
const MARGIN: f32 = 0.8;

/// Pseudo-random numbers from a name, between -scale and scale: `formula` of the script.
#[expect(clippy::cast_possible_truncation, reason = "the script rounds to f32 too")]
fn formula(name: &str, count: usize, scale: f64) -> Vec<f32> {
    let state = u64::from(crc32(name.as_bytes())).wrapping_mul(0xD1B5_4A32_D192_ED03);
    let value = |i: u64| {
        let x = i.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(state);
        let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let x = x ^ (x >> 31);
        (scale * ((x >> 40) as f64 / f64::from(1 << 23) - 1.0)) as f32
    };
    (1..=count as u64).map(value).collect()
}

/// The checksum of zip files, as Python's `zlib.crc32`.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), bit))
}

/// `images` of the script: `[4, size, size, 3]`.
#[expect(clippy::cast_possible_truncation, reason = "the script rounds to f32 too")]
fn images(size: u32) -> Vec<f32> {
    let mut images = Vec::new();
    for (i, person) in PEOPLE.iter().enumerate() {
        let (f, g) = (formula(&format!("person {person}"), 18, 6.0), formula(&format!("view {i}"), 18, 2.0));
        for (row, column) in (0..size).flat_map(|row| (0..size).map(move |column| (row, column))) {
            for c in 0..3 {
                let wave = |k: usize| {
                    let at = f64::from(if k % 2 == 1 { row } else { column }) / f64::from(size - 1);
                    let (f, g) = (f[6 * c + k], g[6 * c + k]);
                    (f64::from(f + g) * at * (k + 1) as f64 + f64::from(f)).sin()
                };
                images.push(((0..6).map(wave).sum::<f64>() / 3.0) as f32);
            }
        }
    }
    images
}

/// Tensors of the golden file.
struct Golden(Vec<u8>);

impl Golden {
    fn read() -> Self {
        Self(std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/networks.safetensors")).unwrap())
    }

    fn find(&self, name: &str) -> Option<Vec<f64>> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).ok()?;
        Some(match view.dtype() {
            Dtype::F64 => bytemuck::pod_collect_to_vec(view.data()),
            _ => bytemuck::pod_collect_to_vec::<u8, f32>(view.data()).into_iter().map(f64::from).collect(),
        })
    }

    fn get(&self, name: &str) -> Vec<f64> {
        self.find(name).unwrap_or_else(|| panic!("{name} is not in the golden file"))
    }

    /// The weights of a network: from the file what it holds, everything else from the formula.
    #[expect(clippy::cast_possible_truncation, reason = "the file holds f32")]
    fn weights(&self, model: &Model) -> Weights {
        let tensor = |name: &str, shape: Shape| {
            if let Some(kept) = self.find(&format!("{}:{name}", model.name())) {
                return kept.into_iter().map(|x| x as f32).collect();
            }
            let len = shape.len();
            match name.rsplit_once('/').unwrap().1 {
                "w" => formula(name, len, (6.0 / f64::from(shape.rows())).sqrt()),
                "gamma" => formula(name, len, 0.3).into_iter().map(|x| 1.0 + x).collect(),
                _ => formula(name, len, 0.1),
            }
        };
        let tensors = model.tensors().map(|(name, shape)| (name.to_string(), shape, tensor(name, shape)));
        Weights { metadata: Metadata::of(model).unwrap(), tensors: tensors.collect() }
    }
}

/// Largest difference between embeddings and those of PyTorch, on one device.
fn worst(engine: &Engine, golden: &Golden, name: &str) -> f64 {
    let network = net::find(name).unwrap();
    let weights = golden.weights(&network.model().unwrap());
    let mut session = Session::with_weights(engine, &weights, "the formula").unwrap().with_batch(4);
    let got = session.embed_floats(&images(network.input[0])).unwrap();
    let expected = golden.get(&format!("{name}:embeddings"));
    assert_eq!(got.len() * network.embedding as usize, expected.len());
    let rows: Vec<&[f64]> = expected.chunks_exact(network.embedding as usize).collect();
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let pairs = (0..BATCH).flat_map(|i| (0..i).map(move |j| (i, j)));
    let least = pairs.map(|(i, j)| apart(rows[i], rows[j])).fold(f64::INFINITY, f64::min);
    assert!(least > 0.5, "{name}: embeddings that lie {least} apart would hide any bug");
    got.as_slice().iter().zip(&expected).map(|(&g, e)| (f64::from(g) - e).abs()).fold(0.0, f64::max)
}

#[test]
fn embeddings_on_the_cpu_are_those_of_pytorch() {
    let golden = Golden::read();
    for name in ["nn2", "nn4", "openface-nn4-small2", "openface-nn4-small2-v1", "inception-resnet-v1"] {
        let worst = worst(&Engine::Cpu, &golden, name);
        assert!(worst < 1e-4, "{name}: {worst:.1e}");
    }
}

#[test]
fn embeddings_of_the_shaders_are_those_of_pytorch() {
    let golden = Golden::read();
    // One adapter: its families are held against each other op by op in tests/all/ops.rs.
    for gpu in gpus().into_iter().take(1) {
        for name in ["nn2", "nn4", "openface-nn4-small2", "openface-nn4-small2-v1", "inception-resnet-v1"] {
            let worst = worst(&Engine::Gpu(gpu.clone()), &golden, name);
            assert!(worst < 1e-4, "{name}: {worst:.1e}");
        }
    }
}

#[test]
fn every_gradient_of_nn4_after_a_triplet_step_is_that_of_pytorch() {
    let golden = Golden::read();
    let model = net::find("nn4").unwrap().model().unwrap();
    let mut net = model.training(4).unwrap();
    let embeddings = net.embeddings();
    let labels = net.graph.input_u32("labels", Shape::vector(4));
    let loss = net.graph.op("loss", TripletLoss::new(MARGIN).unwrap(), &[embeddings, labels]).unwrap();
    let params: Vec<(Tensor, String)> = net.graph.params().map(|(t, n)| (t, n.name.clone())).collect();
    let mut recording = Recording::forward(&net.graph, &[loss]);
    let wrt: Vec<Tensor> = params.iter().map(|(t, _)| *t).collect();
    let dloss = recording.backward(loss, &wrt);
    let (x, labels, loss) = (recording.value(net.images), recording.value(labels), recording.value(loss));
    let gradients: Vec<_> = params.iter().map(|(t, name)| (recording.gradient(*t).unwrap(), name)).collect();
    let plan = recording.finish();
    let weights = golden.weights(&model);
    for engine in gpus().into_iter().take(1).map(Engine::Gpu).chain([Engine::Cpu]) {
        let mut executor = engine.executor(plan.clone(), &Options::default()).unwrap();
        for (name, _, data) in &weights.tensors {
            executor.write(plan.find(name).unwrap(), data).unwrap();
        }
        executor.write(x, &images(96)).unwrap();
        executor.write_u32(labels, &LABELS).unwrap();
        let mut seed = vec![0.0; Stat::COUNT];
        seed[Stat::Loss] = 1.0;
        executor.write(dloss, &seed).unwrap();
        executor.run_all().unwrap();
        let device = engine.describe();
        let statistics = executor.read(loss).unwrap();
        assert_eq!(statistics[Stat::Active], 3.0, "{device}");
        let error = (f64::from(statistics[Stat::Loss]) - golden.get("nn4:loss")[0]).abs();
        assert!(error < 1e-4, "{device}: the loss is off by {error:.1e}");
        for (buf, name) in &gradients {
            let data: Vec<f64> = executor.read(*buf).unwrap().into_iter().map(f64::from).collect();
            let norm = data.iter().map(|x| x * x).sum::<f64>().sqrt();
            let largest = data.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            let some = (0..16usize).map(|i| data[(i * 2_654_435_761) % data.len()]);
            // Every element has a part in the projections.
            let projection = |i: usize| {
                let direction = formula(&format!("projection {i} of {name}"), data.len(), 1.0);
                data.iter().zip(direction).map(|(x, d)| x * f64::from(d)).sum::<f64>()
            };
            let got: Vec<f64> = [norm, largest].into_iter().chain(some).chain((0..4).map(projection)).collect();
            let expected = golden.get(&format!("nn4:d {name}"));
            assert_eq!(got.len(), expected.len());
            // The norm and the projections relative to the norm, elements relative to the largest one.
            let scales = [expected[0], expected[1]].into_iter().chain([expected[1]; 16]).chain([expected[0]; 4]);
            for ((got, expected), scale) in got.iter().zip(&expected).zip(scales) {
                let error = (got - expected).abs() / scale;
                assert!(error < 1e-3, "{device}: d {name}: {got:e}, PyTorch has {expected:e}");
            }
        }
    }
}
