//! Offline selection on every device against a plain search in `f64`.

mod support;

use facenet_gpu::op::{HardTriplet, hard_triplets};
use facenet_gpu::{Engine, Error};
use rand::RngExt;
use support::{gpus, normals, rng};

fn engines() -> Vec<Engine> {
    gpus().into_iter().map(Engine::Gpu).chain([Engine::Cpu, Engine::CpuF64]).collect()
}

fn unit_rows(name: &str, count: usize, dim: usize) -> Vec<Vec<f32>> {
    let mut rng = rng(name);
    let row = |_| {
        let row = normals(&mut rng, dim);
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter().map(|x| x / norm).collect()
    };
    (0..count).map(row).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
}

/// Holds one anchor's choice against every image: the distance told is right, and no better choice exists. Choices are
/// judged by distance, because rounding may rightly order two images that lie equally far within it.
fn check(what: &str, e: &[Vec<f32>], labels: &[u32], a: usize, got: &HardTriplet) {
    const NEAR: f64 = 1e-5;
    let d = |j: usize| distance(&e[a], &e[j]);
    let others = |same: bool| (0..e.len()).filter(move |&j| j != a && (labels[j] == labels[a]) == same);
    let told = |slot: Option<(u32, f32)>, same: bool| {
        slot.map(|(j, told)| {
            assert!(others(same).any(|o| o == j as usize), "{what}: anchor {a} may not choose {j}");
            assert!((f64::from(told) - d(j as usize)).abs() < NEAR, "{what}: anchor {a}, image {j}: told {told}");
            d(j as usize)
        })
    };
    let close = |name: &str, got: Option<f64>, best: Option<f64>| {
        let fits = got.zip(best).map_or(got == best, |(got, best)| (got - best).abs() < NEAR);
        assert!(fits, "{what}: anchor {a}: {name} at {got:?}, the best is at {best:?}");
    };
    let positive = told(got.positive, true);
    close("positive", positive, others(true).map(d).reduce(f64::max));
    close("negative", told(got.hardest, false), others(false).map(d).reduce(f64::min));
    let semi_hard = told(got.semi_hard, false);
    let beyond = positive.and_then(|p| others(false).map(d).filter(|&d| d > p + NEAR).reduce(f64::min));
    if let Some(best) = beyond {
        let chosen = semi_hard.unwrap_or_else(|| panic!("{what}: anchor {a} has no semi-hard negative"));
        assert!(chosen < best + NEAR && chosen > positive.unwrap() - NEAR, "{what}: anchor {a}: {chosen}, not {best}");
    }
}

#[test]
fn every_anchor_gets_the_farthest_positive_and_the_closest_negatives() {
    for engine in engines() {
        for (count, dim, people) in [(2, 3, 2), (9, 5, 3), (131, 128, 40), (300, 64, 7), (1100, 16, 300)] {
            let e = unit_rows(&format!("hard {count}"), count, dim);
            let mut rng = rng("labels");
            let labels: Vec<u32> = (0..count).map(|_| rng.random_range(0..people)).collect();
            let got = hard_triplets(&engine, &e, &labels).unwrap();
            let what = format!("{count} x {dim} on {}", engine.describe());
            got.iter().enumerate().for_each(|(a, got)| check(&what, &e, &labels, a, got));
        }
    }
}

#[test]
fn the_lowest_index_of_equals_is_chosen_and_copies_of_an_image_are_hard_but_not_semi_hard() {
    let x = |v: f32| vec![v, 0.0];
    // Two people; image 4 is a copy of image 0 in another person's folder.
    let e = [x(0.0), x(1.0), x(-1.0), x(2.0), x(0.0), x(-2.0)];
    let labels = [7, 7, 7, 9, 9, 9];
    for engine in engines() {
        let got = hard_triplets(&engine, &e, &labels).unwrap();
        assert_eq!(got[0].positive, Some((1, 1.0)), "{}", engine.describe());
        assert_eq!(got[0].hardest, Some((4, 0.0)));
        assert_eq!(got[0].semi_hard, Some((3, 4.0)), "images 3 and 5 are equally far");
        assert_eq!(got[4].hardest, Some((0, 0.0)));
    }
}

#[test]
fn where_nothing_can_be_chosen_nothing_is() {
    let e = unit_rows("nothing", 4, 8);
    for engine in engines() {
        let alone = hard_triplets(&engine, &e, &[1, 1, 1, 1]).unwrap();
        assert!(alone.iter().all(|t| t.positive.is_some() && t.hardest.is_none() && t.semi_hard.is_none()));
        let apart = hard_triplets(&engine, &e, &[4, 3, 2, 1]).unwrap();
        assert!(apart.iter().all(|t| t.positive.is_none() && t.hardest.is_some() && t.semi_hard.is_none()));
    }
}

#[test]
fn what_cannot_be_selected_from_is_refused() {
    let refused = |e: &[Vec<f32>], labels: &[u32]| hard_triplets(&Engine::Cpu, e, labels).unwrap_err();
    assert!(refused(&[], &[]).to_string().contains("got none"));
    assert!(matches!(refused(&[vec![1.0], vec![2.0]], &[1]), Error::Shape { .. }));
    assert!(matches!(refused(&[vec![1.0], vec![f32::NAN]], &[1, 2]), Error::NotFinite(_)));
}
