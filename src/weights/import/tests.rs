//! Import on the files of `tests/import`, which PyTorch wrote, and on what `export` writes.

use std::fs;
use std::path::PathBuf;

use safetensors::tensor::{Dtype, TensorView};

use super::super::export;
use super::*;
use crate::data::preprocess::Normalise;

/// What PyTorch's `Call` in `tests/import/make_files.py` leaves behind if it is run.
const MARKER: &str = "facenet-gpu-ran-pickled-code";

pub(super) fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name)
}

/// Ours and theirs, in the order of the file.
const TENSORS: [(&str, &str, &[u32]); 8] = [
    ("conv2d_1a/w", "conv2d_1a.conv.weight", &[1, 2, 3, 2]),
    ("conv2d_1a/gamma", "conv2d_1a.bn.weight", &[2]),
    ("conv2d_1a/beta", "conv2d_1a.bn.bias", &[2]),
    ("conv2d_1a/mean", "conv2d_1a.bn.running_mean", &[2]),
    ("conv2d_1a/var", "conv2d_1a.bn.running_var", &[2]),
    ("block8/conv2d/w", "block8.conv2d.weight", &[1, 1, 2, 2]),
    ("block8/conv2d/b", "block8.conv2d.bias", &[2]),
    ("embedding/w", "last_linear.weight", &[2, 3]),
];

pub(super) fn network(embedding: u32) -> Result<Vec<(String, Shape)>> {
    let mut list = Vec::new();
    for (name, _, dims) in TENSORS {
        let dims = if name == "embedding/w" { &[2, embedding][..] } else { dims };
        list.push((name.to_string(), Shape::new(dims)?));
    }
    Ok(list)
}

fn read_file(path: &Path) -> Result<(u32, Tensors, usize)> {
    let Read { embedding, tensors, ignored, .. } =
        read(&StateDict::open(path, None)?, Family::FacenetPytorch, &network)?;
    Ok((embedding, tensors, ignored))
}

/// The tensors of the file, by our formula for theirs.
pub(super) fn expected() -> Tensors {
    let mut tensors = Vec::new();
    for (k, (name, shape)) in (0u8..).zip(network(3).unwrap()) {
        let values = (0..shape.len()).map(|i| f32::from(k) + i as f32 / 64.0).collect::<Vec<_>>();
        // Theirs are [c_out, c_in, k_h, k_w] and [c_out, c_in].
        let d: Vec<usize> = shape.dims().iter().map(|&d| d as usize).collect();
        let values = match d[..] {
            [k_h, k_w, c_in, c_out] => permute(&values, &[c_out, c_in, k_h, k_w], &[2, 3, 1, 0]),
            [c_in, c_out] => permute(&values, &[c_out, c_in], &[1, 0]),
            _ => values,
        };
        tensors.push((name, shape, values));
    }
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

fn refusal(path: &Path) -> String {
    let text = read_file(path).unwrap_err().to_string();
    assert!(text.starts_with(&format!("{}: ", path.display())), "the file is named: {text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn all_that_torch_saves_is_read() {
    for (name, ignored) in
        [("zip.pt", 2), ("legacy.pt", 2), ("nested.pt", 2), ("double.pt", 2), ("half.pt", 2), ("strided.pt", 2)]
    {
        let (embedding, tensors, others) = read_file(&file(name)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((embedding, others), (3, ignored), "{name}");
        assert_eq!(tensors, expected(), "{name}");
    }
    // Eight bits of each value survive in bfloat16.
    let (_, tensors, _) = read_file(&file("bfloat.pt")).unwrap();
    for ((name, _, have), (.., want)) in tensors.iter().zip(expected()) {
        assert!(have.iter().zip(&want).all(|(a, b)| (a - b).abs() <= b / 128.0), "{name}");
    }
}

#[test]
fn a_module_that_was_saved_whole_is_read_as_its_state_dict() {
    let dict = StateDict::open(&file("module.pt"), None).unwrap();
    assert_eq!(
        dict.entries().map(|(name, entry)| (name, entry.shape.clone())).next(),
        Some(("last_linear.weight", vec![3, 2]))
    );
}

#[test]
fn pickled_calls_are_not_run_and_named_where_something_is_missing() {
    for name in ["call.pt", "call-legacy.pt", "call-inside.pt"] {
        let text = refusal(&file(name));
        assert!(text.contains("asks Python to call posix.system, which was not done"), "{text}");
    }
    not_run();
}

#[test]
fn pickled_calls_beside_the_weights_are_named_and_not_run() {
    for (name, foreign) in
        [("call-before.pt", &["posix.system"][..]), ("call-state.pt", &["numpy.load", "torch.hub.load"])]
    {
        let dict = StateDict::open(&file(name), None).unwrap();
        assert_eq!(dict.foreign(), foreign, "{name}");
        assert_eq!(read_file(&file(name)).unwrap(), (3, expected(), 2), "{name}");
    }
    not_run();
}

/// Nothing was left behind wherever a shell would have run it.
fn not_run() {
    for dir in [std::env::current_dir().unwrap(), PathBuf::from(env!("CARGO_MANIFEST_DIR")), file("")] {
        assert!(!dir.join(MARKER).exists());
    }
}

#[test]
fn what_lies_beside_the_weights_is_passed_over_and_named() {
    for name in ["beside.pt", "beside-legacy.pt"] {
        let dict = StateDict::open(&file(name), None).unwrap();
        let passed = dict.passed().join(" ");
        for part in ["argparse.Namespace", "collections.deque", "pathlib.", "torch._utils._rebuild_sparse_tensor"] {
            assert!(passed.contains(part), "{name}: {passed}");
        }
        assert!(dict.foreign().is_empty(), "{name}: {:?}", dict.foreign());
        let (embedding, tensors, _) = read_file(&file(name)).unwrap();
        assert_eq!((embedding, tensors), (3, expected()), "{name}");
    }
    let dict = StateDict::open(&file("config.pt"), None).unwrap();
    assert_eq!((dict.passed(), dict.foreign()), (&[][..], &["omegaconf.dictconfig.DictConfig".to_owned()][..]));
    assert_eq!(read_file(&file("config.pt")).unwrap(), (3, expected(), 2));
}

#[test]
fn one_of_several_state_dicts_is_chosen_by_its_key() {
    let text = refusal(&file("two.pt"));
    assert!(text.contains("under model, model_ema; choose one of them with `key`"), "{text}");
    let under = |key: &str| {
        let dict = StateDict::open(&file("two.pt"), Some(key))?;
        read(&dict, Family::FacenetPytorch, &network)
    };
    assert_eq!(under("model").unwrap().tensors, expected());
    let more = under("model_ema.").unwrap().tensors;
    assert!(more.iter().zip(expected()).all(|(have, want)| have.2.iter().zip(&want.2).all(|(a, b)| *a == b + 1.0)));
    let text = under("ema").unwrap_err().to_string();
    assert!(text.contains("has no tensors under the `key` ema; it has model, model_ema"), "{text}");
}

#[test]
fn layers_of_their_own_are_left_out_and_parameters_of_known_layers_are_refused() {
    let dict = StateDict::open(&file("head.pt"), None).unwrap();
    let found = read(&dict, Family::FacenetPytorch, &network).unwrap();
    assert_eq!(found.heads, ["classifier.bias", "classifier.weight"]);
    assert_eq!((found.tensors, found.ignored), (expected(), 4));
    let text = refusal(&file("bias.pt"));
    assert!(text.contains("has the tensor last_linear.bias [3], which the network does not know"), "{text}");
}

#[test]
fn networks_that_were_saved_whole_and_torchscript_are_read() {
    for name in ["script.pt", "tree.pt", "big-endian.pt"] {
        let (embedding, tensors, _) = read_file(&file(name)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((embedding, tensors), (3, expected()), "{name}");
    }
    let foreign = |name: &str| StateDict::open(&file(name), None).unwrap().foreign().join(" ");
    assert_eq!(foreign("script.pt"), "");
    assert!(foreign("tree.pt").contains("__main__.Tree"));
}

#[test]
fn torch_files_of_openface_are_read_with_their_layers_in_order() {
    let one_channel = |embedding: u32| -> Result<Vec<(String, Shape)>> {
        let whole = tensors_of(net::find("openface-nn4-small2-v1")?, embedding)?;
        let small = |(name, shape): &(String, Shape)| {
            let c_in = |layer: &str| match layer {
                "conv1" => 3,
                // Branches side by side: one channel each, and the pooling's own where it has no projection.
                "inception_3b" | "inception_3c" | "inception_4e" => 4,
                "inception_4a" => 6,
                "inception_5a" => 6,
                "inception_5b" => 3,
                _ => 1,
            };
            let (layer, _) = name.rsplit_once('/').unwrap();
            let (module, unit) = layer.split_once('/').unwrap_or((layer, ""));
            let wide = unit.ends_with("reduce") || unit == "pool_proj" || unit == "1x1" || module == "conv1";
            let dims: Vec<u32> = match shape.dims() {
                [k_h, k_w, ..] if shape.rank() == 4 => vec![*k_h, *k_w, if wide { c_in(module) } else { 1 }, 1],
                [_, dim] => vec![3, *dim],
                _ if layer == "embedding" => vec![embedding],
                _ => vec![1],
            };
            Ok((name.clone(), Shape::new(&dims)?))
        };
        whole.iter().map(small).collect()
    };
    let all: Vec<Tensors> = ["openface.t7", "openface-2015.t7"]
        .map(|name| {
            let dict = StateDict::open(&file(name), None).unwrap();
            let found = read(&dict, Family::OpenFace, &one_channel).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!((found.embedding, found.ignored), (2, 0), "{name}");
            found.tensors
        })
        .into();
    for ((name, shape, new), (.., old)) in all[0].iter().zip(&all[1]) {
        let near = new.iter().zip(old).all(|(a, b)| (a - b).abs() <= 1e-4 * a.abs().max(1.0));
        assert!(near, "{name} {shape}: {new:?} {old:?}");
    }
    // Tensors stand in the order of the layers: six for each unit.
    let first = |name: &str| all[0].iter().find(|(own, ..)| own == name).unwrap().2[0];
    let units = [
        ("conv1", 0),
        ("inception_2/3x3_reduce", 1),
        ("inception_2/3x3", 2),
        ("inception_3a/3x3_reduce", 3),
        ("inception_3a/3x3", 4),
        ("inception_3a/5x5_reduce", 5),
        ("inception_3a/pool_proj", 7),
        ("inception_3a/1x1", 8),
        ("inception_3c/5x5", 18),
        ("inception_5b/1x1", 36),
    ];
    for (layer, unit) in units {
        for (i, part) in ["w", "b", "gamma", "beta", "mean", "var"].into_iter().enumerate() {
            assert_eq!(first(&format!("{layer}/{part}")), (6 * unit + i) as f32, "{layer}/{part}");
        }
    }
    assert_eq!(first("embedding/b"), (6 * 37 + 1) as f32);
}

#[test]
fn torch_files_that_are_damaged_are_refused_without_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.t7");
    let whole = fs::read(file("openface.t7")).unwrap();
    for length in (9..whole.len()).step_by(997) {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(refusal(&path).contains("is cut short or damaged"));
    }
    for at in (0..whole.len()).step_by(397) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, bytes).unwrap();
        drop(StateDict::open(&path, None));
    }
    let mut endless = Vec::new();
    for number in 1..200_i32 {
        // A table with one pair, whose key is the next table.
        endless.extend([3, number, 1].map(i32::to_le_bytes).concat());
    }
    fs::write(&path, endless).unwrap();
    assert!(refusal(&path).contains("objects within each other without end"));
}

#[test]
fn files_of_another_kind_are_refused() {
    for (name, part) in [
        ("module-legacy.pt", "lacks the tensor last_linear.weight"),
        ("compressed.pt", "is a compressed archive, which torch.save does not write"),
        ("list.pt", "holds a list, not a state dict"),
        (
            "module.pt",
            "lacks the tensors conv2d_1a.conv.weight [2, 3, 1, 2], conv2d_1a.bn.weight [2], conv2d_1a.bn.bias [2] and",
        ),
        ("integers.pt", "has the tensor last_linear.weight as I32, but F32, F16, BF16 or F64 is needed"),
        ("vast.pt", "has the tensor last_linear.weight [30000, 2000] of 240000000 bytes, more than the file"),
        ("make_files.py", "is neither safetensors nor a file that torch.save wrote"),
    ] {
        let text = refusal(&file(name));
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn damaged_files_are_refused_without_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.pt");
    for name in ["zip.pt", "legacy.pt", "call-inside.pt"] {
        let whole = fs::read(file(name)).unwrap();
        for length in (0..whole.len()).step_by(11) {
            fs::write(&path, &whole[..length]).unwrap();
            refusal(&path);
        }
        // A flipped bit may be in a value, or in what nobody reads.
        for at in (0..whole.len()).step_by(11) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, bytes).unwrap();
            drop(read_file(&path));
        }
    }
    assert!(!Path::new(MARKER).exists());
}

#[test]
fn small_files_that_would_take_much_memory_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.pt");
    let begin = fs::read(file("legacy.pt")).unwrap()[..15].to_vec();
    let mut many = begin.clone();
    many.resize(6_000_000, b'N');
    fs::write(&path, many).unwrap();
    assert!(refusal(&path).contains("holds far more than a state dict"));
    // A text of a billion bytes that is not there.
    fs::write(&path, [&begin[..], &[b'X', 0, 0, 0, 64]].concat()).unwrap();
    assert!(refusal(&path).contains("its pickle has no end"));
    let mut tar = vec![0x80; 512];
    tar[257..262].copy_from_slice(b"ustar");
    fs::write(&path, tar).unwrap();
    assert!(refusal(&path).contains("is a tar archive"));
}

/// A safetensors file of theirs, after `change`, and what is said of it.
fn changed(change: impl FnOnce(&mut Vec<(String, Vec<usize>, Vec<f32>)>)) -> String {
    let mut tensors = Vec::new();
    for ((_, shape), (_, name, _)) in network(3).unwrap().iter().zip(TENSORS) {
        let dims: Vec<usize> = shape.dims().iter().map(|&d| d as usize).collect();
        let dims = match dims[..] {
            [k_h, k_w, c_in, c_out] => vec![c_out, c_in, k_h, k_w],
            [c_in, c_out] => vec![c_out, c_in],
            _ => dims,
        };
        tensors.push((name.to_string(), dims, vec![1.0; shape.len()]));
    }
    change(&mut tensors);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let views = tensors.iter().map(|(name, dims, values)| {
        (name, TensorView::new(Dtype::F32, dims.clone(), bytemuck::cast_slice(values)).unwrap())
    });
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    read_file(&path).map_or_else(|e| e.to_string(), |_| "fine".into())
}

#[test]
fn missing_unknown_and_misshapen_tensors_are_named() {
    assert_eq!(changed(|_| ()), "fine");
    for (text, part) in [
        (changed(|t| drop(t.remove(3))), "lacks the tensor conv2d_1a.bn.running_mean [2]; it is not whole"),
        (
            changed(|t| drop(t.remove(7))),
            "lacks the tensor last_linear.weight, so it holds no weights of facenet-pytorch",
        ),
        (changed(|t| t.push(("repeat_9.y".into(), vec![1], vec![0.0]))), "fine"),
        (
            changed(|t| t.push(("block9.y".into(), vec![1], vec![0.0]))),
            "has the tensor block9.y [1], which the network does not know",
        ),
        (
            changed(|t| t[1].1 = vec![1, 2]),
            "has the tensor conv2d_1a.bn.weight with sizes [1, 2], the network needs [2]",
        ),
        (changed(|t| t[7].1 = vec![6]), "has the tensor last_linear.weight with sizes [6], the network needs [6, 2]"),
        (changed(|t| (t[7].1, t[7].2) = (vec![], vec![1.0])), "odd sizes []"),
        (changed(|t| (t[7].1, t[7].2) = (vec![0, 2], vec![])), "odd sizes [0, 2]"),
        (changed(|t| t[4].2[1] = f32::NAN), "has NaN in the tensor conv2d_1a.bn.running_var"),
        (changed(|t| t[4].2[1] = f32::INFINITY), "has inf in the tensor conv2d_1a.bn.running_var"),
    ] {
        assert!(text.contains(part), "{text}");
    }
    let two = changed(|t| {
        let names = t
            .drain(..)
            .flat_map(|(name, dims, v)| ["a.", "b."].map(|p| (format!("{p}{name}"), dims.clone(), v.clone())));
        *t = names.collect();
    });
    assert!(two.contains("holds several state dicts, under a, b; choose one of them with `key`"), "{two}");
}

#[test]
fn what_is_exported_is_imported_and_has_a_counter_for_each_batch_normalisation() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("theirs.safetensors");
    let origin = Origin { license: Some("MIT".into()), ..Origin::default() };
    let preprocess = Preprocess { height: 1, width: 1, normalise: Normalise::Fixed, crop: None, alignment: None };
    let metadata = Metadata {
        network: "tiny".into(),
        embedding: 3,
        unit_length: true,
        preprocess,
        version: "0".into(),
        origin,
        training: None,
        threshold: None,
        calibration: None,
    };
    let weights = Weights { metadata, tensors: expected() };
    let exported = export::write(&weights, Path::new("w"), Family::FacenetPytorch, &network(3).unwrap(), &out).unwrap();
    assert_eq!(exported, export::Exported { program: "facenet-pytorch", tensors: 9, prepares_alike: true });
    assert_eq!(read_file(&out).unwrap(), (3, expected(), 1));
    let bytes = fs::read(&out).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let counter = header.tensors()["conv2d_1a.bn.num_batches_tracked"].clone();
    assert_eq!((counter.dtype, counter.shape), (Dtype::I64, vec![]));
    assert_eq!(header.metadata().as_ref().unwrap()["license"], "MIT");
    // And the reverse: our own files need no import.
    weights.save(&out).unwrap();
    assert!(refusal(&out).contains("was written by facenet-gpu and needs no import"));
}

#[test]
fn the_network_is_told_from_names_or_asked_for() {
    let text = guess_network(&file("list.pt"), None).unwrap_err().to_string();
    assert!(text.contains("not a state dict"), "{text}");
    let zf64 = net::find("zf64").unwrap();
    let text = import(&file("zip.pt"), zf64, None, Origin::default()).unwrap_err().to_string();
    assert!(text.contains("no other program has the network zf64"), "{text}");
    assert_eq!(tensors_of(zf64, 8).unwrap().last().unwrap().1, Shape::vector(8));
}

#[test]
fn names_of_a_file_are_escaped_and_three_of_thousands_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("names");
    let old = fs::read(file("bias.pt")).unwrap();
    let renamed = b"last_linear.bias".as_slice();
    let at = old.windows(renamed.len()).position(|text| text == renamed).unwrap();
    let mut bytes = old.clone();
    bytes[at + 12..at + 14].copy_from_slice(b"\x1b\n");
    fs::write(&path, bytes).unwrap();
    let text = refusal(&path);
    assert!(text.contains(r"has the tensor last_linear.\u{1b}\nas [") && !text.contains('\u{1b}'), "{text:?}");

    let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
    let names = (0..2000).map(|i| format!("part{i:04}.last_linear.weight"));
    let all = safetensors::serialize(names.map(|name| (name, view.clone())), None).unwrap();
    fs::write(&path, all).unwrap();
    let text = refusal(&path);
    assert!(text.contains("under part0000, part0001, part0002 and 1,997 more; choose one"), "{text}");
}
