//! The program as a stranger meets it: networks, their tables, and measuring weights. See `cli.rs` for the rest.

use std::fs;
use std::path::Path;

use crate::support::program::*;
use predicates::prelude::*;
use tempfile::tempdir;

#[test]
fn summary_prints_the_papers_table_and_says_what_a_network_cannot_take() {
    let dir = tempdir().unwrap();
    let said = run(dir.path(), "summary nn4 --batch 2").success().get_output().stdout.clone();
    let said = String::from_utf8(said).unwrap();
    for part in
        ["inception_4e", "3x3x896", "6,607,888 parameters", "284,741,632 multiply-adds", "to train with AdaGrad 2"]
    {
        assert!(said.contains(part), "\"{part}\" is missing in: {said}");
    }
    run(dir.path(), "summary").success().stdout(predicate::str::contains("inception-resnet-v1"));
    refused(run(dir.path(), "summary nn44"), 2, &["unknown network \"nn44\"", "did you mean nn4?"]);
    refused(
        run(dir.path(), "summary inception-resnet-v1 --input 40"),
        2,
        &["cannot take images of 40x40", "give at least", "its own are 160x160"],
    );
    run(dir.path(), "summary nn4 --input 0x9").code(2).stderr(predicate::str::contains("such as 96x96"));
    run(dir.path(), "train --net nn4 --embedding 0").code(2).stderr(predicate::str::contains("--embedding"));
    // More than 32-bit indices reach: the table is there all the same.
    let said = run(dir.path(), "summary nn2 --batch 100000").success();
    said.stdout(predicate::str::contains("7,456,304 parameters").and(predicate::str::contains("smaller batch")));
}

#[test]
fn training_takes_another_network_and_size_and_its_weights_keep_them() {
    let dir = tempdir().unwrap();
    run(dir.path(), &format!("{TINY} --net openface-nn4-small2-v1 --input 72x80 --embedding 16")).success();
    let weights = good_weights(&dir.path().join("runs/train/run/weights/best.safetensors"));
    let metadata = &weights.metadata;
    assert_eq!((metadata.network.as_str(), metadata.embedding), ("openface-nn4-small2-v1", 16));
    assert_eq!((metadata.preprocess.height, metadata.preprocess.width), (72, 80));
    // The running statistics have moved and are in the file.
    let (_, mean) = weights.find("conv1/mean").unwrap();
    assert!(mean.iter().any(|x| *x != 0.0));
    let out = "export runs/train/run/weights/best.safetensors --out theirs.safetensors";
    run(dir.path(), out).success().stdout(predicate::str::contains("with the names of"));
}

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
    let eval = "eval w.safetensors --device cpu --data lfw --pairs pairs.txt";
    let said = run(dir.path(), eval).success().stderr("");
    said.stdout(predicate::str::contains("6 of 6").and(predicate::str::contains("accuracy")));
    fs::remove_file(dir.path().join("lfw/Ada/Ada_0002.jpg")).unwrap();
    let said = run(dir.path(), eval).success().stderr(predicate::str::contains("1 of 6 images cannot be used"));
    said.stdout(predicate::str::contains("4 of 6"));
    let other = |from: &str, to: &str| run(dir.path(), &eval.replace(from, to));
    refused(other("--data lfw", "--data none"), 1, &["none of the 6 images", "can be used in none"]);
    refused(other("pairs.txt", "w.safetensors"), 1, &["w.safetensors"]);
    refused(other("pairs.txt", "none.txt"), 1, &["cannot read none.txt"]);
    refused(other("eval w", "eval v"), 1, &["cannot read v.safetensors"]);
}
