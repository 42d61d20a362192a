//! The program as a stranger meets it: what it writes, and what it says to bad input. Every refusal is one sentence with
//! the remedy, exit status 1 (2 for wrong usage), and nothing lost. Runs are tiny and, unless the device is what is
//! tested, on the CPU.

use std::fs;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use crate::support::program::*;
use facenet_gpu::data::preprocess::Preprocess;
use predicates::prelude::*;
use tempfile::tempdir;
/// Writes `people` with `images` each into `dir/faces`.
fn faces(dir: &Path, people: u32, images: u32) {
    run(dir, &format!("synth --out faces --people {people} --images {images} --size 32")).success();
}

/// The device of tests about devices; `None` where those are switched off.
fn gpu() -> Option<String> {
    if std::env::var_os("FACENET_GPU_SKIP_GPU_TESTS").is_some_and(|v| v == "1") {
        return None;
    }
    let name = std::env::var("FACENET_GPU_TEST_ADAPTER");
    Some(name.map_or_else(|_| "gpu".to_string(), |name| format!("gpu:{name}")))
}

#[test]
fn a_run_leaves_settings_metrics_and_weights_and_the_next_one_gets_another_folder() {
    let dir = tempdir().unwrap();
    let said = run(dir.path(), TINY).success().stderr("").get_output().stdout.clone();
    let said = String::from_utf8(said).unwrap();
    for part in ["6 people", "baseline  raw pixels", "epoch 1/1", "done      20 steps", "best.safetensors"] {
        assert!(said.contains(part), "\"{part}\" is missing in: {said}");
    }
    run(dir.path(), TINY).success();
    assert_eq!(names(&dir.path().join("runs/train")), ["run", "run2"]);
    let folder = dir.path().join("runs/train/run");
    let (events, others): (Vec<_>, Vec<_>) =
        names(&folder).into_iter().partition(|name| name.starts_with("events.out.tfevents."));
    assert_eq!(events.len(), 1);
    assert_eq!(
        others,
        [
            "args.toml",
            "augment.png",
            "batch.png",
            "env.json",
            "hardest.png",
            "held_out.txt",
            "metrics.csv",
            "metrics.jsonl",
            "plots",
            "report.html",
            "state",
            "weights"
        ]
    );
    let plots = ["accuracy", "active", "distances", "histogram", "learning_rate", "loss", "roc"];
    assert_eq!(names(&folder.join("plots")), plots.map(|name| format!("{name}.png")));
    assert_eq!(fs::read_to_string(folder.join("metrics.jsonl")).unwrap().lines().count(), 20);
    assert_eq!(fs::read_to_string(folder.join("metrics.csv")).unwrap().lines().count(), 2);
    assert!(fs::read_to_string(folder.join("args.toml")).unwrap().contains("people = 2"));
    assert_eq!(names(&folder.join("weights")), ["best.safetensors", "last.safetensors"]);
    let metadata = good_weights(&folder.join("weights/best.safetensors")).metadata;
    assert_eq!((metadata.network.as_str(), metadata.embedding), ("zf64", 128));
    assert!(matches!(metadata.preprocess, Preprocess { height: 64, width: 64, .. }));
    assert_eq!(metadata.version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn one_seed_on_one_device_gives_identical_weights_and_another_seed_others() {
    let dir = tempdir().unwrap();
    for device in gpu().into_iter().chain(["cpu".to_string()]) {
        let weights = |name: &str, seed: u32| {
            run(dir.path(), &format!("{TINY} --device {device} --seed {seed} --name {name}")).success();
            let weights = dir.path().join("runs/train").join(name).join("weights");
            let bytes = ["last", "best"].map(|w| fs::read(weights.join(format!("{w}.safetensors"))).unwrap());
            fs::remove_dir_all(dir.path().join("runs")).unwrap();
            bytes
        };
        let first = weights("a", 7);
        assert!(first == weights("b", 7), "two runs on {device} differ");
        assert!(first != weights("c", 8), "the seed makes no difference on {device}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_saves_the_weights_and_ends_with_130() {
    for signal in ["-INT", "-TERM"] {
        let dir = tempdir().unwrap();
        // Tests may run where SIGINT is ignored, as it is in background jobs, and the program leaves that alone.
        let child = Process::new("env")
            .args(["--default-signal", env!("CARGO_BIN_EXE_facenet-gpu")])
            .args(TINY.split_whitespace())
            .args(["--epochs", "100000"])
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let steps = dir.path().join("runs/train/run/metrics.jsonl");
        let begin = Instant::now();
        while fs::read_to_string(&steps).map_or(0, |text| text.lines().count()) < 3 {
            assert!(begin.elapsed() < Duration::from_secs(60), "no step was made");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(Process::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        assert!(String::from_utf8_lossy(&output.stdout).contains("stopped   after "));
        assert!(String::from_utf8_lossy(&output.stderr).contains("then the run is saved"));
        let weights = good_weights(&dir.path().join("runs/train/run/weights/last.safetensors"));
        assert!(weights.metadata.training.unwrap().step > 0);
    }
}

#[test]
fn a_closed_pipe_ends_nothing_and_panics_nowhere() {
    let dir = tempdir().unwrap();
    for arguments in [TINY, "info --device cpu", "train --plan"] {
        let mut child = Process::new(env!("CARGO_BIN_EXE_facenet-gpu"))
            .args(arguments.split_whitespace())
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
    good_weights(&dir.path().join("runs/train/run/weights/last.safetensors"));
}

#[cfg(target_os = "linux")]
#[test]
fn without_an_adapter_auto_takes_the_cpu_and_gpu_says_what_to_install() {
    let dir = tempdir().unwrap();
    let without_adapter = |arguments: &str| {
        let mut command = program(dir.path(), arguments);
        command.env("VK_DRIVER_FILES", "/nonexistent").env("VK_ICD_FILENAMES", "/nonexistent");
        command.assert()
    };
    without_adapter("info")
        .success()
        .stdout(predicate::str::contains("auto takes CPU").and(predicate::str::contains("no GPU found")));
    for arguments in ["info --device gpu", "bench --device gpu", "train --device gpu"] {
        let parts = ["no GPU adapter found: install", "mesa-vulkan-drivers", "--device cpu"];
        refused(without_adapter(arguments), 1, &parts);
    }
    assert_eq!(names(&dir.path().join("runs/train")), [""; 0]);
}

#[test]
fn threads_are_set_and_absurd_numbers_of_them_are_refused() {
    let dir = tempdir().unwrap();
    run(dir.path(), "info --device cpu --threads 1").success().stdout(predicate::str::contains("CPU (1 thread"));
    for threads in ["0", "5000", "-1", "many"] {
        run(dir.path(), &format!("train --threads={threads}")).code(2);
    }
}

#[test]
fn diff_finds_the_cpu_device_equal_to_its_f64_reference() {
    let dir = tempdir().unwrap();
    run(dir.path(), "diff --device cpu").success().stdout(predicate::str::contains("steps agree within 1e-4"));
    let strict = run(dir.path(), "diff --device cpu --tolerance 1e-12").code(1);
    strict.stdout(predicate::str::contains("is the first that differs"));
}

#[test]
fn a_batch_beyond_32_bit_indices_is_refused() {
    let dir = tempdir().unwrap();
    let said = run(dir.path(), "train --plan -P 60000 -K 60000").code(2);
    said.stderr(predicate::str::contains("2^32"));
}

#[test]
fn info_says_which_device_would_be_taken() {
    let dir = tempdir().unwrap();
    run(dir.path(), "info --device cpu").success().stdout(predicate::str::contains("--device cpu takes CPU"));
    let Some(gpu) = gpu() else { return };
    let said = run(dir.path(), &format!("info --device {gpu}")).success().stderr("");
    said.stdout(predicate::str::contains("gpu:0  ").and(predicate::str::contains("fit for use")));
    refused(run(dir.path(), "info --device gpu:no-such-adapter"), 1, &["no adapter matches", "there are: "]);
    run(dir.path(), "info --device gpu:0").success().stdout(predicate::str::contains("--device gpu:0 takes "));
    refused(run(dir.path(), "info --device gpu:99"), 1, &["there is no adapter gpu:99", "there are: gpu:0 "]);
}

#[test]
fn folders_that_cannot_be_trained_on_are_refused_and_leave_no_run_behind() {
    let dir = tempdir().unwrap();
    let make = |files: &[(&str, &str)]| {
        let root = dir.path().join("faces");
        let _ = fs::remove_dir_all(&root);
        fs::create_dir(&root).unwrap();
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    };
    refused(run(dir.path(), ON_FOLDER), 1, &["cannot read faces", "check the path"]);
    make(&[]);
    refused(run(dir.path(), ON_FOLDER), 1, &["faces is empty", "one folder per person"]);
    make(&[("ann/notes.txt", "hello"), ("list.csv", "a,b")]);
    refused(run(dir.path(), ON_FOLDER), 1, &["holds no images, only 2 other files", "one folder per person"]);
    make(&[("1.jpg", "no image"), ("2.jpg", "no image")]);
    refused(run(dir.path(), ON_FOLDER), 1, &["holds 2 images directly", "one folder per person"]);
    make(&[("ann/1.jpg", "hello"), ("bob/1.png", "")]);
    refused(run(dir.path(), ON_FOLDER), 1, &["none of the 2 images in faces can be used"]);
    fs::remove_dir_all(dir.path().join("faces")).unwrap();
    faces(dir.path(), 1, 3);
    refused(run(dir.path(), ON_FOLDER), 1, &["there is only one person", "add a folder"]);
    fs::remove_dir_all(dir.path().join("faces")).unwrap();
    faces(dir.path(), 3, 1);
    refused(run(dir.path(), ON_FOLDER), 1, &["0 of 3 people have two or more images", "add images"]);
    assert_eq!(names(&dir.path().join("runs/train")), [""; 0]);
}

#[test]
fn images_that_cannot_be_used_are_skipped_with_a_reason_each() {
    let dir = tempdir().unwrap();
    faces(dir.path(), 4, 3);
    let person = dir.path().join("faces/person_0001");
    let photo = image::open(person.join("0001.png")).unwrap();
    photo.save(person.join("cut.jpg")).unwrap();
    let whole = fs::read(person.join("cut.jpg")).unwrap();
    fs::write(person.join("cut.jpg"), &whole[..whole.len() / 2]).unwrap();
    image::RgbImage::new(1, 1).save(person.join("dot.png")).unwrap();
    fs::write(person.join("text.jpg"), "not an image").unwrap();
    fs::write(person.join("nothing.png"), "").unwrap();
    // 10,000 x 10,000 grey pixels of zeros: only the header takes place on the disk.
    fs::write(person.join("vast.pgm"), "P5 10000 10000 255\n").unwrap();
    let vast = fs::OpenOptions::new().write(true).open(person.join("vast.pgm")).unwrap();
    vast.set_len(19 + 100_000_000).unwrap();
    let said = run(dir.path(), ON_FOLDER).success().stderr(predicate::str::contains("panicked").not());
    said.stdout(predicate::str::contains("12 images of 4 people; 5 images skipped"));
    let report = fs::read_to_string(dir.path().join("runs/train/run/skipped.csv")).unwrap();
    for (name, reason) in [
        ("cut.jpg", "is cut short"),
        ("dot.png", "1x1"),
        ("text.jpg", ""),
        ("nothing.png", "is an empty file"),
        ("vast.pgm", "10000x10000"),
    ] {
        let row = report.lines().find(|row| row.contains(name)).unwrap_or_else(|| panic!("{name}: {report}"));
        assert!(row.contains(reason), "{row}");
    }
}

#[test]
fn more_people_or_images_than_there_are_lower_the_batch_with_a_warning() {
    let dir = tempdir().unwrap();
    let said = run(dir.path(), &format!("{TINY} -P 50 -K 40")).success();
    let said = said.stderr(predicate::str::contains("warning: batches have 4 people instead of 50"));
    let said = said.stderr(predicate::str::contains("batches have 3 images per person instead of 40: nobody has more"));
    said.stdout(predicate::str::contains("batch     4 people x 3 images = 12"));
}

#[test]
fn a_batch_goes_through_in_chunks_and_a_larger_chunk_is_the_batch() {
    let dir = tempdir().unwrap();
    let said = run(dir.path(), &format!("{TINY} --negatives 2 --chunk 4")).success().stderr("");
    let said = said.stdout(predicate::str::contains("batch     2 people x 2 images + 2 others = 6"));
    said.stdout(predicate::str::contains("chunk     4 images, 2 chunks, "));
    let folder = dir.path().join("runs/train/run");
    assert!(fs::read_to_string(folder.join("args.toml")).unwrap().contains("chunk = 4"));
    for table in ["metrics.jsonl", "metrics.csv"] {
        assert!(fs::read_to_string(folder.join(table)).unwrap().lines().next().unwrap().contains("skipped"));
    }
    good_weights(&folder.join("weights/best.safetensors"));
    let said = run(dir.path(), &format!("{TINY} --chunk 500")).success().stderr("");
    said.stdout(predicate::str::contains("chunk     the whole batch (500 images were asked for), "));
    let said = run(dir.path(), &format!("{TINY} --negatives 500")).success();
    let said =
        said.stderr(predicate::str::contains("warning: batches have 6 negatives instead of 500: beside 2 people"));
    said.stdout(
        predicate::str::contains("2 images + 6 others = 10")
            .and(predicate::str::contains("chunk     the whole batch, ")),
    );
    let said = run(dir.path(), "train --plan --chunk 8").success();
    said.stdout(predicate::str::contains("backward more").and(predicate::str::contains("scatter_rows")));
    // The whole may be named instead of its parts.
    let said = run(dir.path(), &format!("{TINY} --batch 6 --chunk 4")).success().stderr("");
    said.stdout(predicate::str::contains("batch     2 people x 2 images + 2 others = 6"));
    refused(run(dir.path(), &format!("{TINY} --batch 3")), 2, &["cannot hold 2 people", "larger --batch"]);
    for chunk in ["0", "-1", "many"] {
        let said = run(dir.path(), &format!("train --chunk={chunk}")).code(2);
        said.stderr(predicate::str::contains("give a number of images, at least 1, or auto"));
    }
}

#[test]
fn a_loss_that_is_not_a_number_is_traced_in_chunks_too() {
    for device in gpu().into_iter().chain(["cpu".to_string()]) {
        let dir = tempdir().unwrap();
        let arguments = format!("{TINY} --chunk 3 --learning-rate 1e30 --device {device}");
        lost(run(dir.path(), &arguments), &["the output of the layer conv"]);
        good_weights(&dir.path().join("runs/train/run/weights/last.safetensors"));
    }
}

#[test]
fn a_loss_that_is_not_a_number_is_met_by_older_weights_and_ends_the_run_if_that_does_not_help() {
    for device in gpu().into_iter().chain(["cpu".to_string()]) {
        for optimiser in ["adagrad", "sgd"] {
            let dir = tempdir().unwrap();
            let arguments = format!("{TINY} --learning-rate 1e30 --optimiser {optimiser} --device {device}");
            lost(run(dir.path(), &arguments), &["the output of the layer conv", "last.safetensors", "--learning-rate"]);
            good_weights(&dir.path().join("runs/train/run/weights/last.safetensors"));
        }
    }
    // Without anybody held out the last step has no loss after it that could tell.
    let dir = tempdir().unwrap();
    lost(run(dir.path(), &format!("{TINY} --learning-rate 1e30 --held-out 0")), &["NaN or Inf"]);
}

#[test]
fn a_run_folder_that_cannot_be_written_is_found_out_before_any_work() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("file"), "precious").unwrap();
    let said = ["cannot create file", "a file is in the way", "give another path"];
    refused(run(dir.path(), &format!("{TINY} --runs file")), 1, &said);
    assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "precious");
    for name in ["a/b", "../up", ".hidden"] {
        refused(run(dir.path(), &format!("{TINY} --name {name}")), 2, &["cannot name a run", "plain folder name"]);
    }
    read_only(dir.path());
}

/// Whoever runs as root may write anywhere, and then there is nothing to test.
fn read_only(dir: &Path) {
    let locked = dir.join("locked");
    fs::create_dir(&locked).unwrap();
    let mut permissions = fs::metadata(&locked).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&locked, permissions).unwrap();
    if fs::write(locked.join("probe"), "").is_err() {
        refused(run(dir, &format!("{TINY} --runs locked")), 1, &["cannot create locked", "no permission"]);
    }
}

#[test]
fn settings_that_make_no_sense_are_wrong_usage() {
    let dir = tempdir().unwrap();
    for (flags, part) in [
        ("-P 1", "give at least 2 people"),
        ("-K 1", "2 images"),
        ("--epochs 0", "--epochs must be at least 1"),
        ("--margin 0", "--margin must be"),
        ("--margin nan", "--margin must be"),
        ("--margin 1e38", "--margin must be"),
        ("--weight-decay 1e30", "--weight-decay must be"),
        ("--optimiser adam --momentum 0.5", "Adam has no momentum; leave --momentum out"),
        ("--optimiser adam --nesterov", "--nesterov is a kind of momentum"),
        ("--freeze cnov1", "means no layer of the network; near it are conv1"),
        ("--rate-of conv1=fast", "is no pattern and factor"),
        ("--loss arcface --offline-every 5", "need --loss triplet"),
        ("--synth-people 100000 --synth-images 10000", "give a smaller --synth-people"),
        ("--learning-rate -1", "--learning-rate must be"),
        ("--learning-rate inf", "--learning-rate must be"),
        ("--optimiser sgd --momentum 1", "--momentum must be"),
        ("--held-out 1", "--held-out, the part of the people"),
        ("--held-out 25", "did you mean 0.25?"),
        ("--net resnet", "there are: zf64"),
        ("--net facenet", "did you mean inception-resnet-v1?"),
        ("--net OpenFace", "did you mean openface-nn4-small2-v1?"),
        ("--plan -P 90000 -K 90000", "the batch is too large"),
    ] {
        refused(run(dir.path(), &format!("{TINY} {flags}")), 2, &[part]);
    }
    let said = run(dir.path(), &format!("{TINY} --epochs -1")).code(2);
    said.stderr(predicate::str::contains("'-1' for '--epochs <N>': give a whole number, at least 1"));
    for flags in ["--embedding 0", "--epochs many", "--device tpu", "--no-such-flag", "--data faces"] {
        let said = run(dir.path(), &format!("{TINY} {flags}")).code(2);
        said.stderr(predicate::str::starts_with("error: ").and(predicate::str::contains("panicked").not()));
    }
}

#[test]
fn help_names_every_flag_with_its_default() {
    let dir = tempdir().unwrap();
    let help = run(dir.path(), "train --help").success().stderr("");
    let default = facenet_gpu::train::Config::default();
    let rate = format!("[default: {}]", default.margin);
    help.stdout(predicate::str::contains(rate).and(predicate::str::contains("--held-out")));
    run(dir.path(), "").code(2).stderr(predicate::str::contains("Usage: facenet-gpu <COMMAND>"));
}

#[test]
fn other_files_given_as_weights_point_to_what_was_meant() {
    let dir = tempdir().unwrap();
    run(dir.path(), TINY).success();
    fs::write(dir.path().join("net.pt"), "a checkpoint").unwrap();
    fs::write(dir.path().join("pairs.txt"), "1\nann\t1\t2\nann\t1\tbob\t1\n").unwrap();
    for verb in ["eval pairs --data . --pairs pairs.txt --device cpu", "export --out new.safetensors"] {
        let best = "give its weights, runs/train/run/weights/best.safetensors";
        refused(
            run(dir.path(), &format!("{verb} runs/train/run")),
            1,
            &["runs/train/run: is the folder of a run", best],
        );
        refused(run(dir.path(), &format!("{verb} net.pt")), 1, &["`facenet-gpu import net.pt --out "]);
    }
    refused(run(dir.path(), &format!("{TINY} --compatible-with runs/train/run")), 1, &["is the folder of a run"]);
}

#[test]
fn what_cannot_be_printed_is_no_success() {
    let dir = tempdir().unwrap();
    for arguments in ["info --device cpu", "summary", "train --help", TINY] {
        let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else { return };
        let output = Process::new(env!("CARGO_BIN_EXE_facenet-gpu"))
            .args(arguments.split_whitespace())
            .current_dir(dir.path())
            .stdout(full)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains("cannot write to the standard output"), "{said}");
    }
    good_weights(&dir.path().join("runs/train/run/weights/last.safetensors"));
}

#[test]
fn names_of_files_cannot_steer_the_terminal() {
    let dir = tempdir().unwrap();
    let mut command = program(dir.path(), "eval pairs --data . --pairs");
    let assert = command.args(["no\u{1b}[2Jsuch\nerror: other", "w.safetensors"]).assert();
    refused(assert, 1, &["cannot read no\\u{1b}[2Jsuch\\nerror: other"]);
}

#[test]
fn synth_writes_a_folder_per_person_and_never_over_another() {
    let dir = tempdir().unwrap();
    faces(dir.path(), 2, 3);
    assert_eq!(names(&dir.path().join("faces")), ["person_0001", "person_0002"]);
    assert_eq!(names(&dir.path().join("faces/person_0002")), ["0001.png", "0002.png", "0003.png"]);
    refused(run(dir.path(), "synth --out faces"), 1, &["already holds files", "name a new or an empty folder"]);
    refused(run(dir.path(), "synth --out other --sheet sheet.jpg"), 2, &["ends in .png"]);
    assert_eq!(names(dir.path()), ["faces"]);
    run(dir.path(), "synth --out new --people 2 --images 2 --size 32 --sheet sheets/first.png").success();
    assert!(image::open(dir.path().join("sheets/first.png")).is_ok());
}

#[test]
fn weights_that_cannot_be_exchanged_are_refused_and_nothing_is_written() {
    let dir = tempdir().unwrap();
    run(dir.path(), TINY).success();
    fs::rename(dir.path().join("runs/train/run/weights/best.safetensors"), dir.path().join("w.safetensors")).unwrap();
    fs::remove_dir_all(dir.path().join("runs")).unwrap();
    for name in ["call.pt", "zip.pt"] {
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name), dir.path().join(name)).unwrap();
    }
    for (arguments, status, part) in [
        ("import call.pt --out out.safetensors", 1, "asks Python to call posix.system, which was not done"),
        ("import w.safetensors --out out.safetensors", 1, "was written by facenet-gpu and needs no import"),
        ("import none.pt --out out.safetensors", 1, "cannot read none.pt"),
        ("import zip.pt --out no/out.safetensors", 1, "cannot write into no"),
        ("import zip.pt --net zf64 --out out.safetensors", 2, "no other program has the network zf64"),
        ("import zip.pt --net vgg --out out.safetensors", 2, "unknown network \"vgg\""),
        ("import zip.pt --out out.pt", 2, "out.pt does not end in .safetensors"),
        ("import w.safetensors --out ./w.safetensors", 2, "is the file that is read"),
        ("export w.safetensors --out other.safetensors", 2, "no other program has the network zf64"),
        ("export w.safetensors --out w.safetensors", 2, "is the file that is read"),
        ("export zip.pt --out out.safetensors", 1, "is not a safetensors file"),
    ] {
        refused(run(dir.path(), arguments), status, &[part]);
    }
    assert_eq!(names(dir.path()), ["call.pt", "w.safetensors", "zip.pt"]);
    good_weights(&dir.path().join("w.safetensors"));
}
