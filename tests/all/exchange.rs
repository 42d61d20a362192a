//! Weights of other programs: out and in again, whole networks.

use std::path::Path;

use facenet_gpu::data::preprocess::{Normalise, Preprocess};
use facenet_gpu::net::{self, Network};
use facenet_gpu::weights::{Metadata, Origin, Weights, export, import};
use facenet_gpu::{Engine, Session, initial_weights};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::support::program::{refused, run};

/// Starting weights with statistics that are not those of the start.
fn weights(network: &Network, normalise: Normalise) -> Weights {
    let [height, width] = network.input;
    let metadata = Metadata {
        network: network.name.into(),
        embedding: network.embedding,
        unit_length: true,
        preprocess: Preprocess { height, width, normalise, crop: None, alignment: None },
        version: env!("CARGO_PKG_VERSION").into(),
        origin: Origin::default(),
        training: None,
        threshold: None,
        calibration: None,
    };
    let mut weights = initial_weights(&network.model().unwrap(), metadata, 1);
    for (i, (name, _, data)) in weights.tensors.iter_mut().enumerate() {
        if !name.ends_with("/w") {
            data.iter_mut().enumerate().for_each(|(j, x)| *x += 0.01 * ((i + 3 * j) % 13) as f32);
        }
    }
    weights
}

#[test]
fn what_is_exported_is_imported_again_to_the_bit() {
    for (name, normalise, tensors, one) in [
        ("inception-resnet-v1", Normalise::Fixed, 714, ("repeat_2.3.branch1.1.conv.weight", vec![128, 128, 1, 7])),
        ("openface-nn4-small2-v1", Normalise::Unit, 261, ("incept5a.branches.1.1.weight", vec![96, 1024, 1, 1])),
    ] {
        let network = net::find(name).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("theirs.safetensors");
        let before = weights(network, normalise);
        let told = export(&before, Path::new("ours"), &file).unwrap();
        assert_eq!(told.tensors, tensors, "{name}");
        let bytes = std::fs::read(&file).unwrap();
        let theirs = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(theirs.len(), tensors, "{name}");
        assert_eq!(theirs.tensor(one.0).unwrap().shape(), one.1, "{name}");
        let after = import(&file, network, None, Origin::default()).unwrap().weights;
        assert_eq!(after.metadata.preprocess, before.metadata.preprocess);
        let mut sorted = before.tensors.clone();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let mut got = after.tensors;
        got.sort_by(|a, b| a.0.cmp(&b.0));
        assert!(got == sorted, "{name}: the tensors changed on their way");
    }
}

#[test]
fn the_preprocessing_and_the_origin_come_back_from_an_export() {
    let network = net::find("openface-nn4-small2-v1").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("theirs.safetensors");
    // Not what OpenFace does with its images.
    let mut before = weights(network, Normalise::PerImage);
    before.metadata.preprocess =
        Preprocess { height: 97, width: 99, normalise: Normalise::PerImage, crop: None, alignment: None };
    let text = |text: &str| Some(text.to_string());
    before.metadata.origin = Origin { provenance: text("me"), license: text("CC BY"), dataset: text("mine") };
    assert!(!export(&before, Path::new("ours"), &file).unwrap().prepares_alike);
    let after = import(&file, network, None, Origin::default()).unwrap().weights.metadata;
    assert_eq!((&after.preprocess, &after.origin), (&before.metadata.preprocess, &before.metadata.origin));
    let said = Origin { license: text("none"), ..Origin::default() };
    assert_eq!(import(&file, network, None, said).unwrap().weights.metadata.origin.license, text("none"));
}

#[test]
fn a_negative_variance_is_refused_on_the_way_in() {
    let network = net::find("openface-nn4-small2-v1").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("theirs.safetensors");
    let mut broken = weights(network, Normalise::Unit);
    broken.tensors.iter_mut().find(|(name, ..)| name == "conv1/var").unwrap().2[3] = -1.0;
    export(&broken, Path::new("ours"), &file).unwrap();
    let error = import(&file, network, None, Origin::default()).unwrap_err().to_string();
    assert!(error.contains("the variance -1 in the tensor bn1.running_var"), "{error}");
    let error = Session::with_weights(&Engine::Cpu, &broken, "ours").unwrap_err().to_string();
    assert!(error.contains("negative variance in the tensor conv1/var"), "{error}");
}

#[test]
fn imported_weights_embed_as_the_exported_ones_did() {
    let network = net::find("openface-nn4-small2-v1").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (theirs, ours) = (dir.path().join("theirs.safetensors"), dir.path().join("ours.safetensors"));
    let before = weights(network, Normalise::Unit);
    export(&before, Path::new("ours"), &theirs).unwrap();
    import(&theirs, network, None, Origin::default()).unwrap().weights.save(&ours).unwrap();
    let image = [image::DynamicImage::new_rgb8(120, 96)];
    let mut session = Session::with_weights(&Engine::Cpu, &before, "before").unwrap();
    let expected = session.embed(&image).unwrap();
    assert!(expected[0].iter().all(|x| x.is_finite()));
    assert_eq!(Session::open(&Engine::Cpu, &ours).unwrap().embed(&image).unwrap(), expected);
}

#[test]
fn the_program_says_what_it_left_out_and_asks_for_a_key_by_its_flag() {
    let dir = tempfile::tempdir().unwrap();
    let network = net::find("openface-nn4-small2-v1").unwrap();
    let path = dir.path().join("theirs.safetensors");
    export(&weights(network, Normalise::Unit), Path::new("ours"), &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let theirs = SafeTensors::deserialize(&bytes).unwrap();
    let named = |prefix: &str, file: &str, more: Option<&str>| {
        let head = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
        let own = theirs.tensors().into_iter().map(|(name, view)| (format!("{prefix}{name}"), view));
        let all = own.chain(more.map(|name| (name.to_owned(), head)));
        safetensors::serialize_to_file(all, None, &dir.path().join(file)).unwrap();
    };
    named("", "head.safetensors", Some("classifier.weight"));
    let said = run(dir.path(), "import head.safetensors --net openface-nn4-small2-v1 --out w.safetensors").success();
    said.stdout(predicates::str::contains("left out classifier.weight: layers that the network does not have"));
    named("model.", "two.safetensors", Some("ema.ln.weight"));
    let import = "import two.safetensors --net openface-nn4-small2-v1 --out w.safetensors";
    refused(run(dir.path(), import), 1, &["under ema, model; choose one of them with --key"]);
    run(dir.path(), &format!("{import} --key model")).success();
    std::fs::write(dir.path().join("page.pt"), "<!DOCTYPE html><html>").unwrap();
    refused(run(dir.path(), "import page.pt --out w.safetensors"), 1, &["is an HTML page, not weights"]);
}
