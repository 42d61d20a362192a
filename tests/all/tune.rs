//! Kernels that are chosen by measurement, and what becomes of the choices.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use facenet_gpu::tune::{Choice, Event, Tuning};
use facenet_gpu::weights::Metadata;
use facenet_gpu::{Engine, Model, Session, initial_weights, net};
use serde_json::Value;
use tempfile::tempdir;

use crate::support::program::{TINY, names, run, tuning};
use crate::support::{gpus, relative_error};

/// What a tuner told.
#[derive(Debug, Default)]
struct Told {
    shapes: usize,
    timed: usize,
    left: usize,
    time: Duration,
    warnings: Vec<String>,
}

/// `engine` with tuning, and what that tells.
fn tuned(engine: Engine, tuning: Tuning) -> (Engine, Arc<Mutex<Told>>) {
    let told: Arc<Mutex<Told>> = Arc::default();
    let listener = told.clone();
    let tuning = tuning.tell(move |event| {
        let mut told = listener.lock().unwrap();
        match event {
            Event::Shape { .. } => told.shapes += 1,
            Event::Done { timed, left, time } => {
                told.timed += timed;
                told.left += left;
                told.time += time;
            }
            Event::Warning(message) => told.warnings.push(message.to_string()),
            _ => {}
        }
    });
    (engine.with_tuning(tuning), told)
}

/// Three convolutions, each with more than one way.
fn model() -> Model {
    let layers = |n: &mut net::Blocks<'_>, images| {
        let x = n.conv("conv1", images, 16, 3, 1)?;
        let x = n.conv("conv2", x, 32, 3, 1)?;
        let x = n.conv("conv3", x, 32, 3, 1)?;
        n.embedding(x)
    };
    net::model("mine", "", [24, 24], 8, layers).unwrap()
}

/// The embeddings of two images.
fn embed(engine: &Engine, model: &Model) -> Vec<f32> {
    let weights = initial_weights(model, Metadata::of(model).unwrap(), 3);
    let mut session = Session::new(engine, model.clone(), &weights, "w").unwrap();
    let [h, w] = model.input();
    let len = (2 * h * w * 3) as usize;
    let images: Vec<f32> = (0..u16::try_from(len).unwrap()).map(|i| f32::from(i % 251) / 125.0 - 1.0).collect();
    session.run(2, model.input(), &images).unwrap().remove(0).data
}

fn chosen(engine: &Engine) -> Vec<(String, String)> {
    engine.choices().into_iter().map(|choice| (choice.shape, choice.chosen)).collect()
}

/// The files of choices in a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    names(folder).iter().filter(|name| name.ends_with(".json")).map(|name| folder.join(name)).collect()
}

/// Changes every choice in a file to the last of its candidates, which is not the static choice.
fn change_all(path: &Path, choices: &[Choice]) {
    let mut file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for choice in choices {
        file["choices"][&choice.shape]["choice"] = choice.candidates.last().unwrap().0.clone().into();
    }
    fs::write(path, file.to_string()).unwrap();
}

#[test]
fn each_shape_is_timed_once_and_its_choice_is_read_again() {
    let cache = tempdir().unwrap();
    let kept = || Tuning::default().kept_in(cache.path());
    let (engine, told) = tuned(Engine::Cpu, kept());
    let plain = embed(&Engine::Cpu, &model());
    let first = embed(&engine, &model());
    assert!(relative_error(&first, &plain.iter().map(|&x| f64::from(x)).collect::<Vec<_>>()) < 1e-4);
    let choices = engine.choices();
    assert!(choices.len() >= 3, "{choices:?}");
    for choice in &choices {
        assert!(choice.candidates.len() > 1 && choice.candidates.iter().all(|(_, ms)| ms.unwrap() > 0.0), "{choice:?}");
        assert!(choice.candidates.iter().any(|(name, _)| *name == choice.chosen));
    }
    assert_eq!(told.lock().unwrap().timed, choices.len());
    assert_eq!(embed(&engine, &model()), first, "one set of choices, the same bytes");
    assert_eq!(told.lock().unwrap().shapes, choices.len(), "nothing is timed twice");

    let (again, told) = tuned(Engine::Cpu, kept());
    assert_eq!(embed(&again, &model()), first, "the choices of the file, the same bytes");
    assert_eq!((told.lock().unwrap().shapes, again.choices()), (0, choices.clone()));
    // It is the file that decides.
    let [file] = &files(cache.path())[..] else { panic!("one device, one file: {:?}", names(cache.path())) };
    change_all(file, &choices);
    let (again, told) = tuned(Engine::Cpu, kept());
    assert_ne!(embed(&again, &model()), plain, "other ways round otherwise");
    assert_eq!(told.lock().unwrap().shapes, 0);
    assert!(again.choices().iter().all(|choice| choice.chosen == choice.candidates.last().unwrap().0));
}

#[test]
fn a_file_that_cannot_be_used_is_measured_anew() {
    let cache = tempdir().unwrap();
    let kept = || Tuning::default().kept_in(cache.path());
    let (engine, _) = tuned(Engine::Cpu, kept());
    embed(&engine, &model());
    let file = files(cache.path()).remove(0);
    let good = fs::read_to_string(&file).unwrap();
    let mut whole = Value::Null;
    let version = format!("\"{}\"", env!("CARGO_PKG_VERSION"));
    for (what, text, warnings) in [
        ("cut", good[..good.len() / 2].to_string(), 1),
        ("empty", String::new(), 1),
        ("no choices", "[1, 2]".to_string(), 1),
        ("of an older version", good.replace(&version, "\"0.0.1\""), 0),
        ("of another device", good.replace("\"device\": \"CPU ", "\"device\": \"another CPU "), 0),
    ] {
        assert_ne!(text, good, "{what}");
        fs::write(&file, text).unwrap();
        let (engine, told) = tuned(Engine::Cpu, kept());
        embed(&engine, &model());
        let told = told.lock().unwrap();
        assert_eq!((told.timed, told.warnings.len()), (engine.choices().len(), warnings), "{what}: {told:?}");
        whole = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(whole["choices"].as_object().unwrap().len(), told.timed, "{what}");
    }
    // So are kernels that are others now, though they are called the same.
    let choices = engine.choices();
    let code = format!("\"code\": \"{}\"", whole["choices"][&choices[0].shape]["code"].as_str().unwrap());
    assert_eq!(good.matches(&code).count(), choices.len(), "{code} in {good}");
    fs::write(&file, good.replacen(&code, "\"code\": \"of before\"", 2)).unwrap();
    let (engine, told) = tuned(Engine::Cpu, kept());
    embed(&engine, &model());
    assert_eq!(told.lock().unwrap().timed, 2);
    // Candidates that are others now are timed again.
    fs::write(&file, good.replacen(&choices[0].candidates[0].0, "forgotten", 1)).unwrap();
    let (engine, told) = tuned(Engine::Cpu, kept());
    embed(&engine, &model());
    assert!((1..=choices.len()).contains(&told.lock().unwrap().timed), "{told:?}");
}

#[test]
fn a_folder_that_cannot_be_written_is_told_once_and_ends_nothing() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let (engine, told) = tuned(Engine::Cpu, Tuning::default().kept_in(dir.path().join("file/cache")));
    embed(&engine, &model());
    let told = told.lock().unwrap();
    assert_eq!(told.timed, engine.choices().len());
    let [warning] = &told.warnings[..] else { panic!("{:?}", told.warnings) };
    assert!(warning.contains("cannot be kept") && warning.contains("cache"), "{warning}");
}

#[test]
fn without_time_all_take_the_static_choice() {
    let (engine, told) = tuned(Engine::Cpu, Tuning::in_memory().limit(Duration::ZERO));
    assert_eq!(embed(&engine, &model()), embed(&Engine::Cpu, &model()));
    let choices = engine.choices();
    assert!(choices.len() >= 3);
    for choice in &choices {
        assert_eq!(choice.chosen, choice.candidates[0].0, "the first is the static choice");
        assert!(choice.candidates.iter().all(|(_, ms)| ms.is_none()));
    }
    assert_eq!(told.lock().unwrap().left, choices.len());
    embed(&engine, &model());
    let told = told.lock().unwrap();
    assert_eq!((told.timed, told.left), (0, choices.len()), "a shape is settled for as long as the engine lives");
}

#[test]
fn measuring_a_whole_network_ends_when_its_time_is_over() {
    let limit = Duration::from_millis(400);
    let (engine, told) = tuned(Engine::Cpu, Tuning::in_memory().limit(limit));
    let net = net::find("nn4").unwrap().model().unwrap();
    let plan = net.inference(8).unwrap();
    let plan = facenet_gpu::graph::Recording::forward(&plan.graph, &[plan.embeddings()]).finish();
    engine.executor(plan, &facenet_gpu::executor::Options::default()).unwrap();
    let told = told.lock().unwrap();
    assert!(told.left > 0, "{told:?}");
    // One run may be under way, on a busy machine.
    assert!(told.time < limit + Duration::from_secs(3), "{told:?}");
}

#[test]
fn measuring_ends_when_it_is_told_to() {
    let stop: Arc<AtomicBool> = Arc::default();
    let asked = stop.clone();
    let (engine, told) = tuned(Engine::Cpu, Tuning::in_memory().until(move || asked.load(Ordering::Relaxed)));
    embed(&engine, &model());
    let first = engine.choices().len();
    assert_eq!(told.lock().unwrap().timed, first);
    stop.store(true, Ordering::Relaxed);
    let other = net::find("zf64").unwrap().sized(Some([24, 24]), Some(8)).unwrap();
    assert_eq!(embed(&engine, &other), embed(&Engine::Cpu, &other), "the static choice");
    let told = told.lock().unwrap();
    assert_eq!((told.shapes, told.timed, told.left), (first, first, engine.choices().len() - first));
    assert!(told.left > 0);
}

#[test]
fn measuring_ends_between_two_runs_of_a_shape() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    // The first question is whether to begin with a shape at all.
    let stop = move || counted.fetch_add(1, Ordering::Relaxed) >= 2;
    let (engine, told) = tuned(Engine::Cpu, Tuning::in_memory().until(stop));
    embed(&engine, &model());
    let told = told.lock().unwrap();
    assert_eq!((told.shapes, told.timed, told.left), (1, 0, engine.choices().len()));
}

#[test]
fn each_network_has_time_of_its_own() {
    let shapes = Arc::new(AtomicUsize::new(0));
    let counted = shapes.clone();
    let slow = move |event: Event<'_>| {
        if let Event::Shape { .. } = event {
            counted.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(1100));
        }
    };
    let engine = Engine::Cpu.with_tuning(Tuning::in_memory().limit(Duration::from_secs(1)).tell(slow));
    let shapes_after = |model: &Model, sizes: &[[u32; 2]]| {
        let weights = initial_weights(model, Metadata::of(model).unwrap(), 3);
        let mut session = Session::new(&engine, model.clone(), &weights, "w").unwrap();
        for &[h, w] in sizes {
            session.run(1, [h, w], &vec![0.5; (h * w * 3) as usize]).unwrap();
        }
        shapes.load(Ordering::Relaxed)
    };
    assert_eq!(shapes_after(&model(), &[[24, 24], [24, 24]]), 1, "one plan, and its time is over");
    let other = net::find("openface-nn4-small2").unwrap().model().unwrap();
    assert_eq!(shapes_after(&other, &[other.input()]), 2, "another network has time");
}

#[test]
fn a_pool_whose_threads_all_wait_for_the_tuner_does_not_stop_it() {
    use rayon::prelude::*;
    use std::sync::mpsc::channel;

    type Work = dyn FnOnce(&Engine) -> Vec<Vec<f32>> + Send;

    let (begins, begun) = channel();
    let tell = move |event: Event<'_>| {
        if let Event::Shape { done: 0, .. } = event {
            // Until the threads of the pool wait.
            begins.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(500));
        }
    };
    let engine = Engine::Cpu.with_tuning(Tuning::in_memory().tell(tell));
    let (done, ended) = channel();
    let send = |work: Box<Work>| {
        let (engine, done) = (engine.clone(), done.clone());
        std::thread::spawn(move || done.send(work(&engine)));
    };
    send(Box::new(|engine| vec![embed(engine, &model())]));
    begun.recv().unwrap();
    let jobs = 4 * rayon::current_num_threads();
    send(Box::new(move |engine| (0..jobs).into_par_iter().map(|_| embed(engine, &model())).collect()));
    let next = || ended.recv_timeout(Duration::from_secs(60)).expect("none waits for another for ever");
    let all = [next(), next()].concat();
    assert!(all.len() == jobs + 1 && all.iter().all(|embeddings| *embeddings == all[0]), "one set of choices");
}

#[test]
fn programs_and_devices_share_a_folder() {
    let cache = tempdir().unwrap();
    let kept = || Tuning::default().kept_in(cache.path());
    let other = net::find("zf64").unwrap().sized(Some([24, 24]), Some(8)).unwrap();
    let (one, two) = (tuned(Engine::Cpu, kept()).0, tuned(Engine::Cpu, kept()).0);
    embed(&one, &model());
    embed(&two, &other);
    // Both began without a file, and neither has lost what the other one wrote.
    let (third, told) = tuned(Engine::Cpu, kept());
    embed(&third, &model());
    embed(&third, &other);
    assert_eq!(told.lock().unwrap().shapes, 0);
    for gpu in gpus().into_iter().take(1) {
        let (engine, told) = tuned(Engine::Gpu(gpu), kept().limit(Duration::from_secs(100)));
        embed(&engine, &model());
        let choices = engine.choices();
        assert_eq!(told.lock().unwrap().timed, choices.len());
        assert_eq!(files(cache.path()).len(), if choices.is_empty() { 1 } else { 2 });
    }
}

#[test]
fn a_record_brings_the_same_choices_back() {
    let dir = tempdir().unwrap();
    let record = dir.path().join("choices.json");
    let (engine, _) = tuned(Engine::Cpu, Tuning::in_memory().recorded_in(&record));
    let first = embed(&engine, &model());
    let (again, told) = tuned(Engine::Cpu, Tuning::of_record(&record));
    assert_eq!((embed(&again, &model()), chosen(&again)), (first, chosen(&engine)));
    assert_eq!(told.lock().unwrap().shapes, 0);
    change_all(&record, &engine.choices());
    let (again, _) = tuned(Engine::Cpu, Tuning::of_record(&record));
    embed(&again, &model());
    assert!(again.choices().iter().all(|choice| choice.chosen == choice.candidates.last().unwrap().0));

    fs::write(&record, "{").unwrap();
    let (lost, told) = tuned(Engine::Cpu, Tuning::of_record(&record));
    assert_eq!(embed(&lost, &model()), embed(&Engine::Cpu, &model()));
    let told = told.lock().unwrap();
    assert!(told.warnings.len() == 1 && told.warnings[0].contains("choices.json cannot be read"), "{told:?}");
    assert_eq!(told.shapes, 0, "a run that goes on measures nothing");
}

#[test]
fn the_program_tunes_what_embeds_and_leaves_it_with_no_tune() {
    let dir = tempdir().unwrap();
    let d = dir.path();
    run(d, &format!("{TINY} --no-tune")).success();
    run(d, "synth --out faces --people 2 --images 2").success();
    let weights = "runs/train/run/weights/last.safetensors";
    let embed = |out: &str, flags: &str| {
        let arguments = format!("embed {weights} faces --device cpu --out {out} {flags}");
        tuning(d, &arguments, &d.join("cache")).assert().success();
    };
    embed("a.csv", "--no-tune");
    assert!(!d.join("cache").exists(), "nothing is timed");
    embed("b.csv", "");
    assert_eq!(files(&d.join("cache")).len(), 1);
    // A damaged file and a folder that cannot be written are no reason to fail.
    fs::write(&files(&d.join("cache"))[0], "{").unwrap();
    let said =
        tuning(d, &format!("embed {weights} faces --device cpu --out c.csv"), &d.join("cache")).assert().success();
    let said = String::from_utf8_lossy(&said.get_output().stderr).into_owned();
    assert_eq!(said.matches("warning: the choices of kernels in").count(), 1, "{said}");
    let said = tuning(d, &format!("embed {weights} faces --device cpu --out d.csv"), &d.join("a.csv/cache"))
        .assert()
        .success();
    let said = String::from_utf8_lossy(&said.get_output().stderr).into_owned();
    assert_eq!(said.matches("warning: choices of kernels cannot be kept").count(), 1, "{said}");
}

#[test]
fn a_run_keeps_its_choices_and_goes_on_with_them() {
    let dir = tempdir().unwrap();
    let d = dir.path();
    let weights = |run: &str| fs::read(d.join("runs/train").join(run).join("weights/last.safetensors")).unwrap();
    let train = |flags: &str| {
        tuning(d, &format!("{TINY} {flags}"), &d.join("cache")).assert().success();
    };
    train("--name plain");
    assert!(
        !d.join("cache").exists() && !d.join("runs/train/plain/choices.json").exists(),
        "a run is not tuned unasked"
    );
    train("--tune --name whole --schedule constant --epochs 2");
    train("--tune --name part --schedule constant");
    let record = d.join("runs/train/part/choices.json");
    let choices: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    assert!(!choices["choices"].as_object().unwrap().is_empty());
    // What other runs choose meanwhile is nothing to it.
    fs::remove_dir_all(d.join("cache")).unwrap();
    let resume = "train --resume part --epochs 2 --device cpu";
    tuning(d, resume, &d.join("cache")).assert().success();
    assert!(weights("part") == weights("whole"));
    assert!(!d.join("cache").exists(), "a run that goes on measures nothing");
    let refused = run(d, "train --resume plain --tune --epochs 2");
    crate::support::program::refused(refused, 2, &["--tune cannot be switched on"]);
}
