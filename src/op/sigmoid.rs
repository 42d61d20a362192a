//! Logistic sigmoid.

use super::elementwise::{self, Elements};
use crate::cpu::{Call, Float};
use crate::kernel;
use crate::op::{Case, Entry, Values};
use crate::plan::Wide;

/// `y = 1 / (1 + exp(-x))`, elementwise. PyTorch's `Sigmoid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sigmoid;

static SIGMOID: Wide = kernel!(wide, "sigmoid", ["sigmoid.wgsl"], Elements, |p, w| w.floats(p.len), sigmoid);
static SIGMOID_DX: Wide = kernel!(wide, "sigmoid_dx", ["sigmoid.wgsl"], Elements, |p, w| w.floats(p.len), sigmoid_dx);

pub(super) static ENTRY: Entry = Entry { name: "sigmoid", kernels: &[&SIGMOID, &SIGMOID_DX], cases, bench_cases };
op!(Sigmoid, "sigmoid", elementwise, SIGMOID, SIGMOID_DX);

fn sigmoid<T: Float>(call: Call<'_, T>) {
    elementwise::map(call, |x| {
        // No exponential of a positive number, which might be infinite.
        let e = (-x.abs()).exp();
        (if x >= T::zero() { T::one() } else { e }) / (T::one() + e)
    });
}

fn sigmoid_dx<T: Float>(call: Call<'_, T>) {
    elementwise::gradient(call, |out, dy| dy * out * (T::one() - out));
}

fn case(dims: &[u32]) -> Case {
    Case::new(Sigmoid, &[(dims, Values::Normal)]).inexact()
}

fn cases() -> Vec<Case> {
    let around = |x| Case::new(Sigmoid, &[(&[5, 8], Values::Around(x))]).inexact();
    let sizes: [&[u32]; 4] = [&[1], &[257], &[2, 7, 5, 3], &[11, 96]];
    // Far below 0 the output is an exponential, far above it the gradient is.
    sizes.map(case).into_iter().chain([around(-20.0), around(3.0)]).collect()
}

fn bench_cases() -> Vec<Case> {
    vec![case(&[16, 56, 56, 64])]
}
