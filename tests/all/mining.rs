//! Every way to select triplets, on every device, against a reference of its own.

use crate::support::triplets::{Batch, is_zero, ways};
use crate::support::{relative_error, rng};
use facenet_gpu::graph::Graph;
use facenet_gpu::op::{Mining, Positives, Stat, TripletLoss};
use facenet_gpu::plan::Shape;
use rand::RngExt;

#[test]
fn crowded_batches_agree_with_a_loop_over_all_triplets() {
    for (images, people, dim, margin) in [(131, 2, 16, 0.5), (96, 12, 64, 2.0), (55, 7, 5, 0.05), (40, 3, 1, 2.0)] {
        let batch = Batch::on_a_grid("crowded", dim, Batch::people(images, people), margin);
        for way in ways() {
            let (y, _) = batch.by(way).check();
            assert!(y[Stat::Active] > 0.0, "{way:?} selects nothing from {images} images of {people} people");
            assert!(y[Stat::Candidates] >= y[Stat::Active], "{way:?}");
        }
    }
}

#[test]
fn people_may_come_in_any_order_and_number() {
    let mut rng = rng("order");
    let labels: Vec<u32> = (0..90).map(|_| [0, 1, 1, 2, 2, 2, 2, 77, u32::MAX][rng.random_range(0..9)]).collect();
    let batch = Batch::on_a_grid("order", 12, labels, 0.5);
    for way in ways() {
        assert!(batch.by(way).check().0[Stat::Active] > 10.0);
    }
}

#[test]
fn random_unit_embeddings_agree_too() {
    for (images, people, dim) in [(45, 9, 128), (36, 12, 64), (24, 2, 32)] {
        let batch = Batch::of_unit_rows("unit", dim, Batch::people(images, people), 0.2);
        for way in ways() {
            batch.by(way).check_within(1e-5);
        }
    }
}

#[test]
fn of_equally_far_positives_and_equally_close_negatives_the_first_is_taken() {
    // The negatives 0 and 2 are equally far from all others: 1 from image 1, 5 from 3 and 4. So are 3 and 4 from 1: 4.
    let x = vec![0.0, 1.0, 0.0, 0.0, 0.0, -1.0, 2.0, 0.0, -2.0, 0.0];
    let batch = Batch::new(2, x, vec![8, 5, 9, 5, 5], 2.0);
    for mining in [Mining::BatchHard, Mining::Hard] {
        let (y, dx) = batch.by((mining, Positives::Hardest)).check();
        assert_eq!((y[Stat::Pairs], y[Stat::Active]), (3.0, 3.0));
        assert!(!is_zero(&dx[0..2]) && is_zero(&dx[4..6]), "image 0 is pushed, 2 is not");
        assert!(dx[6] != -dx[8], "of 3 and 4 only 3 is pulled towards 1");
    }
    let (y, dx) = batch.by((Mining::Hard, Positives::All)).check();
    assert_eq!((y[Stat::Pairs], y[Stat::Active]), (6.0, 6.0));
    assert!(!is_zero(&dx[0..2]) && is_zero(&dx[4..6]), "image 0 is pushed, 2 is not");
}

#[test]
fn every_family_of_kernels_selects_the_same_triplets() {
    // More images than a workgroup has invocations, and more positives than it takes at once; distances are often equal.
    for (images, people, dim) in [(300, 6, 4), (131, 65, 64)] {
        let batch = Batch::on_a_grid("families", dim, Batch::people(images, people), 0.5);
        for way in ways() {
            let of_gpus: Vec<_> = batch.by(way).run().into_iter().filter(|got| got.device.starts_with("GPU")).collect();
            let bits = |of: &[f32]| of.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            for pair in of_gpus.windows(2) {
                let devices = format!("{way:?}, {} and {}", pair[0].device, pair[1].device);
                assert_eq!(bits(&pair[0].dx), bits(&pair[1].dx), "{devices}");
                if way.0 == Mining::BatchAll {
                    // The shared kernel adds the negatives of an anchor up in an order of its own.
                    let expected: Vec<f64> = pair[0].y.iter().map(|&y| f64::from(y)).collect();
                    let error = relative_error(&pair[1].y, &expected);
                    assert!(error < 1e-6, "{devices}: off by {error:.1e}");
                } else {
                    assert_eq!(bits(&pair[0].y), bits(&pair[1].y), "{devices}");
                }
            }
        }
    }
}

#[test]
fn duplicates_of_one_image_are_at_distance_zero() {
    // 0 and 1 are the same picture of one person, 2 and 3 of another, 4 is mislabelled: the same as 0.
    let x = vec![0.5, 0.0, 0.5, 0.0, 0.0, 0.25, 0.0, 0.25, 0.5, 0.0];
    let batch = Batch::new(2, x, vec![0, 0, 1, 1, 2], 0.5);
    for way in ways() {
        let (y, _) = batch.by(way).check();
        assert_eq!((y[Stat::Pairs], y[Stat::Hard], y[Stat::SemiHard]), (4.0, 2.0, 2.0), "{way:?}");
        assert_eq!(y[Stat::PositiveDistance], 0.0, "{way:?}");
    }
}

#[test]
fn identical_embeddings_give_hard_triplets_the_margin_as_loss_and_no_gradient() {
    let x = [0.625, 0.0, 0.75].repeat(40);
    let batch = Batch::new(3, x, Batch::people(40, 4), 0.25);
    for way in ways() {
        let (y, dx) = batch.by(way).check();
        assert!(is_zero(&dx), "{way:?}");
        assert_eq!((y[Stat::Hard], y[Stat::Easy]), (y[Stat::Pairs], 0.0), "{way:?}: every pair is hard");
        assert_eq!(y[Stat::Pairs], if way.1 == Positives::All { 360.0 } else { 40.0 });
        if way.0.takes_hard() {
            assert_eq!((y[Stat::Loss], y[Stat::LossPerPair]), (0.25, 0.25), "{way:?}: the loss sits at the margin");
            assert_eq!(y[Stat::SkippedPairs], 0.0, "{way:?}");
        } else {
            assert_eq!((y[Stat::Loss], y[Stat::Active]), (0.0, 0.0), "{way:?}: nothing is farther than the positive");
            assert_eq!(y[Stat::SkippedPairs], y[Stat::Pairs], "{way:?}");
        }
    }
}

#[test]
fn without_negatives_or_without_pairs_there_is_no_loss() {
    let one_person = Batch::on_a_grid("one person", 7, vec![5; 50], 0.2);
    let strangers = Batch::on_a_grid("strangers", 7, Batch::people(50, 50), 0.2);
    for way in ways() {
        let (y, dx) = one_person.by(way).check();
        let pairs = if way.1 == Positives::All { 2450.0 } else { 50.0 };
        assert_eq!((y[Stat::Pairs], y[Stat::Easy], y[Stat::SkippedPairs]), (pairs, pairs, pairs), "{way:?}");
        assert_eq!((y[Stat::Loss], y[Stat::LossPerPair]), (0.0, 0.0), "{way:?}");
        assert!(is_zero(&dx), "{way:?}");
        let (y, dx) = strangers.by(way).check();
        assert_eq!((y[Stat::Pairs], y[Stat::Loss], y[Stat::LossPerPair]), (0.0, 0.0, 0.0), "{way:?}");
        assert!(is_zero(&dx), "{way:?}");
    }
}

#[test]
fn a_margin_of_zero_leaves_only_negatives_that_are_closer_than_the_positive() {
    let batch = Batch::on_a_grid("no margin", 16, Batch::people(48, 6), 0.0);
    for way in ways() {
        let (y, _) = batch.by(way).check();
        assert_eq!(y[Stat::Active] > 0.0, way.0.takes_hard(), "{way:?}");
    }
}

#[test]
fn an_embedding_that_is_not_finite_makes_the_loss_nan_in_every_way() {
    for way in ways() {
        // Also where nobody else is there to be compared with, or nobody of the same person.
        for labels in [vec![0, 1, 0, 1, 2, 2, 3], vec![4; 7], vec![0, 1, 2, 3, 4, 5, 6]] {
            let mut batch = Batch::on_a_grid("nan", 3, labels, 2.0).by(way);
            batch.x[6 * 3 + 1] = f32::NAN;
            for got in batch.run() {
                let losses = [got.y[Stat::Loss], got.y[Stat::LossPerPair]];
                assert!(losses.iter().all(|loss| loss.is_nan()), "{way:?} on {}: {losses:?}", got.device);
            }
        }
    }
}

/// Two images of one person in one place, and eight people around them, all equally far.
fn ring() -> Batch {
    let mut x = vec![0.0; 10 * 8];
    (0..8).for_each(|k| x[(2 + k) * 8 + k] = 1.0);
    Batch::new(8, x, vec![0, 0, 1, 2, 3, 4, 5, 6, 7, 8], 2.0)
}

#[test]
fn random_negatives_are_spread_over_all_candidates() {
    let seeds: Vec<[u32; 2]> = (0..400).map(|step| [17, step]).collect();
    for mining in [Mining::SemiHardRandom, Mining::RandomViolating] {
        let mut chosen = [0u32; 8];
        let mut pairs = [[0u32; 8]; 8];
        for got in ring().by((mining, Positives::All)).run_on_cpu(&seeds) {
            // A chosen image is pushed along its own axis, and only it is.
            let pushed: Vec<usize> = (0..8).filter(|&k| got.dx[(2 + k) * 8 + k] != 0.0).collect();
            let (first, last) = (pushed[0], pushed[pushed.len() - 1]);
            [first, last].into_iter().for_each(|k| chosen[k] += 1);
            pairs[first][last] += 1;
        }
        // 800 choices, 100 of each expected. Chi-square with 7 degrees of freedom is above 24.3 once in a thousand.
        let expected = f64::from(chosen.iter().sum::<u32>()) / 8.0;
        let chi_square: f64 = chosen.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
        assert!(chi_square < 24.3, "{mining:?}: {chosen:?}");
        // The two anchors choose by themselves: both the same in an eighth of the steps, 50 of 400.
        let same: u32 = (0..8).map(|k| pairs[k][k]).sum();
        assert!((25..80).contains(&same), "{mining:?}: both chose the same {same} times");
    }
}

#[test]
fn one_seed_gives_the_same_choices_and_another_step_or_run_others() {
    let batch = Batch::on_a_grid("seeds", 16, Batch::people(60, 6), 2.0);
    for mining in [Mining::SemiHardRandom, Mining::RandomViolating] {
        let batch = batch.by((mining, Positives::All));
        let gradients: Vec<_> = batch.run_on_cpu(&[[1, 2], [1, 2], [1, 3], [2, 2]]).into_iter().map(|o| o.dx).collect();
        assert_eq!(gradients[0], gradients[1]);
        assert_ne!(gradients[0], gradients[2]);
        assert_ne!(gradients[0], gradients[3]);
        // The reference draws by the same rule: every device is held against it.
        for seed in [[0, 0], [u32::MAX, 7]] {
            Batch { seed, ..batch.clone() }.check();
        }
    }
}

#[test]
fn the_seed_is_an_input_of_random_ways_alone() {
    for mining in Mining::EVERY {
        let inputs = |count: usize, seed: u32| {
            let mut graph = Graph::new();
            let x = graph.input("x", Shape::new(&[4, 3]).unwrap());
            let all = [x, graph.input_u32("labels", Shape::vector(4)), graph.input_u32("seed", Shape::vector(seed))];
            let op = graph.op("loss", TripletLoss::default().with_mining(mining), &all[..count]);
            op.map(|_| ()).map_err(|e| e.to_string())
        };
        let (right, wrong) = if mining.is_random() { (3, 2) } else { (2, 3) };
        assert_eq!(inputs(right, 2), Ok(()), "{mining:?}");
        let error = inputs(wrong, 2).unwrap_err();
        assert!(error.contains(&format!("expected {right} inputs, got {wrong}")), "{error}");
        if mining.is_random() {
            let error = inputs(3, 1).unwrap_err();
            assert!(error.contains("expected a seed and a step [2], got [1]"), "{error}");
        }
    }
}

#[test]
fn batch_hard_is_the_closest_negative_of_the_hardest_positive() {
    let loss = TripletLoss::default().with_mining(Mining::BatchHard).with_positives(Positives::All);
    assert_eq!(loss.positives(), Positives::Hardest);
    let batch = Batch::on_a_grid("batch-hard", 12, Batch::people(60, 6), 2.0);
    let [hard, batch_hard] =
        [Mining::Hard, Mining::BatchHard].map(|mining| batch.by((mining, Positives::Hardest)).run_on_cpu(&[[0, 0]]));
    assert_eq!((&hard[0].y, &hard[0].dx), (&batch_hard[0].y, &batch_hard[0].dx));
}
