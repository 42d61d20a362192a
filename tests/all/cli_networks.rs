//! The program as a stranger meets it: networks, their tables, and measuring weights. See `cli.rs` for the rest.

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
