//! Whether a device's cooperative matrices multiply right, before anything relies on them. The SPIR-V that naga writes for them says
//! too little of when workgroup memory can be read, and drivers are young.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::Conv2d;
use crate::cpu::CpuExecutor;
use crate::executor::{Executor, Options};
use crate::gpu::{Gpu, GpuExecutor};
use crate::graph::{Graph, Recording};
use crate::plan::{Buf, Family, Plan, Shape};
use crate::{Engine, Result};

/// Draws of the inputs of each trial.
const DRAWS: usize = 3;
/// Runs with each of them, which must not differ in a bit.
const RUNS: usize = 20;
/// Largest error, as a part of the largest magnitude: factors need no rounding, and some hardware cuts sums in place of rounding
/// them.
const BOUND: f64 = 1e-4;

/// A convolution to try a kernel with. Together they reach every kernel, with and without a bias: any number of channels on either side, or fours; padding, strides, bias, ReLU; one tile and
/// several; sums of 16 terms to 1,024.
struct Trial {
    op: Conv2d,
    x: [u32; 4],
    c_out: u32,
    bias: bool,
}

fn trials() -> [Trial; 8] {
    let trial = |op, x, c_out, bias| Trial { op, x, c_out, bias };
    [
        trial(Conv2d::new(1, 1, 0), [1, 8, 16, 16], 128, false),
        trial(Conv2d::same(3), [2, 17, 19, 16], 96, true),
        trial(Conv2d::new(7, 2, 3).with_relu(), [2, 33, 31, 3], 64, true),
        trial(Conv2d::new(7, 2, 3), [1, 21, 23, 3], 64, false),
        trial(Conv2d::same(3).with_relu(), [1, 13, 11, 5], 33, false),
        trial(Conv2d::same(5), [1, 9, 10, 6], 35, true),
        trial(Conv2d::new(3, 2, 1), [3, 15, 14, 36], 200, true),
        trial(Conv2d::new(1, 1, 0), [2, 12, 12, 1024], 132, false),
    ]
}

/// What a run of a kernel needs: a plan of one step, its inputs, and where its result lies.
struct Run<'a> {
    plan: &'a Plan,
    inputs: &'a [(Buf, Vec<f32>)],
    y: Buf,
}

impl Run<'_> {
    /// The result of the run on an executor that holds its plan.
    ///
    /// # Errors
    /// The device is lost.
    fn on(&self, executor: &mut dyn Executor) -> Result<Vec<f32>> {
        self.inputs.iter().try_for_each(|(buf, data)| executor.write(*buf, data))?;
        executor.run_all()?;
        executor.read(self.y)
    }
}

/// Tries a kernel on random factors of 16 bits against the reference.
///
/// # Errors
/// It computes something else, or not the same each time, or does not run; in words.
fn prove(mut run: impl FnMut(&Run<'_>) -> Result<Vec<f32>>) -> Result<(), String> {
    let mut rng = ChaCha8Rng::seed_from_u64(16);
    for Trial { op, x, c_out, bias } in trials() {
        let label = format!("{op:?} of {x:?} to {c_out} channels");
        let shapes = [&x[..], &[op.kernel[0], op.kernel[1], x[3], c_out], &[c_out]];
        let mut graph = Graph::new();
        let tensors: Vec<_> = shapes[..if bias { 3 } else { 2 }]
            .iter()
            .map(|dims| graph.input("x", Shape::new(dims).expect("trials have valid shapes")))
            .collect();
        let y = graph.op("y", op, &tensors).map_err(|e| e.to_string())?;
        let recording = Recording::forward(&graph, &[y]);
        let (buffers, y) = (tensors.iter().map(|&tensor| recording.value(tensor)), recording.value(y));
        let buffers: Vec<Buf> = buffers.collect();
        let plan = recording.finish();
        for _ in 0..DRAWS {
            let draw = |buf: Buf, rng: &mut ChaCha8Rng| -> Vec<f32> {
                let normal = (0..plan.spec(buf).shape.len()).map(|_| StandardNormal.sample(rng));
                normal.map(|x: f32| half::f16::from_f32(x).to_f32()).collect()
            };
            let inputs: Vec<_> = buffers.iter().map(|&buf| (buf, draw(buf, &mut rng))).collect();
            let wanted = Run { plan: &plan, inputs: &inputs, y };
            let oracle = CpuExecutor::<f64>::new(plan.clone(), &Options::default());
            let expected = oracle.and_then(|mut oracle| wanted.on(&mut oracle)).map_err(|e| e.to_string())?;
            let scale = expected.iter().fold(0.0, |most: f64, y| most.max(f64::from(y.abs())));
            let mut first: Option<Vec<u32>> = None;
            for _ in 0..RUNS {
                let got = run(&wanted).map_err(|e| e.to_string())?;
                let far =
                    |(got, expected): (&f32, &f32)| f64::from(got - expected).abs() > BOUND * scale || got.is_nan();
                if got.len() != expected.len() || got.iter().zip(&expected).any(far) {
                    return Err(format!("{label} is wrong"));
                }
                let bits: Vec<u32> = got.iter().map(|y| y.to_bits()).collect();
                if *first.get_or_insert_with(|| bits.clone()) != bits {
                    return Err(format!("{label} differs from run to run"));
                }
            }
        }
    }
    Ok(())
}

/// Tries the convolutions of a device as it would run them, on random factors of 16 bits.
///
/// # Errors
/// One computes something else than the reference, or not the same each time, or does not run; in words.
pub fn prove_convolutions(gpu: &Gpu) -> Result<(), String> {
    prove(|run| run.on(&mut GpuExecutor::new(gpu, run.plan.clone(), &Options::default())?))
}

impl Engine {
    /// The same device, which multiplies with cooperative matrices (tensor cores and their like) where it has been opened with
    /// [`Precision::F16`](crate::Precision::F16), has matrices of 16 by 16 for subgroups of 32, and gets them right: each kernel is
    /// tried a few hundred times on random numbers first. Otherwise it is the device as it was, and the second value says what it got
    /// wrong, if it has matrices. To be called before [`with_tuning`](Self::with_tuning).
    #[must_use]
    pub fn with_matrices(self) -> (Self, Option<String>) {
        let Self::Gpu(gpu) = &self else { return (self, None) };
        let mut proven = None;
        for family in Family::ALL.into_iter().filter(|&family| family.has_matrices() && gpu.info().can_run(family)) {
            if let Err(reason) = prove_convolutions(&gpu.with_family(family)) {
                let name = &gpu.info().name;
                let wrong = format!(
                    "{name} fails the test of its cooperative matrices, which are not used ({family:?}: {reason})"
                );
                return (self, Some(wrong));
            }
            proven = Some(gpu.trusting_matrices());
        }
        (proven.map_or(self, Self::Gpu), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The CPU device in `f32` in the place of a kernel, whose results `change` spoils; it is given the number of the run.
    fn proven(mut change: impl FnMut(usize, &mut Vec<f32>)) -> Result<(), String> {
        let mut runs = 0;
        prove(|run| {
            let mut y = run.on(&mut CpuExecutor::<f32>::new(run.plan.clone(), &Options::default())?)?;
            runs += 1;
            change(runs, &mut y);
            Ok(y)
        })
    }

    #[test]
    fn a_kernel_that_is_right_each_time_is_proven() {
        let mut all = 0;
        assert_eq!(proven(|run, _| all = run), Ok(()));
        assert_eq!(all, trials().len() * DRAWS * RUNS);
    }

    #[test]
    fn one_wrong_number_or_one_bit_that_differs_once_is_found() {
        let wrong = proven(|run, y| {
            if run == 217 {
                y[5] += 0.5;
            }
        })
        .unwrap_err();
        assert!(wrong.ends_with("is wrong"), "{wrong}");
        let lost = proven(|run, y| {
            if run == 40 {
                *y.last_mut().unwrap() = f32::NAN;
            }
        })
        .unwrap_err();
        assert!(lost.ends_with("is wrong"), "{lost}");
        let unsteady = proven(|run, y| {
            if run == 359 {
                y[7] = f32::from_bits(y[7].to_bits() ^ 1);
            }
        })
        .unwrap_err();
        assert!(unsteady.ends_with("differs from run to run"), "{unsteady}");
        let cut = proven(|_, y| y.truncate(y.len() - 1)).unwrap_err();
        assert!(cut.ends_with("is wrong"), "{cut}");
    }

    #[test]
    fn a_kernel_that_does_not_run_is_not_proven() {
        let error = prove(|_| Err(crate::Error::Device("lost".into()))).unwrap_err();
        assert!(error.contains("lost"), "{error}");
    }
}
