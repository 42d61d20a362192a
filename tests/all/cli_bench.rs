//! What `bench` measures and prints.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use facenet_gpu::bench::{Row, Table};
use predicates::prelude::{PredicateBooleanExt as _, predicate};
use tempfile::tempdir;

use crate::support::program::{program, refused, run, tuning};

/// A network that takes no time.
const SMALL: &str = "bench --net zf64 --input 24x24";

fn said(dir: &Path, arguments: &str) -> String {
    String::from_utf8(run(dir, arguments).success().get_output().stdout.clone()).unwrap()
}

fn rows(path: &Path) -> Vec<Row> {
    serde_json::from_slice::<Table>(&fs::read(path).unwrap()).unwrap().rows
}

#[test]
fn a_network_is_measured_in_a_few_lines() {
    let dir = tempdir().unwrap();
    let text =
        said(dir.path(), &format!("{SMALL} --batch 1,3,1 --devices cpu,cpu-f64,cpu --filter Inference --json t.json"));
    for (part, count) in [
        ("images/s", 2),
        ("zf64 24x24 inference, batch 1 ", 2),
        ("zf64 24x24 inference, batch 3 ", 2),
        ("CPU in f64", 1),
    ] {
        assert_eq!(text.matches(part).count(), count, "{part} in: {text}");
    }
    assert!(!text.contains("training step") && !text.contains("conv2d"), "{text}");
    assert!(text.lines().count() < 20, "{text}");
    let rows = rows(&dir.path().join("t.json"));
    assert_eq!(rows.len(), 4);
    for row in &rows {
        assert!(row.images_per_second.unwrap() > 0.0 && row.p95_ms >= row.median_ms, "{row:?}");
    }
    assert!(rows[1].memory > rows[0].memory, "three images take more than one");

    let text = said(dir.path(), &format!("{SMALL} --batch 2 --device cpu"));
    assert!(text.contains("zf64 24x24 training step, batch 64") && text.contains("--kernels times"), "{text}");
    assert!(!text.contains("GFLOP/s"), "{text}");
}

#[test]
fn a_filter_matches_what_the_table_prints() {
    let dir = tempdir().unwrap();
    let text = said(dir.path(), "bench --device cpu --filter l2_normalize_dx --json t.json");
    for row in rows(&dir.path().join("t.json")) {
        assert!(row.kernel.contains("l2_normalize_dx"), "{row:?}");
        assert!(row.share > 0.0 && !row.ceiling.is_empty(), "{row:?}");
        assert!(text.contains(&row.ceiling), "{} in: {text}", row.ceiling);
    }
    // Unfamiliar names are explained, once.
    assert_eq!(text.matches("gradient of l2_normalize").count(), 1, "{text}");
    let text = said(dir.path(), &format!("{SMALL} --batch 1 --device cpu --kernels --filter zf64 --json t.json"));
    assert!(text.contains("conv2d") && text.contains("zf64 24x24 training step"), "{text}");
    let rows = rows(&dir.path().join("t.json"));
    assert!(rows.iter().all(|row| row.case.starts_with("zf64 ")));
    assert!(rows.iter().any(|row| row.kernel == "all") && rows.iter().any(|row| row.kernel == "conv2d_dw"), "{rows:?}");
}

#[test]
fn shares_tell_the_truth_where_multiplications_are_saved() {
    let dir = tempdir().unwrap();
    let mut bench = program(dir.path(), "bench --device cpu --json t.json --filter");
    let assert = bench.arg("conv2d [16, 17, 17, 256] [3, 3").assert().success();
    let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    let rows = rows(&dir.path().join("t.json"));
    let row =
        |kernel: &str| rows.iter().find(|row| row.kernel == kernel).unwrap_or_else(|| panic!("{kernel} in {text}"));
    // The static choice for so many channels and stride 2 is Winograd's way, forward; the gradient of the weights has no such way.
    let forward = row("conv2d_nobias");
    assert_eq!((forward.share, forward.ceiling.as_str()), (0.0, "saves products"), "{text}");
    assert!(row("conv2d_dw").share > 0.0 && row("conv2d_dw").ceiling != "saves products", "{text}");
    assert_eq!(text.matches("saves products: Winograd's way").count(), 1, "{text}");
    let text = said(dir.path(), "bench --device cpu --filter l2_normalize_dx");
    assert!(!text.contains("Winograd"), "{text}");
}

#[test]
fn what_was_measured_before_an_end_is_written() {
    let dir = tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_facenet-gpu"))
        .current_dir(dir.path())
        .args(
            format!("{SMALL} --batch 1,2,3,4,5,6,7,8 --device cpu --no-tune --filter inference --json t.json")
                .split(' '),
        )
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let table = dir.path().join("t.json");
    let begin = Instant::now();
    while !table.exists() {
        assert!(begin.elapsed().as_secs() < 60 && child.try_wait().unwrap().is_none(), "a table after the first task");
        sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!((1..8).contains(&rows(&table).len()));
}

#[test]
fn tables_are_compared_in_words() {
    let dir = tempdir().unwrap();
    let table = dir.path().join("t.json");
    said(dir.path(), "bench --device cpu --filter l2_normalize --json t.json");
    let mut old: Table = serde_json::from_slice(&fs::read(&table).unwrap()).unwrap();
    old.rows.iter_mut().for_each(|row| row.median_ms *= 100.0);
    fs::write(&table, serde_json::to_vec(&old).unwrap()).unwrap();
    let text = said(dir.path(), "bench --device cpu --filter l2_normalize --compare t.json");
    assert!(text.contains("compared with") && text.contains("x faster"), "{text}");
    assert!(!text.contains("slower"), "{text}");
    fs::write(dir.path().join("other.json"), "{}").unwrap();
    refused(run(dir.path(), "bench --compare other.json"), 1, &["other.json is not a table", "bench --json"]);
    refused(run(dir.path(), "bench --device cpu --json ."), 1, &["cannot write .", "it is a folder"]);
    refused(run(dir.path(), "bench --device cpu --json no/such.json"), 1, &["cannot write into no", "check the path"]);
}

#[test]
fn wrong_flags_are_explained() {
    let dir = tempdir().unwrap();
    refused(run(dir.path(), "bench --device cpu --filter nothing"), 2, &["nothing matches", "ops: add"]);
    refused(
        run(dir.path(), "bench --device cpu --net inception-resnet-v1 --input 40x40"),
        2,
        &["inception-resnet-v1 cannot take images of 40x40", "give at least"],
    );
    for (flags, part) in [
        ("--batch 0", "0 is not in 1..=65536"),
        ("--batch 1,many", "invalid value 'many'"),
        ("--devices cpu,tpu", "unknown device \"tpu\""),
        ("--input 0x9", "give height and width"),
        ("--devices cpu --device cpu", "cannot be used with"),
        ("--choices --no-tune", "cannot be used with"),
    ] {
        let assert = run(dir.path(), &format!("bench {flags}")).code(2);
        let text = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(text.contains(part), "{flags}: {text}");
    }
    refused(
        run(dir.path(), "bench --devices cpu,gpu:none-such --batch 1 --input 24x24 --filter inference"),
        1,
        &["none-such"],
    );
}

#[test]
fn choices_are_shown_with_their_candidates() {
    let dir = tempdir().unwrap();
    let bench = |flags: &str| {
        let arguments = format!("{SMALL} --batch 2 --device cpu --filter inference {flags}");
        tuning(dir.path(), &arguments, &dir.path().join("cache")).assert().success()
    };
    let shown = predicate::str::contains("conv2d").and(predicate::str::contains("* is the static choice"));
    bench("--choices").stdout(shown.and(predicate::str::contains("not timed").not()));
    assert!(dir.path().join("cache").is_dir());
    bench("").stdout(predicate::str::contains("static choice").not());
}

#[test]
fn a_start_is_shown_in_its_parts() {
    let dir = tempdir().unwrap();
    let text = said(dir.path(), "bench --net zf64 --input 24x24 --devices cpu --start");
    for part in
        ["device is opened", "weights go to the device", "first image", "second image", "first step", "second step"]
    {
        let lines: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with(part)).collect();
        let [line] = &lines[..] else { panic!("{part} in: {text}") };
        assert!(line.split_whitespace().last().unwrap().parse::<f64>().is_ok(), "{line}");
    }
    assert!(!text.contains("images/s"), "{text}");
}
