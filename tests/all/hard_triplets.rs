//! Offline selection on every device against a plain search in `f64`.

use crate::support::{gpus, normals, rng};
use facenet_gpu::op::{HardTriplet, Selection, hard_triplets};
use facenet_gpu::{Engine, Error};
use rand::RngExt;

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

/// Labels of `count` images, drawn from so many `people`.
fn labels(count: usize, people: u32) -> Vec<u32> {
    let mut rng = rng("labels");
    (0..count).map(|_| rng.random_range(0..people)).collect()
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
    if let Some(chosen) = semi_hard {
        assert!(positive.is_some_and(|p| chosen > p - NEAR), "{what}: anchor {a}: {chosen} is not beyond {positive:?}");
        // As the device tells them, the two need no tolerance, but two that differ in f64 may be equal in f32.
        let [p, s] = [got.positive, got.semi_hard].map(|slot| slot.unwrap().1);
        assert!(s >= p, "{what}: anchor {a}: told {s} beyond {p}");
    }
    let beyond = positive.and_then(|p| others(false).map(d).filter(|&d| d > p + NEAR).reduce(f64::min));
    if let Some(best) = beyond {
        let chosen = semi_hard.unwrap_or_else(|| panic!("{what}: anchor {a} has no semi-hard negative"));
        assert!(chosen < best + NEAR, "{what}: anchor {a}: {chosen}, not {best}");
    }
}

#[test]
fn every_anchor_gets_the_farthest_positive_and_the_closest_negatives() {
    for engine in engines() {
        for (count, dim, people) in [(2, 3, 2), (9, 5, 3), (131, 128, 40), (300, 64, 7), (1100, 16, 300)] {
            let e = unit_rows(&format!("hard {count}"), count, dim);
            let labels = labels(count, people);
            let got = hard_triplets(&engine, &e, &labels).unwrap();
            let what = format!("{count} x {dim} on {}", engine.describe());
            got.iter().enumerate().for_each(|(a, got)| check(&what, &e, &labels, a, got));
        }
    }
}

#[test]
fn the_lowest_index_of_equals_is_chosen_and_copies_of_an_image_are_hard_but_not_semi_hard() {
    let x = |v: f32| vec![v, 0.0];
    // Two people; images 4 and 6 are copies of images 0 and 2 in another person's folder.
    let e = [x(0.0), x(1.0), x(-1.0), x(2.0), x(0.0), x(-2.0), x(-1.0)];
    let labels = [7, 7, 7, 9, 9, 9, 9];
    for engine in engines() {
        let got = hard_triplets(&engine, &e, &labels).unwrap();
        assert_eq!(got[0].positive, Some((1, 1.0)), "{}", engine.describe());
        assert_eq!(got[0].hardest, Some((4, 0.0)));
        assert_eq!(got[0].semi_hard, Some((3, 4.0)), "images 3 and 5 are equally far, 6 is no farther than 1");
        assert_eq!(got[4].hardest, Some((0, 0.0)));
    }
}

/// Whether no image was chosen whose copy, `half` images before it, could have been: the first of equals is wanted.
fn takes_the_first_of_equals(labels: &[u32], half: usize, a: usize, got: &HardTriplet) -> bool {
    let first = |slot: Option<(u32, f32)>, same: bool| {
        let copy = slot.and_then(|(j, _)| (j as usize).checked_sub(half));
        copy.is_none_or(|copy| copy == a || (labels[copy] == labels[a]) != same)
    };
    first(got.positive, true) && first(got.hardest, false) && first(got.semi_hard, false)
}

#[test]
fn the_parts_of_a_set_make_no_difference() {
    // Parts of a few images, of less than a block of anchors, of a block, and of a block and a bit.
    for (half, people, sizes) in [(5, 3, &[1, 3, 9][..]), (1250, 60, &[700, 1024, 1400])] {
        // Each image comes twice, so that every choice is between equals, most of which lie in different parts.
        let once = unit_rows("parts", half, 16);
        let e = [once.clone(), once].concat();
        let labels = labels(2 * half, people);
        for engine in engines() {
            let select = |size| {
                let selection = Selection::in_parts(u32::try_from(e.len()).unwrap(), 16, size).unwrap();
                selection.run(&engine, &e, &labels).unwrap()
            };
            let what = format!("{} images on {}", e.len(), engine.describe());
            let whole = hard_triplets(&engine, &e, &labels).unwrap();
            for (a, got) in whole.iter().enumerate() {
                check(&what, &e, &labels, a, got);
                assert!(takes_the_first_of_equals(&labels, half, a, got), "{what}: anchor {a}: {got:?}");
            }
            for &size in sizes {
                assert!(select(size) == whole, "{what}, in parts of {size}");
            }
        }
    }
}

#[test]
fn no_part_of_a_large_set_is_more_than_a_device_can_bind() {
    const LEAST: u64 = 128 << 20;
    for (m, dim) in [(262_145, 128), (1_000_000, 128), (300_000, 512), (5000, 12_000)] {
        let plan = Selection::new(m, dim).unwrap().plan;
        assert!(plan.buffers.iter().all(|buffer| buffer.bytes() <= LEAST / 2), "{m} x {dim}");
        let images: u32 =
            plan.buffers.iter().filter(|b| b.name.starts_with("columns/")).map(|b| b.shape.channels()).sum();
        assert_eq!(images, m);
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
    assert!(matches!(refused(&[vec![1.0], vec![2.0, 3.0]], &[1, 2]), Error::Shape { .. }));
    assert!(matches!(refused(&[vec![], vec![]], &[1, 2]), Error::Shape { .. }));
    assert!(Selection::in_parts(5, 8, 0).unwrap_err().to_string().contains("at least one image"));
    let planned_for_two = Selection::new(2, 1).unwrap();
    assert!(matches!(planned_for_two.run(&Engine::Cpu, &[vec![1.0]], &[1]), Err(Error::Shape { .. })));
    assert!(matches!(refused(&[vec![1.0], vec![f32::NAN]], &[1, 2]), Error::NotFinite(_)));
}
