//! Tests of pairs, thresholds and accuracy.

use std::collections::HashSet;

use super::*;
use crate::data::testing::flat_faces;

/// Pairs with their distances; the image indices do not matter.
fn scored(list: &[(f32, bool)]) -> (Vec<Pair>, Vec<f32>) {
    let pair = |(a, &(_, same)): (usize, &(f32, bool))| Pair { a, b: a + 1, same };
    (list.iter().enumerate().map(pair).collect(), list.iter().map(|&(distance, _)| distance).collect())
}

fn owner(people: &[Vec<usize>], image: usize) -> usize {
    people.iter().position(|faces| faces.contains(&image)).unwrap()
}

#[test]
fn all_pairs_are_found_once_with_the_right_label() {
    let people = [vec![3, 4, 5], vec![7], vec![], vec![10, 11], vec![20, 21, 22, 23]];
    let pairs = balanced_pairs(&people, 1, usize::MAX).unwrap();
    let same: HashSet<_> = pairs.iter().filter(|pair| pair.same).map(|pair| (pair.a, pair.b)).collect();
    let expected = [(3, 4), (3, 5), (4, 5), (10, 11), (20, 21), (20, 22), (20, 23), (21, 22), (21, 23), (22, 23)];
    assert_eq!(same, HashSet::from(expected));
    let different: HashSet<_> = pairs.iter().filter(|pair| !pair.same).map(|pair| (pair.a, pair.b)).collect();
    assert_eq!((pairs.len(), different.len()), (20, 10));
    assert!(pairs.iter().all(|pair| pair.same == (owner(&people, pair.a) == owner(&people, pair.b))));
}

#[test]
fn every_pair_of_different_people_can_be_drawn_and_none_is_drawn_twice() {
    // 45 + 3 same pairs and 30 different ones, so all the different ones are needed.
    let people = [(0..10).collect::<Vec<_>>(), vec![10, 11, 12]];
    let pairs = balanced_pairs(&people, 5, usize::MAX).unwrap();
    let different: HashSet<_> = pairs.iter().filter(|pair| !pair.same).map(|pair| (pair.a, pair.b)).collect();
    assert_eq!((pairs.len(), different.len()), (60, 30));
    assert_eq!(different, (0..10).flat_map(|a| (10..13).map(move |b| (a, b))).collect());
}

#[test]
fn pairs_are_limited_balanced_and_seeded() {
    let people: Vec<Vec<usize>> = (0..20).map(|person| (person * 5..person * 5 + 5).collect()).collect();
    let pairs = balanced_pairs(&people, 1, 61).unwrap();
    assert_eq!((pairs.len(), pairs.iter().filter(|pair| pair.same).count()), (60, 30));
    assert_eq!(pairs, balanced_pairs(&people, 1, 61).unwrap());
    assert_ne!(pairs, balanced_pairs(&people, 2, 61).unwrap());
}

#[test]
fn people_without_pairs_are_refused_in_a_sentence() {
    for (people, max) in [(vec![vec![0, 1, 2]], 10), (vec![vec![0], vec![1]], 10), (vec![vec![0, 1], vec![2]], 1)] {
        let text = balanced_pairs(&people, 1, max).unwrap_err().to_string();
        assert!(text.contains("hold out two people with two images"), "{text}");
    }
}

#[test]
fn separable_distances_are_always_right_and_the_threshold_is_the_middle_of_the_gap() {
    let (pairs, distances) = scored(&[(1.0, true), (4.0, false), (2.0, true), (6.0, false), (1.5, true), (5.0, false)]);
    let accuracy = verification_accuracy(&pairs, &distances, |image| image, 1).unwrap();
    assert_eq!((accuracy.accuracy, accuracy.threshold, accuracy.pairs), (1.0, 3.0, 6));
}

#[test]
fn the_threshold_is_exact_and_the_smallest_of_equals() {
    // One of the two in the middle is always wrong: 1.5 and 3.5 are both right three times out of four.
    assert_eq!(best_threshold(&[(1.0, true), (2.0, false), (3.0, true), (4.0, false)]), 1.5);
    // Nothing counts as the same person, or everything does.
    assert_eq!(best_threshold(&[(2.0, false), (1.0, false)]), 1.0);
    let above_all = best_threshold(&[(2.0, true), (1.0, true)]);
    assert!(above_all > 2.0 && above_all < 2.001, "{above_all}");
    // A threshold cannot cut between equal distances.
    assert_eq!(best_threshold(&[(1.0, true), (2.0, true), (2.0, false), (2.0, false), (3.0, false)]), 1.5);
    // Nor can it get lost between neighbouring floats.
    let (low, high) = (1.0_f32, 1.0_f32.next_up());
    assert_eq!(right(&[(low, true), (high, false)], best_threshold(&[(low, true), (high, false)])), 1.0);
}

#[test]
fn a_half_is_classified_with_the_threshold_of_the_other_half() {
    // Dealt as (1, 2) and (5, 6) each half has a perfect threshold of its own; dealt as (1, 6) and (5, 2) one has.
    let (pairs, distances) = scored(&[(1.0, true), (2.0, false), (5.0, true), (6.0, false)]);
    for seed in 0..20 {
        let accuracy = verification_accuracy(&pairs, &distances, |image| image, seed).unwrap();
        let mut thresholds = accuracy.half_thresholds;
        thresholds.sort_by(f32::total_cmp);
        assert!(thresholds == [1.5, 5.5] || thresholds == [2.0, 3.5], "{accuracy:?}");
        assert_eq!(accuracy.accuracy, 0.5, "{accuracy:?}");
    }
}

#[test]
fn random_distances_are_near_chance_and_not_above_it_by_choice_of_threshold() {
    use rand::RngExt;
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let list: Vec<(f32, bool)> = (0..4000).map(|i| (rng.random_range(0.0..1.0), i % 2 == 0)).collect();
    let (pairs, distances) = scored(&list);
    let accuracy = verification_accuracy(&pairs, &distances, |image| image, 1).unwrap().accuracy;
    assert!((0.47..0.53).contains(&accuracy), "{accuracy}");
}

#[test]
fn impossible_measurements_are_refused_in_a_sentence() {
    let (pairs, distances) = scored(&[(1.0, true), (2.0, true), (3.0, false), (4.0, false)]);
    let text = verification_accuracy(&pairs, &distances[..3], |image| image, 1).unwrap_err().to_string();
    assert!(text.contains("3 distances for 4 pairs"), "{text}");
    let text = verification_accuracy(&pairs[..3], &distances[..3], |image| image, 1).unwrap_err().to_string();
    assert!(text.contains("2 pairs of the same person and 1 of different people are too few"), "{text}");
    let text = verification_accuracy(&pairs, &[1.0, f32::NAN, 0.0, 0.0], |image| image, 1).unwrap_err().to_string();
    assert!(text.contains("the distance of images 1 and 2 is NaN"), "{text}");
}

#[test]
fn distances_are_squared_and_pixels_are_scaled_to_one() {
    assert_eq!(squared_distance(&[1.0, 2.0, 3.0], &[1.0, 0.0, 6.0]), 13.0);
    // Face i of the generated set is flat with value i, and has 192 bytes.
    let set = flat_faces(&[2, 2]);
    let distances = raw_pixel_distances(&set, &[Pair { a: 0, b: 3, same: false }]).unwrap();
    assert!((distances[0] - 192.0 * 9.0 / (255.0 * 255.0)).abs() < 1e-6, "{distances:?}");
}

#[test]
fn the_interval_is_as_wide_as_the_number_of_people_makes_it() {
    // Six people; the pairs of one of them are all wrong.
    let list: Vec<(f32, bool)> =
        (0..600).map(|i| (if (i % 2 == 0) == (i / 100 == 5) { 2.0 } else { 1.0 }, i % 2 == 0)).collect();
    let (pairs, distances) = scored(&list);
    let pairs: Vec<Pair> = (0..).zip(pairs).map(|(i, pair)| Pair { a: 2 * i, b: 2 * i + 1, ..pair }).collect();
    let of_people = verification_accuracy(&pairs, &distances, |image| image / 200, 1).unwrap();
    let of_images = verification_accuracy(&pairs, &distances, |image| image, 1).unwrap();
    assert_eq!(of_people.accuracy, of_images.accuracy);
    assert!((of_images.effective_pairs - 600.0).abs() < 1.0, "{of_images:?}");
    assert!(of_people.effective_pairs < 10.0, "{of_people:?}");
    let ([low, high], [lower, higher]) = (of_images.interval(), of_people.interval());
    assert!(lower < low && low < of_images.accuracy && high < higher && higher <= 1.0, "{of_people:?}");
}
