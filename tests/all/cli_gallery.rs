//! Galleries and who is on an image, as a stranger meets them. See `cli.rs` for the rest.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::program::*;
use predicates::prelude::*;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// A folder with `faces`, so many people x 4 images, weights `w.safetensors`, and an empty gallery `g`.
fn prepared(people: usize) -> TempDir {
    let dir = tempdir().unwrap();
    run(dir.path(), &format!("synth --out faces --people {people} --images 4 --size 64 --seed 9")).success();
    run(dir.path(), TINY).success();
    fs::rename(dir.path().join("runs/train/run/weights/best.safetensors"), dir.path().join("w.safetensors")).unwrap();
    run(dir.path(), "gallery create g w.safetensors").success().stdout(predicate::str::contains("128 bytes a face"));
    dir
}

fn lines(dir: &Path, arguments: &str) -> Vec<Value> {
    let output = run(dir, arguments).success().get_output().stdout.clone();
    String::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn people_are_added_and_found_on_images_and_others_are_unknown() {
    let dir = prepared(8);
    let d = dir.path();
    refused(run(d, "identify g w.safetensors faces --device cpu"), 1, &["g holds no face", "gallery add"]);
    fs::create_dir(d.join("others")).unwrap();
    fs::rename(d.join("faces/person_0008"), d.join("others/person_0008")).unwrap();
    fs::write(d.join("faces/person_0002/broken.png"), "no image").unwrap();
    let said = run(d, "gallery add g w.safetensors faces --device cpu").success();
    said.stderr(predicate::str::contains("broken.png: is no image of a known format"))
        .stdout(predicate::str::contains("added     28 faces").and(predicate::str::contains("28 faces of 7 people")));
    let again = lines(d, "gallery add g w.safetensors faces --device cpu --json");
    let end = again.last().unwrap();
    assert_eq!((end["added"].as_u64(), end["known"].as_u64(), end["faces"].as_u64()), (Some(0), Some(28), Some(28)));
    let said = run(d, "gallery add g w.safetensors faces/person_0001/0001.png --name Eve --device cpu").success();
    said.stderr(predicate::str::contains("was added as person_0001 before, and not as Eve now"));

    let found = lines(d, "identify g w.safetensors faces/person_0003 gone.png --threshold 0.00001 --device cpu --json");
    for row in &found[..4] {
        assert_eq!((row["person"].as_str(), row["candidates"].as_array().unwrap().len()), (Some("person_0003"), 2));
    }
    assert!(found[4]["reason"].as_str().unwrap().contains("no such file"), "{found:?}");
    assert_eq!((found[5]["known"].as_u64(), found[5]["failed"].as_u64()), (Some(4), Some(1)));
    let unknown = run(d, "identify g w.safetensors others --threshold 0 --device cpu").success();
    unknown.stdout(predicate::str::contains(": unknown (nearest ").count(4));
    let csv = run(d, "identify g w.safetensors others/person_0008/0001.png --top 3 --csv --device cpu").success();
    csv.stdout(
        predicate::str::starts_with("path,decision,rank,person,distance,face,reason\n")
            .and(predicate::str::contains("\n").count(4)),
    );
    refused_usage(d, "identify g w.safetensors others --threshold -0.1", "a squared distance, a number from 0 on");
    refused_usage(d, "identify g w.safetensors others --top 0", "1 or more");
}

fn refused_usage(dir: &Path, arguments: &str, part: &str) {
    run(dir, arguments).code(2).stderr(predicate::str::contains(part));
}

#[test]
fn people_are_renamed_merged_listed_and_removed() {
    let dir = prepared(3);
    let d = dir.path();
    run(d, "gallery add g w.safetensors faces --device cpu").success();
    refused(run(d, "gallery rename g person_0001 person_0002"), 1, &["somebody named person_0002", "--merge"]);
    run(d, "gallery rename g person_0001 person_0002 --merge").success().stdout(predicate::str::contains("8 faces"));
    run(d, "gallery rename g person_0003 Grace").success();
    run(d, "gallery list g --csv").success().stdout("person,faces\nGrace,4\nperson_0002,8\n");
    let list = lines(d, "gallery list g Grace --faces --json");
    let first = list[0]["list"][0]["id"].as_u64().unwrap();
    run(d, &format!("gallery remove g --face {first}")).success().stdout(predicate::str::contains("11 faces are left"));
    refused(run(d, "gallery remove g person_0002 Nobody"), 1, &["nobody named Nobody"]);
    run(d, "gallery remove g person_0002").success().stdout(predicate::str::contains("removed   8 faces"));
    run(d, "gallery list g --csv").success().stdout("person,faces\nGrace,3\n");
}

#[test]
fn galleries_that_cannot_be_used_are_refused_and_stay_as_they_are() {
    let dir = prepared(2);
    let d = dir.path();
    run(d, "gallery add g w.safetensors faces --device cpu").success();
    refused(run(d, "gallery create g w.safetensors"), 1, &["g exists already"]);
    refused(run(d, "gallery list none"), 1, &["there is no gallery none"]);
    refused(run(d, "gallery list w.safetensors"), 1, &["w.safetensors is no gallery"]);
    run(d, &TINY.replace("--device", "--seed 5 --device")).success();
    fs::rename(d.join("runs/train/run2/weights/best.safetensors"), d.join("other.safetensors")).unwrap();
    for arguments in ["gallery add g other.safetensors faces", "identify g other.safetensors faces"] {
        refused(run(d, arguments), 1, &["w.safetensors (zf64", "other.safetensors (zf64", "cannot be compared"]);
    }
    let bytes = fs::read(d.join("g")).unwrap();
    fs::write(d.join("cut"), &bytes[..bytes.len() / 2]).unwrap();
    for arguments in ["gallery list cut", "gallery add cut w.safetensors faces", "identify cut w.safetensors faces"] {
        refused(run(d, arguments), 1, &["cut is cut short"]);
    }
    assert!(fs::read(d.join("g")).unwrap() == bytes && fs::read(d.join("cut")).unwrap() == bytes[..bytes.len() / 2]);
}

#[test]
fn a_killed_addition_keeps_what_it_said_it_added_and_the_same_command_adds_the_rest() {
    let dir = prepared(60);
    let d = dir.path();
    let mut writer = Command::new(env!("CARGO_BIN_EXE_facenet-gpu"))
        .args(["gallery", "add", "g", "w.safetensors", "faces", "--json", "--device", "cpu"])
        .env(NO_TUNE.0, NO_TUNE.1)
        .current_dir(d)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(writer.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let added = |line: &str| serde_json::from_str::<Value>(line).unwrap()["added"].as_u64().unwrap();
    assert_eq!(added(&line), 64);
    // Others are told, whether the writer is still at it or has just ended.
    let second = run(d, "gallery remove g person_0060");
    let text = String::from_utf8(second.get_output().stderr.clone()).unwrap();
    assert!(text.contains("is in use by another program") || text.contains("nobody named"), "{text}");
    writer.kill().unwrap();
    writer.wait().unwrap();
    let last = said.lines().map_while(Result::ok).filter(|line| line.starts_with('{')).last();
    let told = last.map_or(64, |line| added(&line));
    let kept = lines(d, "gallery list g --json")[0]["faces"].as_u64().unwrap();
    assert!(kept >= told && (kept.is_multiple_of(64) || kept == 240), "{told} were told, {kept} are there");
    let end = lines(d, "gallery add g w.safetensors faces --device cpu --json").pop().unwrap();
    assert_eq!((end["known"].as_u64(), end["faces"].as_u64()), (Some(kept), Some(240)));
}
