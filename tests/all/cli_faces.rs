//! `import` of a detector, `detect` and `align`, with made-up weights: what the verbs write, and what they refuse.

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::mtcnn;
use crate::support::program::{names, program, refused, run};

/// Lets so few windows pass that some images have a face and others none.
const SOME: &str = "--min-face 15 --thresholds 0.8 0.9 0.95";

/// A folder with a detector and photographs: of two people, one that is no image, one too small for a face, and one with a
/// turned copy.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    mtcnn::weights(dir.path()).save(&dir.path().join("mtcnn.safetensors")).unwrap();
    for (number, name) in (0..).zip(["ann/1.png", "ann/2.png", "bob/1.png"]) {
        write(&dir.path().join("photos").join(name), &mtcnn::picture(number, 90, 70));
    }
    write(&dir.path().join("photos/bob/plain.png"), &RgbImage::from_pixel(12, 12, Rgb([90; 3])));
    fs::write(dir.path().join("photos/bob/broken.jpg"), "no image").unwrap();
    dir
}

fn write(path: &Path, picture: &RgbImage) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture.save(path).unwrap();
}

fn stdout(dir: &Path, arguments: &str) -> String {
    String::from_utf8(run(dir, arguments).success().get_output().stdout.clone()).unwrap()
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_three_files_of_a_detector_become_one() {
    let dir = folder();
    let text = stdout(
        dir.path(),
        "import onet.safetensors pnet.safetensors rnet.safetensors --out own.safetensors --license MIT",
    );
    assert!(text.contains("50 tensors") && text.contains("MIT") && text.contains("--detector"), "{text}");
    let text = stdout(dir.path(), &format!("detect photos --detector own.safetensors --device cpu --json {SOME}"));
    assert!(json_lines(&text)[0]["faces"].as_array().is_some_and(|faces| !faces.is_empty()), "{text}");
    // One file may hold all of it, as a whole MTCNN has it; one of the three alone does not.
    mtcnn::write_together(&dir.path().join("whole.safetensors"));
    let text = stdout(dir.path(), "import whole.safetensors --out together.safetensors");
    assert!(text.contains("MTCNN's three networks"), "{text}");
    let import = run(dir.path(), "import rnet.safetensors --out other.safetensors");
    refused(import, 1, &["no pnet among the files", "give facenet-pytorch's pnet.pt, rnet.pt and onet.pt"]);
    let import = run(dir.path(), "import pnet.safetensors rnet.safetensors --out other.safetensors");
    refused(import, 1, &["no onet among the files"]);
    let import = run(dir.path(), "import pnet.safetensors rnet.safetensors onet.safetensors --out onet.safetensors");
    refused(import, 2, &["is the file that is read"]);
}

#[test]
fn every_image_has_a_row_whatever_is_in_it() {
    let dir = folder();
    let detect = format!("detect photos gone.png --detector mtcnn.safetensors --device cpu {SOME}");
    let rows = json_lines(&stdout(dir.path(), &format!("{detect} --json")));
    let of =
        |name: &str| rows.iter().find(|row| row["path"].as_str().is_some_and(|path| path.ends_with(name))).unwrap();
    assert_eq!(rows.len(), 7);
    let face = &of("ann/1.png")["faces"][0];
    assert_eq!((face["box"].as_array().unwrap().len(), face["landmarks"].as_array().unwrap().len()), (4, 5));
    assert!(face["probability"].as_f64().unwrap() > 0.95);
    assert_eq!((&of("ann/1.png")["width"], &of("ann/1.png")["height"]), (&70.into(), &90.into()));
    assert!(of("plain.png")["faces"].as_array().unwrap().is_empty() && of("plain.png")["error"].is_null());
    assert!(of("broken.jpg")["error"].as_str().unwrap().contains("no image of a known format"));
    assert!(of("gone.png")["error"].as_str().unwrap().contains("no such file"));
    let end = rows.last().unwrap();
    assert_eq!((&end["rows"], &end["without"], &end["failed"]), (&6.into(), &1.into(), &2.into()));

    // The same as CSV, and in files.
    let csv = stdout(dir.path(), &format!("{detect} --csv --out rows.csv"));
    assert_eq!(csv, fs::read_to_string(dir.path().join("rows.csv")).unwrap());
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with("path,status,width,height,left,top,right,bottom,probability,left_eye_x,"), "{csv}");
    assert!(lines.iter().all(|line| line.matches(',').count() >= 18), "{csv}");
    assert!(csv.contains("plain.png,no face,12,12,,"), "{csv}");
    stdout(dir.path(), &format!("{detect} --out rows.jsonl"));
    let file = json_lines(&fs::read_to_string(dir.path().join("rows.jsonl")).unwrap());
    assert_eq!(file, rows[..6]);
    refused(run(dir.path(), &format!("{detect} --out rows.jsonl")), 1, &["exists already", "--overwrite"]);
    fs::write(dir.path().join("list.csv"), "photos/ann/1.png\n").unwrap();
    let same = run(dir.path(), "detect --list list.csv --out list.csv --overwrite --detector mtcnn.safetensors");
    refused(same, 2, &["list.csv is to be read and to be written"]);
    assert_eq!(fs::read_to_string(dir.path().join("list.csv")).unwrap(), "photos/ann/1.png\n");
    refused(run(dir.path(), &format!("{detect} --out rows.txt")), 2, &["neither .csv nor .jsonl"]);
    // Text is for people.
    let text = stdout(dir.path(), &detect);
    assert!(text.contains("plain.png  no face") && text.contains("without a face"), "{text}");
}

#[test]
fn one_face_is_chosen_where_one_is_wanted_and_pictures_show_what_was_found() {
    let dir = folder();
    let detect = format!("detect photos/ann photos/bob --detector mtcnn.safetensors --device cpu --json {SOME}");
    let count = |text: &str| -> Vec<usize> {
        let rows = json_lines(text);
        rows.iter().filter_map(|row| Some(row["faces"].as_array()?.len())).collect()
    };
    let all = count(&stdout(dir.path(), &detect));
    assert!(all.iter().any(|&faces| faces > 1), "{all:?}");
    for flag in ["--largest", "--central"] {
        let _ = fs::remove_dir_all(dir.path().join("drawn"));
        let one = count(&stdout(dir.path(), &format!("{detect} {flag} --draw drawn")));
        assert_eq!(one, all.iter().map(|&faces| faces.min(1)).collect::<Vec<_>>(), "{flag}");
    }
    // Two images have one name below their folders.
    assert_eq!(names(&dir.path().join("drawn")), ["1-2.jpg", "1.jpg", "2.jpg", "plain.jpg"]);
    let drawn = image::open(dir.path().join("drawn/1.jpg")).unwrap().into_rgb8();
    assert!(drawn.pixels().any(|p| p.0[1] > 180 && p.0[0] < 120 && p.0[2] < 150), "a frame is green");
}

#[test]
fn photographs_are_not_written_over_by_pictures_of_them() {
    let dir = folder();
    let photograph = dir.path().join("photos/ann/3.jpg");
    write(&photograph, &mtcnn::picture(7, 90, 70));
    let before = fs::read(&photograph).unwrap();
    let detect = |draw: &str| {
        run(dir.path(), &format!("detect photos/ann --draw {draw} --detector mtcnn.safetensors --device cpu"))
    };
    refused(detect("photos/ann"), 1, &["photos/ann exists already and holds files", "--draw"]);
    detect("marked/new").success();
    refused(detect("marked/new"), 1, &["holds files"]);
    let align = |rest: &str| run(dir.path(), &format!("align {rest} --detector mtcnn.safetensors --device cpu"));
    refused(align("photos faces --sheet photos/ann/1.png"), 2, &["lies in photos, whose images are read", "--sheet"]);
    fs::write(dir.path().join("own.png"), "mine").unwrap();
    refused(align("photos faces --sheet own.png"), 1, &["own.png exists already", "--sheet"]);
    // A run that goes on writes its sheet again.
    align("photos faces --sheet sheet.png").success();
    align("photos faces --sheet sheet.png").success();
    assert_eq!(
        (fs::read(photograph).unwrap(), fs::read(dir.path().join("own.png")).unwrap()),
        (before, b"mine".to_vec())
    );
}

#[test]
fn a_missing_detector_and_other_files_are_refused_with_the_way_out() {
    let dir = folder();
    let none = program(dir.path(), "detect photos --device cpu").env_remove("FACENET_GPU_MODELS").assert();
    refused(none, 2, &["there is no face detector", "--detector", "import pnet.pt rnet.pt onet.pt"]);
    fs::create_dir(dir.path().join("models")).unwrap();
    fs::copy(dir.path().join("mtcnn.safetensors"), dir.path().join("models/mtcnn.safetensors")).unwrap();
    for detector in ["", "--detector mtcnn"] {
        let detect = format!("detect photos --device cpu {detector}");
        program(dir.path(), &detect).env_remove("FACENET_GPU_MODELS").assert().success();
        // An empty variable is none.
        program(dir.path(), &detect).env("FACENET_GPU_MODELS", "").assert().success();
    }
    let unknown = program(dir.path(), "align photos other --detector mtcn").env_remove("FACENET_GPU_MODELS").assert();
    refused(unknown, 2, &["no model of that name in models, which holds mtcnn"]);
    let detect = |file: &str| run(dir.path(), &format!("detect photos --detector {file} --device cpu"));
    refused(detect("photos/ann/1.png"), 1, &["1.png: ", "safetensors"]);
    refused(detect("pnet.safetensors"), 1, &["is no face detector's file"]);
    let embed = run(dir.path(), "embed mtcnn.safetensors photos --device cpu");
    refused(embed, 1, &["holds a face detector, not weights"]);
    for (flags, part) in [("--min-face 2", "--min-face is 2"), ("--thresholds 0.6 1.5 0.7", "--thresholds holds 1.5")] {
        let wrong = run(dir.path(), &format!("detect photos --detector mtcnn.safetensors --device cpu {flags}"));
        refused(wrong, 2, &[part]);
    }
}

#[test]
fn align_keeps_folders_and_names_says_what_is_missing_and_goes_on_where_it_was() {
    let dir = folder();
    let align =
        format!("align photos faces --detector mtcnn.safetensors --device cpu --alignment arcface --json {SOME}");
    let end = |text: &str| json_lines(text).pop().unwrap();
    let first = end(&stdout(dir.path(), &align));
    let faces = first["faces"].as_u64().unwrap();
    assert!(faces >= 1 && first["middles"] == 0, "{first}");
    assert_eq!(faces + first["skipped"].as_u64().unwrap(), 5);
    let picture = |name: &str| -> PathBuf { dir.path().join("faces").join(name) };
    assert_eq!(image::open(picture("ann/1.png")).unwrap().into_rgb8().dimensions(), (112, 112));
    let report = fs::read_to_string(picture("skipped.csv")).unwrap();
    assert!(report.contains("broken.jpg,\"is no image") && report.contains("plain.png,shows no face"), "{report}");

    // One is gone: it alone is made again, and is what it was.
    let before = fs::read(picture("ann/1.png")).unwrap();
    fs::remove_file(picture("ann/1.png")).unwrap();
    let second = end(&stdout(dir.path(), &align));
    assert_eq!((second["faces"].as_u64(), second["kept"].as_u64()), (Some(1), Some(faces - 1)));
    assert_eq!(fs::read(picture("ann/1.png")).unwrap(), before);

    // The middle of images without a face.
    let crop = align.replace("faces", "crops").replace("--json", "--json --no-face crop --sheet sheet.png");
    let third = end(&stdout(dir.path(), &crop));
    assert_eq!((third["faces"].as_u64(), third["skipped"].as_u64()), (Some(faces), Some(1)), "{third}");
    assert!(dir.path().join("crops/bob/plain.png").exists());
    assert!(image::open(dir.path().join("sheet.png")).is_ok());
}

#[test]
fn align_refuses_folders_that_would_mix_things_and_templates_that_are_none() {
    let dir = folder();
    let align = |rest: &str| run(dir.path(), &format!("align {rest} --detector mtcnn.safetensors --device cpu {SOME}"));
    align("photos faces").success();
    refused(align("photos faces --alignment dlib"), 1, &["were made with another alignment"]);
    refused(align("photos photos/faces"), 2, &["whose images are read"]);
    assert!(!dir.path().join("photos/faces").exists(), "nothing is left behind");
    fs::create_dir(dir.path().join("full")).unwrap();
    fs::write(dir.path().join("full/notes.txt"), "").unwrap();
    refused(align("photos full"), 1, &["holds other files"]);
    refused(align("photos/ann/1.png faces"), 2, &["is no folder"]);
    refused(align("photos other --alignment nothing"), 2, &["there is no alignment nothing", "arcface"]);
    refused(align("photos other --no-face guess"), 2, &["skip or crop"]);
    fs::write(dir.path().join("mine.json"), r#"{"width": 64, "height": 80, "margin": 10}"#).unwrap();
    align("photos mine --alignment mine.json --format jpg").success();
    let picture = image::open(dir.path().join("mine/ann/1.jpg")).unwrap();
    assert_eq!((picture.width(), picture.height()), (64, 80));
    fs::write(dir.path().join("mine.json"), "{}").unwrap();
    refused(align("photos other --alignment mine.json"), 2, &["mine.json is no template"]);
}
