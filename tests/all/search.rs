//! Nearest neighbours on every device against a plain search in `f64`, and the triplets that offline selection makes of
//! them.

use std::ops::ControlFlow;

use crate::support::{gpus, integers, normals, rng};
use facenet_gpu::search::{
    ByteSearcher, ByteVectors, Neighbours, Pairs, Points, Queries, Question, SearchPlan, Searcher,
};
use facenet_gpu::{Engine, Error, Result};
use rand::RngExt;

/// What offline selection chooses for one anchor: indices of images, and their squared distances from it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct HardTriplet {
    /// The farthest image of the same person.
    positive: Option<(u32, f32)>,
    /// The closest image of another person.
    hardest: Option<(u32, f32)>,
    /// The closest image of another person that is farther than the positive.
    semi_hard: Option<(u32, f32)>,
}

const POSITIVE: Question = Question { k: 1, farthest: true, pairs: Pairs::SameLabel };
const NEGATIVE: Question = Question { k: 1, farthest: false, pairs: Pairs::OtherLabel };

/// Puts a question to a gallery in parts of `part` images (as large as can be if there is none).
fn ask(
    engine: &Engine,
    gallery: Points<'_>,
    queries: &Queries<'_>,
    question: Question,
    [block, part]: [Option<u32>; 2],
) -> Result<Neighbours> {
    let [images, dim] = [gallery.len(), gallery.dim()].map(|n| u32::try_from(n).unwrap());
    let plan = match part {
        Some(part) => SearchPlan::in_parts(images, dim, question, block.unwrap_or(1024), part)?,
        None => SearchPlan::new(images, dim, question, block.unwrap_or(1024))?,
    };
    let mut searcher = Searcher::with_plan(engine, plan, gallery)?;
    Ok(searcher.search(queries, |_, _| ControlFlow::Continue(()))?.unwrap())
}

/// Every image's hard triplet, as offline selection finds it.
fn hard_triplets(engine: &Engine, e: &[Vec<f32>], labels: &[u32], part: Option<u32>) -> Vec<HardTriplet> {
    let flat = e.concat();
    let points = Points::new(&flat, e[0].len()).unwrap().labelled(labels).unwrap();
    let queries = Queries::gallery(points);
    let ask = |queries, question| ask(engine, points, &queries, question, [None, part]).unwrap();
    let positive = ask(queries, POSITIVE);
    let hardest = ask(queries, NEGATIVE);
    let semi_hard = ask(queries.beyond(&positive.distance).unwrap(), NEGATIVE);
    let one = |found: &Neighbours, a| found.of(a).next();
    let triplet =
        |a| HardTriplet { positive: one(&positive, a), hardest: one(&hardest, a), semi_hard: one(&semi_hard, a) };
    (0..e.len()).map(triplet).collect()
}

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
            let got = hard_triplets(&engine, &e, &labels, None);
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
        let got = hard_triplets(&engine, &e, &labels, None);
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
            let select = |size| hard_triplets(&engine, &e, &labels, Some(size));
            let what = format!("{} images on {}", e.len(), engine.describe());
            let whole = hard_triplets(&engine, &e, &labels, None);
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
        let SearchPlan { plan, parts, .. } = SearchPlan::new(m, dim, POSITIVE, 1024).unwrap();
        assert!(plan.buffers.iter().all(|buffer| buffer.bytes() <= LEAST / 2), "{m} x {dim}");
        assert_eq!(parts.iter().map(|part| part.size).sum::<u32>(), m);
        let columns = parts.iter().map(|part| plan.spec(part.columns).shape.channels());
        assert_eq!(columns.sum::<u32>(), m);
    }
}

#[test]
fn where_nothing_can_be_chosen_nothing_is() {
    let e = unit_rows("nothing", 4, 8);
    for engine in engines() {
        let alone = hard_triplets(&engine, &e, &[1, 1, 1, 1], None);
        assert!(alone.iter().all(|t| t.positive.is_some() && t.hardest.is_none() && t.semi_hard.is_none()));
        let apart = hard_triplets(&engine, &e, &[4, 3, 2, 1], None);
        assert!(apart.iter().all(|t| t.positive.is_none() && t.hardest.is_some() && t.semi_hard.is_none()));
    }
}

#[test]
fn what_cannot_be_selected_from_is_refused() {
    let points = |rows: &[f32], dim| Points::new(rows, dim).map(drop).unwrap_err();
    assert!(points(&[], 3).to_string().contains("got none"));
    assert!(points(&[1.0], 0).to_string().contains("got none"));
    assert!(matches!(points(&[1.0, 2.0, 3.0], 2), Error::Shape { .. }));
    assert!(matches!(points(&[1.0, f32::NAN], 1), Error::NotFinite(_)));
    let two = Points::new(&[1.0, 2.0], 1).unwrap();
    assert!(matches!(two.labelled(&[1]), Err(Error::Shape { .. })));
    assert!(matches!(Queries::new(two).beyond(&[1.0]), Err(Error::Shape { .. })));
    assert!(matches!(Queries::new(two).beyond(&[1.0, f32::NAN]), Err(Error::Shape { .. })));
    assert!(SearchPlan::in_parts(5, 8, POSITIVE, 16, 0).unwrap_err().to_string().contains("at least one image"));
    let nothing = Question { k: 0, ..POSITIVE };
    assert!(matches!(SearchPlan::new(5, 8, nothing, 16), Err(Error::Shape { .. })));
    let other = SearchPlan::new(3, 1, POSITIVE, 16).unwrap();
    assert!(matches!(Searcher::with_plan(&Engine::Cpu, other, two), Err(Error::Shape { .. })));
    let mut searcher = Searcher::new(&Engine::Cpu, two, POSITIVE, 2).unwrap();
    let wide = Points::new(&[1.0, 2.0], 2).unwrap();
    let mut refused = |queries| searcher.search(&queries, |_, _| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(refused(Queries::new(wide)), Error::Shape { .. }));
    assert!(matches!(refused(Queries::gallery(Points::new(&[1.0], 1).unwrap())), Error::Shape { .. }));
}

/// Embeddings of small integers, so that distances are exact and many are equal, with labels.
fn whole(name: &str, n: usize, dim: usize, people: u32) -> (Vec<f32>, Vec<u32>) {
    let mut rng = rng(name);
    let rows = integers(&mut rng, n * dim);
    (rows, (0..n).map(|_| rng.random_range(0..people)).collect())
}

/// All images that count for a query, the best first, equals by index, by the definition.
#[expect(clippy::cast_possible_truncation, reason = "the devices give f32")]
fn expected(
    (gallery, labels): (&[f32], &[u32]),
    dim: usize,
    (query, label, itself): (&[f32], u32, Option<usize>),
    question: Question,
    beyond: f64,
) -> Vec<(u32, f32)> {
    let counts = |j: usize| match question.pairs {
        Pairs::Any => true,
        Pairs::SameLabel => labels[j] == label,
        Pairs::OtherLabel => labels[j] != label,
    };
    let all = gallery.chunks(dim).map(|image| distance(query, image)).enumerate();
    let mut found: Vec<(usize, f64)> = all.filter(|&(j, d)| counts(j) && Some(j) != itself && d > beyond).collect();
    let sign = if question.farthest { -1.0 } else { 1.0 };
    found.sort_by(|a, b| (sign * a.1).total_cmp(&(sign * b.1)).then(a.0.cmp(&b.0)));
    found.truncate(question.k as usize);
    found.iter().map(|&(j, d)| (u32::try_from(j).unwrap(), d as f32)).collect()
}

#[test]
fn every_question_is_answered_as_by_a_plain_search_whatever_the_blocks_and_parts() {
    let (n, dim) = (150, 3);
    let (gallery, gallery_labels) = whole("gallery", n, dim, 5);
    let (others, other_labels) = whole("queries", 21, dim, 5);
    let images = Points::new(&gallery, dim).unwrap().labelled(&gallery_labels).unwrap();
    let outside = Points::new(&others, dim).unwrap().labelled(&other_labels).unwrap();
    let bounds: Vec<f32> = (0..n).map(|i| [0.0, 5.0, 12.0, f32::INFINITY][i % 4]).collect();
    for engine in engines() {
        for pairs in [Pairs::Any, Pairs::SameLabel, Pairs::OtherLabel] {
            for (k, farthest) in [(1, false), (1, true), (7, false), (200, true)] {
                let question = Question { k, farthest, pairs };
                for (queries, rows, labels, own) in [
                    (Queries::gallery(images), &gallery, &gallery_labels, true),
                    (Queries::new(outside), &others, &other_labels, false),
                ] {
                    for bounded in [false, true] {
                        let count = labels.len();
                        let queries = if bounded { queries.beyond(&bounds[..count]).unwrap() } else { queries };
                        let whole = ask(&engine, images, &queries, question, [None, None]).unwrap();
                        assert_eq!((whole.len(), whole.k), (count, k as usize));
                        for (q, query) in rows.chunks(dim).enumerate() {
                            let beyond = if bounded { f64::from(bounds[q]) } else { -1.0 };
                            let asked = (query, labels[q], own.then_some(q));
                            let right = expected((&gallery, &gallery_labels), dim, asked, question, beyond);
                            let found: Vec<_> = whole.of(q).collect();
                            assert_eq!(found, right, "{question:?} {bounded} query {q} on {}", engine.describe());
                        }
                        for sizes in [[Some(16), Some(40)], [Some(7), Some(1)], [None, Some(149)]] {
                            // Parts of one image are many dispatches: once is enough.
                            if sizes[1] != Some(1) || (k == 7 && !bounded) {
                                let parts = ask(&engine, images, &queries, question, sizes).unwrap();
                                assert!(parts == whole, "{question:?} {bounded} in {sizes:?} on {}", engine.describe());
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn many_neighbours_of_unit_vectors_are_the_nearest_within_rounding() {
    let e = unit_rows("many", 700, 128);
    let flat = e.concat();
    let points = Points::new(&flat, 128).unwrap();
    let question = Question { k: 10, farthest: false, pairs: Pairs::Any };
    for engine in engines() {
        let found = ask(&engine, points, &Queries::gallery(points), question, [None, Some(300)]).unwrap();
        for (a, query) in e.iter().enumerate() {
            let mut right: Vec<f64> = (0..e.len()).filter(|&j| j != a).map(|j| distance(query, &e[j])).collect();
            right.sort_by(f64::total_cmp);
            let found: Vec<_> = found.of(a).collect();
            assert_eq!(found.len(), 10);
            for ((j, told), right) in found.iter().zip(right) {
                let there = distance(query, &e[*j as usize]);
                let near = (f64::from(*told) - right).abs().max((there - right).abs());
                assert!(near < 1e-5, "query {a} on {}: {j} at {told}, not {right}", engine.describe());
            }
        }
    }
}

#[test]
fn a_search_tells_how_far_it_is_and_ends_when_it_is_asked_to() {
    let (rows, _) = whole("progress", 100, 2, 1);
    let points = Points::new(&rows, 2).unwrap();
    let question = Question { k: 3, farthest: false, pairs: Pairs::Any };
    let plan = SearchPlan::new(100, 2, question, 32).unwrap();
    let mut searcher = Searcher::with_plan(&Engine::Cpu, plan, points).unwrap();
    for last in [100, 64] {
        let mut told = Vec::new();
        let found = searcher.search(&Queries::gallery(points), |done, of| {
            told.push((done, of));
            if done == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(found.unwrap().is_some(), last == 100);
        let all = [(32, 100), (64, 100), (96, 100), (100, 100)];
        assert_eq!(told, all[..if last == 100 { 4 } else { 2 }]);
    }
}

#[test]
fn vectors_of_bytes_are_found_on_every_device_as_in_integers() {
    let (gallery, queries) = (unit_rows("bytes", 500, 24).concat(), unit_rows("asked", 40, 24).concat());
    let (gallery, queries) =
        (ByteVectors::quantise(&gallery, 24).unwrap(), ByteVectors::quantise(&queries, 24).unwrap());
    for engine in engines() {
        let mut searcher = ByteSearcher::new(&engine, &gallery, 6, 40).unwrap();
        let found = searcher.search(&queries, |_, _| ControlFlow::Continue(())).unwrap().unwrap();
        assert_eq!((found.len(), found.k), (40, 6));
        for query in 0..40 {
            let mut right: Vec<f32> = (0..500).map(|at| queries.squared_distance(query, &gallery, at)).collect();
            right.sort_by(f32::total_cmp);
            for ((at, told), right) in found.of(query).zip(right) {
                let there = queries.squared_distance(query, &gallery, at as usize);
                let near = (told - right).abs().max((there - right).abs());
                assert!(near < 1e-5, "query {query} on {}: {at} at {told}, not {right}", engine.describe());
            }
        }
    }
}
