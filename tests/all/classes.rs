//! Losses over classes, with what is before them, against PyTorch on every device. `golden/make_classes.py` wrote the file.

use crate::support::{gpus, relative_error};
use facenet_gpu::cpu::CpuExecutor;
use facenet_gpu::executor::{Executor, Options};
use facenet_gpu::gpu::GpuExecutor;
use facenet_gpu::graph::{Graph, Recording};
use facenet_gpu::op::{L2Normalize, Linear, MarginCrossEntropy, NormalizeColumns};
use facenet_gpu::plan::Shape;
use safetensors::SafeTensors;

#[test]
fn softmax_and_arcface_are_those_of_pytorch_with_their_gradients() {
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/classes.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| bytemuck::pod_collect_to_vec::<u8, f32>(file.tensor(name).unwrap().data());
    let exact = |name: &str| floats(name).into_iter().map(f64::from).collect::<Vec<f64>>();
    let labels: Vec<u32> = bytemuck::pod_collect_to_vec(file.tensor("labels").unwrap().data());
    let shape = |name: &str| {
        let dims: Vec<u32> = file.tensor(name).unwrap().shape().iter().map(|&d| u32::try_from(d).unwrap()).collect();
        Shape::new(&dims).unwrap()
    };
    for (name, margin) in [("softmax", 0.0), ("arcface", 0.5)] {
        let mut graph = Graph::new();
        let (x, w) = (graph.input("x", shape("x")), graph.input("w", shape("w")));
        let targets = graph.input_u32("labels", shape("labels"));
        let unit = graph.op("unit", L2Normalize::default(), &[x]).unwrap();
        let directions = graph.op("directions", NormalizeColumns, &[w]).unwrap();
        let cosines = graph.op("cosines", Linear::new(), &[unit, directions]).unwrap();
        let op = MarginCrossEntropy::new(30.0, margin).unwrap();
        let loss = graph.op("loss", op, &[cosines, targets]).unwrap();
        let mut recording = Recording::forward(&graph, &[loss]);
        let seed = recording.backward(loss, &[x, w]);
        let [dx, dw] = [x, w].map(|t| recording.gradient(t).unwrap());
        let [x, w, targets, loss] = [x, w, targets, loss].map(|t| recording.value(t));
        let plan = recording.finish();
        let options = Options::checked();
        let mut devices: Vec<Box<dyn Executor>> = vec![
            Box::new(CpuExecutor::<f32>::new(plan.clone(), &options).unwrap()),
            Box::new(CpuExecutor::<f64>::new(plan.clone(), &options).unwrap()),
        ];
        for gpu in gpus() {
            devices.push(Box::new(GpuExecutor::new(&gpu, plan.clone(), &options).unwrap()));
        }
        for executor in &mut devices {
            executor.write(x, &floats("x")).unwrap();
            executor.write(w, &floats("w")).unwrap();
            executor.write_u32(targets, &labels).unwrap();
            executor.write(seed, &[1.0, 0.0, 0.0, 0.0]).unwrap();
            executor.run_all().unwrap();
            let value = executor.read(loss).unwrap();
            assert!((f64::from(value[0]) - exact(name)[0]).abs() < 1e-5 * exact(name)[0], "{name}: {value:?}");
            assert_eq!(value[2], 9.0);
            for (buf, of) in [(dx, "dx"), (dw, "dw")] {
                let error = relative_error(&executor.read(buf).unwrap(), &exact(&format!("{name}/{of}")));
                assert!(error < 1e-5, "{name}: {of} off by {error:.1e}");
            }
        }
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for (scale, margin) in [(0.0, 0.5), (f32::NAN, 0.5), (30.0, -0.1), (30.0, 2.0)] {
        assert!(MarginCrossEntropy::new(scale, margin).is_err(), "{scale} {margin}");
    }
}
