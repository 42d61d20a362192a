//! facenet-pytorch once, for MTCNN: the faces that it finds with made-up weights on made-up images, imported from state dicts
//! with its names and layouts. `golden/make_mtcnn.py` wrote the file; weights and images come from formulas that both sides
//! compute.

use std::path::Path;

use facenet_gpu::Engine;
use facenet_gpu::detect::{Detection, Detector, DetectorSettings};
use facenet_gpu::weights::{DetectorWeights, Origin, import_detector};
use image::{Rgb, RgbImage};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::Deserialize;

use crate::support::gpus;

/// How far edges and landmarks may be apart, in pixels, and probabilities.
const PIXELS: f32 = 0.02;
const PROBABILITY: f32 = 1e-4;

#[derive(Deserialize)]
struct Case {
    height: u32,
    width: u32,
    min_face: f64,
    thresholds: [f32; 3],
    faces: Vec<Face>,
}

#[derive(Deserialize)]
struct Face {
    r#box: [f32; 4],
    probability: f32,
    landmarks: [[f32; 2]; 5],
}

/// Layers of a network: name, output channels or rows, and the sizes of one of them.
type Layers = &'static [(&'static str, usize, &'static [usize])];
/// Name, sizes and values of tensors.
type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

const NETWORKS: [(&str, Layers); 3] = [
    (
        "pnet",
        &[
            ("conv1", 10, &[3, 3, 3]),
            ("conv2", 16, &[10, 3, 3]),
            ("conv3", 32, &[16, 3, 3]),
            ("conv4_1", 2, &[32, 1, 1]),
            ("conv4_2", 4, &[32, 1, 1]),
        ],
    ),
    (
        "rnet",
        &[
            ("conv1", 28, &[3, 3, 3]),
            ("conv2", 48, &[28, 3, 3]),
            ("conv3", 64, &[48, 2, 2]),
            ("dense4", 128, &[576]),
            ("dense5_1", 2, &[128]),
            ("dense5_2", 4, &[128]),
        ],
    ),
    (
        "onet",
        &[
            ("conv1", 32, &[3, 3, 3]),
            ("conv2", 64, &[32, 3, 3]),
            ("conv3", 64, &[64, 3, 3]),
            ("conv4", 128, &[64, 2, 2]),
            ("dense5", 256, &[1152]),
            ("dense6_1", 2, &[256]),
            ("dense6_2", 4, &[256]),
            ("dense6_3", 10, &[256]),
        ],
    ),
];

fn mixed(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The checksum of zip files, as Python's `zlib.crc32`.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), bit))
}

/// `formula` of the script.
#[expect(clippy::cast_possible_truncation, reason = "the script rounds to f32 too")]
fn formula(name: &str, count: usize, scale: f64) -> Vec<f32> {
    let state = u64::from(crc32(name.as_bytes())).wrapping_mul(0xD1B5_4A32_D192_ED03);
    let value = |i: u64| {
        let x = mixed(i.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(state));
        (scale * ((x >> 40) as f64 / f64::from(1 << 23) - 1.0)) as f32
    };
    (1..=count as u64).map(value).collect()
}

/// The state dict of a network, as facenet-pytorch would save it: name, sizes, values.
fn state_dict(network: &str, layers: Layers) -> Tensors {
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: Vec<usize>, scale: f64| {
        let values = formula(&format!("{network}.{name}"), shape.iter().product(), scale);
        tensors.push((name, shape, values));
    };
    for (layer, out, one) in layers {
        let last = match *layer {
            "conv4_1" => 9.0,
            "dense5_1" => 7.0,
            "dense6_1" => 8.0,
            "conv4_2" | "dense5_2" | "dense6_2" => 0.2,
            _ => 1.0,
        };
        let fan_in: usize = one.iter().product();
        add(format!("{layer}.weight"), [&[*out], *one].concat(), last * (3.0 / fan_in as f64).sqrt());
        add(format!("{layer}.bias"), vec![*out], 0.1);
        let number = layer.trim_start_matches(char::is_alphabetic);
        if !number.contains('_') {
            add(format!("prelu{number}.weight"), vec![*out], 0.4);
        }
    }
    tensors
}

/// Writes the three state dicts as safetensors and imports them.
pub(crate) fn weights(dir: &Path) -> DetectorWeights {
    let files = NETWORKS.map(|(network, layers)| {
        let tensors = state_dict(network, layers);
        let views = tensors.iter().map(|(name, shape, values)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values)).unwrap();
            (name.as_str(), view)
        });
        let path = dir.join(format!("{network}.safetensors"));
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        path
    });
    // In any order.
    import_detector(&[&files[2], &files[0], &files[1]], Origin::default()).unwrap()
}

/// Writes the three networks as one state dict.
pub(crate) fn write_together(path: &Path) {
    let of = |(network, layers): (&'static str, Layers)| {
        state_dict(network, layers)
            .into_iter()
            .map(move |(name, shape, values)| (format!("{network}.{name}"), shape, values))
    };
    let tensors: Tensors = NETWORKS.into_iter().flat_map(of).collect();
    let views = tensors.iter().map(|(name, shape, values)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values)).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// `image` of the script.
pub(crate) fn picture(number: u64, height: u32, width: u32) -> RgbImage {
    let hashed = |k: u64| mixed(k.wrapping_mul(0x9E37_79B9_7F4A_7C15)) >> 56;
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (u64::from(x), u64::from(y));
        let byte = |c: u64| {
            let block = hashed(((y / 9) * 1000 + x / 9) * 3 + c + 1_000_000 * number + 1);
            let noise = hashed((y * 10_000 + x) * 3 + c + 500_000_000 * (number + 1));
            u8::try_from((3 * block + noise) / 4).unwrap()
        };
        Rgb([byte(0), byte(1), byte(2)])
    })
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mtcnn.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Holds each face against the one of the file that is nearest: orders of equals may differ.
fn compare(found: &[Detection], case: &Case, device: &str) {
    let size = (case.height, case.width);
    assert_eq!(found.len(), case.faces.len(), "{device} {size:?}");
    for face in found {
        let apart = |other: &Face| {
            let edges = face.bounds.iter().zip(&other.r#box).map(|(a, b)| (a - b).abs());
            edges.fold(0.0, f32::max)
        };
        let near = case.faces.iter().min_by(|a, b| apart(a).total_cmp(&apart(b))).unwrap();
        assert!(apart(near) < PIXELS, "{device} {size:?}: {face:?}, {} apart", apart(near));
        assert!((face.probability - near.probability).abs() < PROBABILITY, "{device} {size:?}: {face:?}");
        for (ours, theirs) in face.landmarks.iter().flatten().zip(near.landmarks.iter().flatten()) {
            assert!((ours - theirs).abs() < PIXELS, "{device} {size:?}: {face:?}");
        }
    }
    assert!(found.is_sorted_by(|a, b| a.area() >= b.area()), "{device} {size:?}: the largest comes first");
}

fn check(engine: &Engine, device: &str) {
    let dir = tempfile::tempdir().unwrap();
    let weights = weights(dir.path());
    for (number, case) in (0..).zip(cases()) {
        let Case { min_face, thresholds, .. } = case;
        let settings = DetectorSettings { min_face, thresholds, ..DetectorSettings::default() };
        let mut detector = Detector::new(engine, &weights).unwrap().with_settings(settings).unwrap();
        let picture = picture(number, case.height, case.width);
        compare(&detector.detect(&picture).unwrap(), &case, device);
    }
}

#[test]
fn the_cpu_device_finds_the_faces_that_facenet_pytorch_finds() {
    check(&Engine::Cpu, "cpu");
}

#[test]
fn the_gpu_finds_the_faces_that_facenet_pytorch_finds() {
    for gpu in gpus() {
        check(&Engine::Gpu(gpu.clone()), &gpu.info().describe());
    }
}

#[test]
fn images_of_all_sizes_together_have_the_faces_that_they_have_alone() {
    let dir = tempfile::tempdir().unwrap();
    let thresholds = [0.8, 0.9, 0.95];
    let settings = DetectorSettings { min_face: 15.0, thresholds, ..DetectorSettings::default() };
    let mut detector = Detector::new(&Engine::Cpu, &weights(dir.path())).unwrap().with_settings(settings).unwrap();
    let sizes = [(90, 70), (40, 120), (90, 70), (1, 1), (8, 300), (90, 70), (13, 16)];
    let pictures: Vec<RgbImage> = (0..).zip(sizes).map(|(n, (h, w))| picture(n, h, w)).collect();
    let together = detector.detect_all(&pictures.iter().collect::<Vec<_>>()).unwrap();
    assert!(together[0].len() > 3 && together[3].is_empty() && together[4].is_empty());
    for (picture, found) in pictures.iter().zip(&together) {
        let alone = detector.detect(picture).unwrap();
        assert_eq!(alone.len(), found.len());
        for (a, b) in alone.iter().zip(found) {
            assert!((a.probability - b.probability).abs() < 1e-5, "{a:?} {b:?}");
            assert!(a.bounds.iter().zip(&b.bounds).all(|(a, b)| (a - b).abs() < 1e-2), "{a:?} {b:?}");
        }
    }
    assert!(detector.detect_all(&[]).unwrap().is_empty());
}

#[test]
fn a_detectors_file_is_read_back_and_neither_file_is_taken_for_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let (own, path) = (weights(dir.path()), dir.path().join("mtcnn.safetensors"));
    own.save(&path).unwrap();
    assert_eq!(DetectorWeights::load(&path).unwrap(), own);
    let text = facenet_gpu::Weights::load(&path).unwrap_err().to_string();
    assert!(text.contains("holds a face detector, not weights"), "{text}");
    let text = import_detector(&[&path], Origin::default()).unwrap_err().to_string();
    assert!(text.contains("needs no import"), "{text}");

    let model = facenet_gpu::net::find("zf64").unwrap().model().unwrap();
    let metadata = facenet_gpu::weights::Metadata::of(&model).unwrap();
    let embedder = dir.path().join("zf64.safetensors");
    facenet_gpu::initial_weights(&model, metadata, 1).save(&embedder).unwrap();
    let text = DetectorWeights::load(&embedder).unwrap_err().to_string();
    assert!(text.contains("holds weights of zf64, which embeds faces, not a face detector"), "{text}");

    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    assert!(DetectorWeights::load(&path).unwrap_err().to_string().contains("is cut short"));
    std::fs::write(&path, [&bytes[..bytes.len() - 1], &[!bytes[bytes.len() - 1]]].concat()).unwrap();
    assert!(DetectorWeights::load(&path).unwrap_err().to_string().contains("does not match its digest"));
}

#[test]
fn what_is_no_detector_is_not_imported_and_the_message_names_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let own = weights(dir.path());
    let at = |name: &str| dir.path().join(name);
    let import = |files: &[std::path::PathBuf]| import_detector(files, Origin::default()).unwrap_err().to_string();
    let text = import(&[at("pnet.safetensors"), at("onet.safetensors")]);
    assert!(text.contains("no rnet among the files"), "{text}");
    let text = import(&[at("pnet.safetensors"), at("pnet.safetensors"), at("rnet.safetensors")]);
    assert!(text.contains("holds pnet, as another of the files does"), "{text}");

    let write = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = state_dict("rnet", NETWORKS[1].1);
        change(&mut tensors);
        let views = tensors.iter().map(|(name, shape, values)| {
            (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values)).unwrap())
        });
        std::fs::write(at("changed.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
        import(&[at("pnet.safetensors"), at("changed.safetensors"), at("onet.safetensors")])
    };
    let text = write(&|tensors| tensors.retain(|(name, ..)| name != "prelu4.weight"));
    assert!(text.contains("lacks the tensor prelu4.weight [128] of rnet"), "{text}");
    let text = write(&|tensors| tensors[0].1 = vec![28, 9, 3, 1]);
    assert!(text.contains("conv1.weight with sizes [28, 9, 3, 1], rnet needs [28, 3, 3, 3]"), "{text}");
    let text = write(&|tensors| tensors[0].2[0] = f32::NAN);
    assert!(text.contains("has NaN in the tensor conv1.weight"), "{text}");
    let text = write(&|tensors| tensors.push(("extra".into(), vec![1], vec![0.0])));
    assert!(text.contains("has extra, which rnet does not know"), "{text}");

    // Weights that blow up find nothing, and end nothing.
    let mut wild = own;
    wild.tensors.iter_mut().filter(|(name, ..)| name.ends_with("/w")).for_each(|(.., data)| data.fill(3e30));
    let mut detector = Detector::new(&Engine::Cpu, &wild).unwrap();
    detector.detect(&picture(1, 60, 60)).unwrap();
}
