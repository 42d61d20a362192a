//! What ops make of numbers at the edge, on every device: windows without length, equal values, NaNs that must stay
//! where they are. The cases of `ops.rs` are random and meet none of these.

use crate::support::{gpus, gpus_of_every_family, is_worth_testing};
use facenet_gpu::cpu::CpuExecutor;
use facenet_gpu::executor::{Executor, Options};
use facenet_gpu::gpu::GpuExecutor;
use facenet_gpu::graph::{Graph, Op, Recording};
use facenet_gpu::op::{Add, L2Pool2d, Linear, LocalResponseNorm, Maxout, Softmax, ZeroPad2d};
use facenet_gpu::plan::{Phase, Role, Shape};

const NAN: f32 = f32::NAN;

/// Runs an op with one input on every device and holds the output and the gradient of the input against what is
/// expected; NaN equals NaN.
fn expect(op: impl Op + Copy + 'static, dims: &[u32], [x_data, dy_data, y_data, dx_data]: [&[f32]; 4]) {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(dims).unwrap());
    let y = graph.op("y", op, &[x]).unwrap();
    let mut recording = Recording::forward(&graph, &[y]);
    let dy = recording.backward(y, &[x]);
    let (dx, x, y) = (recording.gradient(x).unwrap(), recording.value(x), recording.value(y));
    let plan = recording.finish();

    let options = Options::checked();
    let mut devices: Vec<Box<dyn Executor>> = vec![Box::new(CpuExecutor::<f32>::new(plan.clone(), &options).unwrap())];
    for gpu in gpus_of_every_family().into_iter().filter(|gpu| is_worth_testing(gpu, &plan)) {
        devices.push(Box::new(GpuExecutor::new(&gpu, plan.clone(), &options).unwrap()));
    }
    for executor in &mut devices {
        executor.write(x, x_data).unwrap();
        executor.write(dy, dy_data).unwrap();
        executor.run_all().unwrap();
        for (buf, expected) in [(y, y_data), (dx, dx_data)] {
            let got = executor.read(buf).unwrap();
            let same = |(g, e): (&f32, &f32)| (g.is_nan() && e.is_nan()) || (g - e).abs() <= 1e-5 * e.abs();
            assert!(
                got.len() == expected.len() && got.iter().zip(expected).all(same),
                "{op:?}: {got:?}, not {expected:?}"
            );
        }
    }
}

#[test]
fn a_window_without_length_gives_no_gradient() {
    // Four channels at a time, and one; the square of 1e-30 is too small for a float.
    let op = L2Pool2d::new(1, 1, 0);
    let (x, dy) = ([0.0, -0.0, 1e-30, -2.0], [5.0, -6.0, 7.0, 8.0]);
    expect(op, &[1, 1, 1, 4], [&x, &dy, &[0.0, 0.0, 0.0, 2.0], &[0.0, 0.0, 0.0, -8.0]]);
    expect(op, &[1, 1, 4, 1], [&x, &dy, &[0.0, 0.0, 0.0, 2.0], &[0.0, 0.0, 0.0, -8.0]]);
    // One empty window of two that a pixel lies in.
    let op = L2Pool2d::new(2, 1, 1);
    let dy = [9.0, 1.0, 9.0, 9.0, 2.0, 9.0];
    expect(op, &[1, 1, 2, 1], [&[0.0; 2], &dy, &[0.0; 6], &[0.0; 2]]);
}

#[test]
fn softmax_of_numbers_far_apart_is_finite() {
    // No float holds exp(200): wherever the largest number stands, all exponentials are of differences from it.
    let (mut x, mut y) = ([-200.0; 600], [0.0; 600]);
    for at in [299, 300] {
        (x[at], y[at]) = (200.0, 1.0);
    }
    expect(Softmax, &[2, 300], [&x, &[3.0; 600], &y, &[0.0; 600]]);
}

#[test]
fn the_first_of_equal_pieces_gets_the_gradient() {
    let (x, dy) = ([7.0, 7.0, 7.0, -1.0, -1.0, -2.0], [1.0, 2.0]);
    expect(Maxout { pieces: 3 }, &[2, 3], [&x, &dy, &[7.0, -1.0], &[1.0, 0.0, 0.0, 2.0, 0.0, 0.0]]);
}

#[test]
fn a_nan_spoils_what_depends_on_it_and_nothing_else() {
    let x = [NAN, 9.0, 9.0, NAN, 1.0, 2.0];
    expect(Maxout::default(), &[6], [&x, &[1.0, 2.0, 3.0], &[NAN, NAN, 2.0], &[1.0, 0.0, 0.0, 2.0, 0.0, 3.0]]);

    let op = L2Pool2d::new(1, 1, 0);
    let x = [NAN, 2.0, -3.0, 0.0];
    expect(op, &[1, 1, 1, 4], [&x, &[1.0; 4], &[NAN, 2.0, 3.0, 0.0], &[NAN, 1.0, -1.0, 0.0]]);

    let op = ZeroPad2d { top: 0, bottom: 0, left: 1, right: 0, channels: 0 };
    expect(op, &[1, 1, 1, 2], [&[NAN, 1.0], &[1.0, 2.0, 3.0, 4.0], &[0.0, 0.0, NAN, 1.0], &[3.0, 4.0]]);

    // Windows of one channel before and none behind: channel 4 has a NaN, and channel 5 sees it. Going back, a gradient
    // depends on the channel's own window and on the next channel's.
    let op = LocalResponseNorm { size: 2, alpha: 0.0, beta: 1.0, k: 2.0 };
    let (mut x, mut y, mut dx) = ([4.0; 12], [2.0; 12], [0.5; 12]);
    x[4] = NAN;
    y[4..6].fill(NAN);
    dx[3..6].fill(NAN);
    expect(op, &[1, 12], [&x, &[1.0; 12], &y, &dx]);
    expect(LocalResponseNorm { beta: 0.75, k: 16.0, ..op }, &[1, 12], [&x, &[4.0; 12], &y.map(|y| y / 4.0), &dx]);
    let last = [&x[..11], &[1.0; 11], &y[..11], &dx[..11]]; // one channel at a time
    expect(op, &[1, 11], last);
}

#[test]
fn a_nan_survives_the_relu_of_a_sum() {
    let mut graph = Graph::new();
    let [a, b] = ["a", "b"].map(|name| graph.input(name, Shape::vector(4)));
    let y = graph.op("y", Add::scaled(0.5).with_relu(), &[a, b]).unwrap();
    let recording = Recording::forward(&graph, &[y]);
    let [a, b, y] = [a, b, y].map(|t| recording.value(t));
    let plan = recording.finish();
    let options = Options::checked();
    let mut devices: Vec<Box<dyn Executor>> = vec![Box::new(CpuExecutor::<f32>::new(plan.clone(), &options).unwrap())];
    for gpu in gpus() {
        devices.push(Box::new(GpuExecutor::new(&gpu, plan.clone(), &options).unwrap()));
    }
    for executor in &mut devices {
        executor.write(a, &[NAN, 1.0, -3.0, 1.0]).unwrap();
        executor.write(b, &[1.0, NAN, 4.0, 4.0]).unwrap();
        executor.run_all().unwrap();
        let y = executor.read(y).unwrap();
        assert!(y[0].is_nan() && y[1].is_nan() && y[2..] == [0.0, 3.0], "{y:?}");
    }
}

/// On a GPU a misspelt override would be ignored, and a twin would take it for unset.
#[test]
fn a_plan_that_sets_an_override_which_no_kernel_has_is_refused() {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(&[2, 3]).unwrap());
    let y = graph.op("sum", Add { scale: 1.0, relu: true }, &[x, x]).unwrap();
    let mut plan = Recording::forward(&graph, &[y]).finish();
    assert!(plan.check().is_ok());
    plan.steps[0].overrides[0].0 = "RELUU";
    let text = plan.check().unwrap_err().to_string();
    assert!(text.contains("has no override RELUU, which the layer sum sets"), "{text}");
}

/// An op with a ReLU masks the gradient of its output in place, so it must not be given one that is written only once.
#[test]
fn a_plan_that_would_overwrite_a_constant_is_refused_on_every_device() {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(&[2, 3]).unwrap());
    let w = graph.input("w", Shape::new(&[3, 4]).unwrap());
    let y = graph.op("fc", Linear::new().with_relu(), &[x, w]).unwrap();
    for (role, refused) in [(Role::Constant, true), (Role::Input, false)] {
        let mut recording = Recording::forward(&graph, &[y]);
        let seed = recording.seed(y, role);
        recording.backward_from(y, seed, &[x, w]);
        recording.end_phase(Phase::Backward);
        let plan = recording.finish();
        let options = Options::default();
        let mut results = vec![CpuExecutor::<f32>::new(plan.clone(), &options).map(drop)];
        results.extend(gpus().iter().map(|gpu| GpuExecutor::new(gpu, plan.clone(), &options).map(drop)));
        for result in results {
            assert_eq!(result.is_err(), refused, "{result:?}");
            if let Err(e) = result {
                assert!(e.to_string().contains("writes d fc, which is constant"), "{e}");
            }
        }
    }
}
