//! Layers that are computed together for inference.

use super::What;
use crate::graph::{Graph, Source, Tensor};

/// Lets a convolution take over the sum behind it, `a + scale * b` where `b` is its result, in place of `a`: if nothing else reads `b`,
/// and nothing reads `a` later.
pub(super) fn residuals(graph: &Graph, what: &mut [What]) {
    for i in 0..what.len() {
        let Some((scale, relu)) = (match &what[i] {
            What::Op(op) => op.residual(),
            _ => None,
        }) else {
            continue;
        };
        let Some((_, &[a, b])) = graph.nodes()[i].source.op() else { continue };
        let (a, b) = (origin(what, a), origin(what, b));
        let fused = fuse(graph, what, i, [a, b], scale, relu);
        // A plain sum has no order.
        let other = || if scale == 1.0 { fuse(graph, what, i, [b, a], scale, relu) } else { None };
        if let Some(fused) = fused.or_else(other) {
            what[i] = fused;
        }
    }
}

fn fuse(graph: &Graph, what: &[What], i: usize, [a, b]: [Tensor; 2], scale: f32, relu: bool) -> Option<What> {
    let (op, fold) = match &what[b.index()] {
        What::Op(op) => (op, None),
        What::Folded(op, fold) => (op, Some(fold.clone())),
        _ => return None,
    };
    let computed = matches!(graph.nodes()[a.index()].source, Source::Op { .. });
    let wanted = |t: Tensor| {
        let mut outputs = graph.outputs().map(|(_, output)| origin(what, output));
        outputs.any(|output| output.index() == i || output == t)
    };
    let last = |t: Tensor| readers(graph, what, t).all(|reader| reader <= i);
    let alone = readers(graph, what, b).all(|reader| reader == i);
    // The convolution moves here, and what it reads must still be there.
    let lost = |t: Tensor| what.iter().any(|other| matches!(other, What::Residual { a, .. } if *a == t));
    let (_, inputs) = graph.nodes()[b.index()].source.op()?;
    if inputs.iter().any(|&t| origin(what, t) == a || lost(origin(what, t))) {
        return None;
    }
    if a == b || !computed || !alone || !last(a) || wanted(a) || wanted(b) {
        return None;
    }
    Some(What::Residual { conv: b, op: op.with_residual(scale, relu)?, fold, a })
}

/// The value that stands for another one.
fn origin(what: &[What], mut t: Tensor) -> Tensor {
    while let What::Alias(of) = what[t.index()] {
        t = of;
    }
    t
}

/// The nodes that read a value, but for those that only stand for it.
fn readers<'a>(graph: &'a Graph, what: &'a [What], t: Tensor) -> impl Iterator<Item = usize> + 'a {
    let reads = move |&i: &usize| match (&what[i], &graph.nodes()[i].source) {
        (What::Alias(_), _) => false,
        (What::Folded(..), Source::Op { inputs, .. }) => origin(what, inputs[0]) == t,
        (What::Residual { conv, a, .. }, _) => {
            let inputs = graph.nodes()[conv.index()].source.op().map_or(&[][..], |(_, inputs)| inputs);
            *a == t || inputs.iter().any(|&input| origin(what, input) == t)
        }
        (_, Source::Op { inputs, .. }) => inputs.iter().any(|&input| origin(what, input) == t),
        _ => false,
    };
    (0..what.len()).filter(reads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Result;
    use crate::cpu::CpuExecutor;
    use crate::data::preprocess::{Normalise, Preprocess};
    use crate::executor::{Executor, Options};
    use crate::graph::{Init, Purpose, Recording};
    use crate::model::{IMAGES, Model, REFERENCE_BATCH};
    use crate::op::{Add, Conv2d, Dropout, Sigmoid};
    use crate::plan::{Role, Shape};

    /// A block around a convolution of 3 channels; `build` gets the images times two, and a convolution of what is made of them.
    fn model(build: impl FnOnce(&mut Graph, Tensor, Tensor) -> Result<Tensor>) -> Model {
        let mut graph = Graph::new();
        let images = graph.input(IMAGES, Shape::new(&[REFERENCE_BATCH, 4, 5, 3]).unwrap());
        let x = graph.op("x", Add::new(), &[images, images]).unwrap();
        let w = graph.param("w", Shape::new(&[3, 3, 3, 3]).unwrap(), Init::HeNormal { fan_in: 27 }, true);
        let b = graph.param("b", Shape::vector(3), Init::Zeros, false);
        let inner = graph.op("inner", Sigmoid, &[x]).unwrap();
        let y = graph.op("conv", Conv2d::same(3), &[inner, w, b]).unwrap();
        let last = build(&mut graph, x, y).unwrap();
        graph.set_output("out", last);
        let preprocess = Preprocess { height: 4, width: 5, normalise: Normalise::Fixed, crop: None, alignment: None };
        Model::new("block", "for tests", preprocess, graph).unwrap()
    }

    /// Kernels of the inference plan, and its result.
    fn run(model: &Model, fused: bool) -> (Vec<&'static str>, Vec<f32>) {
        let purpose = if fused { Purpose::Inference } else { Purpose::Training { dropout: 0.0, frozen: true } };
        let net = model.sized(1, purpose).unwrap();
        let out = net.graph.output("out").unwrap();
        let recording = Recording::forward(&net.graph, &[out]);
        let buf = recording.value(out);
        let plan = recording.finish();
        let given = |role| matches!(role, Role::Input | Role::Param);
        let specs: Vec<_> = plan.buffers.iter().filter(|spec| given(spec.role)).cloned().collect();
        let bufs: Vec<_> = specs.iter().map(|spec| plan.find(&spec.name).unwrap()).collect();
        let mut cpu = CpuExecutor::<f32>::new(plan, &Options::checked()).unwrap();
        for (spec, buf) in specs.iter().zip(bufs) {
            let seed = spec.name.len();
            let values: Vec<f32> =
                (0..spec.shape.len()).map(|i| ((i * 37 + seed * 11) % 23) as f32 / 11.0 - 1.0).collect();
            cpu.write(buf, &values).unwrap();
        }
        cpu.run_all().unwrap();
        (cpu.plan().steps.iter().map(|step| step.kernel.name).collect(), cpu.read(buf).unwrap())
    }

    fn expect(fused: bool, build: impl FnOnce(&mut Graph, Tensor, Tensor) -> Result<Tensor>) {
        let model = model(build);
        let ((plain, want), (kernels, got)) = (run(&model, false), run(&model, true));
        assert_eq!(kernels.len() < plain.len(), fused, "{kernels:?}");
        for (got, want) in got.iter().zip(&want) {
            assert!((got - want).abs() < 1e-5, "{got} is not {want}");
        }
    }

    #[test]
    fn a_convolution_adds_to_its_block_in_place_with_scale_and_relu() {
        expect(true, |graph, x, y| {
            let sum = graph.op("sum", Add::scaled(0.3).with_relu(), &[x, y])?;
            graph.op("out", Add::scaled(2.0), &[sum, sum])
        });
    }

    #[test]
    fn a_plain_sum_takes_the_convolution_on_either_side() {
        expect(true, |graph, x, y| {
            let sum = graph.op("sum", Add::new(), &[y, x])?;
            graph.op("out", Add::scaled(2.0), &[sum, sum])
        });
        expect(false, |graph, x, y| {
            let sum = graph.op("sum", Add::scaled(0.5), &[y, x])?;
            graph.op("out", Add::scaled(2.0), &[sum, sum])
        });
    }

    #[test]
    fn what_is_still_wanted_is_not_overwritten() {
        // The block's input is read once more, the convolution is read once more, the sum is the output.
        expect(false, |graph, x, y| {
            let sum = graph.op("sum", Add::scaled(0.3), &[x, y])?;
            graph.op("out", Add::new(), &[sum, x])
        });
        expect(false, |graph, x, y| {
            let sum = graph.op("sum", Add::scaled(0.3), &[x, y])?;
            graph.op("out", Add::new(), &[sum, y])
        });
        expect(false, |graph, x, y| graph.op("sum", Add::scaled(0.3), &[x, y]));
        // So is what stands for it: dropout, which inference leaves out.
        let model = model(|graph, x, y| {
            let sum = graph.op("sum", Add::scaled(0.3), &[x, y])?;
            let seed = graph.input_u32("seed", Shape::vector(2));
            graph.op("out", Dropout { p: 0.0, site: 0 }, &[sum, seed])
        });
        assert!(run(&model, true).0.contains(&"add"));
    }

    #[test]
    fn a_convolution_of_the_blocks_input_itself_stays_alone() {
        expect(false, |graph, x, _| {
            let w = graph.param("w2", Shape::new(&[3, 3, 3, 3]).unwrap(), Init::Zeros, true);
            let y = graph.op("direct", Conv2d::same(3), &[x, w])?;
            let sum = graph.op("sum", Add::scaled(0.3), &[x, y])?;
            graph.op("out", Add::scaled(2.0), &[sum, sum])
        });
    }

    #[test]
    fn a_convolution_is_not_moved_behind_what_overwrites_its_input() {
        expect(true, |graph, x, y| {
            let w = graph.param("w2", Shape::new(&[3, 3, 3, 3]).unwrap(), Init::Zeros, true);
            let other = graph.op("other", Conv2d::same(3), &[x, w])?;
            let first = graph.op("first", Add::scaled(0.3), &[x, y])?;
            // `other` has read `x`, which `first` overwrites.
            let second = graph.op("second", Add::scaled(0.5), &[first, other])?;
            graph.op("out", Add::scaled(2.0), &[second, second])
        });
    }
}
