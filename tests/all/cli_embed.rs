//! What people do with embeddings: tables of them, two faces compared, a threshold of one's own.

use std::fs;
use std::path::Path;

use crate::support::program::*;
use facenet_gpu::embed::table::EmbeddingTable;
use predicates::prelude::*;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// A folder with `faces`, 8 people x 3 images, and weights that saw others.
fn faces_and_weights() -> TempDir {
    let dir = tempdir().unwrap();
    run(dir.path(), "synth --out faces --people 8 --images 3 --size 64 --seed 9").success();
    run(dir.path(), TINY).success();
    fs::rename(dir.path().join("runs/train/run/weights/best.safetensors"), dir.path().join("w.safetensors")).unwrap();
    dir
}

fn json(dir: &Path, arguments: &str) -> Value {
    let output = run(dir, arguments).success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

#[test]
fn embed_leaves_a_row_for_every_file_in_every_format_and_says_what_failed() {
    let dir = faces_and_weights();
    fs::write(dir.path().join("faces/person_0002/broken.png"), "no image").unwrap();
    let said = run(dir.path(), "embed w.safetensors faces --out t.npy --device cpu").success();
    said.stderr("warning: 1 image has no embedding: the rows say why\n")
        .stdout(predicate::str::contains("done      25 of 25").and(predicate::str::contains("table     t.npy")));
    let npy = EmbeddingTable::read(&dir.path().join("t.npy")).unwrap();
    assert_eq!((npy.embeddings.len(), npy.failed.len()), (24, 1));
    assert!(npy.failed[0].0.ends_with("person_0002/broken.png") && npy.failed[0].1.contains("no image"));
    for name in ["t.csv", "t.jsonl", "t.safetensors"] {
        let end = json(dir.path(), &format!("embed w.safetensors faces --out {name} --device cpu --json --threads 1"));
        assert_eq!(
            (end["rows"].as_u64(), end["failed"].as_u64(), end["complete"].as_bool()),
            (Some(25), Some(1), Some(true))
        );
        let table = EmbeddingTable::read(&dir.path().join(name)).unwrap();
        assert_eq!(table.embeddings, npy.embeddings, "{name}");
    }
    refused(run(dir.path(), "embed w.safetensors faces --out t.npy"), 1, &["t.npy exists already", "--overwrite"]);
    run(dir.path(), "embed w.safetensors faces --out t.npy --device cpu --overwrite").success();

    // To the standard output, from lists.
    fs::write(dir.path().join("list.txt"), "faces/person_0001/0001.png\nfaces/gone.png\n").unwrap();
    let said = run(dir.path(), "embed w.safetensors --list list.txt --format jsonl --device cpu").success();
    let lines = String::from_utf8(said.get_output().stdout.clone()).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), lines[0]["embedding"].as_array().unwrap().len()), (2, 128));
    assert!(lines[1]["reason"].as_str().unwrap().contains("there is no such file"), "{lines:?}");
    let csv = run(dir.path(), "embed w.safetensors faces/person_0001 --device cpu").success();
    csv.stdout(predicate::str::starts_with("path,reason,d0,").and(predicate::str::contains("\n").count(4)));

    // Nothing that could be embedded is a failure; what cannot be written is refused before the work.
    run(dir.path(), "embed w.safetensors gone.png --device cpu").code(1);
    refused(run(dir.path(), "embed w.safetensors faces --out t.txt"), 2, &["t.txt names no table", ".npy, .csv"]);
    refused(run(dir.path(), "embed w.safetensors faces --out no/t.csv"), 1, &["no/t.csv", "check the path"]);
    refused(run(dir.path(), "embed w.safetensors faces --format npy"), 2, &["csv and jsonl"]);
    fs::create_dir(dir.path().join("empty")).unwrap();
    refused(run(dir.path(), "embed w.safetensors empty"), 1, &["there are no images"]);
}

#[test]
fn a_table_that_was_cut_off_is_completed_by_the_same_command() {
    let dir = faces_and_weights();
    run(dir.path(), "embed w.safetensors faces --out whole.csv --device cpu").success();
    let whole = fs::read(dir.path().join("whole.csv")).unwrap();
    fs::write(dir.path().join("t.csv.part"), &whole[..whole.len() / 2]).unwrap();
    let about = fs::read_to_string(dir.path().join("whole.csv.json")).unwrap();
    fs::write(dir.path().join("t.csv.json.part"), about.replace("\"complete\": true", "\"complete\": false")).unwrap();
    let said = run(dir.path(), "embed w.safetensors faces --out t.csv --device cpu").success();
    said.stdout(
        predicate::str::contains("resume    11 rows are there already")
            .or(predicate::str::contains("resume    12 rows")),
    );
    assert!(fs::read(dir.path().join("t.csv")).unwrap() == whole);
    // Half of a table of other images is not completed.
    fs::write(dir.path().join("u.csv.part"), &whole[..whole.len() / 2]).unwrap();
    fs::copy(dir.path().join("whole.csv.json"), dir.path().join("u.csv.json.part")).unwrap();
    let said = run(dir.path(), "embed w.safetensors faces/person_0001 --out u.csv --device cpu");
    refused(said, 1, &["u.csv.part was begun with other images or other weights"]);
}

#[test]
fn a_calibrated_threshold_stands_in_the_weights_and_decides() {
    let dir = faces_and_weights();
    let (a, b) = ("faces/person_0001/0001.png", "faces/person_0001/0002.png");
    let before = json(dir.path(), &format!("verify w.safetensors {a} {b} --device cpu --json"));
    assert_eq!((before["threshold_source"].as_str(), before["far_is"].as_str()), (Some("training"), Some("unknown")));
    let id = facenet_gpu::Weights::load(&dir.path().join("w.safetensors")).unwrap().model_id();

    let said = json(dir.path(), "calibrate w.safetensors --data faces --far 0.05 --device cpu --json");
    assert_eq!(
        (said["same"].as_u64(), said["different"].as_u64(), said["people"].as_u64()),
        (Some(24), Some(252), Some(8))
    );
    let (far, threshold) = (said["far"].as_f64().unwrap(), said["threshold"].as_f64().unwrap());
    assert!(far <= 0.05 && said["far_interval"][0].as_f64().unwrap() <= far, "{said}");
    let weights = good_weights(&dir.path().join("w.safetensors"));
    assert_eq!(weights.model_id(), id, "a threshold does not make other embeddings");
    assert_eq!(weights.metadata.calibration.unwrap().different, 252);

    let same = json(dir.path(), &format!("verify w.safetensors {a} {a} --device cpu --json"));
    assert_eq!((same["same"].as_bool(), same["distance"].as_f64()), (Some(true), Some(0.0)));
    assert_eq!((same["threshold_source"].as_str(), same["threshold"].as_f64()), (Some("calibration"), Some(threshold)));
    assert_eq!(same["far_is"].as_str(), Some("below"));
    let said = run(dir.path(), &format!("verify w.safetensors {a} {b} --device cpu")).success();
    said.stdout(predicate::str::contains("calibrated on faces").and(predicate::str::contains("(FAR), by 252 pairs")));
    let never = json(dir.path(), &format!("verify w.safetensors {a} {b} --threshold 0 --device cpu --json"));
    assert_eq!((never["same"].as_bool(), never["threshold_source"].as_str()), (Some(false), Some("flag")));

    // From a list of pairs, into another file.
    let image = |person: u32, image: u32| format!("person_{person:04}/{image:04}.png");
    let pairs =
        (1..=8).map(|p| format!("{},{},1\n{},{},0\n", image(p, 1), image(p, 2), image(p, 3), image(p % 8 + 1, 3)));
    fs::write(dir.path().join("pairs.csv"), pairs.collect::<String>()).unwrap();
    let listed =
        "calibrate w.safetensors --data faces --pairs pairs.csv --far 0.25 --out w2.safetensors --device cpu --json";
    let said = json(dir.path(), listed);
    assert_eq!((said["same"].as_u64(), said["different"].as_u64()), (Some(8), Some(8)));
    assert!(said["far"].as_f64().unwrap() <= 0.25 && said["weights"] == "w2.safetensors", "{said}");
    assert_eq!(good_weights(&dir.path().join("w2.safetensors")).metadata.calibration.unwrap().data, "pairs.csv");

    // What cannot be shown or measured is refused, and the weights stay as they are.
    let bytes = fs::read(dir.path().join("w.safetensors")).unwrap();
    let few = run(dir.path(), "calibrate w.safetensors --data faces --far 0.0001 --device cpu");
    refused(few, 1, &["252 pairs of different people cannot show a FAR of 0.0001", "--far"]);
    fs::create_dir(dir.path().join("one")).unwrap();
    fs::rename(dir.path().join("faces/person_0001"), dir.path().join("one/ada")).unwrap();
    refused(run(dir.path(), "calibrate w.safetensors --data one --device cpu"), 1, &["0 of different people"]);
    run(dir.path(), "calibrate w.safetensors --data faces --far 2").code(2).stderr(predicate::str::contains("0.001"));
    run(dir.path(), "verify w.safetensors a b --threshold 5").code(2).stderr(predicate::str::contains("from 0 to 4"));
    assert!(bytes == fs::read(dir.path().join("w.safetensors")).unwrap());
}

#[test]
fn a_crop_belongs_to_embeddings_and_thresholds_and_every_verb_takes_it() {
    let dir = faces_and_weights();
    let (a, b) = ("faces/person_0001/0001.png", "faces/person_0001/0002.png");
    let distance = |flags: &str| {
        json(dir.path(), &format!("verify w.safetensors {a} {b} --device cpu --json {flags}"))["distance"].as_f64()
    };
    let (whole, cropped) = (distance(""), distance("--crop center:40"));
    assert_ne!(whole, cropped);
    // A table says so: the same command goes on with it, another one does not.
    run(dir.path(), "embed w.safetensors faces --out t.npy --crop center:40 --device cpu").success();
    let table = EmbeddingTable::read(&dir.path().join("t.npy")).unwrap();
    let [first, second] = [a, b].map(|id| (0..24).find(|&at| table.embeddings.id(at) == id).unwrap());
    let between = table.embeddings.squared_distance(first, second);
    assert!((f64::from(between) - cropped.unwrap()).abs() < 1e-6);
    // A gallery remembers it.
    run(dir.path(), "gallery create g w.safetensors --crop center:40 --vectors floats").success();
    run(dir.path(), &format!("gallery add g w.safetensors {a} --name Ada --device cpu")).success();
    let said = run(dir.path(), &format!("identify g w.safetensors {b} --threshold 4 --csv --device cpu")).success();
    let said = String::from_utf8(said.get_output().stdout.clone()).unwrap();
    let cells: Vec<&str> = said.lines().nth(1).unwrap().split(',').collect();
    assert!((cells[4].parse::<f64>().unwrap() - cropped.unwrap()).abs() < 1e-5, "{said}");
    // So does a threshold, and the weights stay what they were.
    let id = good_weights(&dir.path().join("w.safetensors")).model_id();
    let calibrate = "calibrate w.safetensors --data faces --far 0.05 --crop center:40 --device cpu --csv";
    let said = run(dir.path(), calibrate).success().get_output().stdout.clone();
    let said = String::from_utf8(said).unwrap();
    let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split(',').collect()).collect();
    assert!(lines.len() == 2 && lines[0].len() == lines[1].len() && lines[0].contains(&"far_interval.low"), "{said}");
    assert_eq!(good_weights(&dir.path().join("w.safetensors")).model_id(), id);
    let verify = format!("verify w.safetensors {a} {b} --device cpu");
    let said = run(dir.path(), &verify).success();
    said.stderr(predicate::str::contains("calibrated with crop center:40x40, and images are taken with no crop now"));
    run(dir.path(), &format!("{verify} --crop center:40")).success().stderr("");
    let of_table = run(dir.path(), "cluster w.safetensors --data t.npy").success();
    of_table.stderr("").stdout(predicate::str::contains("calibrated on faces"));
}

#[test]
fn images_much_larger_than_the_input_are_hinted_at_by_every_verb() {
    let dir = faces_and_weights();
    for image in ["a.png", "b.png"] {
        image::RgbImage::from_fn(300, 300, |x, y| image::Rgb([(x % 250) as u8, (y % 250) as u8, 9]))
            .save(dir.path().join(image))
            .unwrap();
    }
    run(dir.path(), "gallery create g w.safetensors").success();
    for verb in [
        "verify w.safetensors a.png b.png",
        "embed w.safetensors a.png b.png",
        "gallery add g w.safetensors a.png --name Ada",
        "identify g w.safetensors a.png b.png",
        "cluster w.safetensors --data a.png b.png --threshold 1",
    ] {
        let said = run(dir.path(), &format!("{verb} --device cpu")).success();
        said.stderr(predicate::str::contains("hint: the images have about 300x300 pixels"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_no_unicode_are_warned_of() {
    use std::os::unix::ffi::OsStrExt;
    let dir = faces_and_weights();
    let name = std::ffi::OsStr::from_bytes(b"faces/caf\xe9.png");
    fs::rename(dir.path().join("faces/person_0001/0001.png"), dir.path().join(name)).unwrap();
    let said = run(dir.path(), "embed w.safetensors faces --out t.npy --device cpu --csv").success();
    said.stderr(predicate::str::contains("1 name cannot be written as UTF-8"))
        .stdout(predicate::str::contains("complete,").and(predicate::str::contains("\n").count(2)));
}
