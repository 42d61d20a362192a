//! What the whole-program tests share: opening the adapter, random tensors, comparing tensors.
#![allow(unreachable_pub, reason = "shared by the modules of a test program")]

pub mod paths;
pub mod program;
pub mod triplets;

use facenet_gpu::Precision;
use facenet_gpu::gpu::{AdapterChoice, Gpu};
use facenet_gpu::op::{CaseInput, Values};
use facenet_gpu::plan::{Family, Plan};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Every way this machine's adapter can run kernels: its own family, and the portable one if that is another.
/// A missing adapter fails the tests; only `FACENET_GPU_SKIP_GPU_TESTS=1` turns it into a skip.
pub fn gpus() -> Vec<Gpu> {
    if std::env::var_os("FACENET_GPU_SKIP_GPU_TESTS").is_some_and(|v| v == "1") {
        eprintln!("skipped: FACENET_GPU_SKIP_GPU_TESTS=1");
        return Vec::new();
    }
    let choice = std::env::var("FACENET_GPU_TEST_ADAPTER").map_or(AdapterChoice::Best, |name| name.as_str().into());
    let gpu = Gpu::open(&choice).unwrap_or_else(|e| panic!("the tests need an adapter: {e}"));
    if gpu.info().family() == Family::Portable {
        return vec![gpu];
    }
    let portable = gpu.with_family(Family::Portable);
    vec![gpu, portable]
}

/// The adapter, held to each family that it can run.
pub fn gpus_of_every_family() -> Vec<Gpu> {
    let Some(gpu) = gpus().into_iter().next() else { return Vec::new() };
    let families = Family::ALL.into_iter().filter(|&family| gpu.info().can_run(family));
    families.map(|family| gpu.with_family(family)).collect()
}

/// The adapter of the tests, opened for factors of 16 bits and held to each family that rounds them; none without such floats.
pub fn gpus_that_round() -> Vec<Gpu> {
    let Some(gpu) = gpus().into_iter().next() else { return Vec::new() };
    if let Some(reason) = gpu.info().lacks(Precision::F16) {
        eprintln!("skipped: {} {reason}", gpu.info().name);
        return Vec::new();
    }
    let choice = AdapterChoice::Named(gpu.info().name.clone());
    let gpu = Gpu::open_with(&choice, Precision::F16).unwrap_or_else(|e| panic!("{e}"));
    let families = Family::ALL.into_iter().filter(|family| family.is_half() && gpu.info().can_run(*family));
    families.map(|family| gpu.with_family(family)).collect()
}

/// Whether a plan has kernels of the family to which the adapter is held; the portable ones stand for all others.
pub fn is_worth_testing(gpu: &Gpu, plan: &Plan) -> bool {
    let family = gpu.info().family();
    plan.steps.iter().flat_map(|s| s.kernel.variants).any(|v| v.family == family)
}

/// A random generator for the test `name`.
pub fn rng(name: &str) -> ChaCha8Rng {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    ChaCha8Rng::seed_from_u64(seed)
}

/// A standard normal number (Box-Muller).
#[expect(clippy::cast_possible_truncation, reason = "test data is f32")]
pub fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let (u, v): (f64, f64) = (rng.random_range(f64::EPSILON..1.0), rng.random());
    ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}

/// Standard normal numbers.
pub fn normals(rng: &mut ChaCha8Rng, len: usize) -> Vec<f32> {
    (0..len).map(|_| normal(rng)).collect()
}

/// Small integers as floats: every sum of products of them is exact in `f32`.
pub fn integers(rng: &mut ChaCha8Rng, len: usize) -> Vec<f32> {
    (0..len).map(|_| f32::from(rng.random_range(-3i8..=3))).collect()
}

/// Content of a case's input.
pub enum Content {
    F(Vec<f32>),
    U(Vec<u32>),
}

pub fn fill(input: &CaseInput, rng: &mut ChaCha8Rng, whole: bool) -> Content {
    let len = input.shape.len();
    match input.values {
        Values::Labels { people } => Content::U((0..input.shape.len_u32()).map(|i| i % people).collect()),
        Values::IntegerList(integers) => Content::U(integers.to_vec()),
        Values::Normal if whole => Content::F(integers(rng, len)),
        Values::Normal => Content::F(normals(rng, len)),
        Values::Around(centre) => Content::F(normals(rng, len).iter().map(|x| centre + x).collect()),
        Values::Statistic => Content::F((0..len).map(|_| rng.random_range(0.5..2.0)).collect()),
        Values::UnitRows => {
            let mut data = normals(rng, len);
            for row in data.chunks_exact_mut(input.shape.channels() as usize) {
                let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
                row.iter_mut().for_each(|x| *x /= norm);
            }
            Content::F(data)
        }
    }
}

/// Largest difference, relative to the largest magnitude of `expected`. Infinite if anything is not finite.
pub fn relative_error(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(0.0f64, |m, x| m.max(x.abs())).max(1e-30);
    let worst = got.iter().zip(expected).map(|(&g, &e)| (f64::from(g) - e).abs());
    worst.fold(0.0, |m, e| if e.is_finite() { f64::max(m, e) } else { f64::INFINITY }) / scale
}
