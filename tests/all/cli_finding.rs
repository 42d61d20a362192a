//! Photographs in place of faces: what verbs do where a detector, with made-up weights, finds the faces.

use std::fs;
use std::path::Path;

use facenet_gpu::Weights;
use facenet_gpu::embed::table::EmbeddingTable;
use image::{Rgb, RgbImage};
use predicates::prelude::*;
use serde_json::Value;

use crate::mtcnn;
use crate::support::program::{ON_FOLDER, TINY, refused, run};

/// A folder with a detector `det/d.safetensors`, which lies beside no weights, weights `w.safetensors`, and photographs of four people; one shows nobody.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("det")).unwrap();
    mtcnn::weights(dir.path()).save(&dir.path().join("det/d.safetensors")).unwrap();
    for person in 0..4u64 {
        for number in 0..3u64 {
            let path = dir.path().join(format!("faces/person_{person}/{number}.png"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            mtcnn::picture(3 * person + number, 90, 70).save(path).unwrap();
        }
    }
    RgbImage::from_pixel(12, 12, Rgb([90; 3])).save(dir.path().join("faces/person_3/nobody.png")).unwrap();
    run(dir.path(), TINY).success();
    fs::rename(dir.path().join("runs/train/run/weights/best.safetensors"), dir.path().join("w.safetensors")).unwrap();
    dir
}

fn json(dir: &Path, arguments: &str) -> Value {
    let output = run(dir, arguments).success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

#[test]
fn embeddings_of_photographs_are_those_of_the_faces_that_align_writes() {
    let dir = folder();
    let said =
        run(dir.path(), "embed w.safetensors faces --detector det/d.safetensors --out t.npy --device cpu").success();
    said.stdout(
        predicate::str::contains("faces     found by det/d.safetensors, aligned as facenet 160x160")
            .and(predicate::str::contains("a face on 12 images"))
            .and(predicate::str::contains("finding faces")),
    );
    let found = EmbeddingTable::read(&dir.path().join("t.npy")).unwrap();
    assert_eq!((found.embeddings.len(), found.failed.len()), (12, 1));
    assert!(found.failed[0].1.contains("shows no face"), "{:?}", found.failed);
    run(dir.path(), "align faces aligned --detector det/d.safetensors --alignment facenet --device cpu").success();
    run(dir.path(), "embed w.safetensors aligned --aligned --out u.npy --device cpu").success();
    let aligned = EmbeddingTable::read(&dir.path().join("u.npy")).unwrap();
    assert_eq!(found.embeddings.as_slice(), aligned.embeddings.as_slice());
    // The middle of an image without a face, and images as they are, are something else.
    run(dir.path(), "embed w.safetensors faces --detector det/d.safetensors --no-face crop --out v.npy --device cpu")
        .success()
        .stdout(predicate::str::contains("none on 1, whose middle was taken"));
    assert_eq!(EmbeddingTable::read(&dir.path().join("v.npy")).unwrap().embeddings.len(), 13);
    run(dir.path(), "embed w.safetensors faces --out x.npy --device cpu").success();
    assert_ne!(EmbeddingTable::read(&dir.path().join("x.npy")).unwrap().embeddings.row(0), found.embeddings.row(0));
    // A table goes on with the same faces alone.
    let other = run(dir.path(), "cluster w.safetensors t.npy --threshold 1").success();
    other.stderr(predicate::str::contains("1 of 13 images cannot be used").and(predicate::str::contains("hint").not()));
    for (flags, part) in [
        ("--detector det/d.safetensors --crop center:40", "give one of them"),
        ("--detector det/d.safetensors --aligned", "cannot be used with"),
        ("--alignment dlib", "there is no detector"),
        ("--detector missing", "no model of that name"),
        ("--detector w.safetensors", "not a face detector"),
    ] {
        let said = run(dir.path(), &format!("embed w.safetensors faces {flags} --device cpu")).failure();
        said.stderr(predicate::str::contains(part));
    }
}

#[test]
fn a_gallery_remembers_how_faces_are_aligned() {
    let dir = folder();
    run(dir.path(), "gallery create g w.safetensors --detector det/d.safetensors --alignment arcface --vectors floats")
        .success();
    let add = "gallery add g w.safetensors faces/person_0/0.png --name Ann --detector det/d.safetensors --device cpu";
    run(dir.path(), add).success().stdout(predicate::str::contains("aligned as arcface 112x112"));
    let none = run(dir.path(), "identify g w.safetensors faces/person_0 --threshold 0.5 --device cpu");
    refused(none, 2, &["aligned as arcface 112x112", "there is no detector", "--detector", "--aligned"]);
    let identify =
        "identify g w.safetensors faces/person_0/0.png --threshold 0.001 --detector det/d.safetensors --device cpu";
    run(dir.path(), identify).success().stdout(predicate::str::contains("0.png: Ann 0.000"));
    // Aligned before, they are the same.
    run(dir.path(), "align faces aligned --detector det/d.safetensors --alignment arcface --device cpu").success();
    let aligned = "identify g w.safetensors aligned/person_0/0.png --aligned --threshold 0.001 --device cpu";
    run(dir.path(), aligned).success().stdout(predicate::str::contains("0.png: Ann 0.000"));
}

#[test]
fn weights_that_were_trained_on_found_faces_find_them_again() {
    let dir = folder();
    let train = format!("{ON_FOLDER} --detector det/d.safetensors --alignment arcface --held-out 0.5 --name found");
    run(dir.path(), &train)
        .success()
        .stdout(predicate::str::contains("found by det/d.safetensors, aligned as arcface"));
    let weights = dir.path().join("runs/train/found/weights/last.safetensors");
    let alignment = Weights::load(&weights).unwrap().metadata.preprocess.alignment.unwrap();
    assert_eq!(alignment.name(), "arcface");
    run(dir.path(), "train --resume found --epochs 2").success().stdout(predicate::str::contains("aligned as arcface"));

    let images = "faces/person_0/0.png faces/person_1/0.png";
    let verify =
        |flags: &str| format!("verify runs/train/found/weights/last.safetensors {images} --device cpu {flags}");
    // Without a detector it is said that images are not what was trained on.
    let whole = run(dir.path(), &verify("--threshold 1")).success();
    whole
        .stderr(predicate::str::contains("expect faces aligned as arcface").and(predicate::str::contains("--aligned")));
    let given = json(dir.path(), &verify("--threshold 1 --json --detector det/d.safetensors"));
    // One beside the weights is taken by itself.
    fs::copy(dir.path().join("det/d.safetensors"), weights.with_file_name("mtcnn.safetensors")).unwrap();
    assert_eq!(json(dir.path(), &verify("--threshold 1 --json"))["distance"], given["distance"]);
    let nobody = run(dir.path(), &verify("--threshold 1").replace("person_1/0", "person_3/nobody"));
    refused(nobody, 1, &["nobody.png: shows no face"]);
}

#[test]
fn whole_sets_are_measured_and_calibrated_on_found_faces() {
    let dir = folder();
    let d = "--detector det/d.safetensors --device cpu";
    let said = run(dir.path(), &format!("calibrate w.safetensors --data faces --far 0.2 {d}")).success();
    said.stdout(predicate::str::contains(
        "a face on 12 images, several on 12 of them, of which one was taken; none that can be used on 1",
    ));
    let folder = json(dir.path(), &format!("eval folder w.safetensors --data faces --json {d}"));
    assert_eq!((folder["images"].as_u64(), folder["conditions"]["faces_found"].as_bool()), (Some(12), Some(true)));
    assert_eq!(folder["conditions"]["alignment"]["name"], "facenet");
    let pairs = (0..4)
        .map(|p| format!("person_{p}/0.png,person_{p}/1.png,1\nperson_{p}/1.png,person_{}/2.png,0\n", (p + 1) % 4));
    fs::write(dir.path().join("pairs.csv"), pairs.collect::<String>()).unwrap();
    let lfw = format!("eval lfw w.safetensors --data faces --pairs pairs.csv {d}");
    let said = run(dir.path(), &format!("{lfw} --report r")).success();
    said.stdout(predicate::str::contains("with the fixed center:150x150 in place of the detector"));
    let page = fs::read_to_string(dir.path().join("r/report.html")).unwrap();
    assert!(page.contains("in place of the detector"));
    let told = json(dir.path(), &format!("{lfw} --json"));
    assert!(told["fixed_crop"]["accuracy"].is_f64() && told["accuracy"].is_f64(), "{told}");
}
