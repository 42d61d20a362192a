//! The shapes of a plan that there is something to choose for.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Device;
use crate::digest::Digest;
use crate::plan::reflect::Access;
use crate::plan::{Asked, Kernel, Plan, Step, Type};

/// To be raised when a way of the CPU device changes so that another one may be the fastest: choices of before are measured anew.
const CPU_WAYS: u32 = 2;

/// What a choice is made among.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidates {
    /// Names of the ways or variants that suit, the static choice first.
    pub(super) names: Vec<&'static str>,
    /// What stands for the code of the kernel: a digest of its WGSL, or the number of the CPU device's ways.
    pub(super) code: String,
}

/// Steps that are alike: one kernel, one set of parameters.
#[derive(Debug)]
pub(super) struct ShapeOf<'p> {
    /// Kernel, parameters and overrides, in words.
    pub(super) key: String,
    /// The ways or variants that suit.
    pub(super) candidates: Candidates,
    /// Positions of the steps.
    pub(super) steps: Vec<usize>,
    /// Multiply-adds of all of them, or floats where those are not counted.
    pub(super) weight: u64,
    /// What the ways were asked.
    pub(super) asked: Asked<'p>,
}

/// The shapes with more than one candidate, by key.
pub(super) fn by_shape<'p>(device: &Device, plan: &'p Plan) -> Vec<ShapeOf<'p>> {
    let mut shapes: BTreeMap<String, ShapeOf<'p>> = BTreeMap::new();
    let mut codes: BTreeMap<&str, String> = BTreeMap::new();
    for (at, (step, asked)) in plan.steps.iter().zip(plan.asked()).enumerate() {
        let names = names(device, step, &asked);
        // How long a kernel runs that follows integers depends on them, and nobody knows them yet.
        if names.len() < 2 || reads_integers(plan, step) {
            continue;
        }
        let floats: u64 = step.buffers.iter().map(|&buf| plan.spec(buf).shape.len() as u64).sum();
        let key = key(step, asked.fixed && matches!(device, Device::Cpu));
        let new = || {
            let code = codes.entry(step.kernel.name).or_insert_with(|| code(device, step.kernel)).clone();
            ShapeOf { key: key.clone(), candidates: Candidates { names, code }, steps: Vec::new(), weight: 0, asked }
        };
        let shape = shapes.entry(key.clone()).or_insert_with(new);
        shape.steps.push(at);
        shape.weight += step.macs.max(floats);
    }
    shapes.into_values().collect()
}

/// The shape of a step, if there is something to choose for it.
pub(super) fn shape_of<'s, 'p>(shapes: &'s [ShapeOf<'p>], step: usize) -> Option<&'s ShapeOf<'p>> {
    shapes.iter().find(|shape| shape.steps.binary_search(&step).is_ok())
}

fn names(device: &Device, step: &Step, asked: &Asked<'_>) -> Vec<&'static str> {
    match device {
        Device::Gpu(gpu) => gpu.candidates(step).iter().map(|variant| variant.name).collect(),
        Device::Cpu => step.kernel.ways(asked).iter().map(|way| way.name).collect(),
    }
}

fn code(device: &Device, kernel: &Kernel) -> String {
    match device {
        Device::Gpu(_) => {
            let mut digest = Digest::default();
            for variant in kernel.variants {
                [variant.name, variant.entry, variant.source].into_iter().for_each(|text| digest.text(text));
            }
            digest.finish()
        }
        Device::Cpu => format!("ways {CPU_WAYS}"),
    }
}

fn reads_integers(plan: &Plan, step: &Step) -> bool {
    let interface = step.kernel.interface();
    let mut storage = interface.bindings[1..].iter().zip(&step.buffers);
    storage.any(|(binding, &buf)| binding.access == Access::Read && plan.spec(buf).ty == Type::U32)
}

/// A step in words that people can read, the same for steps that are alike.
fn key(step: &Step, fixed: bool) -> String {
    let mut key = step.kernel.name.to_string();
    for (field, bytes) in step.kernel.params.iter().zip(step.params.chunks_exact(4)) {
        let word: [u8; 4] = bytes.try_into().expect("chunks of four");
        let value = match field.ty {
            "f32" => f32::from_ne_bytes(word).to_string(),
            _ => u32::from_ne_bytes(word).to_string(),
        };
        let _ = write!(key, " {}={value}", field.name);
    }
    for (name, value) in &step.overrides {
        let _ = write!(key, " {name}={value}");
    }
    if fixed {
        key.push_str(" fixed weights");
    }
    key
}
