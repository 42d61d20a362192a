//! Runs that are broken off and go on, as their users see them.

use std::fs;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use crate::support::program::*;
use predicates::prelude::*;
use tempfile::tempdir;

/// The same on synthetic people, for two epochs.
const TWO: &str = "train --synth-people 6 --synth-images 3 --epochs 2 -P 2 -K 2 --device cpu --save-every 3";

/// Tensors of a run's weights.
fn tensors(run: &Path, name: &str) -> Vec<(String, Vec<u32>)> {
    let weights = good_weights(&run.join(format!("weights/{name}.safetensors")));
    let bits = |data: Vec<f32>| data.into_iter().map(f32::to_bits).collect();
    weights.tensors.into_iter().map(|(name, _, data)| (name, bits(data))).collect()
}

/// Rows of a table without the columns about time.
fn rows(run: &Path) -> (Vec<String>, Vec<String>) {
    let epochs = csv_rows(&run.join("metrics.csv"));
    let timed = ["seconds", "images_per_second", "data_wait"];
    let steps = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let step = |line: &str| {
        let mut row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        row.remove("seconds");
        serde_json::to_string(&row).unwrap()
    };
    let epoch = |row: &Vec<(String, String)>| {
        let kept = row.iter().filter(|(name, _)| !timed.contains(&name.as_str()));
        kept.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    (epochs.iter().map(epoch).collect(), steps.lines().map(step).collect())
}

fn csv_rows(path: &Path) -> Vec<Vec<(String, String)>> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(ToString::to_string).collect::<Vec<_>>());
    let names = lines.next().unwrap();
    lines.map(|line| names.iter().cloned().zip(line).collect()).collect()
}

/// Asserts that two runs have left the same weights and the same tables.
fn assert_same(run: &Path, whole: &Path) {
    for name in ["last", "best"] {
        assert!(tensors(run, name) == tensors(whole, name), "{name} differs");
    }
    assert_eq!(rows(run), rows(whole));
    let hidden = names(run).into_iter().chain(names(&run.join("weights"))).chain(names(&run.join("state")));
    assert_eq!(hidden.filter(|name| name.starts_with('.')).collect::<Vec<_>>(), [""; 0], "nothing temporary is left");
}

#[cfg(unix)]
#[test]
fn a_run_that_is_killed_anywhere_goes_on_to_the_weights_and_tables_of_one_without_a_break() {
    let dir = tempdir().unwrap();
    run(dir.path(), &format!("{TWO} --name whole")).success();
    let [whole, broken] = ["whole", "broken"].map(|name| dir.path().join("runs/train").join(name));
    // Killed with a row half-written, between a row and its weights, and before any state.
    for rows in [1, 4, 21, 30] {
        let _ = fs::remove_dir_all(&broken);
        let mut child = Process::new(env!("CARGO_BIN_EXE_facenet-gpu"))
            .args(format!("{TWO} --name broken").split_whitespace())
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        let steps = || fs::read_to_string(broken.join("metrics.jsonl")).map_or(0, |text| text.lines().count());
        while steps() < rows && child.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < Duration::from_secs(60), "no step was made");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        fs::write(broken.join("weights/.facenet-gpu-left.tmp"), "half a file").unwrap();
        run(dir.path(), "train --resume broken").success().stdout(predicate::str::contains("resume    "));
        assert_same(&broken, &whole);
    }
}

#[test]
fn an_ended_run_is_prolonged_and_says_what_may_not_change() {
    let dir = tempdir().unwrap();
    let constant = "--schedule constant";
    run(dir.path(), &format!("{TINY} {constant} --name short")).success();
    run(dir.path(), &format!("{TINY} {constant} --name long --epochs 2")).success();
    let [short, long] = ["short", "long"].map(|name| dir.path().join("runs/train").join(name));
    let before = fs::read(short.join("weights/last.safetensors")).unwrap();
    let again = run(dir.path(), "train --resume runs/train/short").success();
    again.stdout(predicate::str::contains("after step 20").and(predicate::str::contains("done      20 steps")));
    assert!(before == fs::read(short.join("weights/last.safetensors")).unwrap(), "nothing was left to do");
    for (flags, parts) in [
        ("--margin 0.5", &["--margin cannot change in a run that goes on", "--epochs"][..]),
        ("--synth-people 7", &["has its images already"]),
        ("--name other", &["cannot be used with"]),
    ] {
        let said = run(dir.path(), &format!("train --resume short {flags}")).code(2).get_output().stderr.clone();
        let said = String::from_utf8(said).unwrap();
        parts.iter().for_each(|part| assert!(said.contains(part), "\"{part}\" is missing in: {said}"));
    }
    run(dir.path(), "train --resume short --epochs 2 --margin 0.2").success();
    assert_same(&short, &long);
    assert!(fs::read_to_string(short.join("args.toml")).unwrap().contains("epochs = 2"));
    refused(
        run(dir.path(), "train --resume short --epochs 1"),
        2,
        &["--epochs asks for 20 steps", "give at least 2 epochs"],
    );
    assert!(fs::read_to_string(short.join("args.toml")).unwrap().contains("epochs = 2"), "a refusal changes nothing");
    run(dir.path(), "train --resume short").success();
    // The settings of one run are those of another one.
    run(dir.path(), "train --config runs/train/short/args.toml --epochs 1 --name third").success();
    let third = dir.path().join("runs/train/third");
    let settings = |run: &Path| fs::read_to_string(run.join("args.toml")).unwrap().replace("epochs = 1", "epochs = 2");
    assert_eq!(settings(&third), settings(&short));
    run(dir.path(), "train --resume last").success().stdout(predicate::str::contains("train/third, after step 20"));
}

#[test]
fn what_cannot_be_resumed_is_refused_with_the_reason() {
    let dir = tempdir().unwrap();
    refused(run(dir.path(), "train --resume last"), 1, &["there is no run in runs/train"]);
    refused(run(dir.path(), "train --resume nothing"), 1, &["nothing is no folder", "runs/train/run, or last"]);
    fs::create_dir(dir.path().join("empty")).unwrap();
    refused(run(dir.path(), "train --resume empty"), 1, &["is no folder of a run: it has no args.toml"]);

    run(dir.path(), "synth --out faces --people 6 --images 3 --size 32").success();
    run(dir.path(), &format!("{ON_FOLDER} --save-every 8")).success();
    let folder = dir.path().join("runs/train/run");
    let states = names(&folder.join("state"));
    assert_eq!(states, ["lock", "step-000000016.safetensors", "step-000000020.safetensors"]);

    // The data has changed.
    let faces = dir.path().join("faces");
    fs::rename(faces.join("person_0001/0001.png"), faces.join("person_0001/new.png")).unwrap();
    let said = ["the data has changed", "1 image is new (person_0001/new.png)", "1 image is missing (person_0001/0001"];
    refused(run(dir.path(), "train --resume run --epochs 2"), 1, &said);
    fs::rename(faces.join("person_0001/new.png"), faces.join("person_0001/0001.png")).unwrap();
    // A file of as many bytes, and one that is cut short.
    let (one, other) = (faces.join("person_0001/0001.png"), faces.join("person_0002/0001.png"));
    let (first, second) = (fs::read(&one).unwrap(), fs::read(&other).unwrap());
    fs::write(&one, [&second[..], &[0][..]].concat()).unwrap();
    fs::write(&other, &second[..second.len() / 2]).unwrap();
    let said = ["1 image has another content (person_0001/0001", "1 image can no longer be read (person_0002/0001"];
    refused(run(dir.path(), "train --resume run --epochs 2"), 1, &said);
    fs::write(&one, first).unwrap();
    fs::write(&other, second).unwrap();
    fs::rename(&faces, dir.path().join("moved")).unwrap();
    refused(run(dir.path(), "train --resume run --epochs 2"), 1, &["cannot read", "faces"]);
    let said = run(dir.path(), "train --resume run --epochs 2 --data moved").success();
    said.stdout(predicate::str::contains("after step 20"));

    // The latest state is cut short: the one before it is taken.
    let latest = folder.join("state").join(names(&folder.join("state")).pop().unwrap());
    let bytes = fs::read(&latest).unwrap();
    let weights = tensors(&folder, "last");
    fs::write(&latest, &bytes[..bytes.len() / 2]).unwrap();
    let said = run(dir.path(), "train --resume run --data moved").success();
    let said = said.stderr(predicate::str::contains("warning: ").and(predicate::str::contains("is cut short")));
    said.stdout(predicate::str::contains("after step 32"));
    assert!(weights == tensors(&folder, "last"), "the same steps lead to the same weights");

    // Without its states a run would begin anew and overwrite its weights.
    fs::remove_dir_all(folder.join("state")).unwrap();
    let said = ["has weights and no training state", "--init runs/train/run/weights/last.safetensors"];
    refused(run(dir.path(), "train --resume run --data moved"), 1, &said);
    assert!(weights == tensors(&folder, "last"));
}

#[test]
fn two_programs_never_train_in_one_folder() {
    let dir = tempdir().unwrap();
    run(dir.path(), TINY).success();
    let lock = fs::File::create(dir.path().join("runs/train/run/state/lock")).unwrap();
    lock.lock().unwrap();
    refused(run(dir.path(), "train --resume run"), 1, &["another program is training in runs/train/run"]);
    drop(lock);
    run(dir.path(), "train --resume run").success();
}

#[test]
fn a_run_ends_when_its_time_is_over_or_nothing_gets_better() {
    let dir = tempdir().unwrap();
    let endless = TINY.replace("--epochs 1", "--epochs 100000");
    let said = run(dir.path(), &format!("{endless} --time 1s")).success();
    said.stdout(predicate::str::contains("done      the time is over after "));
    let weights = good_weights(&dir.path().join("runs/train/run/weights/best.safetensors"));
    let training = weights.metadata.training.unwrap();
    assert!(training.accuracy.is_some() && training.threshold.is_some() && training.step > 0);
    let said = run(dir.path(), &format!("{endless} --patience 1")).success();
    said.stdout(predicate::str::contains("nothing better for 1 epoch"));
    for time in ["0s", "many", "-1"] {
        run(dir.path(), &format!("train --time={time}")).code(2);
    }
}

/// A signal that was ignored when the program began stays ignored.
#[cfg(target_os = "linux")]
#[test]
fn nohup_keeps_a_run_alive() {
    let dir = tempdir().unwrap();
    let child = Process::new("nohup")
        .arg(env!("CARGO_BIN_EXE_facenet-gpu"))
        .args(format!("{TINY} --epochs 30").split_whitespace())
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let steps = dir.path().join("runs/train/run/metrics.jsonl");
    let begin = Instant::now();
    while !steps.exists() {
        assert!(begin.elapsed() < Duration::from_secs(60), "no step was made");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(Process::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}
