//! dlib's face recognition network: a file of its format, written here with weights that follow from a formula, gives the
//! embeddings that dlib itself makes with these weights (`golden/make_dlib.py`); and embeddings of any length are what the rest
//! of the program takes them for.

use std::fs;
use std::path::{Path, PathBuf};

use facenet_gpu::data::preprocess::Normalise;
use facenet_gpu::weights::{Origin, guess_network, import};
use facenet_gpu::{Engine, Session, Weights, net};
use image::{DynamicImage, RgbImage};
use predicates::prelude::*;

use crate::support::program::{refused, run};

const GOLDEN: &str = include_str!("../golden/dlib.json");

/// Numbers in -0.5..0.5 by a hash of their place: `uniform` of the script.
fn uniform(tensor: u64, count: usize) -> impl Iterator<Item = f64> {
    (0..count as u64).map(move |i| {
        let h = (i * 2_654_435_761 + tensor * 40503 + 12345) & 0xFFFF_FFFF;
        let h = ((h ^ (h >> 15)) * 2_246_822_519) & 0xFFFF_FFFF;
        (h ^ (h >> 13)) as f64 / 4_294_967_296.0 - 0.5
    })
}

/// `image` of the script.
fn image(number: u32) -> DynamicImage {
    let byte = |x: u32, y: u32, c: u32| ((x * x * (number + 1) + 3 * y * y + x * y + 50 * c) % 251) as u8;
    RgbImage::from_fn(150, 150, |x, y| image::Rgb([0, 1, 2].map(|c| byte(x, y, c)))).into()
}

/// A file of dlib as it is written.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    tensors: u64,
}

impl Writer {
    fn int(&mut self, n: i64) {
        let bytes = n.unsigned_abs().to_le_bytes();
        let length = 8 - n.unsigned_abs().leading_zeros() as usize / 8;
        self.bytes.push(u8::try_from(length.max(1)).unwrap() | if n < 0 { 0x80 } else { 0 });
        self.bytes.extend(&bytes[..length.max(1)]);
    }

    fn ints(&mut self, all: &[usize]) {
        all.iter().for_each(|&n| self.int(n as i64));
    }

    fn name(&mut self, name: &str) {
        self.int(name.len() as i64);
        self.bytes.extend(name.as_bytes());
    }

    #[expect(clippy::cast_possible_truncation, reason = "the script rounds to f32 too")]
    fn tensor(&mut self, sizes: [usize; 4], values: impl Iterator<Item = f64>) {
        self.ints(&[2]);
        self.ints(&sizes);
        self.bytes.extend(values.flat_map(|x| (x as f32).to_le_bytes()));
        self.tensors += 1;
    }

    /// Flags of a layer, and its two tensors without values.
    fn end(&mut self) {
        self.bytes.extend(b"110");
        for _ in 0..2 {
            self.ints(&[2, 0, 0, 0, 0]);
        }
    }

    fn convolution(&mut self, [filters, channels, side, stride]: [usize; 4]) {
        let weights = filters * channels * side * side;
        let scale = (12.0 * filters as f64 / weights as f64).sqrt();
        self.name("con_4");
        let values: Vec<f64> = uniform(self.tensors, weights + filters).collect();
        let scaled = values.iter().enumerate().map(|(i, x)| x * if i < weights { scale } else { 0.1 });
        self.tensor([weights + filters, 1, 1, 1], scaled);
        let pad = if stride == 1 { side / 2 } else { 0 };
        self.ints(&[filters, side, side, stride, stride, pad, pad, 1, filters, channels, side, side]);
        self.end();
        self.name("affine_");
        let values = uniform(self.tensors, 2 * filters).enumerate();
        self.tensor([2 * filters, 1, 1, 1], values.map(|(i, x)| if i < filters { 1.0 + 0.2 * x } else { 0.1 * x }));
        self.end();
    }

    fn plain(&mut self, name: &str) {
        self.name(name);
        self.end();
    }
}

/// The whole file.
fn file() -> Vec<u8> {
    let mut w = Writer::default();
    w.int(1);
    w.name("loss_metric_2");
    w.name("input_rgb_image_sized");
    // 122.782, 117.001 and 104.298 times 2^17.
    for mean in [16_093_282, 15_335_555, 13_670_547] {
        w.int(mean);
        w.int(-17);
    }
    w.ints(&[150, 150]);
    w.convolution([32, 3, 7, 2]);
    w.plain("relu_");
    w.plain("max_pool_2");
    let mut channels = 32;
    for (wide, strides) in
        [(32, &[1, 1, 1][..]), (64, &[2, 1, 1, 1]), (128, &[2, 1, 1]), (256, &[2, 1, 1]), (256, &[2])]
    {
        for &stride in strides {
            w.convolution([wide, channels, 3, stride]);
            w.plain("relu_");
            w.convolution([wide, wide, 3, 1]);
            if stride == 2 {
                w.plain("avg_pool_2");
            }
            w.plain("add_prev_");
            w.plain("relu_");
            channels = wide;
        }
    }
    w.plain("avg_pool_2");
    w.name("fc_2");
    w.ints(&[128, 256]);
    let values = uniform(w.tensors, 256 * 128).map(|x| x * (12.0_f64 / 256.0).sqrt());
    w.tensor([256, 128, 1, 1], values);
    w.end();
    w.bytes
}

/// The file in a folder, and its weights in another file.
fn imported(dir: &Path) -> (PathBuf, Weights) {
    let path = dir.join("net.dat");
    fs::write(&path, file()).unwrap();
    let network = guess_network(&path, None).unwrap();
    let weights = import(&path, network, None, Origin::default()).unwrap().weights;
    weights.save(&dir.join("w.safetensors")).unwrap();
    (path, Weights::load(&dir.join("w.safetensors")).unwrap())
}

#[test]
fn embeddings_are_those_of_dlib() {
    let dir = tempfile::tempdir().unwrap();
    let (_, weights) = imported(dir.path());
    let m = &weights.metadata;
    assert_eq!(
        (m.network.as_str(), m.embedding, m.unit_length, m.threshold),
        ("dlib-resnet-v1", 128, false, Some(0.36))
    );
    assert_eq!((m.preprocess.height, m.preprocess.normalise), (150, Normalise::Dlib));
    let expected: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
    let expected: Vec<Vec<f32>> = serde_json::from_value(expected["embeddings"].clone()).unwrap();
    let mut session = Session::with_weights(&Engine::Cpu, &weights, "w").unwrap();
    let found = session.embed(&[image(0), image(1)]).unwrap();
    assert!(!found.unit_length());
    for (i, expected) in expected.iter().enumerate() {
        let worst = found.row(i).iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // The embeddings have a length of about 8.6.
        assert!(worst < 1e-4, "image {i} differs by {worst}");
    }
}

#[test]
fn files_that_are_cut_short_or_of_another_network_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net.dat");
    let whole = file();
    let refusal = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        guess_network(&path, None).unwrap_err().to_string()
    };
    for length in (400..whole.len()).step_by(1_234_567).chain([whole.len() - 1, whole.len() - 25]) {
        assert!(refusal(&whole[..length]).contains("is cut short or damaged"), "{length} bytes");
    }
    let replaced = |from: &[u8], to: &[u8]| {
        let at = whole.windows(from.len()).position(|bytes| bytes == from).unwrap();
        [&whole[..at], to, &whole[at + from.len()..]].concat()
    };
    for (bytes, part) in [
        (replaced(b"\x0dloss_metric_2", b"\x0aloss_mmod_"), "is another network of dlib, with loss_mmod_"),
        (replaced(b"\x05relu_", b"\x06prelu_"), "it has the layer prelu_ in the place of relu"),
        (replaced(b"\x01\x96\x01\x96", b"\x01\x97\x01\x97"), "for images of 151x151"),
        (b"\x01\x01\x81\x0a\x81\x01\x03\x6e\xb8\xc6".to_vec(), "is no network of dlib"),
    ] {
        let text = refusal(&bytes);
        assert!(text.contains(part) && text.contains("give dlib_face_recognition_resnet_model_v1.dat"), "{text}");
    }
}

#[test]
fn a_network_whose_embeddings_have_no_unit_length_is_not_trained() {
    let model = net::find("dlib-resnet-v1").unwrap().model().unwrap();
    assert!(!model.unit_length());
    assert!(net::find("zf64").unwrap().model().unwrap().unit_length());
    let dir = tempfile::tempdir().unwrap();
    let said = run(dir.path(), "train --plan --net dlib-resnet-v1 --device cpu");
    refused(said, 2, &["dlib-resnet-v1 gives embeddings of any length", "train another network"]);
}

#[test]
fn commands_take_embeddings_of_any_length_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    imported(dir.path());
    fs::create_dir(dir.path().join("faces")).unwrap();
    for i in 0..2 {
        image(i).save(dir.path().join(format!("faces/{i}.png"))).unwrap();
    }
    let run = |arguments: &str| run(dir.path(), arguments);
    let said = run("verify w.safetensors faces/0.png faces/1.png --device cpu").success();
    said.stdout(
        predicate::str::contains("0.064 (squared)").and(predicate::str::contains("threshold is 0.360, of those who")),
    );
    let said = run("verify w.safetensors faces/0.png faces/1.png --device cpu --threshold 5").success();
    said.stdout(predicate::str::contains("threshold is 5.000, given"));
    refused(run("gallery create bytes w.safetensors --vectors bytes"), 2, &["also differ in length; give floats"]);
    run("gallery create g w.safetensors").success().stdout(predicate::str::contains("floats, 512 bytes a face"));
    run("gallery add g w.safetensors faces/0.png --name Ada --device cpu").success();
    run("identify g w.safetensors faces/1.png --device cpu").success().stdout(predicate::str::contains("Ada"));
    run("embed w.safetensors faces --out t.npy --device cpu").success();
    run("cluster t.npy --threshold 5 --out one").success().stdout(predicate::str::contains("clusters  1:"));
    run("cluster w.safetensors --data t.npy --out two").success();
}
