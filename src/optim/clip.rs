//! Clipping of gradients by their norm.

use rayon::prelude::*;

use crate::cpu::{Call, Float};
use crate::graph::{Optimiser, Recorder, Update};
use crate::plan::{Buf, Kernel, Shape, Type};
use crate::{kernel, params};

/// Floats of a gradient that one part of the sum covers, at least, and the most parts of one gradient.
const PART: u32 = 4096;
const MOST_PARTS: u32 = 64;

params! {
    /// Parameters of `gradient_norm`.
    struct NormParams {
        /// Elements.
        len: u32,
        /// Parts of this gradient.
        splits: u32,
        /// The place of the first of them.
        at: u32,
    }
}

params! {
    /// Parameters of `clip_norm`.
    struct ClipParams {
        /// Parts of all gradients.
        parts: u32,
        /// The longest that all gradients together may be.
        most: f32,
    }
}

pub(super) static GRADIENT_NORM: Kernel =
    kernel!("gradient_norm", ["gradient_norm.wgsl", "index.wgsl"], NormParams, |p, _w| [p.splits, 1, 1], norm);

pub(super) static CLIP_NORM: Kernel = kernel!("clip_norm", ["clip_norm.wgsl"], ClipParams, |_p, _w| [1, 1, 1], clip);

/// An optimiser whose gradients are clipped to a norm over all of them before it takes them, as
/// `torch.nn.utils.clip_grad_norm_` does.
#[derive(Debug)]
pub struct Clipped {
    /// What takes the clipped gradients.
    pub optimiser: Box<dyn Optimiser>,
    /// The longest that all gradients together may be.
    pub most: f32,
}

impl Optimiser for Clipped {
    fn record(&self, r: &mut Recorder<'_>, update: &Update) {
        self.optimiser.record(r, update);
    }

    fn prepare(&self, r: &mut Recorder<'_>, gradients: &[(Buf, u32)], rate: Buf) {
        clip_norm(r, gradients, self.most, rate);
    }

    fn betas(&self) -> [f32; 2] {
        self.optimiser.betas()
    }

    fn average(&self) -> f32 {
        self.optimiser.average()
    }
}

/// Records what computes the last float of `rate`, which every optimiser multiplies gradients by.
fn clip_norm(r: &mut Recorder<'_>, gradients: &[(Buf, u32)], most: f32, rate: Buf) {
    let splits = |len: u32| len.div_ceil(PART).clamp(1, MOST_PARTS);
    let parts = gradients.iter().map(|&(_, len)| splits(len)).sum();
    let part = r.scratch("squares", Shape::vector(parts), Type::F32);
    let mut at = 0;
    for &(dw, len) in gradients {
        let splits = splits(len);
        r.dispatch(&GRADIENT_NORM, &NormParams { len, splits, at }, &[], &[dw, part]);
        at += splits;
    }
    r.dispatch(&CLIP_NORM, &ClipParams { parts, most }, &[], &[part, rate]);
}

fn norm<T: Float>(call: Call<'_, T>) {
    let NormParams { len, splits, at } = call.params();
    let [dw, part] = call.args();
    let (dw, start) = (dw.f(), |t: usize| {
        let (len, splits) = (len as usize, splits as usize);
        t * (len / splits) + t.min(len % splits)
    });
    part.f_mut()[at as usize..][..splits as usize].par_iter_mut().enumerate().for_each(|(t, part)| {
        *part = dw[start(t)..start(t + 1)].iter().map(|&x| x * x).fold(T::zero(), |a, b| a + b);
    });
}

fn clip<T: Float>(call: Call<'_, T>) {
    let most = T::of(f64::from(call.params::<ClipParams>().most));
    let [part, rate] = call.args();
    let total = part.f().iter().fold(T::zero(), |a, &b| a + b);
    let scale = most / (total.sqrt() + T::of(1e-6));
    rate.f_mut()[3] = if scale < T::one() { scale } else { T::one() };
}
