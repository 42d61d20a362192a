//! Shapes, refusals, and numbers that PyTorch computed.

use super::*;
use crate::cpu::{CpuExecutor, TwinOf};
use crate::executor::{Executor, Options};
use crate::op::sum_partials::splits;
use crate::op::{Case, CasePlan, Values};
use crate::plan::Family;

fn refusal(op: Conv2d, inputs: &[&[u32]]) -> String {
    let shapes: Vec<Shape> = inputs.iter().map(|dims| Shape::new(dims).unwrap()).collect();
    op.output_shape(&shapes).unwrap_err().to_string()
}

#[test]
fn the_output_shape_rounds_down() {
    let shapes = [[2, 224, 224, 3], [7, 7, 3, 64]].map(|dims| Shape::new(&dims).unwrap());
    assert_eq!(Conv2d::new(7, 2, 3).output_shape(&shapes).unwrap().dims(), [2, 112, 112, 64]);
}

#[test]
fn inputs_that_do_not_fit_are_refused_with_both_sizes() {
    let e = refusal(Conv2d::new(7, 1, 1), &[&[1, 4, 9, 3], &[7, 7, 3, 8]]);
    assert!(e.contains("at least 7x7") && e.contains("got 4x9"), "{e}");
    let e = refusal(Conv2d::same(3), &[&[1, 4, 4, 3], &[3, 3, 4, 8]]);
    assert!(e.contains("[3, 3, 3, c_out]") && e.contains("got [3, 3, 4, 8]"), "{e}");
    let e = refusal(Conv2d::new(3, 0, 1), &[&[1, 4, 4, 3], &[3, 3, 3, 8]]);
    assert!(e.contains("stride 0"), "{e}");
    let e = refusal(Conv2d::same(3), &[&[1, 4, 4, 3], &[3, 3, 3, 8], &[7]]);
    assert!(e.contains("bias [8]") && e.contains("got [7]"), "{e}");
}

#[test]
fn parts_of_a_sum_stay_bounded() {
    for (len, groups, terms) in [(1, 1, 1), (864 * 128, 28, 12_544), (3 << 20, 800, 1 << 20), (64, 2, 1 << 30)] {
        let splits = splits(len, groups, terms, 256);
        assert!(splits >= 1 && (splits == 1 || u64::from(splits) * u64::from(len) <= 4 << 20));
    }
}

/// `len` small integers: `i * factor % modulus - shift`.
fn pattern(len: usize, factor: usize, modulus: usize, shift: i32) -> Vec<f32> {
    (0..len).map(|i| (i32::try_from(i * factor % modulus).unwrap() - shift) as f32).collect()
}

/// Output and gradients of an op whose `x`, `w`, `b` and `dy` are patterns, on the CPU device and by the oracle.
fn run(op: Conv2d, x: [u32; 4], w: [u32; 4]) -> [Vec<f32>; 4] {
    fn on<T: TwinOf>(op: Conv2d, x: [u32; 4], w: [u32; 4]) -> [Vec<f32>; 4] {
        let inputs = [(&x[..], Values::Normal), (&w[..], Values::Normal), (&w[3..], Values::Normal)];
        let case = CasePlan::new(Case::new(op, &inputs)).unwrap();
        let len = |buf| case.plan.spec(buf).shape.len();
        let mut cpu = CpuExecutor::<T>::new(case.plan.clone(), &Options::checked()).unwrap();
        for (&buf, (factor, modulus, shift)) in case.inputs.iter().zip([(7, 11, 5), (5, 7, 3), (3, 5, 2)]) {
            cpu.write(buf, &pattern(len(buf), factor, modulus, shift)).unwrap();
        }
        cpu.write(case.dy, &pattern(len(case.dy), 3, 7, 3)).unwrap();
        cpu.run_all().unwrap();
        [case.y, case.dx[0], case.dx[1], case.dx[2]].map(|buf| cpu.read(buf).unwrap())
    }
    let got = on::<f32>(op, x, w);
    assert_eq!(got, on::<f64>(op, x, w), "sums of small integers are exact");
    got
}

/// The sum of the numbers, and that of each times its place: both exact, and telling of any that stand elsewhere.
#[expect(clippy::cast_possible_truncation, reason = "the numbers are small integers")]
fn sums(numbers: &[f32]) -> [i64; 2] {
    let whole = |&x: &f32| x as i64;
    [numbers.iter().map(whole).sum(), (1..).zip(numbers).map(|(i, x)| i * whole(x)).sum()]
}

/// What PyTorch 2.15 computes in `f64` with `F.pad` and `F.conv2d`, its weights `[c_out, c_in / groups, k_h, k_w]`
/// permuted.
#[test]
fn groups_dilation_and_uneven_padding_mean_what_they_mean_in_pytorch() {
    let sides = |[top, bottom, left, right]: [u32; 4]| Padding { top, bottom, left, right };
    let base = Conv2d::rectangular([3, 2], 2, [0, 0]);
    let all = Conv2d { pad: sides([1, 2, 0, 3]), dilation: [2, 3], groups: 2, ..base };
    let [y, dx, dw, db] = run(all, [1, 5, 6, 4], [3, 2, 2, 6]);
    let row = [13, -37, 6, -21, 26, -4, -11, -12, -4, -22, 23, -2, 5, 22, -29, 8, -4, -9].map(|x: i16| f32::from(x));
    assert_eq!(y[..18], row);
    let column = [-3, 2, 0, -7, -3, -6, 3, -16, 7, 9, 5, -6, 15, -20, 15, 7, 6, -9].map(|x: i16| f32::from(x));
    assert_eq!(dw[..18], column);
    assert_eq!([y, dx, dw, db].map(|x| sums(&x)), [[-22, 290], [-52, -4030], [30, 2281], [-3, -7]]);

    let doubled = run(Conv2d::same(3).with_groups(2), [1, 4, 3, 2], [3, 3, 1, 4]);
    assert_eq!(doubled.map(|x| sums(&x)), [[-26, -456], [-34, -612], [29, 944], [-1, -8]]);

    let depthwise = Conv2d::new(3, 2, 0).with_padding(sides([0, 1, 1, 0])).with_groups(3);
    let depthwise = run(depthwise, [1, 5, 4, 3], [3, 3, 1, 3]);
    assert_eq!(depthwise.map(|x| sums(&x)), [[65, 442], [-10, -1067], [1, 1531], [1, 5]]);

    let wide = run(Conv2d::same(3).with_groups(40), [2, 9, 10, 40], [3, 3, 1, 40]);
    assert_eq!(wide.map(|x| sums(&x)), [[500, 1_383_695], [107, 1_304_400], [-83, -43_260], [-1, 42]]);

    let dense = run(base.with_padding(sides([0, 1, 1, 0])), [1, 4, 5, 2], [3, 2, 2, 3]);
    assert_eq!(dense.map(|x| sums(&x)), [[-12, -469], [28, 604], [35, 321], [-1, -1]]);
}

#[test]
fn groups_and_dilation_that_do_not_fit_are_refused() {
    let x: [&[u32]; 2] = [&[1, 4, 4, 8], &[3, 3, 2, 12]];
    let e = refusal(Conv2d::same(3).with_groups(3), &x);
    assert!(e.contains("divide the channels") && e.contains("3 groups for 8 and 12"), "{e}");
    let e = refusal(Conv2d::same(3).with_groups(0), &x);
    assert!(e.contains("0 groups"), "{e}");
    let e = refusal(Conv2d::same(3).with_groups(2), &x);
    assert!(e.contains("[3, 3, 4, c_out]") && e.contains("in 2 groups") && e.contains("got [3, 3, 2, 12]"), "{e}");
    let e = refusal(Conv2d::same(3).with_groups(4).with_dilation(0), &x);
    assert!(e.contains("dilation of at least 1") && e.contains("0x0"), "{e}");
    let uneven = Padding { top: 1, bottom: 0, left: 0, right: 2 };
    let e = refusal(Conv2d::new(3, 1, 0).with_padding(uneven).with_groups(4).with_dilation(3), &x);
    assert!(e.contains("at least 7x7") && e.contains("got 4x4 with padding 1+0x0+2"), "{e}");
    let e = refusal(Conv2d::new(7, 1, 1), &[&[1, 4, 9, 3], &[7, 7, 3, 8]]);
    assert!(e.contains("padding 1x1"), "{e}");
}

#[test]
fn a_table_of_layers_tells_of_dilation_and_groups() {
    assert_eq!(Conv2d::new(7, 2, 3).summary(), "7x7, 2");
    assert_eq!(Conv2d::same(3).with_dilation(2).with_groups(4).summary(), "3x3, 1, dilation 2x2, 4 groups");
}

/// The families that GPUs may take for a kernel of this case, in the order in which they would: those that round factors, or the
/// others.
fn families(case: Case, kernel: &str, round: bool) -> Vec<Family> {
    let plan = CasePlan::new(case).unwrap().plan;
    let step = plan.steps.iter().find(|step| step.kernel.name == kernel).unwrap();
    let variants = step.kernel.variants.iter().filter(|v| v.family != Family::Subgroup8 && v.family.is_half() == round);
    variants.filter(|v| v.suits(&step.params)).map(|v| v.family).collect()
}

#[test]
fn large_products_take_large_tiles_and_small_ones_take_tiles_that_are_enough_to_fill_a_gpu() {
    use Family::{Half32, Half64, Half128, Matrix64, Matrix128, Portable, Tiles32, Tiles64, Tiles128};
    let case = |size: u32, c_in: u32, c_out: u32| {
        let (x, w) = ([16, size, size, c_in], [3, 3, c_in, c_out]);
        Case::new(Conv2d::same(3), &[(&x[..], Values::Normal), (&w[..], Values::Normal)])
    };
    assert_eq!(families(case(56, 64, 192), "conv2d_nobias", false), [Tiles128, Tiles64, Tiles32, Portable]);
    // Half of each tile of 128 columns would lie beside the product.
    assert_eq!(families(case(56, 64, 64), "conv2d_nobias", false), [Tiles64, Tiles32, Portable]);
    assert_eq!(families(case(56, 64, 192), "conv2d_dx", false), [Tiles64, Tiles32, Portable]);
    assert_eq!(families(case(3, 192, 192), "conv2d_nobias", false), [Tiles32, Portable]);
    // Few weights, but their sums come in many parts.
    assert_eq!(families(case(56, 128, 128), "conv2d_dw", false), [Tiles64, Tiles32, Portable]);
    // So do those that round their factors; no gradient is rounded.
    let rounding = [Matrix128, Matrix64, Half128, Half64, Half32];
    assert_eq!(families(case(56, 64, 192), "conv2d_nobias", true), rounding);
    assert_eq!(families(case(3, 192, 192), "conv2d_nobias", true), [Half32]);
    for gradient in ["conv2d_dx", "conv2d_dw"] {
        assert_eq!(families(case(56, 64, 192), gradient, true), []);
    }
}
