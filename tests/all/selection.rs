//! Selection and the collapse guard as a user of `facenet-gpu train` meets them.

use std::fs;
use std::path::Path;

use crate::support::program::*;
use facenet_gpu::op::Mining;
use facenet_gpu::weights::Weights;
use predicates::prelude::*;
use tempfile::tempdir;

/// A run that falls onto one point in its first steps: only the hardest negatives, and steps that are far too long.
const COLLAPSE: &str = "train --synth-people 6 --synth-images 3 --epochs 4 -P 2 -K 2 --device cpu --mining hard \
                        --optimiser sgd --learning-rate 100";

/// A column of a run's `metrics.jsonl`.
fn column(dir: &Path, run: &str, name: &str) -> Vec<f64> {
    let text = fs::read_to_string(dir.join("runs/train").join(run).join("metrics.jsonl")).unwrap();
    let rows = text.lines().map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap());
    rows.map(|row| row[name].as_f64().unwrap()).collect()
}

#[test]
fn every_way_to_select_trains_and_stands_in_the_settings() {
    let dir = tempdir().unwrap();
    for mining in Mining::EVERY {
        let name = mining.name();
        run(dir.path(), &format!("{TINY} --mining {name} --name {name}")).success().stderr("");
        let args = fs::read_to_string(dir.path().join("runs/train").join(name).join("args.toml")).unwrap();
        assert!(args.contains(&format!("mining = \"{name}\"")), "{args}");
        let positives = if mining == Mining::BatchHard { "hardest" } else { "all" };
        assert!(args.contains(&format!("positives = \"{positives}\"")), "{args}");
        let of = |name: &str| column(dir.path(), mining.name(), name);
        let parts = of("easy").into_iter().zip(of("semi_hard")).zip(of("hard")).map(|((e, s), h)| e + s + h);
        assert!(parts.eq(of("pairs")), "{name}: every pair is easy, semi-hard or hard");
        assert!(of("active").iter().sum::<f64>() > 0.0, "{name}");
        assert!(of("mean_length").iter().all(|&length| (0.0..1.0001).contains(&length)), "{name}");
    }
    run(dir.path(), &format!("{TINY} --mining hard --positives hardest --name same")).success();
    assert_eq!(column(dir.path(), "same", "loss"), column(dir.path(), "batch-hard", "loss"));
}

#[test]
fn random_negatives_are_those_of_the_seed() {
    let dir = tempdir().unwrap();
    let weights = |name: &str, seed: u32| {
        let flags = format!("{TINY} -P 4 --mining random-violating --seed {seed} --name {name}");
        run(dir.path(), &flags).success();
        fs::read(dir.path().join("runs/train").join(name).join("weights/last.safetensors")).unwrap()
    };
    let first = weights("a", 7);
    assert!(first == weights("b", 7), "two runs differ");
    assert!(first != weights("c", 8), "the seed makes no difference");
}

#[test]
fn batch_hard_leaves_no_choice_of_positives() {
    let dir = tempdir().unwrap();
    run(dir.path(), &format!("{TINY} --mining batch-hard --positives hardest --name x")).success();
    let refused = run(dir.path(), &format!("{TINY} --mining batch-hard --positives all")).code(2);
    refused.stderr(
        predicate::str::starts_with("error: batch-hard takes the hardest positive")
            .and(predicate::str::contains("--mining hard")),
    );
    let unknown = run(dir.path(), &format!("{TINY} --mining hardest")).code(2);
    unknown.stderr(predicate::str::contains("[possible values: semi-hard, semi-hard-random, hard, batch-hard,"));
}

#[test]
fn a_collapse_is_told_once_with_what_to_do() {
    let dir = tempdir().unwrap();
    let said = run(dir.path(), COLLAPSE).success();
    let said = String::from_utf8(said.get_output().stderr.clone()).unwrap();
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    for part in ["warning: step ", "the embeddings fall onto one point", "--mining semi-hard", "--learning-rate"] {
        assert!(said.contains(part), "\"{part}\" is missing in: {said}");
    }
}

#[test]
fn a_collapse_can_end_the_run_with_the_weights_from_before() {
    let dir = tempdir().unwrap();
    let said = run(dir.path(), &format!("{COLLAPSE} --on-collapse stop")).code(1);
    let said = String::from_utf8(said.get_output().stderr.clone()).unwrap();
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    for part in ["error: stopped at step ", "fall onto one point", "the starting weights are in", "last.safetensors"] {
        assert!(said.contains(part), "\"{part}\" is missing in: {said}");
    }
    for name in ["last", "best"] {
        let weights = Weights::load(&dir.path().join(format!("runs/train/run/weights/{name}.safetensors"))).unwrap();
        assert!(weights.is_finite());
    }
    assert!(column(dir.path(), "run", "step").len() < 80, "the run went on");
}

#[test]
fn a_collapse_can_send_the_run_back_with_half_the_learning_rate() {
    let dir = tempdir().unwrap();
    let said = run(dir.path(), &format!("{COLLAPSE} --schedule constant --on-collapse back-off")).success();
    let said = String::from_utf8(said.get_output().stderr.clone()).unwrap();
    assert!(said.contains("back to") && said.contains("with half the learning rate, 5.00e1"), "{said}");
    let rates = column(dir.path(), "run", "learning_rate");
    assert_eq!((rates[0], rates[79]), (100.0, 50.0));
    // The weights are those from before the collapse: the step after it sees different people apart again.
    let apart = column(dir.path(), "run", "d_different");
    let back = rates.iter().position(|&rate| rate == 50.0).unwrap();
    assert!(apart[back] > 10.0 * apart[back - 1], "{:?}", &apart[back - 2..back + 2]);
}

#[test]
fn triplets_chosen_offline_are_trained_on_in_whole_batches_and_in_chunks() {
    let dir = tempdir().unwrap();
    let offline = "--synth-people 12 -P 3 -K 2 --offline-every 7 --offline-subset 30";
    for (name, more) in [("a", ""), ("b", ""), ("mixed", "--offline-share 0.5"), ("chunks", "--chunk 4")] {
        run(dir.path(), &format!("{TINY} {offline} --offline-hardest --name {name} {more}")).success().stderr("");
    }
    let weights =
        |name: &str| fs::read(dir.path().join("runs/train").join(name).join("weights/last.safetensors")).unwrap();
    assert_eq!(weights("a"), weights("b"), "one seed, one device, the same bits");
    assert_ne!(weights("a"), weights("mixed"));
    // Every step has its two triplets of three images; a batch that chooses for itself has six pairs.
    let pairs = column(dir.path(), "a", "pairs");
    assert!(pairs.iter().all(|&pairs| (2.0..=6.0).contains(&pairs)), "{pairs:?}");
    let mixed = column(dir.path(), "mixed", "pairs");
    assert!(mixed.chunks(2).take(3).all(|steps| steps[0] == 6.0), "{mixed:?}");
    for (more, part) in [
        ("--offline-every 5 --offline-share 1.5", "above 0 and at most 1"),
        ("--offline-every 5 --compatible-with w.safetensors", "leave out --offline-every or --compatible-with"),
    ] {
        refused(run(dir.path(), &format!("{TINY} {more}")), 2, &[part]);
    }
    run(dir.path(), &format!("{TINY} --offline-subset 50")).code(2).stderr(predicate::str::contains("--offline-every"));
}

#[test]
fn a_new_network_stays_comparable_with_an_old_one_and_the_run_says_how_well() {
    let dir = tempdir().unwrap();
    run(dir.path(), &format!("{TINY} --name old")).success();
    let with = "--compatible-with runs/train/old/weights/last.safetensors";
    for (name, more) in [("new", "--input 48"), ("chunks", "--chunk 3")] {
        let said = run(dir.path(), &format!("{TINY} --name {name} {with} {more}")).success();
        said.stdout(predicate::str::contains("versions  new").and(predicate::str::contains("new against old")));
        let text = fs::read_to_string(dir.path().join("runs/train").join(name).join("versions.toml")).unwrap();
        assert!(["new = ", "old = ", "across = "].iter().all(|part| text.contains(part)), "{text}");
        // Four images of each version: each has three others of its person, in both versions.
        assert!(column(dir.path(), name, "pairs").iter().all(|&pairs| pairs == 24.0));
    }
    refused(run(dir.path(), &format!("{TINY} {with} --embedding 64")), 2, &["give --embedding 128"]);
    refused(
        run(dir.path(), &format!("{TINY} --compatible-with none.safetensors")),
        1,
        &["cannot read none.safetensors"],
    );
}

#[test]
fn numbers_that_are_none_end_an_offline_run_as_any_other_with_the_last_good_weights() {
    let dir = tempdir().unwrap();
    for every in [1, 3] {
        let arguments = format!("{TINY} --offline-every {every} --optimiser sgd --learning-rate 1e38 --name n{every}");
        lost(run(dir.path(), &arguments), &["lower --learning-rate"]);
        good_weights(&dir.path().join("runs/train").join(format!("n{every}")).join("weights/last.safetensors"));
    }
}

#[test]
fn a_collapse_of_the_new_version_shows_beside_an_old_one_that_stays() {
    let dir = tempdir().unwrap();
    run(dir.path(), &format!("{TINY} --name old")).success();
    let with = "--compatible-with runs/train/old/weights/last.safetensors --name new";
    let said = run(dir.path(), &format!("{COLLAPSE} {with} --learning-rate 5")).success();
    said.stderr(predicate::str::contains("the embeddings fall onto one point"));
    let apart = column(dir.path(), "new", "d_different");
    assert!(apart.last().unwrap() < &1e-3, "{apart:?}");
}
