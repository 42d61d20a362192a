//! The house rules that a compiler does not know.

use std::fs;
use std::path::{Path, PathBuf};

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

/// The room of a source file: the folder or file right below `src`.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    inside.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_string()
}

#[test]
fn only_the_gpu_room_names_wgpu() {
    for path in files("src", &["rs"]).iter().filter(|p| room(p) != "gpu") {
        let code = text(path);
        let named = code.lines().any(|l| !l.trim_start().starts_with("//") && l.contains("wgpu::"));
        assert!(!named, "{} uses wgpu", name(path));
    }
}

/// Rooms from the bottom up; a room may use those before it.
const ROOMS: [&str; 17] = [
    "error", "plan", "executor", "cpu", "gpu", "engine", "graph", "op", "optim", "net", "data", "eval", "weights",
    "model", "train", "bench", "cli",
];

#[test]
fn rooms_use_only_the_rooms_below_them() {
    let at = |room: &str| ROOMS.iter().position(|r| *r == room);
    let mut failures = Vec::new();
    for path in files("src", &["rs"]) {
        let own = room(&path);
        if own == "main" || own == "lib" {
            continue;
        }
        let own_at = at(&own).unwrap_or_else(|| panic!("{}: a room that ROOMS does not know", name(&path)));
        for line in text(&path).lines().filter(|l| !l.trim_start().starts_with("//")) {
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if at(&used).is_some_and(|used_at| used_at > own_at) {
                    failures.push(format!("{}: {} uses {used}", name(&path), own));
                }
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
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
fn the_documents_name_every_room() {
    let architecture = text(&root().join("ARCHITECTURE.md"));
    for room in ROOMS {
        assert!(architecture.contains(&format!("src/{room}")), "ARCHITECTURE.md does not mention src/{room}");
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
