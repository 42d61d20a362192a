//! Cases of conv2d for tests and benches.

use super::{Conv2d, Padding};
use crate::op::{Case, Values};

/// A case from the op, the sizes of its images, the channels of its output, and whether it has a bias.
fn case(op: Conv2d, x: [u32; 4], c_out: u32, bias: bool) -> Case {
    let w = [op.kernel[0], op.kernel[1], x[3] / op.groups, c_out];
    let inputs = [(&x[..], Values::Normal), (&w, Values::Normal), (&[c_out], Values::Normal)];
    Case::new(op, &inputs[..if bias { 3 } else { 2 }])
}

/// Zeros above, below, left and right.
fn sides([top, bottom, left, right]: [u32; 4]) -> Padding {
    Padding { top, bottom, left, right }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(Conv2d::new(1, 1, 0), [1, 1, 1, 1], 1, true),
        case(Conv2d::same(3), [2, 7, 5, 3], 7, true),
        case(Conv2d::same(3).with_relu(), [1, 9, 11, 17], 32, true),
        case(Conv2d::same(5), [2, 5, 6, 3], 33, false),
        case(Conv2d::new(7, 2, 3).with_relu(), [1, 19, 15, 3], 65, true),
        case(Conv2d::new(3, 2, 1), [2, 8, 7, 5], 7, false),
        case(Conv2d::new(3, 2, 0), [3, 9, 10, 8], 33, true),
        case(Conv2d::new(1, 2, 0), [1, 7, 8, 33], 8, true),
        case(Conv2d::new(1, 1, 0).with_relu(), [3, 9, 5, 33], 65, false),
        case(Conv2d::new(1, 3, 1), [2, 7, 5, 8], 1, true),
        case(Conv2d::new(2, 3, 3), [1, 5, 8, 2], 3, true),
        case(Conv2d::same(3), [1, 2, 55, 8], 32, true),
        case(Conv2d::rectangular([1, 7], 1, [0, 3]), [2, 3, 13, 5], 7, true),
        case(Conv2d::rectangular([7, 1], 1, [3, 0]).with_relu(), [1, 10, 3, 8], 32, true),
        case(Conv2d::rectangular([3, 1], 2, [0, 1]), [1, 11, 9, 1], 65, false),
        case(Conv2d::rectangular([1, 3], 1, [0, 1]), [3, 3, 3, 12], 8, false),
        case(Conv2d::rectangular([3, 1], 1, [1, 0]).with_relu(), [2, 5, 3, 12], 9, true),
        case(Conv2d::new(5, 1, 0), [1, 5, 5, 7], 31, true),
        case(Conv2d::new(3, 2, 1).with_relu(), [2, 9, 8, 8], 36, true),
        // Enough pixels to split the sums of the gradients of weights and bias.
        case(Conv2d::same(3), [3, 17, 19, 3], 9, true),
        case(Conv2d::same(3), [2, 17, 16, 4], 12, false),
        // Padding that differs from side to side, as TensorFlow's SAME has it with a stride.
        case(Conv2d::new(3, 2, 0).with_padding(sides([0, 1, 0, 1])), [2, 8, 6, 3], 5, true),
        case(Conv2d::new(2, 1, 0).with_padding(sides([1, 0, 0, 2])).with_relu(), [1, 5, 4, 4], 8, true),
        case(Conv2d::new(5, 3, 0).with_padding(sides([4, 0, 1, 3])), [2, 7, 9, 2], 3, false),
        // Dilation: with padding, with a stride that shares a divisor with it and one that does not, one way only.
        case(Conv2d::new(3, 1, 2).with_dilation(2), [2, 9, 7, 3], 8, true),
        case(Conv2d::new(3, 2, 1).with_dilation(3).with_relu(), [1, 13, 11, 5], 7, true),
        case(Conv2d::new(3, 2, 2).with_dilation(2), [2, 8, 9, 4], 36, false),
        case(Conv2d { dilation: [1, 3], ..Conv2d::rectangular([3, 2], 1, [1, 0]) }, [2, 5, 9, 3], 4, true),
        case(Conv2d::same(1).with_dilation(5), [1, 4, 3, 3], 5, true),
        // Groups: of any number of channels and of fours, with padding and stride, with dilation.
        case(Conv2d::same(3).with_groups(2), [2, 7, 5, 6], 10, true),
        case(Conv2d::new(3, 2, 1).with_groups(3).with_relu(), [1, 9, 8, 9], 12, true),
        case(Conv2d::new(1, 2, 0).with_groups(4), [2, 6, 5, 12], 80, false),
        case(Conv2d::new(3, 1, 0).with_padding(sides([2, 0, 1, 3])).with_groups(2), [1, 6, 7, 34], 38, true),
        case(Conv2d::new(2, 2, 1).with_dilation(3).with_groups(2).with_relu(), [2, 9, 8, 8], 8, true),
        case(Conv2d::same(3).with_groups(2), [3, 17, 19, 4], 6, true),
        // Depthwise: of any number of channels and of fours, with stride, dilation and windows in the padding alone.
        case(Conv2d::same(3).with_groups(5), [2, 7, 5, 5], 5, true),
        case(Conv2d::same(3).with_groups(72).with_relu(), [1, 6, 9, 72], 72, true),
        case(Conv2d::new(3, 2, 1).with_groups(8), [2, 9, 8, 8], 8, false),
        case(
            Conv2d::new(5, 3, 0).with_padding(sides([4, 1, 2, 5])).with_dilation(2).with_groups(20),
            [1, 11, 10, 20],
            20,
            true,
        ),
        case(Conv2d::new(2, 3, 3).with_groups(3), [1, 5, 8, 3], 3, true),
        case(Conv2d::rectangular([1, 3], 2, [0, 2]).with_groups(4), [2, 3, 11, 4], 4, false),
        case(Conv2d::same(3).with_groups(12), [2, 17, 16, 12], 12, true),
        // Depthwise with several channels of output for each of input.
        case(Conv2d::same(3).with_groups(4), [2, 5, 6, 4], 8, true),
        case(Conv2d::new(3, 2, 1).with_groups(3).with_relu(), [1, 8, 7, 3], 12, false),
    ]
}

pub(super) fn bench_cases() -> Vec<Case> {
    vec![
        case(Conv2d::same(3).with_relu(), [16, 28, 28, 96], 128, true),
        case(Conv2d::same(3).with_relu(), [16, 56, 56, 64], 192, true),
        case(Conv2d::same(1).with_relu(), [16, 28, 28, 192], 96, true),
        case(Conv2d::same(1).with_relu(), [16, 14, 14, 256], 96, true),
        case(Conv2d::new(7, 2, 3).with_relu(), [32, 96, 96, 3], 64, true),
        case(Conv2d::rectangular([1, 7], 1, [0, 3]), [16, 8, 8, 128], 128, false),
        case(Conv2d::rectangular([7, 1], 1, [3, 0]), [16, 8, 8, 128], 128, false),
        case(Conv2d::rectangular([1, 3], 1, [0, 1]), [16, 3, 3, 192], 192, false),
        case(Conv2d::rectangular([3, 1], 1, [1, 0]), [16, 3, 3, 192], 192, false),
        case(Conv2d::new(3, 2, 0), [16, 17, 17, 256], 384, false),
        case(Conv2d::new(5, 2, 2).with_relu(), [60, 64, 64, 3], 32, true),
        case(Conv2d::same(3).with_relu(), [60, 16, 16, 32], 64, true),
        case(Conv2d::same(3).with_relu(), [60, 8, 8, 64], 128, true),
        case(Conv2d::same(3).with_relu(), [60, 4, 4, 128], 128, true),
        case(Conv2d::same(3).with_groups(256), [16, 28, 28, 256], 256, true),
        case(Conv2d::same(3).with_groups(64), [1, 112, 112, 64], 64, true),
        case(Conv2d::same(3).with_groups(4), [16, 28, 28, 96], 128, true),
        case(Conv2d::new(3, 1, 2).with_dilation(2), [16, 28, 28, 96], 128, true).called("dilation 2"),
    ]
}
