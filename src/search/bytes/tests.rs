use std::ops::ControlFlow;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::searcher::nearest;
use super::tile::Instructions;
use super::*;
use crate::Engine;

/// Vectors of unit length in random directions.
fn unit_vectors(seed: u64, n: usize, dim: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut rows: Vec<f32> = (0..n * dim).map(|_| rng.sample(StandardNormal)).collect();
    for row in rows.chunks_exact_mut(dim) {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= length);
    }
    rows
}

fn bytes(seed: u64, n: usize, dim: usize) -> ByteVectors {
    ByteVectors::quantise(&unit_vectors(seed, n, dim), dim).unwrap()
}

#[test]
fn distances_of_bytes_are_those_of_floats_within_what_is_documented() {
    let (floats, dim) = (unit_vectors(1, 600, 128), 128);
    let vectors = ByteVectors::quantise(&floats, dim).unwrap();
    assert_eq!((vectors.len(), vectors.data.len()), (600, 600 * 128), "128 bytes a face");
    let (mut worst, mut squares, mut pairs) = (0.0_f64, 0.0, 0.0);
    for (i, a) in floats.chunks(dim).enumerate() {
        for (j, b) in floats.chunks(dim).enumerate() {
            let right: f64 = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
            let error = (f64::from(vectors.squared_distance(i, &vectors, j)) - right).abs();
            worst = worst.max(error);
            squares += error * error;
            pairs += 1.0;
        }
    }
    let mean: f64 = squares / pairs;
    assert!(worst < 0.01 && mean.sqrt() < 0.002, "worst {worst}, root of the mean square {}", mean.sqrt());
}

#[test]
fn bytes_stand_for_a_vector_of_unit_length_that_quantises_to_them() {
    for dim in [1, 2, 7, 128, 512] {
        let vectors = bytes(2, 40, dim);
        let floats = vectors.floats(0..40);
        for row in floats.chunks(dim) {
            assert!((row.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
        }
        assert_eq!(ByteVectors::quantise(&floats, dim).unwrap(), vectors);
        let mut copied = ByteVectors::new(dim).unwrap();
        (0..40).for_each(|at| copied.push_bytes(vectors.row(at)).unwrap());
        assert_eq!(copied, vectors);
        assert!((0..40).all(|at| vectors.row(at).iter().any(|x| x.unsigned_abs() == 127)));
        assert!((0..40).all(|at| vectors.squared_distance(at, &vectors, at) < 1e-6));
    }
}

#[test]
fn every_set_of_instructions_finds_what_a_plain_search_finds() {
    for (n, dim, queries, k) in [(1, 1, 1, 3), (5, 3, 17, 2), (333, 128, 30, 7), (1000, 130, 15, 1), (70, 20, 3, 200)] {
        let (gallery, queries) = (bytes(3, n, dim), bytes(4, queries, dim));
        let right = |query: usize| {
            let value = |at: usize| {
                let products =
                    queries.row(query).iter().zip(gallery.row(at)).map(|(&a, &b)| i32::from(a) * i32::from(b));
                value(products.sum(), gallery.inverse[at])
            };
            let mut all: Vec<(f32, u32)> = (0..n).map(|at| (value(at), u32::try_from(at).unwrap())).collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            all.truncate(k);
            all
        };
        let right: Vec<_> = (0..queries.len()).map(right).collect();
        for instructions in Instructions::all() {
            for tasks in [1, 3, 8] {
                let lists = nearest(instructions, &gallery, &queries, 0..queries.len(), k, tasks);
                let found: Vec<_> = lists.into_iter().map(|list| list.found).collect();
                assert!(found == right, "{instructions:?}: {n} x {dim}, {k} in {tasks} tasks");
            }
        }
    }
}

#[test]
fn the_largest_products_of_bytes_do_not_overflow() {
    let dim = MOST_DIMENSIONS;
    let mut vectors = ByteVectors::new(dim).unwrap();
    for value in [127, -127, -128] {
        vectors.push_bytes(&vec![value; dim]).unwrap();
    }
    for instructions in Instructions::all() {
        let lists = nearest(instructions, &vectors, &vectors, 0..3, 3, 1);
        for (query, list) in lists.iter().enumerate() {
            let told = |other: u32| {
                let found = list.found.iter().find(|found| found.1 == other).unwrap();
                distance(found.0, vectors.inverse[query])
            };
            let expected = if query == 0 { [0.0, 4.0, 4.0] } else { [4.0, 0.0, 0.0] };
            for (other, expected) in (0..).zip(expected) {
                assert!((told(other) - expected).abs() < 1e-5, "{instructions:?}: {query} and {other}");
            }
        }
    }
}

#[test]
fn blocks_of_queries_are_answered_as_one_and_equals_by_index() {
    let dim = 16;
    let mut gallery = bytes(5, 50, dim);
    let first = gallery.clone();
    (0..50).for_each(|at| gallery.push_bytes(first.row(at)).unwrap());
    let queries = bytes(6, 1100, dim);
    let mut searcher = ByteSearcher::new(&Engine::Cpu, &gallery, 4, 1100).unwrap();
    let mut told = Vec::new();
    let found = searcher.search(&queries, |done, of| {
        told.push((done, of));
        ControlFlow::Continue(())
    });
    let found = found.unwrap().unwrap();
    assert_eq!((found.len(), told), (1100, vec![(1024, 1100), (1100, 1100)]));
    for query in 0..1100 {
        let near: Vec<_> = found.of(query).collect();
        assert!(near.is_sorted_by(|a, b| a.1 <= b.1) && near[1] == (near[0].0 + 50, near[0].1), "{near:?}");
        assert_eq!(near[0].1, queries.squared_distance(query, &gallery, near[0].0 as usize));
    }
    assert!(searcher.search(&queries, |_, _| ControlFlow::Break(())).unwrap().is_none());
}

#[test]
fn what_has_no_direction_or_other_dimensions_is_refused() {
    let mut vectors = ByteVectors::new(2).unwrap();
    for (row, part) in
        [(&[0.0, 0.0][..], "length zero"), (&[f32::NAN, 1.0], "NaN"), (&[1.0], "2 dimensions, got one of 1")]
    {
        let text = vectors.push(row).unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    }
    assert!(vectors.push_bytes(&[0, 0]).is_err() && vectors.is_empty());
    assert!(vectors.push(&[1e-44, 0.0]).is_err() || vectors.row(0) == [127, 0]);
    assert!(ByteVectors::new(0).is_err() && ByteVectors::new(MOST_DIMENSIONS + 1).is_err());
    let text = ByteSearcher::new(&Engine::Cpu, &ByteVectors::new(2).unwrap(), 1, 1).unwrap_err().to_string();
    assert!(text.contains("got none"), "{text}");
}

/// `cargo test --release --lib -- --ignored --nocapture a_million` prints how long searches among a million take.
#[test]
#[ignore = "a measurement, which takes a gigabyte and some seconds"]
fn a_million_faces_are_searched() {
    let (n, dim) = (1_000_000, 128);
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut gallery = ByteVectors::new(dim).unwrap();
    let mut row = vec![0_i8; dim];
    for _ in 0..n {
        rng.fill(&mut row[..]);
        gallery.push_bytes(&row).unwrap();
    }
    let queries = bytes(8, 1000, dim);
    for instructions in Instructions::all() {
        for (count, k) in [(1000, 1), (1000, 10), (1, 1), (1000, 1)] {
            let begin = std::time::Instant::now();
            let lists = nearest(instructions, &gallery, &queries, 0..count, k, 8);
            assert_eq!(lists.len(), count);
            println!("{instructions:?}: {count} queries, {k} nearest: {:.3} s", begin.elapsed().as_secs_f64());
        }
    }
}
