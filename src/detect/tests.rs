use image::Rgb;

use super::area::View;
use super::pyramid::Level;
use super::suppress::{Overlap, suppress};
use super::*;
use crate::session::initial_weights;
use crate::weights::{Metadata, Origin};

/// A detector with weights that mean nothing.
fn detector() -> Detector {
    let mut tensors = Vec::new();
    for (at, (stage, model)) in STAGES.into_iter().enumerate() {
        let model = model().unwrap();
        // Metadata are for embedders; here they stand beside tensors that are taken out again.
        let zf64 = crate::net::find("zf64").unwrap().model().unwrap();
        let weights = initial_weights(&model, Metadata::of(&zf64).unwrap(), at as u64);
        tensors.extend(weights.tensors.into_iter().map(|(name, shape, data)| (format!("{stage}/{name}"), shape, data)));
    }
    Detector::new(&Engine::Cpu, &DetectorWeights::new(tensors, Origin::default()).unwrap()).unwrap()
}

fn picture(width: u32, height: u32) -> RgbImage {
    let byte = |x: u32, y: u32, c: u32| u8::try_from((x * 7 + y * 13 + x * y % 11 + c * 50) % 256).unwrap();
    RgbImage::from_fn(width, height, |x, y| Rgb([byte(x, y, 0), byte(x, y, 1), byte(x, y, 2)]))
}

#[test]
fn area_resampling_takes_the_mean_of_whole_pixels() {
    let image = picture(37, 23);
    let (columns, rows) = (5..36, 2..23);
    let view = View::part(&image, columns.clone(), rows.clone());
    // Smaller, larger, and as large.
    for [high, wide] in [[7, 9], [12, 31], [21, 31], [40, 5]] {
        let mut out = vec![0.0; (high * wide * 3) as usize];
        view.resample([high, wide], 0..high, 0..wide, &mut out);
        for (at, out) in (0..).zip(out.as_chunks::<3>().0) {
            let span = |i: u32, from: u32, of: u32| (i * from / of)..((i + 1) * from).div_ceil(of);
            let (down, across) = (span(at / wide, 21, high), span(at % wide, 31, wide));
            for (c, &out) in out.iter().enumerate() {
                let pixels = down.clone().flat_map(|y| across.clone().map(move |x| (x, y)));
                let values: Vec<f64> = pixels.map(|(x, y)| f64::from(image.get_pixel(5 + x, 2 + y).0[c])).collect();
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                assert!((f64::from(out) - (mean - 127.5) / 128.0).abs() < 1e-6, "{high}x{wide} {at}");
            }
        }
        // A part of it is the same as in the whole.
        let mut part = vec![0.0; 2 * 3 * 3];
        view.resample([high, wide], 3..5, 1..4, &mut part);
        assert_eq!(part[9..], out[((4 * wide + 1) * 3) as usize..][..9]);
    }
}

#[test]
fn of_windows_that_overlap_too_much_the_better_one_stays() {
    let bounds = [[0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 11.0, 10.0], [20.0, 0.0, 30.0, 10.0], [2.0, 2.0, 6.0, 6.0]];
    let scores = [0.8, 0.9, 0.7, 0.95];
    // The small one lies in the others, and is little of them together.
    assert_eq!(suppress(&bounds, &scores, 0.5, Overlap::Union), [3, 1, 2]);
    assert_eq!(suppress(&bounds, &scores, 0.5, Overlap::Smaller), [3, 2]);
    assert_eq!(suppress(&bounds, &scores, 0.9, Overlap::Union), [3, 1, 0, 2]);
    // An overlap of just as much is not too much: 9 of 11 columns.
    assert_eq!(suppress(&bounds[..2], &scores[..2], 90.0 / 110.0, Overlap::Union), [1, 0]);
    assert_eq!(suppress(&bounds[..2], &[0.5, 0.5], 0.5, Overlap::Union), [0], "of equal ones the first");
    assert!(suppress(&[], &[], 0.5, Overlap::Union).is_empty());
    assert_eq!(suppress(&[[f32::NAN; 4]; 2], &[f32::NAN, 0.5], 0.5, Overlap::Union).len(), 2);
}

#[test]
fn the_grid_of_windows_forgets_none() {
    let mut state = 1_u32;
    let mut random = |below: f32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 * below
    };
    let bounds: Vec<[f32; 4]> = (0..1500)
        .map(|_| {
            let (left, top, side) = (random(300.0) - 50.0, random(300.0) - 50.0, 2.0_f32.powf(random(8.0)));
            [left, top, left + side * (0.8 + random(0.4)), top + side]
        })
        .collect();
    let scores: Vec<f32> = bounds.iter().map(|_| random(1.0)).collect();
    for most in [0.5, 0.7] {
        let mut order: Vec<usize> = (0..bounds.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let area = |b: [f32; 4]| (b[2] - b[0]) * (b[3] - b[1]);
        let shared = |a: [f32; 4], b: [f32; 4]| {
            (a[2].min(b[2]) - a[0].max(b[0])).max(0.0) * (a[3].min(b[3]) - a[1].max(b[1])).max(0.0)
        };
        let mut stay: Vec<usize> = Vec::new();
        for at in order {
            let over = |&other: &usize| {
                let shared = shared(bounds[at], bounds[other]);
                shared / (area(bounds[at]) + area(bounds[other]) - shared) > most
            };
            if !stay.iter().any(over) {
                stay.push(at);
            }
        }
        assert!((100..1490).contains(&stay.len()), "{}", stay.len());
        assert_eq!(suppress(&bounds, &scores, most, Overlap::Union), stay);
    }
}

#[test]
fn a_level_in_tiles_gives_the_windows_of_the_whole_level() {
    let image = picture(300, 283);
    let mut detector = detector();
    let level = Level::new(283, 300, 1.0);
    assert!(level.tiles.iter().all(|axis| axis.starts.len() > 1), "{level:?}");
    let mut windows = |level: &Level| {
        let mut found =
            proposals::propose(&mut detector.stages[0], std::slice::from_ref(level), &[&image], 0.6).unwrap();
        found.pop().unwrap()
    };
    let whole = windows(&Level { tiles: level.size.map(pyramid::whole), ..level.clone() });
    let tiled = windows(&level);
    assert!(whole.len() > 20, "{}", whole.len());
    assert_eq!(whole.len(), tiled.len());
    for (a, b) in whole.iter().zip(&tiled) {
        assert!((a.score - b.score).abs() < 1e-5 && a.bounds.iter().zip(b.bounds).all(|(a, b)| (a - b).abs() < 1e-2));
    }
}

#[test]
fn the_memory_of_a_large_pyramid_is_bounded() {
    let mut detector = detector();
    let pyramid = detector.settings.pyramid(900, 1500);
    // No window passes.
    proposals::propose(&mut detector.stages[0], &pyramid, &[&picture(1500, 900)], 2.0).unwrap();
    assert!(detector.stages[0].plan_bytes() <= 96 << 20, "{}", detector.stages[0].plan_bytes());
}

#[test]
fn images_without_room_for_a_face_have_none_and_none_is_too_odd() {
    let mut detector = detector();
    for (width, height) in [(1, 1), (19, 400), (400, 19), (20, 20), (21, 3000), (3000, 21)] {
        detector.detect(&picture(width, height)).unwrap();
    }
    assert!(detector.detect(&RgbImage::new(0, 0)).unwrap().is_empty());
}
