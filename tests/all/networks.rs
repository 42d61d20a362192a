//! Every network: the totals that are published of it, the images that it takes, and that an embedding depends on its
//! image alone.

use crate::support::{gpus, normals, rng};
use facenet_gpu::executor::{Executor, Options};
use facenet_gpu::graph::{Purpose, Recording, Tensor};
use facenet_gpu::model::Instance;
use facenet_gpu::net::{self, NETWORKS, Network, Summary};
use facenet_gpu::train::{Config, Trainer};
use facenet_gpu::weights::{Metadata, Weights};
use facenet_gpu::{Engine, Model, Session, initial_weights};

fn network(name: &str) -> &'static Network {
    net::find(name).unwrap()
}

fn summary(name: &str) -> Summary {
    Summary::new(&network(name).model().unwrap(), true).unwrap()
}

/// Starting weights whose running statistics are not those of the start, so that folding has something to do.
fn weights(model: &Model) -> Weights {
    let mut weights = initial_weights(model, Metadata::of(model).unwrap(), 5);
    for (i, (name, _, data)) in weights.tensors.iter_mut().enumerate() {
        let shift = |scale: f32| move |(j, x): (usize, &mut f32)| *x += scale * ((i + 7 * j) % 11) as f32;
        match name.rsplit_once('/').unwrap().1 {
            "gamma" => data.iter_mut().enumerate().for_each(shift(-0.03)),
            "beta" | "b" | "mean" => data.iter_mut().enumerate().for_each(shift(0.01)),
            "var" => data.iter_mut().enumerate().for_each(shift(0.1)),
            _ => {}
        }
    }
    weights
}

#[test]
fn parameters_and_multiply_adds_are_those_that_are_published() {
    for (name, params, macs) in [
        ("nn2", 7_456_304, 1_596_500_000u64),
        ("nn4", 6_607_888, 284_740_000),
        ("openface-nn2", 7_472_144, 0),
        ("openface-nn4", 6_959_088, 0),
        ("openface-nn4-small1", 5_579_520, 0),
        ("openface-nn4-small2", 3_733_968, 0),
        ("openface-nn4-small2-v1", 3_733_968, 0),
        ("inception-resnet-v1", 23_482_624, 1_418_000_000),
    ] {
        let s = summary(name);
        assert_eq!(s.params, params, "{name}");
        // To as many digits as are given.
        assert!(macs == 0 || s.macs.abs_diff(macs) * 2000 < macs, "{name}: {} multiply-adds, not {macs}", s.macs);
    }
    let nn1 = summary("nn1");
    assert_eq!((nn1.params as f64 / 1e5).round(), 1400.0);
    assert_eq!((nn1.macs as f64 / 1e6).round(), 1606.0);
    assert_eq!((summary("nn3").macs as f64 / 1e6).round(), 815.0);
}

#[test]
fn the_networks_for_phones_meet_the_papers_totals_within_two_percent() {
    for (name, params, macs) in [("nns1", 26e6, 220e6), ("nns2", 4.3e6, 20e6)] {
        let s = summary(name);
        for (got, expected) in [(s.params, params), (s.macs, macs)] {
            assert!((got as f64 / expected - 1.0).abs() < 0.02, "{name}: {got}, the paper has {expected}");
        }
    }
}

#[test]
fn sizes_are_those_of_the_papers_tables() {
    for (name, expected) in [
        ("nn1", "110x110x64 55x55x64 55x55x64 55x55x64 55x55x192 55x55x192 28x28x192 28x28x192 28x28x384 14x14x384"),
        ("nn2", "112x112x64 56x56x64 56x56x64 56x56x192 56x56x192 28x28x192 28x28x256 28x28x320 14x14x640 14x14x640"),
        ("nn4", "48x48x64 24x24x64 24x24x64 24x24x192 24x24x192 12x12x192 12x12x256 12x12x320 6x6x640 6x6x640"),
        ("nns1", "83x83x32 42x42x32 42x42x80 21x21x80 21x21x128 21x21x192 11x11x352 11x11x352 11x11x352 6x6x576"),
        ("nns2", "70x58x16 35x29x16 35x29x32 18x15x32 18x15x80 9x8x144 9x8x128 5x4x208 5x4x192 1056"),
        ("inception-resnet-v1", "79x79x32 77x77x32 77x77x64 38x38x64 38x38x80 36x36x192 17x17x256 17x17x256"),
    ] {
        let sizes: Vec<String> = summary(name).layers.into_iter().map(|l| l.size_out).collect();
        assert!(sizes.join(" ").starts_with(expected), "{name}: {sizes:?}");
    }
}

#[test]
fn an_unknown_network_is_refused_with_the_nearest_name() {
    let error = net::find("inception-resnet").unwrap_err();
    assert!(error.to_string().contains("did you mean inception-resnet-v1?"), "{error}");
    assert!(!net::find("qwertz").unwrap_err().to_string().contains("did you mean"));
    assert_eq!(net::find("NN4").unwrap().name, "nn4");
}

#[test]
fn images_that_are_too_small_are_refused_with_a_size_that_is_not() {
    let error = network("inception-resnet-v1").sized(Some([70, 70]), None).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("cannot take images of 70x70") && matches!(error, facenet_gpu::Error::Setting(_)), "{text}");
    let side: u32 = text.split("give at least ").nth(1).unwrap().split('x').next().unwrap().parse().unwrap();
    assert!(network("inception-resnet-v1").sized(Some([side, side]), None).is_ok());
    assert!(network("inception-resnet-v1").sized(Some([side - 1, side - 1]), None).is_err());
}

#[test]
fn every_network_gives_any_embedding_size_and_takes_other_images() {
    for network in NETWORKS {
        for dim in [1, 64, 512] {
            let net = network.sized(None, Some(dim)).unwrap().inference(2).unwrap();
            assert_eq!(net.graph.shape(net.embeddings()).dims(), [2, dim], "{}", network.name);
        }
        let [height, width] = network.input;
        let net = network.sized(Some([height + 17, width + 5]), None).unwrap().inference(1).unwrap();
        assert_eq!(net.graph.shape(net.embeddings()).dims(), [1, network.embedding], "{}", network.name);
        assert!(network.sized(None, Some(0)).is_err());
    }
}

/// Sizes at which a network is run here: its own for the small ones, smaller ones for the others, so that the tests
/// stay fast.
fn affordable(network: &Network) -> Model {
    let input = match network.name {
        "nn1" => Some([48, 40]),
        "nn2" | "nn3" | "openface-nn2" => Some([80, 72]),
        "inception-resnet-v1" => Some([107, 91]),
        "dlib-resnet-v1" => Some([115, 107]),
        _ => None,
    };
    network.sized(input, None).unwrap()
}

fn embeddings(engine: &Engine, weights: &Weights, batch: u32, images: &[f32]) -> Vec<Vec<f32>> {
    let mut session = Session::with_weights(engine, weights, "weights").unwrap().with_batch(batch);
    session.embed_floats(images).unwrap().rows().map(<[f32]>::to_vec).collect()
}

#[test]
fn an_embedding_depends_neither_on_its_neighbours_nor_on_the_batch() {
    for network in NETWORKS {
        let weights = weights(&affordable(network));
        let len = weights.metadata.preprocess.face_len();
        let images = normals(&mut rng(network.name), 3 * len);
        let mut engines = vec![Engine::Cpu];
        if ["zf64", "nns2", "openface-nn4-small2-v1"].contains(&network.name) {
            engines.extend(gpus().into_iter().take(1).map(Engine::Gpu));
        }
        for engine in engines {
            let together = embeddings(&engine, &weights, 3, &images);
            let mut others = images.clone();
            others[..2 * len].iter_mut().for_each(|x| *x *= -3.0);
            let five = [&images[..], &images[..2 * len]].concat();
            for (what, row) in [
                ("alone", &embeddings(&engine, &weights, 1, &images[2 * len..])[0]),
                ("in a larger batch", &embeddings(&engine, &weights, 5, &five)[2]),
                ("beside others", &embeddings(&engine, &weights, 3, &others)[2]),
            ] {
                let worst = row.iter().zip(&together[2]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst <= 1e-6, "{} {what}: {worst:e} on {}", network.name, engine.describe());
            }
        }
    }
}

/// Forward of a graph that is made for training, with frozen statistics: the layers one by one, nothing folded.
fn unfolded(model: &Model, weights: &Weights, images: &[f32]) -> Vec<f32> {
    let net = model.sized(3, Purpose::Training { dropout: 0.0, frozen: true }).unwrap();
    let recording = Recording::forward(&net.graph, &[net.embeddings()]);
    let (x, y) = (recording.value(net.images), recording.value(net.embeddings()));
    let mut executor = Engine::Cpu.executor(recording.finish(), &Options::default()).unwrap();
    write_weights(executor.as_mut(), weights);
    executor.write(x, images).unwrap();
    executor.run_all().unwrap();
    executor.read(y).unwrap()
}

fn write_weights(executor: &mut dyn Executor, weights: &Weights) {
    for (name, _, data) in &weights.tensors {
        let buf = executor.plan().find(name).unwrap_or_else(|| panic!("{name}"));
        executor.write(buf, data).unwrap();
    }
}

#[test]
fn batch_normalisation_folded_into_the_weights_gives_the_same_embeddings() {
    for name in ["openface-nn4-small2", "inception-resnet-v1"] {
        let model = affordable(network(name));
        let weights = weights(&model);
        let images = normals(&mut rng(name), 3 * weights.metadata.preprocess.face_len());
        let folded = embeddings(&Engine::Cpu, &weights, 3, &images).concat();
        let whole = unfolded(&model, &weights, &images);
        let worst = folded.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{name}: {worst:e}");
    }
}

/// One run of a graph forward and backward: embeddings, then the gradient of every parameter by name.
fn run(engine: &Engine, net: &Instance, weights: &Weights, images: &[f32], dy: &[f32]) -> Vec<(String, Vec<f32>)> {
    let params: Vec<(Tensor, String)> = net.graph.params().map(|(t, n)| (t, n.name.clone())).collect();
    let mut recording = Recording::forward(&net.graph, &[net.embeddings()]);
    let seed = recording.backward(net.embeddings(), &params.iter().map(|(t, _)| *t).collect::<Vec<_>>());
    let (x, y) = (recording.value(net.images), recording.value(net.embeddings()));
    let gradients: Vec<_> = params.iter().map(|(t, name)| (name.clone(), recording.gradient(*t).unwrap())).collect();
    let mut executor = engine.executor(recording.finish(), &Options::default()).unwrap();
    write_weights(executor.as_mut(), weights);
    executor.write(x, images).unwrap();
    executor.write(seed, dy).unwrap();
    executor.run_all().unwrap();
    let mut results = vec![("embeddings".to_string(), executor.read(y).unwrap())];
    results.extend(gradients.into_iter().map(|(name, buf)| (name, executor.read(buf).unwrap())));
    results
}

/// Columns `from..to` of a row-major matrix.
fn columns(data: &[f32], all: usize, range: std::ops::Range<usize>) -> Vec<f32> {
    data.chunks_exact(all).flat_map(|row| row[range.clone()].to_vec()).collect()
}

#[test]
fn fully_connected_layers_that_are_split_give_what_whole_ones_give() {
    let nn1 = network("nn1");
    let whole_model = nn1.sized(Some([32, 32]), Some(8)).unwrap();
    // Small images leave a map of 1x1: fc1 is 256 x 8192, split here into five parts of uneven size.
    let split_layers = |n: &mut net::Blocks<'_>, images| {
        n.split_above(256 * 2 * 900);
        (nn1.layers)(n, images)
    };
    let split_model = net::model("nn1", "split", [32, 32], 8, split_layers).unwrap();
    let (whole, split) = (whole_model.training(2).unwrap(), split_model.training(2).unwrap());
    let whole_weights = weights(&whole_model);
    let mut split_weights = whole_weights.clone();
    split_weights.tensors.clear();
    // Layer, then the range of columns of the whole layer that a part holds.
    let mut next = std::collections::BTreeMap::new();
    let mut parts = Vec::new();
    for (_, node) in split.graph.params() {
        let (layer, kind) = node.name.rsplit_once('/').unwrap();
        let origin = layer.split_once("/part").map_or(layer, |(layer, _)| layer);
        let name = format!("{origin}/{kind}");
        let (all, data) = whole_weights.find(&name).map(|(shape, data)| (shape.channels() as usize, data)).unwrap();
        let from = next.entry(name.clone()).or_insert(0);
        let range = *from..*from + node.shape.channels() as usize;
        *from = range.end;
        split_weights.tensors.push((node.name.clone(), node.shape, columns(data, all, range.clone())));
        parts.push((node.name.clone(), name, all, range));
    }
    assert!(parts.iter().filter(|(name, ..)| name.contains("fc1/part")).count() >= 8, "fc1 was not split");
    assert!(parts.iter().any(|(name, ..)| name.contains("fc2/part10")), "fc2 needs more parts than one concat takes");
    let images = normals(&mut rng("split"), 2 * 32 * 32 * 3);
    let dy = normals(&mut rng("split dy"), 2 * 8);
    for engine in gpus().into_iter().take(1).map(Engine::Gpu).chain([Engine::Cpu]) {
        let expected = run(&engine, &whole, &whole_weights, &images, &dy);
        let got = run(&engine, &split, &split_weights, &images, &dy);
        expect_parts(&engine.describe(), &got, &expected, &parts);
    }
}

/// A tensor's results of two graphs by name, the first of which are the embeddings.
type Results = [(String, Vec<f32>)];
/// A part's tensor, the tensor of the whole layer that it belongs to, its columns in all, and those of the part.
type Part = (String, String, usize, std::ops::Range<usize>);

fn expect_parts(device: &str, got: &Results, expected: &Results, parts: &[Part]) {
    let close = |what: &str, got: &[f32], expected: &[f32]| {
        let scale = expected.iter().fold(1e-30f32, |m, x| m.max(x.abs()));
        let worst = got.iter().zip(expected).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f32::max);
        assert!(worst < 1e-5 && got.len() == expected.len(), "{what} on {device}: {worst:e}");
    };
    close("embeddings", &got[0].1, &expected[0].1);
    for (name, gradient) in &got[1..] {
        let (_, origin, all, range) = parts.iter().find(|(part, ..)| part == name).unwrap();
        let whole = &expected.iter().find(|(name, _)| name == origin).unwrap().1;
        close(name, gradient, &columns(whole, *all, range.clone()));
    }
}

#[test]
fn no_tensor_of_nn1_is_larger_than_what_every_adapter_binds() {
    let nn1 = network("nn1").model().unwrap();
    let plan = Trainer::plan(&nn1, &Config::default(), 4).unwrap();
    for buffer in &plan.buffers {
        assert!(buffer.bytes() <= 128 << 20, "{} has {} bytes", buffer.name, buffer.bytes());
    }
    let fc1: Vec<_> = nn1.graph().params().filter(|(_, n)| n.name.starts_with("fc1/")).collect();
    assert_eq!(fc1.iter().map(|(_, n)| n.shape.len()).sum::<usize>(), 12_544 * 8192 + 8192);
}
