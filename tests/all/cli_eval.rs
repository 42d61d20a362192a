//! Measuring weights on lists of pairs, as a stranger meets it. See `cli.rs` for the rest.

use std::fs;
use std::path::Path;

use crate::support::program::*;
use predicates::prelude::*;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// Images in LFW's layout, and a list of pairs of them.
fn lfw(dir: &Path) {
    for (person, shade) in [("Ada", 40u8), ("Grace", 120), ("Mary_Ann", 220)] {
        fs::create_dir_all(dir.join("lfw").join(person)).unwrap();
        for number in 1..=2u8 {
            let image = image::RgbImage::from_pixel(32, 32, image::Rgb([shade, shade / 2, shade + 3 * number]));
            image.save(dir.join("lfw").join(person).join(format!("{person}_000{number}.jpg"))).unwrap();
        }
    }
    let pairs =
        "3\nAda\t1\t2\nGrace\t1\t2\nMary_Ann\t1\t2\nAda\t1\tGrace\t1\nAda\t2\tMary_Ann\t1\nGrace\t2\tMary_Ann\t2\n";
    fs::write(dir.join("pairs.txt"), pairs).unwrap();
}

#[test]
fn eval_measures_weights_on_a_list_of_pairs() {
    let dir = tempdir().unwrap();
    run(dir.path(), TINY).success();
    fs::rename(dir.path().join("runs/train/run/weights/best.safetensors"), dir.path().join("w.safetensors")).unwrap();
    lfw(dir.path());
    let eval = "eval pairs w.safetensors --device cpu --data lfw --pairs pairs.txt";
    let said = run(dir.path(), eval).success().stderr("");
    said.stdout(predicate::str::contains("6 of 6").and(predicate::str::contains("accuracy")));
    fs::remove_file(dir.path().join("lfw/Ada/Ada_0002.jpg")).unwrap();
    let said = run(dir.path(), eval).success().stderr(predicate::str::contains("1 of 6 images cannot be used"));
    said.stdout(predicate::str::contains("4 of 6"));
    let other = |from: &str, to: &str| run(dir.path(), &eval.replace(from, to));
    refused(other("--data lfw", "--data none"), 1, &["none of the 6 images", "can be used in none"]);
    refused(other("pairs.txt", "w.safetensors"), 1, &["w.safetensors"]);
    refused(other("pairs.txt", "none.txt"), 1, &["cannot read none.txt"]);
    refused(other("pairs w", "pairs v"), 1, &["cannot read v.safetensors"]);
}

/// A folder with weights, images and a list of pairs.
fn prepared() -> TempDir {
    let dir = tempdir().unwrap();
    run(dir.path(), TINY).success();
    fs::rename(dir.path().join("runs/train/run/weights/best.safetensors"), dir.path().join("w.safetensors")).unwrap();
    lfw(dir.path());
    dir
}

const EVAL: &str = "eval pairs w.safetensors --device cpu --data lfw --pairs";

#[test]
fn figures_are_one_json_object_and_distances_a_table_from_which_they_follow() {
    let dir = prepared();
    let said =
        run(dir.path(), &format!("{EVAL} pairs.txt --json --distances d.csv")).success().get_output().stdout.clone();
    let told: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!((told["pairs"].as_u64(), told["protocol"].as_str()), (Some(6), Some("halves")));
    let rows = fs::read_to_string(dir.path().join("d.csv")).unwrap();
    let rows: Vec<Vec<&str>> = rows.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 6);
    assert_eq!((rows[0][1], rows[0][2], rows[0][3]), ("Ada 1", "Ada 2", "1"));
    // The area under the curve is the part of pairs of pairs in the right order.
    let of =
        |same: &str| rows.iter().filter(|row| row[3] == same).map(|row| row[4].parse().unwrap()).collect::<Vec<f64>>();
    let (same, different) = (of("1"), of("0"));
    let order = |a: f64, b: f64| {
        if a < b {
            1.0
        } else if a == b {
            0.5
        } else {
            0.0
        }
    };
    let right: f64 = same.iter().flat_map(|&a| different.iter().map(move |&b| order(a, b))).sum();
    assert!((told["auc"].as_f64().unwrap() - right / 9.0).abs() < 1e-9, "{told}");
    assert_eq!(told["val_at_far"], Value::Array(vec![]), "three pairs of different people show no rate of a tenth");
}

#[test]
fn lists_of_files_and_other_names_of_images_are_taken_and_missing_ones_leave_an_unbalanced_rest() {
    let dir = prepared();
    fs::rename(dir.path().join("lfw/Ada/Ada_0001.jpg"), dir.path().join("lfw/Ada/Ada_1.JPG")).unwrap();
    fs::rename(dir.path().join("lfw/Grace/Grace_0002.jpg"), dir.path().join("lfw/Grace/Grace_0002_0.jpeg")).unwrap();
    run(dir.path(), &format!("{EVAL} pairs.txt")).success().stderr("").stdout(predicate::str::contains("6 of 6"));
    let files = "a,b,same\nAda/Ada_1.JPG,Ada/Ada_0002.jpg,1\nGrace/Grace_0001.jpg,Grace/Grace_0002_0.jpeg,1\n\
                 Ada/Ada_1.JPG,Grace/Grace_0001.jpg,0\nAda/Ada_0002.jpg,Mary_Ann/Mary_Ann_0001.jpg,0\n";
    fs::write(dir.path().join("files.csv"), files).unwrap();
    run(dir.path(), &format!("{EVAL} files.csv")).success().stderr("").stdout(predicate::str::contains("4 of 4"));
    fs::write(
        dir.path().join("more.csv"),
        format!("{files}Ada/none.jpg,Grace/Grace_0001.jpg,0\nAda/Ada_1.JPG,Mary_Ann/Mary_Ann_0002.jpg,0\n"),
    )
    .unwrap();
    let said = run(dir.path(), &format!("{EVAL} more.csv")).success();
    said.stderr(predicate::str::contains("not balanced").and(predicate::str::contains("1 of 7 images")));
    fs::write(dir.path().join("out.csv"), "../w.safetensors,Ada/Ada_1.JPG,0\n").unwrap();
    refused(run(dir.path(), &format!("{EVAL} out.csv")), 1, &["line 1", "leaves the folder"]);
}

#[test]
fn a_set_without_images_is_left_out_and_named() {
    let dir = prepared();
    let set = |a: &str, b: &str| format!("{a}\t1\t2\n{b}\t1\t2\n{a}\t1\t{b}\t1\n{a}\t2\t{b}\t2\n");
    let list = format!("3\t2\n{}{}{}", set("Ada", "Grace"), set("Nobody", "None"), set("Mary_Ann", "Grace"));
    fs::write(dir.path().join("three.txt"), list).unwrap();
    let said = run(dir.path(), &format!("{EVAL} three.txt")).success();
    said.stderr(predicate::str::contains("no pair of set 2 can be used"))
        .stdout(predicate::str::contains("each of 2 sets").and(predicate::str::contains("thresholds")));
}
