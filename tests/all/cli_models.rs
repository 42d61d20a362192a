//! Weights that are found by name, as a stranger meets them. See `cli.rs` for the rest.

use std::fs;

use crate::support::program::*;
use predicates::prelude::*;
use tempfile::tempdir;

#[test]
fn weights_are_found_in_the_folder_of_models_and_by_name() {
    let dir = tempdir().unwrap();
    let d = dir.path();
    run(d, "synth --out faces --people 4 --images 3 --size 64 --seed 3").success();
    let (a, b) = ("faces/person_0001/0001.png", "faces/person_0001/0002.png");
    let none = run(d, &format!("verify {a} {b}"));
    refused(none, 2, &["no weights are given", "models holds none", "scripts/get-models"]);
    run(d, TINY).success();
    fs::create_dir(d.join("models")).unwrap();
    fs::rename(d.join("runs/train/run/weights/best.safetensors"), d.join("models/small.safetensors")).unwrap();
    // What is no weights file is passed over.
    fs::write(d.join("models/notes.safetensors"), "text").unwrap();
    let decision = |arguments: &str| {
        let said = run(d, &format!("verify {arguments} --device cpu")).success();
        String::from_utf8(said.get_output().stdout.clone()).unwrap()
    };
    let given = decision(&format!("models/small.safetensors {a} {b}"));
    assert!(given.starts_with("distance "), "{given}");
    let told = format!("model     models/small.safetensors\n{given}");
    assert_eq!(decision(&format!("{a} {b}")), told);
    assert_eq!(decision(&format!("small {a} {b}")), told);
    refused(run(d, &format!("embed tall {a}")), 2, &["no model of that name in models", "holds small"]);
    for verb in [
        "embed faces --out t.npy",
        "gallery create g",
        "gallery add g faces",
        "identify g faces/person_0001",
        "cluster faces --threshold 0.5",
        "cluster small t.npy",
        "calibrate --data faces --far 0.1",
        "eval folder --data faces",
        "eval folder small --data faces",
    ] {
        let device = if verb.starts_with("gallery create") { "" } else { " --device cpu" };
        run(d, &format!("{verb}{device}")).success();
    }
    // A folder does not hide the model of its name, and alone it is what is looked at. (The threshold is calibrated by now.)
    let told = decision(&format!("{a} {b}"));
    fs::create_dir(d.join("small")).unwrap();
    fs::copy(d.join(a), d.join("small/1.png")).unwrap();
    fs::copy(d.join(b), d.join("small/2.png")).unwrap();
    run(d, &format!("verify small {a} {b} --device cpu"))
        .success()
        .stdout(told)
        .stderr(predicate::str::contains("small is taken as the model of that name; ./small is the folder"));
    for (images, hint) in
        [("small", "small is taken as the folder"), ("small ./small", "taken as the model"), ("./small", "")]
    {
        let said = run(d, &format!("embed {images} --device cpu")).success();
        said.stdout(predicate::str::contains("small/1.png").and(predicate::str::contains("small/2.png")))
            .stderr(predicate::str::contains(hint));
    }
    // The folder may have another place; of several the user chooses.
    let elsewhere = tempdir().unwrap();
    let mut command = program(elsewhere.path(), "eval folder --device cpu");
    command.arg("--data").arg(d.join("faces")).env("FACENET_GPU_MODELS", d.join("models"));
    assert!(command.output().unwrap().status.success());
    fs::copy(d.join("models/small.safetensors"), d.join("models/other.safetensors")).unwrap();
    refused(run(d, &format!("verify {a} {b}")), 2, &["models holds several: other, small", "give one of the names"]);
    run(d, &format!("verify other {a} {b} --device cpu")).success().stdout(predicate::str::contains("decision"));
    run(d, &format!("verify {a}")).code(2).stderr(predicate::str::contains("2 values required"));
}
