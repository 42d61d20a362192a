//! Data as people have it: validation folders, lists, crops.

use std::fs;
use std::path::Path;

use crate::support::program::*;
use facenet_gpu::data::preprocess::Crop;
use tempfile::tempdir;

/// Writes people into `dir/name`, each seed other people.
fn people(dir: &Path, name: &str, count: u32, images: u32, seed: u32) {
    run(dir, &format!("synth --out {name} --people {count} --images {images} --size 48 --seed {seed}")).success();
}

/// What a successful run prints.
fn said(dir: &Path, arguments: &str) -> (String, String) {
    let output = run(dir, arguments).success().get_output().clone();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// Renames the people of a folder, so that they have no name in common with others.
fn rename(dir: &Path, prefix: &str) {
    for name in names(dir) {
        let path = dir.join(&name);
        if path.is_dir() {
            fs::rename(&path, dir.join(format!("{prefix}{name}"))).unwrap();
        }
    }
}

const SMALL: &str = "--epochs 1 -P 2 -K 2 --device cpu";

#[test]
fn a_validation_folder_is_what_is_measured_on_and_a_resumed_run_keeps_it() {
    let dir = tempdir().unwrap();
    people(dir.path(), "faces", 4, 3, 1);
    people(dir.path(), "others", 4, 3, 2);
    rename(&dir.path().join("others"), "val_");
    // One person in both.
    let (first, taken) = (names(&dir.path().join("faces")), names(&dir.path().join("others")));
    let person = first.iter().find(|name| dir.path().join("faces").join(name).is_dir()).unwrap();
    let val = taken.iter().find(|name| name.starts_with("val_")).unwrap();
    fs::rename(dir.path().join("others").join(val), dir.path().join("others").join(person)).unwrap();
    let (out, err) = said(dir.path(), &format!("train --data faces --val others {SMALL}"));
    assert!(out.contains("split     4 people to train on, 3 held out"), "{out}");
    assert!(err.contains("1 of the people in others are in faces, too") && err.contains(person.as_str()), "{err}");
    let run_folder = dir.path().join("runs/train/run");
    let held_out = fs::read_to_string(run_folder.join("held_out.txt")).unwrap();
    assert_eq!(held_out.lines().filter(|name| name.starts_with("val_")).count(), 3);
    let (out, _) = said(dir.path(), "train --resume last --epochs 2");
    assert!(out.contains("split     4 people to train on, 3 held out"), "{out}");
    refused(run(dir.path(), &format!("train --val others {SMALL}")), 2, &["give both"]);
    refused(run(dir.path(), &format!("train --data faces --val faces {SMALL}")), 1, &["everybody in faces"]);
    let both = program(dir.path(), &format!("train --data faces --val others --held-out 0.5 {SMALL}")).assert().code(2);
    assert!(String::from_utf8_lossy(&both.get_output().stderr).contains("--held-out"));
}

#[test]
fn parts_of_a_data_set_without_common_people_are_trained_and_measured_on() {
    let dir = tempdir().unwrap();
    people(dir.path(), "set/train", 4, 3, 1);
    people(dir.path(), "set/val", 3, 3, 2);
    rename(&dir.path().join("set/val"), "val_");
    let (out, _) = said(dir.path(), &format!("train --data set {SMALL}"));
    assert!(out.contains("the part for measuring are held out: val_"), "{out}");
    assert!(out.contains("split     4 people to train on, 3 held out"), "{out}");
}

#[test]
fn a_list_names_images_people_and_who_is_held_out_and_missing_images_are_skipped() {
    let dir = tempdir().unwrap();
    people(dir.path(), "faces", 5, 3, 1);
    let mut list = String::from("path,person,part\n");
    let folders = names(&dir.path().join("faces")).into_iter().filter(|n| dir.path().join("faces").join(n).is_dir());
    for (number, person) in folders.enumerate() {
        let part = if number < 3 { "train" } else { "val" };
        for image in names(&dir.path().join("faces").join(&person)) {
            list += &format!("faces/{person}/{image},Person {number},{part}\n");
        }
    }
    list += "faces/none.jpg,Person 0,train\n";
    fs::write(dir.path().join("list.csv"), list).unwrap();
    let (out, _) = said(dir.path(), &format!("train --data list.csv {SMALL}"));
    assert!(out.contains("split     3 people to train on, 2 held out") && out.contains("skipped   1"), "{out}");
    let run_folder = dir.path().join("runs/train/run");
    assert_eq!(fs::read_to_string(run_folder.join("held_out.txt")).unwrap(), "Person 3\nPerson 4\n");
    assert!(fs::read_to_string(run_folder.join("skipped.csv")).unwrap().contains("is not there"));
    fs::write(dir.path().join("wrong.csv"), "a.jpg,ann\nb.jpg\n").unwrap();
    refused(run(dir.path(), &format!("train --data wrong.csv {SMALL}")), 1, &["wrong.csv, line 2", "path,person"]);
}

#[test]
fn a_crop_is_kept_in_the_weights_and_obeyed_by_everything_that_reads_images() {
    let dir = tempdir().unwrap();
    people(dir.path(), "faces", 6, 3, 1);
    let (out, _) = said(dir.path(), &format!("train --data faces --crop center:32 {SMALL}"));
    assert!(out.contains("64x64 of center:32x32"), "{out}");
    let best = dir.path().join("runs/train/run/weights/best.safetensors");
    assert_eq!(good_weights(&best).metadata.preprocess.crop, Some(Crop { height: 32, width: 32 }));
    // Another run that starts from these weights crops alike, unless it is told otherwise.
    let init = "train --data faces --init runs/train/run/weights/best.safetensors";
    assert!(said(dir.path(), &format!("{init} {SMALL}")).0.contains("of center:32x32"));
    assert!(said(dir.path(), &format!("{init} --crop center:40x30 {SMALL}")).0.contains("of center:40x30"));
    let wrong = run(dir.path(), &format!("train --data faces --crop 32 {SMALL}")).code(2);
    assert!(String::from_utf8_lossy(&wrong.get_output().stderr).contains("such as center:150"));
}

#[test]
fn images_much_larger_than_the_networks_input_get_a_hint_once() {
    let dir = tempdir().unwrap();
    run(dir.path(), "synth --out faces --people 6 --images 3 --size 200").success();
    let (_, err) = said(dir.path(), &format!("train --data faces {SMALL}"));
    assert_eq!(err.matches("--crop center:N").count(), 1, "{err}");
    let (_, err) = said(dir.path(), &format!("train --data faces --crop center:150 {SMALL}"));
    assert!(!err.contains("hint"), "{err}");
}
