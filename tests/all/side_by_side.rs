//! The debugging aid for kernel authors finds the first step that differs, and nothing where all agree.

use facenet_gpu::bench::{StepDifference, side_by_side, training_step};
use facenet_gpu::executor::Executor;
use facenet_gpu::{Engine, net};

fn step(engine: &Engine) -> Box<dyn Executor> {
    training_step(engine, &net::find("zf64").unwrap().model().unwrap(), 3).unwrap()
}

#[test]
fn every_kernel_of_a_training_step_agrees_with_the_same_kernel_in_f64() {
    let (mut a, mut b) = (step(&Engine::Cpu), step(&Engine::CpuF64));
    let mut steps = 0;
    side_by_side(a.as_mut(), b.as_mut(), true, &mut |d| {
        assert!(d.error < 1e-5, "{d:?}");
        steps += 1;
        true
    })
    .unwrap();
    assert_eq!(steps, a.plan().steps.len());
}

#[test]
fn the_first_step_that_differs_is_found_with_its_element() {
    let (mut a, mut b) = (step(&Engine::Cpu), step(&Engine::Cpu));
    let bias = b.plan().find("conv3/b").unwrap();
    let mut values = b.read(bias).unwrap();
    values[5] = 7.0;
    b.write(bias, &values).unwrap();
    let mut first: Option<StepDifference> = None;
    side_by_side(a.as_mut(), b.as_mut(), true, &mut |d| {
        if d.error > 1e-4 {
            first = Some(d);
        }
        first.is_none()
    })
    .unwrap();
    let first = first.expect("a changed bias shows");
    assert_eq!((first.kernel, first.layer.as_str(), first.buffer.as_str()), ("conv2d", "conv3", "conv3"));
    assert_eq!(first.at % 128, 5, "the channel of the changed bias");
}
