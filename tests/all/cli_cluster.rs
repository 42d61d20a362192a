//! Images into clusters, as a stranger meets it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::program::*;
use facenet_gpu::cluster::{Dendrogram, Linkage};
use facenet_gpu::embed::table::EmbeddingTable;
use predicates::prelude::*;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// A folder with `faces`, 8 people x 3 images, and weights that saw others.
fn faces_and_weights() -> TempDir {
    let dir = tempdir().unwrap();
    run(dir.path(), "synth --out faces --people 8 --images 3 --size 64 --seed 9").success();
    run(dir.path(), TINY).success();
    fs::rename(dir.path().join("runs/train/run/weights/best.safetensors"), dir.path().join("w.safetensors")).unwrap();
    dir
}

const CLUSTER: &str = "cluster w.safetensors --data faces --device cpu";

fn json(dir: &Path, arguments: &str) -> Value {
    let output = run(dir, &format!("{arguments} --json")).success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

/// A threshold at which the faces are neither all together nor all alone.
fn threshold_of_some(dir: &Path) -> f32 {
    run(dir, "embed w.safetensors faces --out some.npy --device cpu").success();
    let table = EmbeddingTable::read(&dir.join("some.npy")).unwrap();
    let dendrogram = Dendrogram::new(&table.embeddings, Linkage::Average, 1 << 20).unwrap();
    let grid = (0..100).map(|i| 1e-5 * 1.15_f32.powi(i));
    grid.into_iter().find(|&t| (3..16).contains(&dendrogram.cut(t).unwrap().len())).unwrap()
}

/// Rows of a table by the name of the file: cluster, size, person, reason.
fn rows(dir: &Path, arguments: &str) -> BTreeMap<String, Vec<String>> {
    let text = String::from_utf8(run(dir, arguments).success().get_output().stdout.clone()).unwrap();
    assert!(text.starts_with("path,cluster,size,person,reason\n"), "{text}");
    let lines = text.lines().map(|line| line.split(',').map(String::from).collect::<Vec<_>>());
    lines.skip(1).map(|mut fields| (fields.remove(0), fields)).collect()
}

/// The files in a folder's folders, by the name of the folder.
fn folders(path: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    names(path)
        .into_iter()
        .map(|name| (name.clone(), names(&path.join(&name)).iter().map(|file| path.join(&name).join(file)).collect()))
        .collect()
}

#[test]
fn clusters_become_a_table_folders_and_a_page_that_agree() {
    let dir = faces_and_weights();
    fs::write(dir.path().join("faces/person_0002/broken.png"), "no image").unwrap();
    let threshold = threshold_of_some(dir.path());
    let said = run(dir.path(), &format!("{CLUSTER} --threshold {threshold} --out sorted --html page.html")).success();
    let said = said.stderr(predicate::str::contains(
        "warning: 1 of 25 images cannot be used; the first: faces/person_0002/broken.png",
    ));
    said.stdout(
        predicate::str::contains(format!("threshold {threshold:.3}, given"))
            .and(predicate::str::contains("B-cubed   precision")),
    );
    let rows = rows(dir.path(), &format!("{CLUSTER} --threshold {threshold} --csv"));
    assert_eq!(rows.len(), 25);
    assert!(
        rows["faces/person_0002/broken.png"][3].contains("no image")
            && rows["faces/person_0002/broken.png"][0].is_empty()
    );
    let folders = folders(&dir.path().join("sorted"));
    let mut seen = 0;
    for (at, (name, files)) in folders.iter().enumerate() {
        let images = if files.len() == 1 { "image" } else { "images" };
        assert_eq!(*name, format!("{:04}_{}_{images}", at + 1, files.len()));
        for file in files {
            let real = file.canonicalize().unwrap();
            let image = real.strip_prefix(dir.path().canonicalize().unwrap()).unwrap().to_str().unwrap();
            assert_eq!(rows[image][..2], [(at + 1).to_string(), files.len().to_string()], "{image}");
            assert_eq!(rows[image][2], image.split('/').nth(1).unwrap());
            seen += 1;
        }
    }
    assert_eq!(seen, 24);
    let counts: Vec<usize> = folders.values().map(Vec::len).collect();
    assert!(counts.is_sorted_by(|a, b| a >= b) && counts.len() >= 3, "{counts:?}");
    let page = fs::read_to_string(dir.path().join("page.html")).unwrap();
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 24);
    assert!(page.contains(&format!("{} clusters of 24 images", folders.len())));
    assert!(!page.contains("=\"http") && !page.contains("<script"), "the page needs the network");

    // Nothing that is there is touched.
    refused(
        run(dir.path(), &format!("{CLUSTER} --threshold 1 --out sorted")),
        1,
        &["sorted exists already", "--out a new folder"],
    );
    assert_eq!(names(&dir.path().join("sorted")).len(), folders.len());
}

#[test]
fn copies_of_equal_names_are_kept_apart_and_nothing_temporary_stays() {
    let dir = faces_and_weights();
    let end = json(dir.path(), &format!("{CLUSTER} --threshold 4 --out all --copy"));
    assert_eq!(
        (end["clusters"].as_u64(), end["singletons"].as_u64(), end["threshold_source"].as_str()),
        (Some(1), Some(0), Some("flag"))
    );
    assert_eq!(end["agreement"]["b_cubed"]["recall"].as_f64(), Some(1.0));
    let files = &folders(&dir.path().join("all"))["0001_24_images"];
    assert_eq!(files.len(), 24);
    assert!(files.iter().all(|file| !file.is_symlink() && file.is_file()));
    assert_eq!(names(dir.path()), ["all", "faces", "runs", "w.safetensors"]);
}

#[test]
fn a_table_gives_the_clusters_of_its_images_and_both_methods_agree() {
    let dir = faces_and_weights();
    run(dir.path(), "embed w.safetensors faces --out t.npy --device cpu").success();
    let sizes = |arguments: &str| json(dir.path(), arguments)["sizes"].clone();
    for threshold in ["0.05", "0.3", "1"] {
        let images = sizes(&format!("{CLUSTER} --threshold {threshold}"));
        assert_eq!(sizes(&format!("cluster t.npy --threshold {threshold}")), images);
        let graph = json(dir.path(), &format!("cluster t.npy --threshold {threshold} --method graph --device cpu"));
        assert_eq!(
            (&graph["sizes"], graph["method"].as_str(), graph["neighbours"].as_u64()),
            (&images, Some("graph"), Some(50))
        );
    }
    // The weights' own threshold is used, and said to be; those of other weights are refused.
    let end = json(dir.path(), "cluster w.safetensors --data t.npy");
    assert_eq!((end["threshold_source"].as_str(), end["agreement"]["people"].as_u64()), (Some("training"), Some(8)));
    run(dir.path(), &format!("{TINY} --seed 5 --name other")).success();
    let other = "cluster runs/train/other/weights/best.safetensors --data t.npy";
    refused(run(dir.path(), other), 1, &["t.npy holds embeddings of other weights"]);
    refused(run(dir.path(), "cluster t.npy"), 2, &["a table has no threshold; give --threshold"]);
    refused(run(dir.path(), "cluster t.npy --threshold 1 --crop center:20"), 2, &["made already", "--crop"]);
    refused(run(dir.path(), "cluster t.npy --threshold 1 --detector d"), 2, &["made already", "--detector"]);
    // Folders need the images, wherever the table is.
    fs::rename(dir.path().join("faces"), dir.path().join("moved")).unwrap();
    refused(run(dir.path(), "cluster t.npy --threshold 1 --out o"), 1, &["none of the 24 images is there, such as "]);
    assert!(!dir.path().join("o").exists());
}

#[test]
fn what_cannot_be_clustered_is_refused_in_words() {
    let dir = faces_and_weights();
    let with = |arguments: &str| run(dir.path(), &format!("cluster w.safetensors --device cpu {arguments}"));
    let bad = with("--data faces --threshold 4.5").code(2);
    bad.stderr(predicate::str::contains("give a squared distance"));
    refused(with("--data faces/person_0001/0001.png"), 1, &["only one image"]);
    refused(with("--data nowhere"), 1, &["cannot read nowhere", "no such file or folder"]);
    fs::create_dir(dir.path().join("empty")).unwrap();
    refused(with("--data empty"), 1, &["no image in empty"]);
    refused(with("--data faces --method graph --linkage single"), 2, &["average linkage alone; leave --linkage out"]);
    refused(with("--data faces --html nowhere/c.html"), 1, &["nowhere"]);
    refused(with("--data faces --out nowhere/sorted"), 1, &["nowhere"]);
    // One person: there is nothing to tell apart, so that nothing is measured.
    let said = with("--data faces/person_0001 --threshold 1").success();
    said.stdout(predicate::str::contains("clusters  ").and(predicate::str::contains("B-cubed").not()));
    fs::create_dir(dir.path().join("family")).unwrap();
    fs::rename(dir.path().join("faces/person_0001"), dir.path().join("family/Ada")).unwrap();
    let said = with("--data family --threshold 1").success();
    said.stderr(predicate::str::contains("family has a folder of one person, Ada"));
}
