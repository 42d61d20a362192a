//! Batch normalisation folded into the layer before it. No op: it runs once whenever the parameters have changed, and has no
//! gradient.

use rayon::prelude::*;

use crate::cpu::{Call, Float};
use crate::graph::Recorder;
use crate::plan::{Buf, Kernel};
use crate::{kernel, params};

params! {
    /// Parameters of both kernels.
    pub(super) struct FoldBatchNormParams {
        /// Rows of the weights: all sizes but the last, multiplied.
        rows: u32,
        /// Channels.
        c: u32,
        /// Added to the variance.
        eps: f32,
    }
}

/// Buffers `w`, `gamma`, `variance`, `folded`.
pub(super) static FOLD_W: Kernel = kernel!(
    "fold_batch_norm_w",
    ["fold_batch_norm.wgsl", "index.wgsl"],
    FoldBatchNormParams,
    |p, w| w.items(p.rows * p.c),
    fold_w
);
/// Buffers `scale`, `running_var`, `beta`, `mean`, `b`, `shift`; override `BIAS`.
pub(super) static FOLD_B: Kernel = kernel!(
    "fold_batch_norm_b",
    ["fold_batch_norm.wgsl", "index.wgsl"],
    FoldBatchNormParams,
    |p, w| w.items(p.c),
    fold_b
);

/// Records the weights `w * gamma / sqrt(var + eps)`, `[.., c]`, and the bias
/// `beta + (b - mean) * gamma / sqrt(var + eps)`, `[c]`, of a layer that takes over the batch normalisation behind it.
/// Inputs are `w`, gamma, the variance, beta and the mean; without `b` it counts as zero.
pub fn fold_batch_norm(
    r: &mut Recorder<'_>,
    eps: f32,
    [w, gamma, var, beta, mean]: [Buf; 5],
    b: Option<Buf>,
    [w_out, b_out]: [Buf; 2],
) {
    let p = FoldBatchNormParams { rows: r.shape(w).rows(), c: r.shape(w).channels(), eps };
    r.dispatch(&FOLD_W, &p, &[], &[w, gamma, var, w_out]);
    let bias = [("BIAS", f64::from(u8::from(b.is_some())))];
    r.dispatch(&FOLD_B, &p, &bias, &[gamma, var, beta, mean, b.unwrap_or(mean), b_out]);
}

/// `gamma / sqrt(var + eps)`, in `f64` whatever the buffers hold, so that the result is rounded once.
fn scale<T: Float>(gamma: T, var: T, eps: f32) -> f64 {
    gamma.f64() / (var.f64() + f64::from(eps)).sqrt()
}

fn fold_w<T: Float>(call: Call<'_, T>) {
    let p: FoldBatchNormParams = call.params();
    let [w, gamma, var, folded] = call.args();
    let scales: Vec<f64> = gamma.f().iter().zip(var.f()).map(|(&g, &v)| scale(g, v, p.eps)).collect();
    let rows = folded.f_mut().par_chunks_exact_mut(p.c as usize).zip(w.f().par_chunks_exact(p.c as usize));
    rows.with_min_len(64).for_each(|(folded, w)| {
        for ((folded, &w), scale) in folded.iter_mut().zip(w).zip(&scales) {
            *folded = T::of(w.f64() * scale);
        }
    });
}

fn fold_b<T: Float>(call: Call<'_, T>) {
    let p: FoldBatchNormParams = call.params();
    let with_bias = call.flag("BIAS");
    let [gamma, var, beta, mean, b, shift] = call.args();
    let (gamma, var, beta, mean, b) = (gamma.f(), var.f(), beta.f(), mean.f(), b.f());
    for (c, shift) in shift.f_mut().iter_mut().enumerate() {
        let own = if with_bias { b[c].f64() } else { 0.0 };
        *shift = T::of(beta[c].f64() + (own - mean[c].f64()) * scale(gamma[c], var[c], p.eps));
    }
}
