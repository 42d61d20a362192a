//! What a run does where the device runs out of memory.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::data::testing::noise_faces;
use crate::net::find;
use crate::op::Mining;
use crate::train::shortage::COMING;
use crate::train::{Config, InMemory, Observer, Summary, train};
use crate::{Engine, Result};

#[derive(Default)]
struct Warnings(Vec<String>);

impl Observer for Warnings {
    fn warning(&mut self, message: &str) {
        self.0.push(message.to_string());
    }
}

/// A run of one epoch whose device lacks memory for `times` steps after a few.
fn run(chunk: Option<u32>, times: u32) -> (Result<Summary>, InMemory, Vec<String>) {
    let set = Arc::new(noise_faces(&[3; 6], 64));
    let config = Config::default().with(|c| {
        (c.people, c.images, c.epochs, c.chunk) = (4, 3, 1, chunk);
        // Every triplet, all of them active: where negatives are chosen, the last bit of a distance may decide.
        (c.mining, c.margin, c.learning_rate) = (Mining::BatchAll, 4.0, Some(0.01));
    });
    let model = find("zf64").unwrap().model().unwrap();
    let (mut output, mut warnings) = (InMemory::default(), Warnings::default());
    COMING.set((3, times));
    let stop = AtomicBool::new(false);
    let summary = train(&Engine::Cpu, &model, &config, &set, &mut output, &stop, &mut warnings);
    COMING.set((0, 0));
    (summary, output, warnings.0)
}

#[test]
fn a_run_whose_device_runs_out_of_memory_goes_on_with_half_the_chunk() {
    let (expected, whole, _) = run(None, 0);
    let (summary, output, warnings) = run(None, 2);
    assert_eq!(summary.unwrap().steps, expected.unwrap().steps);
    let said = warnings.iter().filter(|said| said.contains("no memory left")).collect::<Vec<_>>();
    assert!(said.len() == 2 && said[0].contains("6 images at a time instead of 12"), "{warnings:?}");
    assert!(said[1].contains("3 images at a time instead of 6"), "{warnings:?}");
    // zf64 has no batch statistics: chunks change nothing but the order of sums.
    let (got, expected) = (output.last.unwrap(), whole.last.unwrap());
    for ((name, _, got), (_, _, expected)) in got.tensors.iter().zip(&expected.tensors) {
        let worst = got.iter().zip(expected).map(|(g, e)| (g - e).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "{name} is off by {worst}");
    }
}

#[test]
fn a_device_that_never_has_the_memory_ends_the_run_with_what_to_do_and_the_weights_so_far() {
    for (chunk, halved) in [(None, 3), (Some(2), 1)] {
        let (summary, output, _) = run(chunk, 100);
        let message = summary.unwrap_err().to_string();
        assert!(message.contains(&format!("halved {halved} times")) && message.contains("`chunk`"), "{message}");
        assert!(output.last.is_some(), "three steps are worth keeping");
    }
}
