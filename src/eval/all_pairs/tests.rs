//! Tests of all pairs against pairs that are listed one by one.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::eval::quantise::unit;
use crate::eval::rates::val_at_far;
use crate::eval::verification::squared_distance;

/// Rows of so many people, whose images lie around a place of their own.
fn made(images: usize, people: usize, dim: usize) -> (Vec<f32>, Vec<usize>) {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut near = |place: &[f32], spread: f32| -> Vec<f32> {
        unit(place.iter().map(|x| x + spread * rng.random_range(-1.0..1.0)).collect())
    };
    let places: Vec<Vec<f32>> = (0..people).map(|_| near(&vec![0.0; dim], 1.0)).collect();
    let owners: Vec<usize> = (0..images).map(|image| image * 7 % people).collect();
    let rows = owners.iter().flat_map(|&person| near(&places[person], 0.3)).collect();
    (rows, owners)
}

#[test]
fn every_pair_is_counted_once_and_rates_are_those_of_listed_pairs() {
    // More than one block in either direction, the last ones not full.
    let (dim, images) = (16, 700);
    let (rows, people) = made(images, 60, dim);
    let found = all_pairs(&rows, dim, &people).unwrap();
    let row = |image: usize| &rows[image * dim..][..dim];
    let pairs = (0..images).flat_map(|a| (a + 1..images).map(move |b| (a, b)));
    let listed: Vec<(f32, bool)> =
        pairs.map(|(a, b)| (squared_distance(row(a), row(b)), people[a] == people[b])).collect();
    let same = listed.iter().filter(|pair| pair.1).count() as u64;
    assert_eq!(found.pairs(), (same, listed.len() as u64 - same));
    let (roc, exact) = (found.roc(), Roc::new(&listed).unwrap());
    assert!((roc.auc() - exact.auc()).abs() < 1e-5, "{} {}", roc.auc(), exact.auc());
    assert!((roc.equal_error_rate() - exact.equal_error_rate()).abs() < 1e-4);
    for wanted in [1e-1, 1e-2, 1e-3, 1e-4, 1e-5] {
        let (at, exact) = (found.val_at_far(wanted).unwrap(), val_at_far(&listed, wanted).unwrap().unwrap());
        // At its own threshold the counts are exact, but for a pair within the rounding of a distance.
        let below = |kind: bool| listed.iter().filter(|p| p.1 == kind && p.0 <= at.threshold).count();
        assert!(below(false).abs_diff(at.false_accepts) <= 1, "{at:?}");
        assert!((at.val - below(true) as f64 / same as f64).abs() <= 1.0 / same as f64 + 1e-12, "{at:?}");
        assert!(at.far <= wanted && (at.val - exact.val).abs() < 1e-3, "{at:?} {exact:?}");
    }
    assert_eq!(found.val_at_far(1e-6), None, "so rare a mistake cannot be seen in so few pairs");
    for kind in [true, false] {
        assert!((found.histogram(kind, 50).iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }
}

#[test]
fn equal_and_opposite_rows_lie_at_the_ends_and_people_may_come_in_any_order() {
    let rows = [1.0, 0.0, -1.0, 0.0, 1.0, 0.0];
    let found = all_pairs(&rows, 2, &[5, 9, 5]).unwrap();
    assert_eq!(found.pairs(), (1, 2));
    assert_eq!((found.same[0], found.different[STEPS - 1]), (1, 2));
    assert_eq!(found.roc().auc(), 1.0);
}

#[test]
fn one_person_single_images_wrong_lengths_and_nan_are_refused() {
    let refused = |rows: &[f32], people: &[usize]| all_pairs(rows, 2, people).unwrap_err().to_string();
    assert!(refused(&[1.0, 0.0, 0.0, 1.0], &[0, 0]).contains("1 pairs of one person and 0 of different people"));
    assert!(refused(&[1.0, 0.0, 0.0, 1.0], &[0, 1]).contains("0 pairs of one person and 1"));
    assert!(refused(&[1.0, 0.0], &[0, 1]).contains("expected 2 rows of 2 dimensions, got 2"));
    assert!(refused(&[f32::NAN; 4], &[0, 1]).contains("NaN"));
    assert!(refused(&[], &[]).contains("0 images"));
}

#[test]
fn certainty_is_that_of_the_pairs_one_by_one() {
    let (dim, images) = (8, 200);
    let (rows, people) = made(images, 10, dim);
    let found = all_pairs(&rows, dim, &people).unwrap();
    let at = [0.05, 0.3].map(|wanted| found.val_at_far(wanted).unwrap());
    let certain = certainty(&rows, dim, &people, &at).unwrap();
    let row = |image: usize| &rows[image * dim..][..dim];
    for (at, certain) in at.iter().zip(&certain) {
        let of = |same: bool| {
            let pairs = (0..images).flat_map(|a| (a + 1..images).map(move |b| (a, b)));
            let pairs = pairs.filter(|&(a, b)| (people[a] == people[b]) == same);
            let judged = pairs.map(|(a, b)| ([people[a], people[b]], squared_distance(row(a), row(b)) <= at.threshold));
            crate::eval::interval::effective_pairs(&judged.collect::<Vec<_>>())
        };
        // A pair within the rounding of a distance may fall on the other side of the threshold.
        for (got, expected) in [(certain.same, of(true)), (certain.different, of(false))] {
            assert!((got / expected - 1.0).abs() < 1e-2, "{got} {expected}");
        }
        assert!(certain.far[0] < at.far && at.far < certain.far[1], "{certain:?}");
        assert!(certain.same < found.pairs().0 as f64, "few people tell less than their pairs");
    }
}

#[test]
fn thresholds_accept_what_is_as_far_as_they_are() {
    // One person at 0 and 2, different people at 2 and at 4.
    let rows = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, -1.0, 0.0];
    let found = all_pairs(&rows, 2, &[0, 0, 0, 1]).unwrap();
    assert_eq!(found.pairs(), (3, 3));
    let at = found.val_at_far(0.4).unwrap();
    assert_eq!((at.false_accepts, at.far, at.val), (1, 1.0 / 3.0, 1.0));
    assert!(at.threshold >= 2.0 && at.threshold < 4.0, "{at:?}");
    let curve: Vec<_> = found.curve().map(|at| (at.threshold, at.false_accepts)).collect();
    assert_eq!(curve, [(0.0, 0), (2.0, 1), (4.0, 3)]);
}

#[test]
fn rows_that_are_longer_than_one_have_thresholds_of_their_own_scale() {
    let (dim, images) = (16, 120);
    let (rows, people) = made(images, 12, dim);
    let twice: Vec<f32> = rows.iter().map(|x| 2.0 * x).collect();
    let (found, long) = (all_pairs(&rows, dim, &people).unwrap(), all_pairs(&twice, dim, &people).unwrap());
    assert_eq!((found.largest(), long.largest()), (4.0, 16.0));
    assert_eq!(found.histogram(true, 8), long.histogram(true, 8));
    for wanted in [1e-1, 1e-2, 1e-3] {
        let (at, far) = (found.val_at_far(wanted).unwrap(), long.val_at_far(wanted).unwrap());
        assert_eq!(far, AtFar { threshold: 4.0 * at.threshold, ..at });
        let certain = |rows: &[f32], at| certainty(rows, dim, &people, &[at]).unwrap();
        assert_eq!(certain(&rows, at), certain(&twice, far));
    }
}

#[test]
#[ignore = "a measurement"]
fn as_many_as_lfw_take_seconds() {
    let (rows, people) = made(13_233, 5_749, 128);
    let begin = std::time::Instant::now();
    let found = all_pairs(&rows, 128, &people).unwrap();
    let counted = begin.elapsed();
    let roc = found.roc();
    println!("{counted:?}, with ROC of {} points, area {:.4}: {:?}", roc.points.len(), roc.auc(), begin.elapsed());
}
