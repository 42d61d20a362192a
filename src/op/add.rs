//! Sum of two tensors, as residual blocks need it.

use super::elementwise::{each, each2};
use super::relu::mask_dy;
use crate::cpu::{Call, Float, put};
use crate::graph::{Grad, Io, Op, Recorder};
use crate::op::{Case, Entry, Values};
use crate::plan::{Buf, Shape, Wide};
use crate::{Error, Result, kernel, params};

/// `y = a + scale * b`, elementwise; both have the same sizes. PyTorch's `torch.add(a, b, alpha=scale)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Add {
    /// Weight of the second input. Finite.
    pub scale: f32,
    /// `max(y, 0)` follows.
    pub relu: bool,
}

impl Default for Add {
    fn default() -> Self {
        Self::new()
    }
}

impl Add {
    /// The plain sum.
    pub const fn new() -> Self {
        Self::scaled(1.0)
    }

    /// The second input weighed, as the branch of an Inception-ResNet block is.
    pub const fn scaled(scale: f32) -> Self {
        Self { scale, relu: false }
    }

    /// Followed by a ReLU.
    #[must_use]
    pub const fn with_relu(mut self) -> Self {
        self.relu = true;
        self
    }
}

params! {
    /// Parameters of the addition kernels.
    struct AddParams {
        /// Elements.
        len: u32,
        /// Forward: weight of the second input. Backward: weight of the input whose gradient it is.
        scale: f32,
    }
}

static ADD: Wide = kernel!(wide, "add", ["add.wgsl", "rectified.wgsl"], AddParams, |p, w| w.floats(p.len), add);
static ADD_DX: Wide =
    kernel!(wide, "add_dx", ["add.wgsl", "rectified.wgsl"], AddParams, |p, w| w.floats(p.len), add_dx);

pub(super) static ENTRY: Entry = Entry { name: "add", kernels: &[&ADD, &ADD_DX], cases, bench_cases };

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape> {
        super::expect_inputs("add", x, 2)?;
        if x[0] != x[1] {
            return Err(Error::shape("add", format!("expected two inputs of one shape, got {} and {}", x[0], x[1])));
        }
        if !self.scale.is_finite() {
            return Err(Error::shape("add", format!("expected a finite scale, got {}", self.scale)));
        }
        Ok(x[0])
    }

    fn forward(&self, r: &mut Recorder<'_>, io: &Io<'_>) {
        let p = AddParams { len: io.y_shape.len_u32(), scale: self.scale };
        let overrides = [("RELU", f64::from(u8::from(self.relu)))];
        r.dispatch(ADD.of(&[p.len]), &p, &overrides, &[io.x[0], io.x[1], io.y]);
    }

    fn passes_gradient(&self) -> Option<usize> {
        Some(0)
    }

    fn residual(&self) -> Option<(f32, bool)> {
        Some((self.scale, self.relu))
    }

    fn backward(&self, r: &mut Recorder<'_>, io: &Io<'_>, dy: Buf, dx: &[Option<Grad>]) {
        let len = io.y_shape.len_u32();
        if self.relu {
            mask_dy(r, io.y, dy, len);
        }
        for (grad, scale) in dx.iter().zip([1.0, self.scale]) {
            if let Some(grad) = grad {
                let p = AddParams { len, scale };
                r.dispatch(ADD_DX.of(&[len]), &p, &grad.overrides(), &[dy, grad.buf]);
            }
        }
    }
}

fn add<T: Float>(call: Call<'_, T>) {
    let AddParams { scale, .. } = call.params();
    let (scale, relu) = (T::of(f64::from(scale)), call.flag("RELU"));
    let [a, b, y] = call.args();
    each2(a.f(), b.f(), y.f_mut(), |y, a, b| {
        let sum = a + scale * b;
        *y = if relu && sum < T::zero() { T::zero() } else { sum }; // not max: a NaN must stay one
    });
}

fn add_dx<T: Float>(call: Call<'_, T>) {
    let AddParams { scale, .. } = call.params();
    let (scale, accumulate) = (T::of(f64::from(scale)), call.flag("ACCUMULATE"));
    let [dy, dx] = call.args();
    each(dy.f(), dx.f_mut(), |dx, dy| put(accumulate, dx, scale * dy));
}

fn case(op: Add, dims: &[u32]) -> Case {
    Case::new(op, &[(dims, Values::Normal), (dims, Values::Normal)])
}

fn cases() -> Vec<Case> {
    let plain = |dims: &[u32]| case(Add::new(), dims);
    vec![
        plain(&[1]),
        plain(&[55]),
        plain(&[257]),
        plain(&[2, 7, 5, 3]),
        plain(&[4]),
        plain(&[1, 11, 13, 8]),
        case(Add::scaled(-3.0), &[257]),
        case(Add::scaled(0.25), &[2, 3, 5, 8]), // a quarter of an integer is exact
        case(Add::scaled(0.17), &[3, 55]).inexact(),
        case(Add::new().with_relu(), &[2, 7, 5, 3]),
        case(Add::scaled(2.0).with_relu(), &[1, 11, 13, 8]),
        case(Add::scaled(0.17).with_relu(), &[5, 5, 12]).inexact(), // as the blocks of Inception-ResNet-v1
        case(Add::scaled(0.0).with_relu(), &[55]),
    ]
}

fn bench_cases() -> Vec<Case> {
    let block = |scale, dims: &[u32]| case(Add::scaled(scale).with_relu(), dims);
    // The blocks of Inception-ResNet-v1.
    vec![
        case(Add::new(), &[16, 28, 28, 256]),
        block(0.17, &[16, 17, 17, 256]),
        block(0.1, &[16, 8, 8, 896]),
        block(0.2, &[16, 3, 3, 1792]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuExecutor;
    use crate::executor::{Executor, Options};
    use crate::graph::{Graph, Recording};
    use crate::op::Sigmoid;

    #[test]
    fn the_second_input_is_scaled_and_negative_sums_pass_nothing_on() {
        let mut graph = Graph::new();
        let [a, b] = ["a", "b"].map(|name| graph.input(name, Shape::vector(5)));
        let y = graph.op("y", Add::scaled(0.5).with_relu(), &[a, b]).unwrap();
        let mut recording = Recording::forward(&graph, &[y]);
        let dy = recording.backward(y, &[a, b]);
        let [da, db] = [a, b].map(|t| recording.gradient(t).unwrap());
        let [a, b, y] = [a, b, y].map(|t| recording.value(t));
        let mut cpu = CpuExecutor::<f32>::new(recording.finish(), &Options::checked()).unwrap();
        cpu.write(a, &[1.0, 1.0, -2.0, 0.0, f32::NAN]).unwrap();
        cpu.write(b, &[4.0, -4.0, 4.0, 6.0, 1.0]).unwrap();
        cpu.write(dy, &[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        cpu.run_all().unwrap();
        let read = cpu.read(y).unwrap();
        assert_eq!(read[..4], [3.0, 0.0, 0.0, 3.0]);
        assert!(read[4].is_nan());
        assert_eq!(cpu.read(da).unwrap()[..4], [1.0, 0.0, 0.0, 4.0]);
        assert_eq!(cpu.read(db).unwrap()[..4], [0.5, 0.0, 0.0, 2.0]);
    }

    #[test]
    fn a_tensor_added_to_itself_gets_both_gradients() {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::vector(2));
        let y = graph.op("y", Add::scaled(3.0), &[x, x]).unwrap();
        let mut recording = Recording::forward(&graph, &[y]);
        let dy = recording.backward(y, &[x]);
        let (dx, x, y) = (recording.gradient(x).unwrap(), recording.value(x), recording.value(y));
        let mut cpu = CpuExecutor::<f32>::new(recording.finish(), &Options::checked()).unwrap();
        cpu.write(x, &[1.0, -2.0]).unwrap();
        cpu.write(dy, &[1.0, 10.0]).unwrap();
        cpu.run_all().unwrap();
        assert_eq!(cpu.read(y).unwrap(), [4.0, -8.0]);
        assert_eq!(cpu.read(dx).unwrap(), [4.0, 40.0]);
    }

    #[test]
    fn the_gradient_of_the_sum_is_that_of_the_first_input_without_a_copy() {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::vector(3));
        let a = graph.op("a", Sigmoid, &[x]).unwrap();
        let b = graph.op("b", Sigmoid, &[a]).unwrap();
        let sum = graph.op("sum", Add::scaled(2.0), &[a, b]).unwrap();
        let y = graph.op("y", Sigmoid, &[sum]).unwrap();
        let mut recording = Recording::forward(&graph, &[y]);
        let dy = recording.backward(y, &[x]);
        let (x, dx) = (recording.value(x), recording.gradient(x).unwrap());
        let plan = recording.finish();
        assert_eq!(plan.steps.iter().filter(|step| step.kernel.name == "add_dx").count(), 1, "{plan}");
        let mut cpu = CpuExecutor::<f64>::new(plan, &Options::checked()).unwrap();
        cpu.write(x, &[-1.0, 0.5, 2.0]).unwrap();
        cpu.write(dy, &[1.0, 2.0, 3.0]).unwrap();
        cpu.run_all().unwrap();
        let s = |x: f64| 1.0 / (1.0 + (-x).exp());
        let d = |y: f64| y * (1.0 - y);
        for (i, (x, dy)) in [(-1.0, 1.0), (0.5, 2.0), (2.0, 3.0)].into_iter().enumerate() {
            let (a, b) = (s(x), s(s(x)));
            let want = dy * d(s(a + 2.0 * b)) * (1.0 + 2.0 * d(b)) * d(a);
            assert!((cpu.floats(dx)[i] - want).abs() < 1e-6, "{} is not {want}", cpu.floats(dx)[i]);
        }
    }

    #[test]
    fn a_scale_that_is_no_number_is_refused_in_words() {
        let x = Shape::vector(3);
        let error = |scale| Add::scaled(scale).output_shape(&[x, x]).unwrap_err().to_string();
        assert!(error(f32::NAN).contains("expected a finite scale, got NaN"));
        assert!(error(f32::INFINITY).contains("expected a finite scale, got inf"));
        assert_eq!(Add::default(), Add { scale: 1.0, relu: false });
    }

    #[test]
    fn inputs_of_two_shapes_are_refused_in_words() {
        let (a, b) = (Shape::new(&[2, 3]).unwrap(), Shape::new(&[3, 2]).unwrap());
        let error = Add::new().output_shape(&[a, b]).unwrap_err().to_string();
        assert!(error.contains("expected two inputs of one shape, got [2, 3] and [3, 2]"), "{error}");
    }
}
