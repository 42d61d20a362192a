//! Watching a run: for people, for programs, for nobody; and what shows it afterwards.

use std::fs;

use crate::support::program::*;
use predicates::prelude::*;
use serde_json::Value;
use tempfile::tempdir;

#[test]
fn quiet_prints_nothing_and_json_prints_nothing_else() {
    let dir = tempdir().unwrap();
    // So few steps teach nothing, and that is a warning.
    let judged = predicate::str::starts_with("warning: not better than").and(predicate::str::contains("\n").count(1));
    run(dir.path(), &format!("{TINY} --quiet")).success().stdout("").stderr(judged);
    let output = run(dir.path(), &format!("{TINY} --json")).success().stderr("").get_output().stdout.clone();
    let events: Vec<Value> =
        String::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).cloned().collect::<Vec<_>>();
    let [begin, epoch, end] = ["begin", "epoch", "end"].map(|kind| of(kind).into_iter().next().unwrap());
    assert_eq!((begin["steps"].as_u64(), begin["batch"].as_u64()), (Some(20), Some(4)));
    assert!(epoch["accuracy"].is_f64() && epoch["loss"].is_f64());
    assert_eq!((end["end"].as_str(), end["steps"].as_u64()), (Some("done"), Some(20)));
    let best = end["best"].as_str().unwrap();
    good_weights(&dir.path().join(best));
    refused_together(dir.path(), "--quiet", "--json");
}

fn refused_together(dir: &std::path::Path, one: &str, other: &str) {
    let said = run(dir, &format!("{TINY} {one} {other}")).code(2).get_output().stderr.clone();
    assert!(String::from_utf8_lossy(&said).contains("cannot be used with"));
}

#[test]
fn a_search_of_the_learning_rate_leaves_a_plot_and_a_table_and_suggests_a_rate() {
    let dir = tempdir().unwrap();
    // A loss that falls far, so that no rounding decides.
    let rates = "train --synth-people 30 --synth-images 4 --loss softmax --device cpu --find-lr=60";
    let output = run(dir.path(), rates).success().stderr("").get_output().stdout.clone();
    let said = String::from_utf8(output).unwrap();
    assert!(said.contains("found     the loss falls fastest at") && said.contains("--learning-rate"), "{said}");
    let folder = dir.path().join("runs/find-lr/run");
    assert_eq!(names(&folder), ["rates.csv", "rates.png"]);
    let rows = fs::read_to_string(folder.join("rates.csv")).unwrap().lines().count();
    assert!((21..=61).contains(&rows), "{rows} rows");
    assert_eq!(names(&dir.path().join("runs")), ["find-lr", "train"], "no run is left");
    assert_eq!(names(&dir.path().join("runs/train")), [""; 0]);
    refused_together(dir.path(), "--find-lr", "--resume=last");
}

#[test]
fn the_report_holds_its_pictures_and_says_how_good_the_weights_are() {
    let dir = tempdir().unwrap();
    run(dir.path(), TINY).success();
    let page = fs::read_to_string(dir.path().join("runs/train/run/report.html")).unwrap();
    assert_eq!(page.matches("data:image/png;base64,").count(), 10, "pictures");
    for part in ["Accuracy on ", "--synth-people 6", "zf64", "20 steps"] {
        assert!(page.contains(part), "\"{part}\" is missing");
    }
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("<script"), "it needs the network");
}

#[test]
fn the_moving_average_is_measured_saved_and_resumed() {
    let dir = tempdir().unwrap();
    let tensors = |name: &str| {
        let weights = good_weights(&dir.path().join(format!("runs/train/{name}/weights/last.safetensors")));
        weights.tensors.into_iter().map(|(_, _, data)| data).collect::<Vec<_>>()
    };
    run(dir.path(), &format!("{TINY} --name plain")).success();
    run(dir.path(), &format!("{TINY} --name averaged --ema 0.9")).success();
    assert!(tensors("plain") != tensors("averaged"));
    run(dir.path(), "train --resume averaged --epochs 2").success();
    refused(run(dir.path(), &format!("{TINY} --ema 1")), 2, &["--ema", "below 1"]);
}
