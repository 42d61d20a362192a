use std::fs;
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::*;
use crate::{Embeddings, Engine};

const DIM: usize = 16;

fn model(id: &str) -> EmbeddingModel {
    EmbeddingModel {
        crop: None,
        alignment: None,
        name: format!("{id}.safetensors"),
        network: "zf64".to_string(),
        id: format!("sha256:{id}"),
        dimensions: 16,
        unit_length: true,
    }
}

/// A direction that only `seed` tells, moved a little by `shift`.
fn embedding(seed: u32, shift: f32) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed.into());
    let mut row: Vec<f32> = (0..DIM).map(|_| rng.sample(StandardNormal)).collect();
    row[(seed % 16) as usize] += shift;
    let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    row.iter().map(|x| x / length).collect()
}

fn add(gallery: &mut Gallery, faces: &[(&str, Vec<f32>)]) -> Added {
    let faces: Vec<NewFace<'_>> =
        faces.iter().map(|(person, embedding)| NewFace { person, source: "a.jpg", content: None, embedding }).collect();
    gallery.add(&model("a"), &faces).unwrap()
}

/// Three people with two, one and three faces.
fn filled(path: &Path, kind: VectorKind) -> Gallery {
    let mut gallery = Gallery::create(path, &model("a"), kind).unwrap();
    let faces = [
        ("Ada", embedding(1, 0.0)),
        ("Ada", embedding(1, 0.4)),
        ("Grace", embedding(2, 0.0)),
        ("Mary", embedding(3, 0.0)),
        ("Mary", embedding(3, 0.3)),
        ("Mary", embedding(3, 0.6)),
    ];
    let report = add(&mut gallery, &faces);
    assert_eq!((report.added, report.known, report.conflicts.len()), (6, 0, 0));
    gallery
}

fn names(gallery: &Gallery) -> Vec<String> {
    gallery.people().unwrap().into_iter().map(|p| format!("{} {}", p.name, p.faces)).collect()
}

/// The person who was found, and all candidates.
type Found = (Option<String>, Vec<(String, f32)>);

fn people_of(faces: &Faces, search: Search, queries: Vec<f32>) -> Vec<Found> {
    let mut identifier = Identifier::new(&Engine::Cpu, faces, &search).unwrap();
    let found = identifier.identify(&Embeddings::new(DIM, queries).unwrap()).unwrap();
    let name = |candidate: &Candidate| faces.name(candidate.person).to_string();
    found
        .iter()
        .map(|who| (who.person().map(name), who.candidates.iter().map(|c| (name(c), c.distance)).collect()))
        .collect()
}

#[test]
fn people_are_added_listed_renamed_merged_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("g");
    let mut gallery = filled(&path, VectorKind::Bytes);
    assert_eq!(names(&gallery), ["Ada 2", "Grace 1", "Mary 3"]);
    // The same again, and the same under another name.
    let report = add(&mut gallery, &[("Ada", embedding(1, 0.0)), ("Eve", embedding(2, 0.0))]);
    assert_eq!((report.added, report.known), (0, 1));
    let conflict = Conflict { source: "a.jpg".into(), person: "Eve".into(), known_as: "Grace".into() };
    assert_eq!(report.conflicts, [conflict]);

    let text = gallery.rename("Grace", "Mary", false).unwrap_err().to_string();
    assert!(text.contains("somebody named Mary already") && text.contains("`merge`"), "{text}");
    gallery.rename("Grace", " Hopper ", false).unwrap();
    gallery.rename("Ada", "Mary", true).unwrap();
    assert_eq!(names(&gallery), ["Hopper 1", "Mary 5"]);
    let ids: Vec<u64> = gallery.faces("Mary").unwrap().iter().map(|face| face.id).collect();
    assert_eq!(ids, [0, 1, 3, 4, 5]);
    gallery.remove_faces(&[0, 2]).unwrap();
    assert_eq!(names(&gallery), ["Mary 4"]);
    assert!(gallery.remove_faces(&[4, 2]).unwrap_err().to_string().contains("no face number 2"));
    assert!(gallery.remove(&["Mary", "Nobody"]).unwrap_err().to_string().contains("nobody named Nobody"));
    assert_eq!(names(&gallery), ["Mary 4"], "a change that fails changes nothing");
    gallery.rename("Mary", "Zoe\u{308}", false).unwrap();
    assert_eq!(gallery.faces("Zo\u{eb}").unwrap().len(), 4, "names are compared as people read them");
    gallery.rename("Zo\u{eb}", "Mary", false).unwrap();
    drop(gallery);

    let mut gallery = Gallery::open(&path).unwrap();
    assert_eq!(gallery.remove(&["Mary"]).unwrap(), 4);
    assert!(gallery.is_empty().unwrap() && gallery.people().unwrap().is_empty());
    assert!(gallery.load().unwrap_err().to_string().contains("holds no face; add some"));
    // What was removed can be added again.
    assert_eq!(add(&mut gallery, &[("Ada", embedding(1, 0.0))]).added, 1);
    assert_eq!(gallery.faces("Ada").unwrap()[0].id, 6);
}

#[test]
fn the_nearest_people_are_found_and_who_is_far_is_unknown() {
    for kind in [VectorKind::Bytes, VectorKind::Floats] {
        let dir = tempfile::tempdir().unwrap();
        let faces = filled(&dir.path().join("g"), kind).load().unwrap();
        assert_eq!((faces.len(), faces.people()), (6, 3));
        let queries = [embedding(3, 0.5), embedding(2, 0.0), embedding(9, 0.0)].concat();
        let found = people_of(&faces, Search { threshold: 0.1, top: 3 }, queries.clone());
        assert_eq!(found[0].0.as_deref(), Some("Mary"), "{found:?}");
        assert_eq!(found[1].0.as_deref(), Some("Grace"));
        assert!(found[1].1[0].1 < 0.001 && found[2].0.is_none(), "{found:?}");
        for (row, (_, candidates)) in queries.chunks(DIM).zip(&found) {
            // Each person once, at the distance of the nearest face.
            assert!(candidates.len() == 3 && candidates.is_sorted_by(|a, b| a.1 <= b.1));
            for (name, told) in candidates {
                let seeds = match name.as_str() {
                    "Ada" => vec![(1, 0.0), (1, 0.4)],
                    "Grace" => vec![(2, 0.0)],
                    _ => vec![(3, 0.0), (3, 0.3), (3, 0.6)],
                };
                let distance = |(seed, shift)| crate::squared_distance(row, &embedding(seed, shift));
                let nearest = seeds.into_iter().map(distance).reduce(f32::min).unwrap();
                let error = if kind == VectorKind::Bytes { 0.02 } else { 1e-5 };
                assert!((nearest - told).abs() < error, "{kind:?} {name}: {told}, not {nearest}");
            }
        }
    }
}

#[test]
fn the_second_person_is_found_behind_many_faces_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut gallery = Gallery::create(&dir.path().join("g"), &model("a"), VectorKind::Bytes).unwrap();
    let many: Vec<(&str, Vec<f32>)> = (0..300_u16).map(|i| ("Ada", embedding(1, f32::from(i) / 1000.0))).collect();
    add(&mut gallery, &many);
    add(&mut gallery, &[("Grace", embedding(2, 0.0))]);
    let faces = gallery.load().unwrap();
    let found = people_of(&faces, Search { threshold: 4.0, top: 5 }, embedding(1, 0.0));
    let order: Vec<&str> = found[0].1.iter().map(|candidate| candidate.0.as_str()).collect();
    assert_eq!(order, ["Ada", "Grace"], "there are no more");
}

#[test]
fn embeddings_of_two_models_are_refused_with_both_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut gallery = filled(&dir.path().join("g"), VectorKind::Bytes);
    let row = embedding(1, 0.0);
    let face = NewFace { person: "Ada", source: "a.jpg", content: None, embedding: &row };
    let text = gallery.add(&model("b"), &[face]).unwrap_err().to_string();
    assert!(text.contains("a.safetensors (zf64, model a)") && text.contains("b.safetensors (zf64, model b)"), "{text}");
}

#[test]
fn what_cannot_be_added_or_asked_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut gallery = filled(&dir.path().join("g"), VectorKind::Floats);
    let good = embedding(5, 0.0);
    for (person, row, part) in [
        (" ", &good[..], "the name of a person is empty"),
        ("a\nb", &good[..], "control characters"),
        ("Ada", &good[1..], "expected 16 dimensions, got 15"),
        ("Ada", &[f32::NAN; 16], "NaN"),
        ("Ada", &[0.0; 16], "length 0.000"),
    ] {
        let faces = [("Eve", &good[..]), (person, row)];
        let faces = faces.map(|(person, embedding)| NewFace { person, source: "a.jpg", content: None, embedding });
        let text = gallery.add(&model("a"), &faces).unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(names(&gallery), ["Ada 2", "Grace 1", "Mary 3"]);
    let faces = gallery.load().unwrap();
    for (threshold, top, part) in
        [(4.1, 1, "`threshold` 4.1"), (-0.1, 1, "give 0 to 4"), (f32::NAN, 1, "NaN"), (1.0, 0, "`top`")]
    {
        let text = Identifier::new(&Engine::Cpu, &faces, &Search { threshold, top }).unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    }
    let mut identifier = Identifier::new(&Engine::Cpu, &faces, &Search { threshold: 1.0, top: 1 }).unwrap();
    let text = identifier.identify(&Embeddings::new(16, vec![f32::NAN; 16]).unwrap()).unwrap_err().to_string();
    assert!(text.contains("NaN"), "{text}");
    assert!(identifier.identify(&Embeddings::new(8, vec![0.0; 8]).unwrap()).is_err());
}

#[test]
fn one_program_writes_and_the_other_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("g");
    let writing = filled(&path, VectorKind::Bytes);
    for opened in [Gallery::open(&path), Gallery::open_read_only(&path)] {
        let text = opened.unwrap_err().to_string();
        assert!(text.contains("is in use by another program"), "{text}");
    }
    drop(writing);
    let (one, mut two) = (Gallery::open_read_only(&path).unwrap(), Gallery::open_read_only(&path).unwrap());
    assert_eq!((one.len().unwrap(), two.len().unwrap()), (6, 6));
    assert!(two.remove(&["Ada"]).unwrap_err().to_string().contains("read only"));
    assert!(Gallery::open(&path).is_err());
    let text = Gallery::create(&path, &model("a"), VectorKind::Bytes).unwrap_err().to_string();
    assert!(text.contains("exists already"), "{text}");
}

#[test]
fn a_file_that_is_cut_short_anywhere_or_none_of_ours_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, cut) = (dir.path().join("g"), dir.path().join("cut"));
    drop(filled(&path, VectorKind::Bytes));
    let bytes = fs::read(&path).unwrap();
    let step = bytes.len() / 97;
    for length in (0..64).chain((64..bytes.len()).step_by(step)).chain([bytes.len() - 1]) {
        fs::write(&cut, &bytes[..length]).unwrap();
        for opened in [Gallery::open(&cut), Gallery::open_read_only(&cut)] {
            let text = opened.unwrap_err().to_string();
            assert!(text.contains("is cut short") || (length == 0 && text.contains("is empty")), "{length}: {text}");
        }
        assert_eq!(fs::read(&cut).unwrap(), &bytes[..length], "a file that is refused stays as it is");
    }
    fs::write(&cut, "no gallery at all, but a text").unwrap();
    assert!(Gallery::open(&cut).unwrap_err().to_string().contains("is no gallery"));
    drop(redb::Database::create(dir.path().join("other")).unwrap());
    let text = Gallery::open(&dir.path().join("other")).unwrap_err().to_string();
    assert!(text.contains("a database of another program"), "{text}");
    let text = Gallery::open(&dir.path().join("none")).unwrap_err().to_string();
    assert!(text.contains("there is no gallery"), "{text}");
}

/// The file as it lies on the disk while a program writes it is what a program that is killed leaves behind.
#[test]
fn what_a_killed_program_leaves_holds_all_that_was_added() {
    let dir = tempfile::tempdir().unwrap();
    let (path, left) = (dir.path().join("g"), dir.path().join("left"));
    let mut gallery = filled(&path, VectorKind::Bytes);
    for round in 0..20_u32 {
        let faces: Vec<(&str, Vec<f32>)> = (0..50).map(|i| ("Eve", embedding(100 + 50 * round + i, 0.0))).collect();
        add(&mut gallery, &faces);
        fs::copy(&path, &left).unwrap();
        let reopened = if round % 2 == 0 { Gallery::open(&left) } else { Gallery::open_read_only(&left) }.unwrap();
        assert_eq!(reopened.len().unwrap(), u64::from(6 + 50 * (round + 1)));
        assert_eq!(reopened.load().unwrap().len(), 6 + 50 * (round as usize + 1));
    }
}

/// `cargo test --release --lib -- --ignored --nocapture a_gallery_of_a_million` prints what a million faces take.
#[test]
#[ignore = "a measurement, which takes a minute and a gigabyte"]
fn a_gallery_of_a_million_faces() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("g");
    let model = EmbeddingModel { dimensions: 128, ..model("a") };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut unit = || {
        let row: Vec<f32> = (0..128).map(|_| rng.sample(StandardNormal)).collect();
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.into_iter().map(|x| x / length).collect::<Vec<f32>>()
    };
    let time = |what: &str, begin: std::time::Instant| println!("{what}: {:.2} s", begin.elapsed().as_secs_f64());
    let mut gallery = Gallery::create(&path, &model, VectorKind::Bytes).unwrap();
    let begin = std::time::Instant::now();
    for block in 0..100 {
        let rows: Vec<(String, Vec<f32>)> =
            (0..10_000).map(|i| (format!("person {}", (block * 10_000 + i) / 4), unit())).collect();
        let faces: Vec<NewFace<'_>> = rows
            .iter()
            .map(|(person, embedding)| NewFace { person, source: "folder/of/faces/0001.jpg", content: None, embedding })
            .collect();
        gallery.add(&model, &faces).unwrap();
    }
    time("a million faces of 250,000 people added, 10,000 a transaction", begin);
    drop(gallery);
    println!("file: {} MB", fs::metadata(&path).unwrap().len() / 1_000_000);
    let begin = std::time::Instant::now();
    let gallery = Gallery::open_read_only(&path).unwrap();
    time("opened", begin);
    let faces = gallery.load().unwrap();
    time("opened and loaded", begin);
    let queries = Embeddings::new(128, (0..1000).flat_map(|_| unit()).collect()).unwrap();
    for _ in 0..3 {
        let begin = std::time::Instant::now();
        let mut identifier = Identifier::new(&Engine::Cpu, &faces, &Search { threshold: 1.0, top: 2 }).unwrap();
        let found = identifier.identify(&queries).unwrap();
        time("1,000 images identified", begin);
        assert!(found.len() == 1000 && found.iter().all(|who| who.person().is_none() && who.candidates.len() == 2));
    }
}
