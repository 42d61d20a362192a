//! Dropout.

use std::sync::Arc;

use rayon::prelude::*;

use crate::cpu::{Call, Float, put};
use crate::graph::{Adapted, Grad, Io, Op, Purpose, Recorder};
use crate::op::elementwise::CHUNK;
use crate::op::philox::philox;
use crate::op::{Case, Entry, Values};
use crate::plan::{Buf, Shape, Wide};
use crate::{Error, Result, kernel, params};

/// Inverted dropout, as PyTorch's `F.dropout` in training: `y = x / (1 - p)` where an element is kept, 0 where it is
/// dropped, which happens to the share `p` of them. Inputs are `x` of any sizes and `seed` `[2]` (integers): the run's
/// seed and the number of the step.
///
/// Which elements are dropped is a function of `seed`, `site` and the element's index alone, so that every device drops
/// the same ones, and backward needs nothing but `seed` to drop them again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Share of the elements that are dropped, from 0 (none: `y = x`) to less than 1.
    pub p: f32,
    /// Number of this dropout in its network: those of one step drop independently of one another.
    pub site: u32,
}

params! {
    /// Parameters of both kernels.
    struct DropoutParams {
        /// Elements.
        len: u32,
        /// Number of this dropout in its network.
        site: u32,
        /// Elements whose random word is below are dropped.
        threshold: u32,
        /// What the others are multiplied by.
        scale: f32,
    }
}

static DROPOUT: Wide =
    kernel!(wide, "dropout", ["dropout.wgsl", "philox.wgsl"], DropoutParams, |p, w| w.floats(p.len), dropout);
static DROPOUT_DX: Wide =
    kernel!(wide, "dropout_dx", ["dropout.wgsl", "philox.wgsl"], DropoutParams, |p, w| w.floats(p.len), dropout_dx);

pub(super) static ENTRY: Entry = Entry { name: "dropout", kernels: &[&DROPOUT, &DROPOUT_DX], cases, bench_cases };

impl Dropout {
    #[expect(clippy::cast_possible_truncation, reason = "p < 1 in f32 keeps the threshold below 2^32")]
    fn params(&self, len: u32) -> DropoutParams {
        let p = f64::from(self.p);
        let threshold = (p * 2f64.powi(32)).round() as u32;
        DropoutParams { len, site: self.site, threshold, scale: (1.0 - p).recip() as f32 }
    }
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        super::expect_inputs("dropout", x, 2)?;
        if !(0.0..1.0).contains(&self.p) {
            let message = format!("expected a share p from 0 to less than 1, got {}", self.p);
            return Err(Error::shape("dropout", message));
        }
        if x[1].dims() != [2] {
            return Err(Error::shape("dropout", format!("expected a seed and a step [2], got {}", x[1])));
        }
        Ok(x[0])
    }

    fn depends_on_batch(&self) -> bool {
        // On an image's place in it.
        true
    }

    fn adapt(&self, purpose: Purpose) -> Adapted {
        match purpose {
            Purpose::Training { dropout, .. } if dropout > 0.0 => {
                Adapted::Replaced(Arc::new(Self { p: dropout, ..*self }))
            }
            _ => Adapted::Identity,
        }
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        let p = self.params(io.y_shape.len_u32());
        r.dispatch(DROPOUT.of(&[p.len]), &p, &[], &[io.x[0], io.x[1], io.y]);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        if let Some(grad) = dx[0] {
            let p = self.params(io.y_shape.len_u32());
            r.dispatch(DROPOUT_DX.of(&[p.len]), &p, &grad.overrides(), &[dy, io.x[1], grad.buf]);
        }
    }

    fn summary(&self) -> String {
        format!("{}", self.p)
    }
}

/// Calls `each(to, from, factor)` for every element.
fn for_each<T: Float>(p: &DropoutParams, from: &[T], seed: &[u32], to: &mut [T], each: impl Fn(&mut T, T, T) + Sync) {
    let scale = T::of(f64::from(p.scale));
    const { assert!(CHUNK.is_multiple_of(4), "one call of philox serves four elements") }
    to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).enumerate().for_each(|(chunk, (to, from))| {
        let first = u32::try_from(chunk * (CHUNK / 4)).expect("elements are counted in u32");
        for (group, (to, from)) in (first..).zip(to.chunks_mut(4).zip(from.chunks(4))) {
            let words = philox([group, p.site, 0, 0], [seed[0], seed[1]]);
            for ((to, &from), word) in to.iter_mut().zip(from).zip(words) {
                each(to, from, if word >= p.threshold { scale } else { T::zero() });
            }
        }
    });
}

fn dropout<T: Float>(call: Call<'_, T>) {
    let p = call.params();
    let [x, seed, y] = call.args();
    for_each(&p, x.f(), seed.u(), y.f_mut(), |y, x, factor| *y = x * factor);
}

fn dropout_dx<T: Float>(call: Call<'_, T>) {
    let (p, accumulate) = (call.params(), call.flag("ACCUMULATE"));
    let [dy, seed, dx] = call.args();
    for_each(&p, dy.f(), seed.u(), dx.f_mut(), |dx, dy, factor| put(accumulate, dx, dy * factor));
}

fn case(p: f32, site: u32, dims: &[u32], seed: &'static [u32]) -> Case {
    Case::new(Dropout { p, site }, &[(dims, Values::Normal), (&[2], Values::IntegerList(seed))])
}

fn cases() -> Vec<Case> {
    vec![
        case(0.0, 0, &[55], &[1, 2]),
        case(0.5, 0, &[1], &[4, 0]),
        case(0.5, 1, &[257], &[u32::MAX, 9]),
        case(0.75, 0, &[2, 7, 5, 3], &[0, 0]),
        case(0.5, 3, &[3, 20, 36], &[7, u32::MAX]),
        // 1 / (1 - p) is no power of two: its products round.
        case(0.2, u32::MAX, &[5, 403], &[12, 34]).inexact(),
        case(0.6, 2, &[9, 1000], &[1 << 31, 5]).inexact(),
        case(0.999, 0, &[2060], &[3, 1]).inexact(),
    ]
}

fn bench_cases() -> Vec<Case> {
    vec![case(0.4, 0, &[90, 1792], &[1, 1]).inexact()] // Inception-ResNet-v1, before the embedding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_is_the_share_of_all_words() {
        let params = |p| Dropout { p, site: 0 }.params(1);
        assert_eq!((params(0.0).threshold, params(0.0).scale), (0, 1.0));
        assert_eq!((params(0.75).threshold, params(0.75).scale), (3 << 30, 4.0));
        assert_eq!(params(1.0 - f32::EPSILON / 2.0).threshold, 0xFFFF_FF00);
        assert_eq!(params(f32::MIN_POSITIVE).threshold, 0);
    }

    #[test]
    fn a_share_or_a_seed_that_cannot_be_is_refused_in_words() {
        let refusal = |p, seed| {
            let shapes = [Shape::new(&[4, 3]).unwrap(), Shape::vector(seed)];
            Dropout { p, site: 0 }.output_shape(&shapes).map_err(|e| e.to_string())
        };
        for p in [1.0, 1.5, -0.1, f32::NAN] {
            let e = refusal(p, 2).unwrap_err();
            assert!(e.contains("from 0 to less than 1") && e.contains(&format!("got {p}")), "{e}");
        }
        let e = refusal(0.5, 3).unwrap_err();
        assert!(e.contains("a seed and a step [2]") && e.contains("got [3]"), "{e}");
        assert_eq!(refusal(0.999, 2).unwrap().dims(), [4, 3]);
        let one = Dropout { p: 0.5, site: 0 }.output_shape(&[Shape::vector(3)]).unwrap_err().to_string();
        assert!(one.contains("expected 2 inputs, got 1"), "{one}");
    }
}
