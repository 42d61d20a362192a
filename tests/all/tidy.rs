//! The house rules that a compiler does not know.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::paths::paths;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `dir` with one of these extensions.
fn files(dir: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(dir)];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|x| extensions.iter().any(|e| x == *e)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/")
}

/// The layer of a source file: the folder or file right below `src`.
fn layer(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    inside.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_string()
}

/// The module of a source file, by its names from the crate's root.
fn module(path: &Path) -> Vec<String> {
    let inside = path.strip_prefix(root().join("src")).unwrap().with_extension("");
    let names = inside.iter().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| !matches!(name.as_str(), "mod" | "lib" | "main")).collect()
}

/// Every source file with the paths that its code names.
fn sources() -> Vec<(PathBuf, Vec<Vec<String>>)> {
    let with_paths = |path: PathBuf| {
        let paths = paths(&text(&path), &module(&path));
        (path, paths)
    };
    files("src", &["rs"]).into_iter().map(with_paths).collect()
}

/// naga reads what a kernel says of itself, and comes with wgpu.
#[test]
fn only_the_gpu_layer_names_wgpu() {
    for (path, paths) in sources().iter().filter(|(path, _)| !["gpu", "lib"].contains(&layer(path).as_str())) {
        let named = paths.iter().find(|p| p[0] == "wgpu" && p.get(1).is_none_or(|inner| inner != "naga"));
        assert!(named.is_none(), "{} uses {}", name(path), named.unwrap().join("::"));
    }
}

/// A wait anywhere else would stall what runs beside it, and could not be done in a browser.
#[test]
fn only_one_file_waits_for_a_gpu() {
    for path in files("src", &["rs"]).iter().filter(|path| !path.ends_with("src/gpu/wait.rs")) {
        let text = text(path);
        for word in ["block_on", "pollster", "PollType"] {
            assert!(!text.contains(word), "{} names {word}; see src/gpu/wait.rs", name(path));
        }
    }
}

/// Layers from the bottom up; a layer may use those before it.
const LAYERS: [&str; 30] = [
    "error",
    "text",
    "digest",
    "embeddings",
    "plan",
    "executor",
    "cpu",
    "gpu",
    "tune",
    "engine",
    "store",
    "data",
    "graph",
    "op",
    "search",
    "optim",
    "model",
    "net",
    "eval",
    "weights",
    "session",
    "detect",
    "align",
    "embed",
    "gallery",
    "cluster",
    "chart",
    "train",
    "bench",
    "cli",
];

/// What the code of `own` uses of layers above it. `reexports` says which layer an item of the crate's root comes from.
fn from_above(own: &str, paths: &[Vec<String>], reexports: &BTreeMap<String, String>) -> Vec<String> {
    let at = |layer: &str| LAYERS.iter().position(|r| *r == layer);
    let own_at = at(own).unwrap_or_else(|| panic!("a layer that LAYERS does not know: {own}"));
    let is_above = |path: &&Vec<String>| {
        let [root, item, ..] = &path[..] else { return false };
        let layer = reexports.get(item).unwrap_or(item);
        // All of the root is all layers.
        root == "crate" && (item == "*" || at(layer).is_some_and(|used_at| used_at > own_at))
    };
    paths.iter().filter(is_above).map(|path| path.join("::")).collect()
}

/// The items of the crate's root, each with the layer that it comes from.
fn reexports() -> BTreeMap<String, String> {
    let paths = paths(&text(&root().join("src/lib.rs")), &[]);
    let is_item = |path: &Vec<String>| path.len() > 1 && LAYERS.contains(&path[0].as_str());
    paths.into_iter().filter(is_item).map(|path| (path.last().unwrap().clone(), path[0].clone())).collect()
}

#[test]
fn layers_use_only_the_layers_below_them() {
    let reexports = reexports();
    assert_eq!(reexports.get("Error").map(String::as_str), Some("error"), "{reexports:?}");
    let mut failures = Vec::new();
    for (path, paths) in sources() {
        let own = layer(&path);
        if own != "main" && own != "lib" {
            failures.extend(from_above(&own, &paths, &reexports).iter().map(|used| format!("{}: {used}", name(&path))));
        }
    }
    assert!(failures.is_empty(), "these use layers above their own:\n{}", failures.join("\n"));
}

#[test]
fn a_layer_above_is_seen_in_every_kind_of_import() {
    let reexports = BTreeMap::from([("Model".to_string(), "model".to_string())]);
    let seen = |code: &str| from_above("graph", &paths(code, &["graph".into(), "op".into()]), &reexports);
    for (code, expected) in [
        (
            "use crate::{\n    Error,\n    plan::{Buf, Shape},\n    net::{self, Blocks},\n};",
            "crate::net::self crate::net::Blocks",
        ),
        ("use crate::{gpu::Gpu, {train::{step::Step}}};", "crate::train::step::Step"),
        ("use super::super::cli::Cli;", "crate::cli::Cli"),
        ("use crate::{Engine, Model};", "crate::Model"),
        ("use crate::*;", "crate::*"),
        ("fn f() { assert!(crate::eval::good()) }", "crate::eval::good"),
        ("use crate::{plan, executor::Executor}; // crate::train", ""),
    ] {
        assert_eq!(seen(code).join(" "), expected, "{code}");
    }
}

#[test]
fn the_executors_know_no_op() {
    for file in ["src/gpu/executor.rs", "src/cpu/executor.rs"] {
        let code = text(&root().join(file));
        for op in facenet_gpu::op::ENTRIES {
            assert!(!code.contains(op.name), "{file} names the op {}", op.name);
        }
    }
}

#[test]
fn no_file_is_longer_than_one_sitting() {
    for path in [files("src", &["rs"]), files("tests", &["rs"]), files("shaders", &["wgsl"])].concat() {
        let lines = text(&path).lines().count();
        assert!(lines <= 500, "{} has {lines} lines; split it", name(&path));
    }
}

#[test]
fn every_op_has_a_rust_file_and_a_test_case_and_a_bench_case() {
    for entry in facenet_gpu::op::ENTRIES {
        assert!(root().join(format!("src/op/{}.rs", entry.name)).exists(), "src/op/{}.rs is missing", entry.name);
        assert!(!(entry.cases)().is_empty(), "{} has no test case", entry.name);
        assert!(!(entry.bench_cases)().is_empty(), "{} has no bench case", entry.name);
    }
}

#[test]
fn integer_division_is_not_done_with_reciprocals() {
    for path in files("shaders", &["wgsl"]) {
        for (number, line) in (1..).zip(text(&path).lines()) {
            let code = line.split("//").next().unwrap_or_default();
            let suspicious = code.contains("u32(f32(") || code.contains("u32(floor(");
            assert!(!suspicious, "{}:{number} computes an index with floats: {line}", name(&path));
        }
    }
}

#[test]
fn the_documents_name_every_layer() {
    let architecture = text(&root().join("ARCHITECTURE.md"));
    for layer in LAYERS {
        let row = [format!("| `src/{layer}` |"), format!("| `src/{layer}.rs` |")];
        assert!(row.iter().any(|row| architecture.contains(row)), "ARCHITECTURE.md has no row for src/{layer}");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents = [files("docs", &["md"]), files("benches", &["md"])].concat();
    documents.extend(["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(|name| root().join(name)));
    let mut links = 0;
    for path in documents {
        for target in text(&path).split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            links += 1;
            assert!(path.parent().unwrap().join(file).exists(), "{} links to {target}", name(&path));
        }
    }
    assert!(links > 5, "only {links} links were found");
}
