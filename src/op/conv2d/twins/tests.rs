//! The tiles against plain loops in `f64`, for every instruction set of this processor.

use super::product::End;
use super::*;
use crate::cpu::tile::Tiles;
use crate::op::conv2d::GroupedParams;

/// Kernel, stride, padding, input, channels of the output, parts.
type Case = ([u32; 2], u32, [u32; 2], [u32; 4], u32, u32);

const CASES: [Case; 22] = [
    ([1, 1], 1, [0, 0], [1, 1, 1, 1], 1, 1),
    ([3, 3], 1, [1, 1], [2, 7, 5, 3], 7, 3),
    ([3, 3], 1, [1, 1], [1, 29, 31, 17], 33, 2),
    ([5, 5], 1, [2, 2], [2, 5, 6, 3], 64, 1),
    ([7, 7], 2, [3, 3], [3, 19, 15, 3], 65, 4),
    ([3, 3], 2, [1, 1], [2, 8, 7, 5], 48, 1),
    ([3, 3], 2, [0, 0], [3, 9, 10, 8], 31, 2),
    ([1, 1], 2, [0, 0], [2, 7, 8, 33], 8, 1),
    ([1, 1], 1, [0, 0], [3, 19, 15, 33], 96, 5),
    ([1, 1], 3, [1, 1], [2, 7, 5, 8], 1, 1),
    ([2, 2], 3, [3, 3], [1, 5, 8, 2], 3, 1),
    ([1, 7], 1, [0, 3], [2, 3, 13, 5], 7, 1),
    ([7, 1], 1, [3, 0], [1, 10, 3, 8], 32, 1),
    ([5, 5], 1, [0, 0], [1, 5, 5, 7], 16, 1),
    ([4, 2], 5, [2, 5], [2, 11, 9, 2], 40, 1),
    ([1, 1], 1, [0, 0], [65, 1, 1, 260], 37, 1),
    ([3, 3], 1, [0, 0], [2, 13, 11, 19], 37, 1),
    ([3, 3], 1, [2, 1], [3, 3, 2, 16], 32, 1),
    ([5, 5], 1, [1, 2], [2, 9, 12, 21], 48, 1),
    ([1, 7], 1, [0, 3], [2, 5, 8, 33], 70, 1),
    ([7, 1], 1, [2, 0], [2, 10, 3, 16], 20, 1),
    // Few pixels: threads share the columns.
    ([3, 3], 1, [1, 1], [1, 3, 3, 40], 300, 1),
];

/// Numbers without a pattern, between -1 and 1.
fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let hash = |i: u32| (i ^ seed).wrapping_mul(2_654_435_761) >> 16;
    (0..u32::try_from(len).unwrap()).map(|i| hash(i.wrapping_mul(747_796_405)) as f32 / 32768.0 - 1.0).collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

fn expect_close<T: Copy + Into<f64>>(what: &str, got: &[T], want: &[f64]) {
    let largest = want.iter().fold(1.0f64, |a, b| a.max(b.abs()));
    for (i, (&got, want)) in got.iter().zip(want).enumerate() {
        let got: f64 = got.into();
        let error = (got - want).abs() / largest;
        // Transforms of ten pixels round two to three times as much as those of six.
        let most = if what.contains("1x7") || what.contains("7x1") { 1e-5 } else { 3e-6 };
        assert!(error < most, "{what}: element {i} is {got}, not {want}");
    }
}

fn sum_of_parts(parts: &[f64], len: usize) -> Vec<f64> {
    (0..len).map(|i| parts.iter().skip(i).step_by(len).sum()).collect()
}

fn params(&(kernel, stride, pad, x, c_out, splits): &Case) -> Conv2dParams {
    let out = |size: u32, k: u32, pad: u32| (size + 2 * pad - k) / stride + 1;
    Conv2dParams {
        n: x[0],
        h_in: x[1],
        w_in: x[2],
        c_in: x[3],
        h_out: out(x[1], kernel[0], pad[0]),
        w_out: out(x[2], kernel[1], pad[1]),
        c_out,
        k_h: kernel[0],
        k_w: kernel[1],
        stride,
        pad_top: pad[0],
        pad_left: pad[1],
        splits,
    }
}

#[test]
fn tiles_of_every_instruction_set_agree_with_plain_loops() {
    for (tiles, case) in Tiles::all().iter().flat_map(|t| CASES.iter().map(move |c| (t, c))) {
        let p = params(case);
        let what = |name: &str| format!("{name} on {} of {case:?}", tiles.name);
        let pixels = (p.n * p.h_out * p.w_out) as usize;
        let taps = (p.k_h * p.k_w * p.c_in * p.c_out) as usize;
        let x = numbers((p.n * p.h_in * p.w_in * p.c_in) as usize, 1);
        let (w, b, dy) = (numbers(taps, 2), numbers(p.c_out as usize, 3), numbers(pixels * p.c_out as usize, 4));
        for (relu, bias) in [(false, true), (true, true), (true, false)] {
            let mut want = vec![f64::NAN; dy.len()];
            direct::forward(
                &p,
                direct::End { relu, add: None },
                &wide(&x),
                &wide(&w),
                bias.then_some(&wide(&b)),
                &mut want,
            );
            let end = End { bias: bias.then_some(&b), relu, ..End::default() };
            for method in Method::of(&forward_sizes(&p)) {
                let kept = Kept::default();
                for kept in [None, Some(&kept), Some(&kept)] {
                    let mut got = vec![f32::NAN; dy.len()];
                    forward_by(tiles, method, &p, end, &x, (&w, kept), &mut got);
                    expect_close(&what(method.name()), &got, &want);
                }
            }
        }
        for relu in [false, true] {
            let old = numbers(dy.len(), 6);
            let mut want = wide(&old);
            direct::forward(&p, direct::End { relu, add: Some(0.3) }, &wide(&x), &wide(&w), Some(&wide(&b)), &mut want);
            for method in Method::of(&forward_sizes(&p)) {
                let mut got = old.clone();
                let end = End { bias: Some(&b), accumulate: true, scale: 0.3, relu };
                forward_by(tiles, method, &p, end, &x, (&w, None), &mut got);
                expect_close(&what(&format!("sum, {}", method.name())), &got, &want);
            }
        }
        for accumulate in [false, true] {
            let fill = |len: usize| if accumulate { numbers(len, 5) } else { vec![f32::NAN; len] };
            let mut flipped = vec![f32::NAN; taps];
            flip(&p, &w, &mut flipped);
            for method in Method::ALL.into_iter().filter(|&method| suits_dx(method, &p)) {
                let mut got = fill(x.len());
                let mut want = wide(&got);
                dx_by(tiles, method, &p, accumulate, &dy, &flipped, &mut got);
                direct::dx(&p, accumulate, &wide(&dy), &wide(&flipped), &mut want);
                expect_close(&what(&format!("dx, {}", method.name())), &got, &want);
            }

            let mut got = fill(taps * p.splits as usize);
            let mut want = wide(&got);
            dw::dw(tiles, &p, accumulate, &x, &dy, &mut got);
            direct::dw(&p, accumulate, &wide(&x), &wide(&dy), &mut want);
            expect_close(&what("dw"), &got, &want);
            if let Some(scheme) = winograd_dw::of(&forward_sizes(&p)) {
                got = fill(got.len());
                winograd_dw::dw(scheme, tiles, &p, accumulate, &x, &dy, &mut got);
                // Its parts are of tiles.
                let (got, want) = (sum_of_parts(&wide(&got), taps), sum_of_parts(&want, taps));
                expect_close(&what(&format!("dw in tiles, {}", scheme.name)), &got, &want);
            }
        }
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let p = params(&([3, 3], 1, [1, 1], [3, 20, 20, 40], 72, 2));
    let x = numbers((p.n * p.h_in * p.w_in * p.c_in) as usize, 1);
    let (w, dy) = (numbers((9 * p.c_in * p.c_out) as usize, 2), numbers((p.n * 400 * p.c_out) as usize, 4));
    let run = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let (mut y, mut part) = (vec![0.0f32; dy.len()], vec![0.0f32; 2 * w.len()]);
            forward(forward_method(&p), &p, End { relu: true, ..End::default() }, &x, (&w, None), &mut y);
            dw(dw_method(&p), &p, false, &x, &dy, &mut part);
            (y, part)
        })
    };
    let one = run(1);
    assert!((2..6).all(|threads| run(threads) == one));
}

#[test]
fn a_nan_passes_the_fused_relu() {
    let p = params(&([1, 1], 1, [0, 0], [1, 3, 1, 1], 1, 1));
    for tiles in Tiles::all() {
        let mut y = [0.0; 3];
        let end = End { relu: true, ..End::default() };
        fast::forward(&tiles, &p, end, &[-1.0, f32::NAN, 2.0], Weights::Plain(&[1.0], 1), &mut y);
        assert!(y[0] == 0.0 && y[1].is_nan() && y[2] == 2.0, "{}: {y:?}", tiles.name);
    }
}

/// Kernel, stride, padding above and left, dilation, groups, input, channels of the output, parts.
type GroupedCase = ([u32; 2], u32, [u32; 2], [u32; 2], u32, [u32; 4], u32, u32);

const GROUPED: [GroupedCase; 12] = [
    ([3, 3], 1, [1, 1], [1, 1], 37, [2, 9, 11, 37], 37, 3),
    ([3, 3], 1, [1, 1], [1, 1], 48, [1, 5, 14, 48], 48, 1),
    ([3, 3], 2, [1, 0], [1, 1], 33, [2, 8, 9, 33], 33, 2),
    ([5, 5], 1, [2, 2], [1, 1], 16, [1, 7, 6, 16], 16, 1),
    ([3, 3], 1, [2, 2], [2, 2], 8, [2, 7, 9, 8], 8, 4),
    ([2, 3], 3, [3, 3], [2, 1], 5, [1, 8, 7, 5], 5, 1),
    ([3, 6], 2, [0, 4], [1, 2], 70, [1, 6, 12, 70], 70, 2),
    ([3, 3], 1, [1, 1], [1, 1], 2, [2, 7, 5, 6], 10, 3),
    ([3, 3], 2, [2, 0], [1, 1], 3, [1, 9, 8, 51], 99, 2),
    ([3, 3], 1, [2, 2], [2, 2], 1, [2, 9, 7, 3], 33, 2),
    ([2, 2], 2, [1, 3], [3, 2], 4, [1, 9, 8, 8], 4, 1),
    ([1, 1], 2, [0, 0], [1, 1], 8, [3, 15, 16, 32], 16, 1),
];

#[test]
fn tiles_of_every_instruction_set_agree_with_plain_loops_in_groups() {
    for (tiles, case) in Tiles::all().iter().flat_map(|t| GROUPED.iter().map(move |c| (t, c))) {
        let &(kernel, stride, pad, dilation, groups, x, c_out, splits) = case;
        let reach = |i: usize| (kernel[i] - 1) * dilation[i] + 1;
        // One row and two columns of zeros more at the end than at the beginning.
        let out = |i: usize| (x[1 + i] + 2 * pad[i] + 1 + u32::from(i == 1) - reach(i)) / stride + 1;
        let p = Conv2dParams { c_out, splits, h_out: out(0), w_out: out(1), ..params(&(kernel, 1, [9, 9], x, 1, 1)) };
        let p = Conv2dParams { stride, pad_top: pad[0], pad_left: pad[1], ..p };
        let p = GroupedParams::new(p, dilation, groups);
        let what = |name: &str| format!("{name} on {} of {case:?}", tiles.name);
        let pixels = (p.n * p.h_out * p.w_out) as usize;
        let taps = (p.k_h * p.k_w * (p.c_in / groups) * c_out) as usize;
        let x = numbers((p.n * p.h_in * p.w_in * p.c_in) as usize, 1);
        let (w, b, dy) = (numbers(taps, 2), numbers(c_out as usize, 3), numbers(pixels * c_out as usize, 4));
        let depthwise = groups == p.c_in && groups == c_out;
        for (relu, bias) in [(false, true), (true, true), (true, false)] {
            let mut got = vec![f32::NAN; dy.len()];
            let bias = bias.then_some(&b[..]);
            if depthwise {
                let end = End { bias, relu, ..End::default() };
                depthwise::product(tiles, &depthwise::Direction::forward(&p), end, &x, &w, &mut got);
            } else {
                let end = End { bias, relu, ..End::default() };
                grouped::fast_forward(tiles, &p, end, &x, &w, &mut got);
            }
            let mut want = vec![f64::NAN; dy.len()];
            plain::forward(&p, relu, &wide(&x), &wide(&w), bias.map(wide).as_deref(), &mut want);
            expect_close(&what("forward"), &got, &want);
        }
        for accumulate in [false, true] {
            let fill = |len: usize| if accumulate { numbers(len, 5) } else { vec![f32::NAN; len] };
            let mut got = fill(x.len());
            let mut want = wide(&got);
            if depthwise {
                let end = End { accumulate, ..End::default() };
                depthwise::product(tiles, &depthwise::Direction::backward(&p), end, &dy, &w, &mut got);
            } else {
                grouped::fast_dx(tiles, &p, accumulate, &dy, &w, &mut got);
            }
            plain::dx(&p, accumulate, &wide(&dy), &wide(&w), &mut want);
            expect_close(&what("dx"), &got, &want);

            let mut got = fill(taps * splits as usize);
            let mut want = wide(&got);
            if depthwise {
                depthwise::parts(tiles, &p, accumulate, &x, &dy, &mut got);
            } else {
                grouped::fast_dw(tiles, &p, accumulate, &x, &dy, &mut got);
            }
            plain::dw(&p, accumulate, &wide(&x), &wide(&dy), &mut want);
            expect_close(&what("dw"), &got, &want);
        }
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit_in_groups() {
    for (groups, c) in [(40, 40), (2, 12)] {
        let p = params(&([3, 3], 1, [1, 1], [3, 20, 20, c], c, 2));
        let p = GroupedParams::new(p, [1, 1], groups);
        let len = (p.n * 400 * c) as usize;
        let (x, dy, w) = (numbers(len, 1), numbers(len, 4), numbers((9 * c / groups * c) as usize, 2));
        let run = |threads: usize| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                let (mut y, mut part) = (vec![0.0f32; len], vec![0.0f32; 2 * w.len()]);
                if groups == c {
                    depthwise::forward(&p, true, &x, &w, None, &mut y);
                    depthwise::dw(&p, false, &x, &dy, &mut part);
                } else {
                    grouped::forward(&p, true, &x, &w, None, &mut y);
                    grouped::dw(&p, false, &x, &dy, &mut part);
                }
                (y, part)
            })
        };
        let one = run(1);
        assert!((2..6).all(|threads| run(threads) == one));
    }
}

#[test]
fn a_nan_passes_the_fused_relu_of_a_depthwise_convolution() {
    // Lanes of a vector and what is left of one are two loops.
    let p = params(&([1, 1], 1, [0, 0], [1, 3, 1, 17], 17, 1));
    let p = GroupedParams::new(p, [1, 1], 17);
    let x: Vec<f32> = [-1.0, f32::NAN, 2.0].iter().flat_map(|&x| [x; 17]).collect();
    for tiles in Tiles::all() {
        let mut y = vec![7.0; x.len()];
        let end = End { relu: true, ..End::default() };
        depthwise::product(&tiles, &depthwise::Direction::forward(&p), end, &x, &[1.0; 17], &mut y);
        assert!(y[..17].iter().all(|&y| y == 0.0) && y[34..].iter().all(|&y| y == 2.0), "{}: {y:?}", tiles.name);
        assert!(y[17..34].iter().all(|y| y.is_nan()), "{}: {y:?}", tiles.name);
    }
}
