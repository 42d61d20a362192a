//! Every shader without a device: valid WGSL with exactly the capabilities of its family, every specialisation that a
//! plan asks for, bindings and parameters equal to the Rust side, headers complete, no dead files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use facenet_gpu::graph::Recording;
use facenet_gpu::model::derive_plan;
use facenet_gpu::op::{CasePlan, ENTRIES, Pairs, Question, SHARED_KERNELS};
use facenet_gpu::plan::reflect::{Access, capabilities, interface, parse};
use facenet_gpu::plan::{Kernel, Plan, Variant, grid};
use facenet_gpu::search::SearchPlan;
use facenet_gpu::train::{Config, LossKind, OptimiserKind, Trainer};
use facenet_gpu::wgpu::naga;
use facenet_gpu::{Model, net, optim};

/// Limits that every adapter has (WebGPU's defaults).
const MAX_INVOCATIONS: u32 = 256;
const MAX_STORAGE_BINDINGS: usize = 8;

fn kernels() -> Vec<&'static Kernel> {
    let declared = ENTRIES.iter().flat_map(|e| e.kernels).chain(SHARED_KERNELS).chain(optim::KERNELS);
    declared.flat_map(|d| d.kernels()).collect()
}

fn variants() -> Vec<(&'static Kernel, &'static Variant)> {
    kernels().into_iter().flat_map(|k| k.variants.iter().map(move |v| (k, v))).collect()
}

fn models() -> impl Iterator<Item = Model> {
    net::NETWORKS.iter().map(|network| network.model().unwrap())
}

/// Plans of every case, of a training step with every optimiser, of inference and of what it derives from the parameters.
fn plans() -> Vec<Plan> {
    let cases = ENTRIES.iter().flat_map(|e| (e.cases)().into_iter().chain((e.bench_cases)()));
    let mut plans: Vec<Plan> = cases.map(|case| CasePlan::new(case).unwrap().plan).collect();
    for pairs in [Pairs::Any, Pairs::SameLabel, Pairs::OtherLabel] {
        for (k, farthest) in [(1, false), (1, true), (5, false), (5, true)] {
            let question = Question { k, farthest, pairs };
            plans.push(SearchPlan::in_parts(1100, 16, question, 64, 600).unwrap().plan);
        }
    }
    for optimiser in [OptimiserKind::AdaGrad, OptimiserKind::Sgd, OptimiserKind::RmsProp, OptimiserKind::Adam] {
        let config = Config::default().with(|c| (c.optimiser, c.clip_norm, c.ema) = (Some(optimiser), Some(1.0), 0.9));
        let arcface = config.clone().with(|c| (c.loss, c.classes) = (LossKind::ArcFace, 5));
        for config in [config.clone(), config.with(|c| c.chunk = Some(3)), arcface] {
            let trained = models().filter(Model::unit_length);
            plans.extend(trained.map(|model| Trainer::plan(&model, &config, 8).unwrap()));
        }
    }
    for model in models() {
        let graph = model.inference(2).unwrap().graph;
        let outputs: Vec<_> = graph.outputs().map(|(_, output)| output).collect();
        plans.push(Recording::forward(&graph, &outputs).finish());
    }
    plans.extend(models().map(|model| derive_plan(&model.inference(8).unwrap().folds)));
    plans
}

fn fail_if(failures: Vec<String>) {
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn every_variant_is_valid_with_the_capabilities_of_its_family_alone() {
    fail_if(variants().iter().filter_map(|(_, v)| parse(v).err()).map(|e| e.to_string()).collect());
}

#[test]
fn every_kernel_has_one_portable_variant_and_it_stands_last() {
    for kernel in kernels() {
        let portable = kernel.variants.iter().position(|v| v.family == facenet_gpu::plan::Family::Portable);
        assert_eq!(portable, Some(kernel.variants.len() - 1), "{}", kernel.name);
    }
}

#[test]
fn every_parameter_struct_is_the_same_in_wgsl_and_in_rust() {
    for (kernel, variant) in variants() {
        let expected: Vec<_> =
            (0u32..).zip(kernel.params).map(|(i, f)| (f.name.to_string(), f.ty.to_string(), 4 * i)).collect();
        let found = interface(variant).unwrap();
        // A kernel may leave the last fields out only if it leaves the struct whole; names, types and order must match.
        assert_eq!(found.params, expected, "{} in {}", variant.entry, variant.file);
    }
}

#[test]
fn every_variant_of_a_kernel_has_the_same_bindings() {
    for kernel in kernels() {
        let bindings = |v| interface(v).unwrap().bindings.iter().map(|b| (b.number, b.access)).collect::<Vec<_>>();
        let all: Vec<_> = kernel.variants.iter().map(bindings).collect();
        assert!(all.windows(2).all(|w| w[0] == w[1]), "{}: {all:?}", kernel.name);
        assert!(all[0].len() <= MAX_STORAGE_BINDINGS + 1, "{} binds {} buffers", kernel.name, all[0].len() - 1);
    }
}

#[test]
fn every_step_of_every_plan_binds_what_its_kernel_declares_and_nothing_twice() {
    for plan in plans() {
        for step in &plan.steps {
            let bindings = &interface(&step.kernel.variants[0]).unwrap().bindings[1..];
            assert_eq!(bindings.len(), step.buffers.len(), "{} in {}", step.kernel.name, step.layer);
            for (binding, buf) in bindings.iter().zip(&step.buffers) {
                let uses = step.buffers.iter().filter(|b| *b == buf).count();
                let written = binding.access == Access::ReadWrite;
                assert!(!written || uses == 1, "{} binds {} twice", step.kernel.name, plan.spec(*buf).name);
            }
        }
    }
}

#[test]
fn every_grid_follows_from_its_shader_and_can_be_dispatched() {
    let mut seen = BTreeSet::new();
    for step in plans().iter().flat_map(|p| &p.steps) {
        for variant in step.kernel.variants {
            // A constant that the shader does not have ends the test here.
            let groups = variant.workgroups(&step.params).unwrap();
            let good = groups.iter().all(|n| (1..=grid::MAX_WORKGROUPS).contains(n));
            assert!(good, "{} in {} for {}: {groups:?}", variant.entry, variant.file, step.layer);
            seen.insert((variant.file, variant.entry));
        }
    }
    let all: BTreeSet<_> = variants().iter().map(|(_, v)| (v.file, v.entry)).collect();
    assert_eq!(all, seen, "kernels, and those of them that a plan runs");
}

#[test]
fn every_specialisation_that_a_plan_asks_for_compiles_within_default_limits() {
    let mut wanted = BTreeMap::new();
    for step in plans().iter().flat_map(|p| &p.steps) {
        for variant in step.kernel.variants {
            for accumulate in [0.0, 1.0] {
                let mut overrides = step.overrides.clone();
                overrides.iter_mut().filter(|(n, _)| *n == "ACCUMULATE").for_each(|(_, v)| *v = accumulate);
                let key = format!("{} {} {overrides:?} {}", variant.file, variant.entry, variant.source.len());
                wanted.insert(key, (variant, overrides));
            }
        }
    }
    let mut failures = Vec::new();
    for (key, (variant, overrides)) in wanted {
        if let Err(e) = specialise(variant, &overrides) {
            failures.push(format!("{key}: {e}"));
        }
    }
    fail_if(failures);
}

fn specialise(variant: &Variant, overrides: &[(&str, f64)]) -> Result<(), String> {
    let (module, info) = parse(variant).map_err(|e| e.to_string())?;
    let known = interface(variant).map_err(|e| e.to_string())?;
    let known = |name: &str| known.overrides.iter().any(|o| o == name);
    let constants = overrides.iter().filter(|(n, _)| known(n)).map(|(n, v)| (n.to_string(), *v)).collect();
    let entry = Some((naga::ShaderStage::Compute, variant.entry));
    let (module, info) = naga::back::pipeline_constants::process_overrides(&module, &info, entry, &constants)
        .map_err(|e| e.to_string())?;
    let entry = module.entry_points.iter().position(|e| e.name == variant.entry).ok_or("entry point lost")?;
    let invocations: u32 = module.entry_points[entry].workgroup_size.iter().product();
    if invocations > MAX_INVOCATIONS {
        return Err(format!("{invocations} invocations per workgroup"));
    }
    let uses = info.get_entry_point(entry);
    let memory: u32 = module
        .global_variables
        .iter()
        .filter(|(h, g)| g.space == naga::AddressSpace::WorkGroup && !uses[*h].is_empty())
        .map(|(_, g)| module.types[g.ty].inner.size(module.to_ctx()))
        .sum();
    if memory > variant.family.workgroup_memory() {
        return Err(format!("{memory} bytes of workgroup memory"));
    }
    let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities(variant.family));
    let info = validator.validate(&module).map_err(|e| e.into_inner().to_string())?;
    let options = naga::back::spv::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: variant.entry.to_string(),
    };
    let spirv = naga::back::spv::Options { lang_version: (1, 3), ..Default::default() };
    naga::back::spv::write_vec(&module, &info, &spirv, Some(&options)).map_err(|e| e.to_string())?;
    Ok(())
}

/// The comment block whose first line is `// name: ...`. The extensions of a family stand before the first line of all.
fn header(source: &str, name: &str) -> Option<Vec<String>> {
    let lines: Vec<&str> = source[source.find("//")?..].lines().collect();
    let start = lines.iter().position(|l| l.starts_with(&format!("// {name}: ")))?;
    let block = lines[start..].iter().take_while(|l| l.starts_with("//"));
    Some(block.map(|l| l.trim_start_matches("//").trim_end().to_string()).collect())
}

#[test]
fn every_entry_point_has_a_header_that_names_its_bindings_and_how_to_call_it() {
    let mut failures = Vec::new();
    for (_, variant) in variants() {
        let name = variant.entry;
        let Some(header) = header(variant.source, name) else {
            failures.push(format!("{}: no header for {name}", variant.file));
            continue;
        };
        let interface = interface(variant).unwrap();
        let starts = |word: &str| header.iter().find(|l| l.trim_start().starts_with(&format!("{word} ")));
        for binding in &interface.bindings {
            let Some(line) = starts(&binding.name) else {
                failures.push(format!("{}: {name} does not describe {}", variant.file, binding.name));
                continue;
            };
            let says_written = line.contains("read_write");
            if says_written != (binding.access == Access::ReadWrite) {
                failures.push(format!("{}: {name} says of {}:{line}", variant.file, binding.name));
            }
        }
        for word in ["dispatch", "overrides", "needs", "order"] {
            if starts(word).is_none() {
                failures.push(format!("{}: the header of {name} has no line \"{word}\"", variant.file));
            }
        }
        // The first paragraph says what it computes, the second one is the formula.
        let formula = header.iter().position(|l| l.is_empty()).and_then(|blank| header.get(blank + 1));
        if formula.is_none_or(|l| l.trim().is_empty()) {
            failures.push(format!("{}: the header of {name} has no formula below its first line", variant.file));
        }
    }
    fail_if(failures);
}

#[test]
fn every_shader_file_is_used_and_named_after_its_op() {
    let shaders = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let files = |dir: &Path| -> BTreeMap<String, String> {
        let entries = fs::read_dir(dir).unwrap().map(Result::unwrap).filter(|e| e.path().is_file());
        entries.map(|e| (e.file_name().into_string().unwrap(), fs::read_to_string(e.path()).unwrap())).collect()
    };
    let used: BTreeSet<&str> = variants().iter().map(|(_, v)| v.file).collect();
    let on_disk = files(&shaders);
    assert_eq!(on_disk.keys().map(String::as_str).collect::<BTreeSet<_>>(), used, "files on disk and files in use");
    for (name, text) in files(&shaders.join("lib")) {
        assert!(variants().iter().any(|(_, v)| v.source.contains(&text)), "shaders/lib/{name} is used by no kernel");
    }
    for entry in ENTRIES {
        for kernel in entry.kernels.iter().flat_map(|d| d.kernels()) {
            let own = kernel.variants.iter().all(|v| v.file.starts_with(entry.name));
            assert!(own, "{} of op {} lies in another op's file", kernel.name, entry.name);
        }
    }
}

#[test]
fn every_kernel_name_belongs_to_one_file_and_one_entry_point() {
    let mut places = BTreeMap::new();
    for kernel in kernels() {
        // The widths of one kernel share its name, its text and its twin.
        let portable = kernel.variants.last().unwrap();
        let place = places.entry(kernel.name).or_insert((portable.file, portable.entry));
        assert_eq!(*place, (portable.file, portable.entry), "two kernels are called {}", kernel.name);
    }
}

/// WGSL without its comments and without the address spaces of its variables.
fn code(text: &str) -> String {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let spaces = ["<storage, read>", "<storage, read_write>", "<uniform>", "<workgroup>"];
    spaces.iter().fold(code.join("\n"), |code, space| code.replace(space, ""))
}

/// Every word of a text, with the word or sign before it and the sign behind it.
fn words(code: &str) -> Vec<(String, String, Option<char>)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let (mut before, mut rest) = (String::new(), code.trim_start());
    while let Some(first) = rest.chars().next() {
        let end = if is_word(first) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (word, behind) = (rest[..end].to_string(), rest[end..].trim_start());
        if is_word(first) && !first.is_numeric() {
            found.push((before, word.clone(), behind.chars().next()));
        }
        (before, rest) = (word, behind);
    }
    found
}

/// The names that a library file gives: what it declares outside of functions.
fn given(text: &str) -> BTreeSet<String> {
    let code = code(text);
    let outside = code.lines().filter(|line| !line.starts_with(' '));
    let keyword = |word: &str| ["fn", "const", "alias", "struct", "override", "var"].contains(&word);
    let declared = outside.filter_map(|line| words(line).into_iter().find(|(before, ..)| keyword(before)));
    declared.map(|(_, name, _)| name).collect()
}

/// The names that a text takes from elsewhere, as far as it does not declare them itself, as locals or parameters either.
fn taken(text: &str) -> BTreeSet<String> {
    let words = words(&code(text));
    let declares = |(before, _, behind): &&(String, String, Option<char>)| {
        ["let", "var", "fn", "const", "override", "alias", "struct"].contains(&before.as_str())
            || (*behind == Some(':') && ["(", ")", ",", "{"].contains(&before.as_str()))
    };
    let own: BTreeSet<&String> = words.iter().filter(declares).map(|(_, word, _)| word).collect();
    let all = words.iter().filter(|(before, word, _)| before != "." && !own.contains(word));
    all.map(|(_, word, _)| word.clone()).collect()
}

/// The lines `uses  FILE or FILE: names` of a file's first comment.
fn uses(text: &str) -> Vec<(Vec<String>, Vec<String>)> {
    let mut found: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    let list =
        |names: &str| names.split(',').map(|n| n.trim().to_string()).filter(|n| !n.is_empty()).collect::<Vec<_>>();
    for line in text.lines().map_while(|line| line.strip_prefix("//")) {
        if let Some((files, names)) = line.strip_prefix(" uses ").and_then(|rest| rest.split_once(": ")) {
            found.push((files.split(" or ").map(|file| file.trim().to_string()).collect(), list(names)));
        } else if let Some((_, names)) = found.last_mut() {
            names.extend(list(line));
        }
    }
    found
}

#[test]
fn every_file_says_what_it_uses_of_the_library_and_uses_what_it_says() {
    let shaders = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let library: BTreeMap<String, String> = fs::read_dir(shaders.join("lib"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), read(&path)))
        .collect();
    let mut failures = BTreeSet::new();
    for (_, variant) in variants() {
        let linked: BTreeMap<&str, &str> = library
            .iter()
            .filter(|(_, text)| variant.source.contains(&format!("\n{text}")))
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        let mut wanted = BTreeSet::new();
        let own = read(&shaders.join(variant.file));
        let libraries = linked.iter().map(|(name, text)| (format!("lib/{name}"), *text));
        for (name, text) in libraries.chain([(variant.file.to_string(), own.as_str())]) {
            let (taken, mut said) = (taken(text), BTreeSet::new());
            for (files, names) in uses(text) {
                let mut present = files.iter().filter(|file| linked.contains_key(file.as_str()));
                let (Some(file), None) = (present.next(), present.next()) else {
                    failures.insert(format!("{name} says that it uses {files:?}: not one of them is linked"));
                    continue;
                };
                wanted.insert(file.clone());
                let given = given(linked[file.as_str()]);
                for entry in names {
                    // STAT_* stands for all names that begin so.
                    let of_it =
                        |n: &&String| entry.strip_suffix('*').map_or(**n == entry, |start| n.starts_with(start));
                    let found: Vec<&String> = given.intersection(&taken).filter(of_it).collect();
                    if found.is_empty() {
                        failures.insert(format!("{name} says that it uses {entry} of {file}, and does not"));
                    }
                    said.extend(found.into_iter().cloned());
                }
            }
            for (file, text) in linked.iter().filter(|(file, _)| name != format!("lib/{file}")) {
                for unsaid in given(text).intersection(&taken).filter(|n| !said.contains(*n)) {
                    failures.insert(format!("{name} uses {unsaid} of lib/{file} and does not say so"));
                }
            }
        }
        for file in linked.keys().filter(|file| !wanted.contains(**file)) {
            failures.insert(format!("{} is linked to lib/{file}, which nothing there uses", variant.file));
        }
    }
    fail_if(failures.into_iter().collect());
}
