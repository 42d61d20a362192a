//! What is built: the crates that the library does without, and the one naga.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// What only the program needs.
const PROGRAM: [&str; 12] = [
    "base64",
    "clap",
    "crc32c",
    "csv",
    "fs4",
    "humantime",
    "indicatif",
    "maud",
    "plotters",
    "tiny-skia",
    "toml",
    "zip",
];

/// Names of the crates that are built with these flags, on any system.
fn crates(flags: &[&str]) -> BTreeSet<String> {
    let tree = ["tree", "--locked", "--offline", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let output = cargo.args(tree).args(flags).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_string).collect()
}

#[test]
fn the_library_alone_builds_nothing_that_only_the_program_needs() {
    let (library, program) = (crates(&["--no-default-features"]), crates(&[]));
    assert!(library.contains("wgpu") && library.contains("image"), "{library:?}");
    for name in PROGRAM {
        assert!(program.contains(name), "{name} is no dependency any more; take it off the list");
        assert!(!library.contains(name), "{name} is built without the feature `program`");
    }
}

/// Kernels are validated with `wgpu::naga`. A second version would mean that the features asked for in Cargo.toml are
/// those of another naga than wgpu's.
#[test]
fn the_naga_that_validates_is_the_one_that_wgpu_compiles_with() {
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    for name in ["naga", "wgpu", "wgpu-core"] {
        let versions = lock.lines().filter(|line| *line == format!("name = \"{name}\"")).count();
        assert_eq!(versions, 1, "{versions} versions of {name} in Cargo.lock");
    }
    let named = crates(&["--depth", "1"]);
    assert!(named.contains("wgpu") && !named.contains("naga"), "use wgpu::naga in place of a naga of our own");
}
