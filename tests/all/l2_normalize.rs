//! Rows that have no direction: what `l2_normalize` makes of them, on every device.

use crate::support::gpus;
use facenet_gpu::cpu::CpuExecutor;
use facenet_gpu::executor::{Executor, Options};
use facenet_gpu::gpu::GpuExecutor;
use facenet_gpu::graph::{Graph, Recording};
use facenet_gpu::op::L2Normalize;
use facenet_gpu::plan::Shape;

#[test]
fn a_row_without_direction_gets_no_gradient_and_stays_finite() {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(&[4, 2]).unwrap());
    let y = graph.op("y", L2Normalize::default(), &[x]).unwrap();
    let mut recording = Recording::forward(&graph, &[y]);
    let dy = recording.backward(y, &[x]);
    let (dx, x, y) = (recording.gradient(x).unwrap(), recording.value(x), recording.value(y));
    let plan = recording.finish();

    let options = Options::checked();
    let mut devices: Vec<Box<dyn Executor>> = vec![Box::new(CpuExecutor::<f32>::new(plan.clone(), &options).unwrap())];
    for gpu in gpus() {
        devices.push(Box::new(GpuExecutor::new(&gpu, plan.clone(), &options).unwrap()));
    }
    for executor in &mut devices {
        // Zero, a tenth of eps, ten times eps, and an ordinary row of length 5.
        executor.write(x, &[0.0, 0.0, 0.0, 1e-13, 1e-11, 0.0, 3.0, -4.0]).unwrap();
        executor.write(dy, &[1.0, -2.0, 3.0, 4.0, 0.0, 1e-11, 1.0, 2.0]).unwrap();
        executor.run_all().unwrap();
        let near = |got: &[f32], expected: &[f32]| {
            let close = |(g, e): (&f32, &f32)| (g - e).abs() <= 1e-5 * e.abs().max(1e-2);
            assert!(got.iter().zip(expected).all(close), "{got:?} instead of {expected:?}");
        };
        near(&executor.read(y).unwrap(), &[0.0, 0.0, 0.0, 0.1, 1.0, 0.0, 0.6, -0.8]);
        // (dy - y <y, dy>) / 5 of the last row, with <y, dy> = -1.
        near(&executor.read(dx).unwrap(), &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.32, 0.24]);
    }
}

#[test]
fn a_row_longer_than_the_largest_float_is_not_a_number() {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(&[3, 2]).unwrap());
    let y = graph.op("y", L2Normalize::default(), &[x]).unwrap();
    let recording = Recording::forward(&graph, &[y]);
    let (x, y) = (recording.value(x), recording.value(y));
    let plan = recording.finish();
    let options = Options::checked();
    let mut devices: Vec<Box<dyn Executor>> = vec![Box::new(CpuExecutor::<f32>::new(plan.clone(), &options).unwrap())];
    for gpu in gpus() {
        devices.push(Box::new(GpuExecutor::new(&gpu, plan.clone(), &options).unwrap()));
    }
    for executor in &mut devices {
        executor.write(x, &[1e30, 1e30, 1.0, f32::NAN, 3.0, -4.0]).unwrap();
        executor.run_all().unwrap();
        let y = executor.read(y).unwrap();
        assert!(y[..4].iter().all(|y| y.is_nan()) && y[4..].iter().all(|y| y.is_finite()), "{y:?}");
    }
}
