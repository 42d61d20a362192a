//! Against small cases by hand, and stored distances against Python.

use serde_json::Value;

use super::*;
use crate::eval::folds::of_sets;
use crate::eval::rates;
use crate::eval::roc::Roc;

#[test]
fn thresholds_lie_on_the_grid_and_the_smallest_of_equals_is_taken() {
    let sets = vec![vec![(0.104, true), (0.5, false)]; 2];
    let found = accuracy(&of_sets(&sets)).unwrap();
    assert_eq!((found.accuracy, found.thresholds[0]), (1.0, 11.0 * 0.01));
}

#[test]
fn the_threshold_of_a_rate_lies_on_the_line_between_two_points_of_the_grid() {
    let set = vec![(0.1, true), (0.5, false), (0.7, false)];
    let found = val_at_far(&of_sets(&[set.clone(), set.clone()]), 0.25).unwrap();
    // Nothing is accepted below 0.5, half of them below 0.501.
    assert!((found.thresholds[0] - 0.5005).abs() < 1e-9, "{found:?}");
    assert_eq!((found.val, found.far), (1.0, 0.5));
    // Half of them up to the last point of the grid before both.
    let half = val_at_far(&of_sets(&[set.clone(), set.clone()]), 0.5).unwrap();
    assert!((half.thresholds[0] - 0.699).abs() < 1e-9, "{half:?}");
    let never = vec![(0.1, true), (4.1, false)];
    assert_eq!(val_at_far(&of_sets(&[never.clone(), never]), 0.1).unwrap().thresholds, [0.0, 0.0]);
    let text = val_at_far(&of_sets(&[set, vec![(0.1, true)]]), 0.1).unwrap_err().to_string();
    assert!(text.contains("pairs of both kinds"), "{text}");
}

#[test]
fn stored_distances_give_what_facenet_and_scikit_learn_give() {
    let golden: Value = serde_json::from_str(include_str!("../../../tests/golden/verification.json")).unwrap();
    let floats =
        |value: &Value| -> Vec<f64> { value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect() };
    #[expect(clippy::cast_possible_truncation, reason = "they are the digits of an f32")]
    let distances = floats(&golden["distances"]).into_iter().map(|x| x as f32);
    let scored: Vec<(f32, bool)> = distances.zip(floats(&golden["same"]).into_iter().map(|same| same == 1.0)).collect();
    let sets: Vec<Vec<_>> = scored.chunks(scored.len() / 10).map(<[_]>::to_vec).collect();
    let folds = of_sets(&sets);
    let equal = |what: &str, found: &[f64], expected: &[f64]| {
        assert_eq!(found.len(), expected.len(), "{what}");
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{what}: {found} instead of {expected}");
        }
    };
    let number = |value: &Value| value.as_f64().unwrap();
    let (found, expected) = (accuracy(&folds).unwrap(), &golden["accuracy"]);
    let both = [number(&expected["accuracy"]), number(&expected["std"])];
    equal("accuracy", &[found.accuracy, found.standard_deviation], &both);
    equal("thresholds", &found.thresholds, &floats(&expected["thresholds"]));
    for expected in golden["val"].as_array().unwrap() {
        let found = val_at_far(&folds, number(&expected["wanted"])).unwrap();
        let all = ["val", "std", "far"].map(|name| number(&expected[name]));
        equal("VAL", &[found.val, found.standard_deviation, found.far], &all);
        equal("thresholds", &found.thresholds, &floats(&expected["thresholds"]));
    }
    let roc = Roc::new(&scored).unwrap();
    equal("areas", &[roc.auc(), roc.equal_error_rate()], &[number(&golden["auc"]), number(&golden["eer"])]);
    for expected in golden["val_at_far"].as_array().unwrap() {
        let at = rates::val_at_far(&scored, number(&expected["wanted"])).unwrap().unwrap();
        equal("VAL over all pairs", &[at.val], &[number(&expected["val"])]);
    }
}
