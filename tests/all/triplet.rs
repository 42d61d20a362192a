//! The triplet loss with semi-hard negatives on every device against a reference of its own; `tests/all/mining.rs` has the
//! other ways to select. Embeddings lie on a coarse grid, so that all distances are exact in f32, ties are exact ties, and
//! every device must choose the very same triplets.

use crate::support::triplets::{Batch, Outcome, is_zero};
use crate::support::{gpus, relative_error, rng};
use facenet_gpu::Error;
use facenet_gpu::executor::{Executor, Options};
use facenet_gpu::gpu::GpuExecutor;
use facenet_gpu::graph::{Graph, Recording};
use facenet_gpu::op::{Stat, TripletLoss};
use facenet_gpu::plan::Shape;
use rand::RngExt;

#[test]
fn crowded_batches_agree_with_a_loop_over_all_triplets() {
    for (images, people, dim, margin) in [
        (200, 2, 16, 0.5),
        (131, 3, 5, 0.2),
        (96, 12, 128, 2.0),
        (55, 7, 130, 0.05),
        (150, 3, 1, 2.0),
        (64, 63, 64, 2.0),
    ] {
        let batch = Batch::on_a_grid("crowded", dim, Batch::people(images, people), margin);
        let (y, _) = batch.check();
        assert!(people == 63 || y[Stat::Active] > 0.0, "nothing was selected from {images} images of {people} people");
    }
}

#[test]
fn people_may_come_in_any_order_and_number() {
    let mut rng = rng("order");
    let labels: Vec<u32> = (0..120).map(|_| [0, 1, 1, 2, 2, 2, 2, 77, u32::MAX][rng.random_range(0..9)]).collect();
    let (y, _) = Batch::on_a_grid("order", 12, labels, 0.5).check();
    assert!(y[Stat::Active] > 100.0);
}

#[test]
fn random_unit_embeddings_agree_too() {
    Batch::of_unit_rows("unit", 128, Batch::people(45, 9), 0.2).check_within(1e-5);
}

#[test]
fn of_equally_close_negatives_the_first_is_taken() {
    // Anchor 0 and positive 6 at distance 0.25; images 2, 3 and 5 are all at 1 from the anchor.
    let x = vec![0.0, 0.0, 9.0, 9.0, 1.0, 0.0, 0.0, 1.0, 1.5, 0.0, -1.0, 0.0, 0.0, -0.5];
    let batch = Batch::new(2, x, vec![0, 9, 3, 1, 4, 2, 0], 1.5);
    let (y, dx) = batch.check();
    assert_eq!(y[Stat::Active], 2.0, "anchor 0 chooses 2, anchor 6 chooses 2 (1.25 away, as is 5)");
    assert!(!is_zero(&dx[4..6]));
    assert!(is_zero(&dx[2..4]) && is_zero(&dx[6..12]), "only image 2 may be pushed");
}

#[test]
fn duplicates_of_one_image_count_as_distance_zero() {
    // 0 and 1 are the same picture of one person, 2 and 3 of another, 4 is mislabelled: the same as 0.
    let x = vec![0.5, 0.0, 0.5, 0.0, 0.0, 0.25, 0.0, 0.25, 0.5, 0.0];
    let (y, dx) = Batch::new(2, x, vec![0, 0, 1, 1, 2], 0.5).check();
    assert_eq!((y[Stat::Pairs], y[Stat::Active], y[Stat::Hard]), (4.0, 4.0, 2.0));
    assert_eq!(y[Stat::PositiveDistance], 0.0);
    assert!(!is_zero(&dx));
}

#[test]
fn collapsed_embeddings_have_no_semi_hard_negatives_and_no_gradient() {
    let x = [0.6, 0.0, 0.8].repeat(40);
    let (y, dx) = Batch::new(3, x, Batch::people(40, 4), 0.2).check();
    assert_eq!((y[Stat::Loss], y[Stat::LossPerPair], y[Stat::Active]), (0.0, 0.0, 0.0));
    assert_eq!((y[Stat::Pairs], y[Stat::Hard]), (360.0, 360.0), "every pair is hard");
    assert!(is_zero(&dx));
}

#[test]
fn one_person_alone_gives_pairs_but_no_loss() {
    let (y, dx) = Batch::on_a_grid("one person", 7, vec![5; 50], 0.2).check();
    assert_eq!((y[Stat::Pairs], y[Stat::Active], y[Stat::Loss]), (2450.0, 0.0, 0.0));
    assert_eq!((y[Stat::DifferentDistance], y[Stat::Hard]), (0.0, 0.0));
    assert!(is_zero(&dx));
}

#[test]
fn no_positive_pair_gives_loss_zero_and_no_gradient() {
    let (y, dx) = Batch::on_a_grid("strangers", 7, Batch::people(50, 50), 0.2).check();
    assert_eq!((y[Stat::Pairs], y[Stat::Loss], y[Stat::LossPerPair]), (0.0, 0.0, 0.0));
    assert!(y[Stat::DifferentDistance] > 0.0);
    assert!(is_zero(&dx));
}

#[test]
fn a_margin_of_zero_leaves_no_triplets() {
    let (y, dx) = Batch::on_a_grid("no margin", 16, Batch::people(48, 6), 0.0).check();
    assert_eq!((y[Stat::Active], y[Stat::Loss]), (0.0, 0.0));
    assert!(is_zero(&dx));
}

#[test]
fn an_embedding_that_is_not_finite_makes_the_loss_nan() {
    let labels = || vec![0, 1, 0, 1, 2, 2, 3];
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        // In an image of a pair, and in the only image of a person, which could only ever be a negative.
        for image in [0, 6] {
            let mut batch = Batch::on_a_grid("nan", 3, labels(), 2.0);
            batch.x[image * 3 + 1] = bad;
            for Outcome { device, y, .. } in batch.run() {
                assert!(y[Stat::Loss].is_nan(), "{device}: {bad} in image {image} gives {}", y[Stat::Loss]);
                assert!(y[Stat::LossPerPair].is_nan(), "{device}: {bad} in image {image}");
            }
        }
    }
    for labels in [vec![0, 0], vec![0, 1]] {
        for Outcome { device, y, .. } in Batch::new(1, vec![f32::NAN, 0.0], labels, 0.2).run() {
            assert!(y[Stat::Loss].is_nan() && y[Stat::LossPerPair].is_nan(), "{device}: {y:?}");
        }
    }
}

#[test]
fn inference_plans_have_the_statistics_too() {
    let batch = Batch::on_a_grid("inference", 8, Batch::people(30, 5), 0.5);
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(&[30, 8]).unwrap());
    let labels = graph.input_u32("labels", Shape::vector(30));
    let y = graph.op("loss", TripletLoss::new(0.5).unwrap(), &[x, labels]).unwrap();
    let recording = Recording::forward(&graph, &[y]);
    let [x, labels, y] = [x, labels, y].map(|t| recording.value(t));
    let plan = recording.finish();
    let expected = batch.reference().0;
    for gpu in gpus() {
        let mut device = GpuExecutor::new(&gpu, plan.clone(), &Options::default()).unwrap();
        for _ in 0..2 {
            device.write(x, &batch.x).unwrap();
            device.write_u32(labels, &batch.labels).unwrap();
            device.run_all().unwrap();
            assert!(relative_error(&device.read(y).unwrap(), &expected) < 1e-6);
        }
    }
}

#[test]
fn wrong_margins_and_shapes_are_refused() {
    for margin in [-0.1, f32::NAN, f32::INFINITY] {
        assert!(matches!(TripletLoss::new(margin), Err(Error::Setting(_))), "{margin}");
    }
    assert_eq!(TripletLoss::default().margin(), 0.2);
    for (x, labels, message) in [
        (&[4, 2, 3][..], &[4][..], "expected a matrix"),
        (&[4, 3], &[3], "expected labels [4]"),
        (&[4, 3], &[4, 1], "expected labels [4]"),
        (&[1, 3], &[1], "at least 2 images"),
        (&[70_000, 3], &[70_000], "smaller batch"),
    ] {
        let mut graph = Graph::new();
        let inputs = [graph.input("x", Shape::new(x).unwrap()), graph.input_u32("labels", Shape::new(labels).unwrap())];
        let error = graph.op("loss", TripletLoss::default(), &inputs).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
