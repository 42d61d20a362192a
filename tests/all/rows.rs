//! Rows by number on every device: rows that are not there, rows that nobody names, both widths, more than one workgroup.

use crate::support::{gpus, normals, rng};
use facenet_gpu::executor::{Executor, Options};
use facenet_gpu::graph::Recorder;
use facenet_gpu::op::{active_rows, gather_rows, scatter_rows};
use facenet_gpu::plan::{Plan, Role, Shape, Type};
use facenet_gpu::{Engine, gpu::Gpu};

fn engines() -> Vec<Engine> {
    gpus().into_iter().map(|gpu: Gpu| Engine::Gpu(gpu)).chain([Engine::Cpu, Engine::CpuF64]).collect()
}

/// Sizes of the chunk, the batch and a row.
const SIZES: [[u32; 3]; 4] = [[1, 1, 1], [7, 24, 5], [24, 24, 16], [70, 300, 12]];

/// Rows in no order, every third of them none of the batch.
fn rows(chunk: u32, batch: u32) -> Vec<u32> {
    (0..chunk).map(|i| if i % 3 == 2 { u32::MAX } else { batch - 1 - i }).collect()
}

fn plan(chunk: u32, batch: u32, dim: u32) -> Plan {
    let mut plan = Plan::default();
    let mut buffer = |name: &str, dims: &[u32], ty, role| plan.buffer(name, Shape::new(dims).unwrap(), ty, role);
    let x = buffer("x", &[batch, dim], Type::F32, Role::Input);
    let at = buffer("at", &[chunk], Type::U32, Role::Input);
    let gathered = buffer("gathered", &[chunk, dim], Type::F32, Role::Output);
    let back = buffer("back", &[batch, dim], Type::F32, Role::Input);
    let active = buffer("active", &[batch], Type::U32, Role::Output);
    let mut r = Recorder::new(&mut plan, "rows");
    gather_rows(&mut r, x, at, gathered);
    scatter_rows(&mut r, gathered, at, back);
    active_rows(&mut r, back, active);
    plan
}

fn run(executor: &mut dyn Executor, x: &[f32], at: &[u32], back: &[f32]) -> (Vec<f32>, Vec<f32>, Vec<u32>) {
    let find = |executor: &dyn Executor, name| executor.plan().find(name).unwrap();
    executor.write(find(executor, "x"), x).unwrap();
    executor.write_u32(find(executor, "at"), at).unwrap();
    executor.write(find(executor, "back"), back).unwrap();
    executor.run_all().unwrap();
    assert!(executor.check_guards().unwrap().is_empty());
    let [gathered, back, active] = ["gathered", "back", "active"].map(|name| find(executor, name));
    (executor.read(gathered).unwrap(), executor.read(back).unwrap(), executor.read_u32(active).unwrap())
}

#[test]
fn rows_go_where_they_are_told_and_nowhere_else() {
    for engine in engines() {
        for [chunk, batch, dim] in SIZES {
            let (width, at) = (dim as usize, rows(chunk, batch));
            let x = normals(&mut rng(&format!("{chunk} {batch}")), batch as usize * width);
            let mut executor = engine.executor(plan(chunk, batch, dim), &Options::checked()).unwrap();
            let (gathered, back, active) = run(executor.as_mut(), &x, &at, &vec![0.0; x.len()]);
            let mut expected_back = vec![0.0; x.len()];
            let mut expected_active = vec![0; batch as usize];
            for (i, &row) in at.iter().enumerate() {
                let got = &gathered[i * width..][..width];
                if row == u32::MAX {
                    assert_eq!(got, vec![0.0; width], "{engine:?}");
                    continue;
                }
                let row = row as usize;
                let own = row * width..(row + 1) * width;
                assert_eq!(got, &x[own.clone()], "{engine:?}");
                expected_back[own.clone()].copy_from_slice(&x[own]);
                expected_active[row] = 1;
            }
            assert_eq!((back, active), (expected_back, expected_active), "{engine:?}");
        }
    }
}

#[test]
fn a_row_is_active_if_anything_in_it_is_not_zero_and_a_nan_is_not() {
    for engine in engines() {
        let mut executor = engine.executor(plan(1, 5, 3), &Options::checked()).unwrap();
        let back = [0.0, 0.0, 1e-30, 0.0, -0.0, 0.0, f32::NAN, 0.0, 0.0, 0.0, f32::INFINITY, 0.0, 0.0, 0.0, 0.0];
        let (_, _, active) = run(executor.as_mut(), &[0.0; 15], &[9], &back);
        assert_eq!(active, [1, 0, 1, 1, 0], "{engine:?}");
    }
}
