//! Running the program as a user would.

use std::fs;
use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use facenet_gpu::weights::Weights;

/// A training run of a second.
pub const TINY: &str = "train --synth-people 6 --synth-images 3 --epochs 1 -P 2 -K 2 --device cpu";
/// The same on a folder.
pub const ON_FOLDER: &str = "train --data faces --epochs 1 -P 2 -K 2 --device cpu";

/// What keeps the program from timing kernels, but in tests of just that: what it chooses depends on what else a machine does.
pub const NO_TUNE: (&str, &str) = ("FACENET_GPU_NO_TUNE", "1");

/// The program with these arguments, separated by blanks, in `dir`.
pub fn program(dir: &Path, arguments: &str) -> Command {
    let mut command = Command::cargo_bin("facenet-gpu").unwrap();
    command
        .env(NO_TUNE.0, NO_TUNE.1)
        .current_dir(dir)
        .args(arguments.split_whitespace())
        .timeout(Duration::from_secs(120));
    command
}

/// The same, with kernels chosen by measurement and kept in `cache` in place of the user's cache folder.
pub fn tuning(dir: &Path, arguments: &str, cache: &Path) -> Command {
    let mut command = program(dir, arguments);
    command.env_remove(NO_TUNE.0).env("FACENET_GPU_CACHE", cache);
    command
}

pub fn run(dir: &Path, arguments: &str) -> Assert {
    program(dir, arguments).assert()
}

/// Asserts a refusal: the exit status, one sentence that holds all of `parts`, and no trace of a panic.
pub fn refused(assert: Assert, status: i32, parts: &[&str]) {
    let text = String::from_utf8(assert.code(status).get_output().stderr.clone()).unwrap();
    assert!(text.starts_with("error: "), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "one sentence: {text}");
    assert!(!text.contains("panicked") && !text.contains("BACKTRACE"), "{text}");
    for part in parts {
        assert!(text.contains(part), "\"{part}\" is missing in: {text}");
    }
}

/// Asserts that a run fails in spite of three new starts from good weights, and that `parts` are said of it.
pub fn lost(assert: Assert, parts: &[&str]) {
    let text = String::from_utf8(assert.code(1).get_output().stderr.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    for (at, line) in lines[..3].iter().enumerate() {
        assert!(line.starts_with("warning: step ") && line.contains("back to the starting weights"), "{line}");
        assert!(line.contains(&format!("({} of 3 times)", at + 1)), "{line}");
    }
    assert!(lines[3].starts_with("error: the loss is NaN or Inf at step "), "{text}");
    for part in parts {
        assert!(lines[3].contains(part), "\"{part}\" is missing in: {text}");
    }
}

/// Names in a folder, sorted; none if there is no such folder.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Fails unless the weights can be loaded and are numbers.
pub fn good_weights(path: &Path) -> Weights {
    let weights = Weights::load(path).unwrap();
    assert!(weights.is_finite() && !weights.tensors.is_empty());
    weights
}
