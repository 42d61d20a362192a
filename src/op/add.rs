//! Sum of two tensors.

use rayon::prelude::*;

use crate::cpu::{Call, Float, put};
use crate::graph::{Grad, Io, Op, Recorder};
use crate::op::{Case, Entry, Values};
use crate::plan::{Buf, Shape, Wide};
use crate::{Error, Result, params, wide};

/// `y = a + b`, elementwise; both have the same sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Add;

params! {
    /// Parameters of the addition kernels.
    struct AddParams {
        /// Elements.
        len: u32,
    }
}

static ADD: Wide = wide!("add", ["add.wgsl", "index.wgsl"], AddParams, |p| p.len, add);
static ADD_DX: Wide = wide!("add_dx", ["add.wgsl", "index.wgsl"], AddParams, |p| p.len, add_dx);

pub(super) static ENTRY: Entry =
    Entry { name: "add", kernels: &[&ADD.one, &ADD.four, &ADD_DX.one, &ADD_DX.four], cases, bench_cases };

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        super::expect_inputs("add", x, 2)?;
        if x[0] != x[1] {
            return Err(Error::shape("add", format!("expected two inputs of one shape, got {} and {}", x[0], x[1])));
        }
        Ok(x[0])
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        let p = AddParams { len: io.y_shape.len_u32() };
        r.dispatch(ADD.of(&[p.len]), &p, &[], &[io.x[0], io.x[1], io.y]);
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        let p = AddParams { len: io.y_shape.len_u32() };
        for grad in dx.iter().flatten() {
            r.dispatch(ADD_DX.of(&[p.len]), &p, &grad.overrides(), &[dy, grad.buf]);
        }
    }
}

/// Floats that one thread of the CPU device takes at a time.
const CHUNK: usize = 1 << 14;

fn add<T: Float>(call: Call<'_, T>) {
    let [a, b, y] = call.args();
    let inputs = a.f().par_chunks(CHUNK).zip(b.f().par_chunks(CHUNK));
    y.f_mut().par_chunks_mut(CHUNK).zip(inputs).for_each(|(y, (a, b))| {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = a + b;
        }
    });
}

fn add_dx<T: Float>(call: Call<'_, T>) {
    let accumulate = call.flag("ACCUMULATE");
    let [dy, dx] = call.args();
    dx.f_mut().par_chunks_mut(CHUNK).zip(dy.f().par_chunks(CHUNK)).for_each(|(dx, dy)| {
        for (dx, &dy) in dx.iter_mut().zip(dy) {
            put(accumulate, dx, dy);
        }
    });
}

fn case(dims: &[u32]) -> Case {
    Case::new(Add, &[(dims, Values::Normal), (dims, Values::Normal)])
}

fn cases() -> Vec<Case> {
    vec![case(&[1]), case(&[55]), case(&[257]), case(&[2, 7, 5, 3]), case(&[4]), case(&[1, 11, 13, 8])]
}

fn bench_cases() -> Vec<Case> {
    vec![case(&[16, 28, 28, 256])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_of_two_shapes_are_refused_in_words() {
        let (a, b) = (Shape::new(&[2, 3]).unwrap(), Shape::new(&[3, 2]).unwrap());
        let error = Add.output_shape(&[a, b]).unwrap_err().to_string();
        assert!(error.contains("expected two inputs of one shape, got [2, 3] and [3, 2]"), "{error}");
    }
}
