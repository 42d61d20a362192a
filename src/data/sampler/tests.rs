//! Tests of the sampling rules.

use std::collections::{BTreeMap, HashSet};

use super::*;
use crate::data::testing::flat_faces;

fn config(people: usize, images: usize) -> PkConfig {
    PkConfig { seed: 3, ..PkConfig::new(people, images) }
}

/// A sampler over everybody; `counts[i]` images for person `i`.
fn sampler(counts: &[usize], config: PkConfig) -> (PkSampler, Vec<String>) {
    let train: Vec<usize> = (0..counts.len()).collect();
    PkSampler::new(&flat_faces(counts), &train, config).unwrap()
}

/// Images per person.
fn tally(batch: &Batch) -> BTreeMap<u32, usize> {
    let mut tally = BTreeMap::new();
    batch.labels.iter().for_each(|&label| *tally.entry(label).or_default() += 1);
    tally
}

fn distinct(batch: &Batch) -> usize {
    batch.images.iter().collect::<HashSet<_>>().len()
}

#[test]
fn every_batch_has_p_people_with_k_different_images_and_true_labels() {
    let set = flat_faces(&[5; 12]);
    let (sampler, warnings) = sampler(&[5; 12], config(4, 3));
    assert!(warnings.is_empty());
    for batch in sampler.epoch(0) {
        assert_eq!(tally(&batch).values().copied().collect::<Vec<_>>(), [3; 4]);
        assert_eq!(distinct(&batch), 12);
        assert!(batch.images.iter().zip(&batch.labels).all(|(&i, &label)| set.person_of(i) == label as usize));
    }
}

#[test]
fn an_epoch_shows_everybody_once_and_fills_the_last_group_from_its_start() {
    let (sampler, _) = sampler(&[4; 10], config(4, 2));
    let epoch = sampler.epoch(5);
    assert_eq!((epoch.len(), sampler.batches_per_epoch()), (3, 3));
    let people: Vec<u32> = epoch.iter().flat_map(|batch| batch.labels.iter().step_by(2).copied()).collect();
    assert_eq!(people[..10].iter().collect::<HashSet<_>>().len(), 10);
    assert_eq!(people[10..], people[..2]);
}

#[test]
fn the_seed_and_the_epoch_decide_and_nothing_else() {
    let with = |seed| sampler(&[5; 12], PkConfig { seed, augment: Augment::TRAINING, ..config(4, 3) }).0;
    assert_eq!(with(1).epoch(2), with(1).epoch(2));
    assert_ne!(with(1).epoch(2), with(2).epoch(2));
    assert_ne!(with(1).epoch(2), with(1).epoch(3));
}

#[test]
fn batches_resume_at_any_step() {
    let (sampler, _) = sampler(&[5; 10], config(4, 3));
    let all: Vec<Batch> = sampler.clone().batches(0).take(9).collect();
    assert_eq!(all, [sampler.epoch(0), sampler.epoch(1), sampler.epoch(2)].concat());
    assert_eq!(sampler.batches(4).take(5).collect::<Vec<_>>(), all[4..]);
}

#[test]
fn free_places_go_to_people_with_one_image_first_and_then_to_people_outside_the_group() {
    // Each group of two has at most four images for eight places: both single people, then two of the outsiders.
    let (sampler, _) = sampler(&[2, 2, 2, 2, 2, 1, 1, 4], PkConfig { people: 2, ..config(2, 4) });
    let mut groups_of_two = 0;
    for batch in (0..4).flat_map(|epoch| sampler.epoch(epoch)) {
        let tally = tally(&batch);
        assert_eq!((batch.images.len(), distinct(&batch)), (8, 8));
        assert_eq!((tally.get(&5), tally.get(&6)), (Some(&1), Some(&1)), "{tally:?}");
        if tally.get(&7) != Some(&4) {
            groups_of_two += 1;
            assert_eq!(tally.values().filter(|&&n| n == 2).count(), 2, "{tally:?}");
            assert_eq!(tally.len(), 6, "{tally:?}");
        }
    }
    assert!(groups_of_two > 0);
}

#[test]
fn people_with_one_image_are_never_a_group_of_their_own() {
    let (sampler, _) = sampler(&[2, 2, 1, 1, 1, 1], config(2, 2));
    for batch in (0..5).flat_map(|epoch| sampler.epoch(epoch)) {
        assert_eq!(tally(&batch), BTreeMap::from([(0, 2), (1, 2)]));
    }
}

#[test]
fn k_larger_than_anyone_has_is_lowered_with_a_warning() {
    let (sampler, warnings) = sampler(&[3, 2, 2], config(3, 10));
    assert_eq!(sampler.config().images, 3);
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0], "batches have 3 images per person instead of 10: nobody has more");
    // Nine places, seven images, nobody outside: two repeats.
    let batch = &sampler.epoch(0)[0];
    assert_eq!((batch.images.len(), distinct(batch)), (9, 7));
}

#[test]
fn spare_images_of_the_group_come_before_repeats() {
    let (sampler, _) = sampler(&[9, 2, 2], config(3, 4));
    let batch = &sampler.epoch(0)[0];
    assert_eq!(distinct(batch), 12);
    assert_eq!(tally(batch), BTreeMap::from([(0, 8), (1, 2), (2, 2)]));
}

#[test]
fn p_larger_than_the_number_of_people_is_lowered_with_a_warning() {
    let (sampler, warnings) = sampler(&[2, 2, 2, 1], config(64, 2));
    assert_eq!((sampler.config().people, sampler.batch_size(), sampler.batches_per_epoch()), (3, 6, 1));
    assert_eq!(warnings[0], "batches have 3 people instead of 64: no more have two or more images");
}

#[test]
fn only_training_people_are_sampled() {
    let set = flat_faces(&[2; 8]);
    let (sampler, _) = PkSampler::new(&set, &[1, 3, 5], config(2, 4)).unwrap();
    assert!((0..5).flat_map(|epoch| sampler.epoch(epoch)).all(|b| b.labels.iter().all(|l| [1, 3, 5].contains(l))));
}

#[test]
fn impossible_batches_are_refused_in_a_sentence() {
    let set = flat_faces(&[2, 2, 1]);
    for (train, config, expected) in [
        (&[0, 1, 2][..], config(1, 2), "P = 1 and K = 2 hold no triplet"),
        (&[0, 1, 2], config(2, 1), "give at least 2 people and 2 images of each"),
        (&[0, 2], config(2, 2), "1 of the 2 people to train on have two or more images"),
        (&[], config(2, 2), "0 of the 0 people"),
    ] {
        let text = PkSampler::new(&set, train, config).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
}

/// People in the group of a batch: all whose images stand before the negatives.
fn group(batch: &Batch, negatives: usize) -> HashSet<u32> {
    batch.labels[..batch.labels.len() - negatives].iter().copied().collect()
}

#[test]
fn negatives_are_different_images_of_people_outside_the_group() {
    let (sampler, warnings) = sampler(&[5; 12], PkConfig { negatives: Some(7), ..config(4, 3) });
    assert!(warnings.is_empty());
    let mut seen = HashSet::new();
    for batch in (0..4).flat_map(|epoch| sampler.epoch(epoch)) {
        assert_eq!((batch.images.len(), batch.views.len(), distinct(&batch)), (19, 19, 19));
        let group = group(&batch, 7);
        assert_eq!(group.len(), 4);
        assert!(batch.labels[12..].iter().all(|label| !group.contains(label)));
        seen.extend(batch.images[12..].iter().copied());
    }
    assert!(seen.len() > 40, "{} of 60 images were drawn", seen.len());
    assert_eq!((sampler.batch_size(), sampler.batches_per_epoch()), (19, 3));
}

#[test]
fn negatives_are_drawn_from_the_seed_alone_and_change_no_group() {
    let with = |negatives, seed| sampler(&[5; 12], PkConfig { negatives: Some(negatives), seed, ..config(4, 3) }).0;
    assert_eq!(with(7, 1).epoch(2), with(7, 1).epoch(2));
    assert_ne!(with(7, 1).epoch(2)[0].images[12..], with(7, 2).epoch(2)[0].images[12..]);
    assert_eq!(with(7, 1).epoch(2)[0].images[..12], with(0, 1).epoch(2)[0].images);
}

#[test]
fn more_negatives_than_there_may_be_images_are_lowered_with_a_warning() {
    // Beside the two with most images there are 2 + 2 + 1.
    let (sampler, warnings) = sampler(&[9, 2, 2, 4, 1], PkConfig { negatives: Some(50), ..config(2, 2) });
    assert_eq!((sampler.negatives(), sampler.batch_size()), (5, 9));
    assert!(warnings[0].starts_with("batches have 5 negatives instead of 50: "), "{warnings:?}");
    assert!(sampler.epoch(0).iter().all(|batch| distinct(batch) == 9));
}

#[test]
fn where_free_places_took_the_negatives_the_group_gives_further_images() {
    // The free places of a group take the single ones, and others' images, before the negatives are drawn.
    let (sampler, _) = sampler(&[9, 2, 2, 1], PkConfig { negatives: Some(3), ..config(2, 4) });
    for batch in (0..6).flat_map(|epoch| sampler.epoch(epoch)) {
        assert_eq!((batch.images.len(), distinct(&batch)), (11, 11), "{batch:?}");
    }
}

#[test]
fn further_images_of_others_come_before_repeats() {
    // A group of two people with two images each has four of its eight places free, and nothing to spare.
    let (sampler, _) = sampler(&[9, 2, 2], config(2, 4));
    let lean = |batch: &Batch| batch.labels[..4].iter().all(|&label| label != 0);
    let batch = (0..9).flat_map(|epoch| sampler.epoch(epoch)).find(lean).expect("such a group comes soon");
    assert_eq!(distinct(&batch), 8);
    assert_eq!(tally(&batch), BTreeMap::from([(0, 4), (1, 2), (2, 2)]));
}

#[test]
fn a_batch_of_a_given_size_keeps_it_where_people_or_images_are_lowered() {
    let with =
        |people, images, batch| sampler(&[9, 5, 4, 2, 1], PkConfig { batch: Some(batch), ..config(people, images) });
    // Of 21 images: two people with two images each and others; more people than there are; more images than anyone has.
    for (people, images, size, lowered) in [(2, 2, 12, 0), (7, 2, 15, 1), (2, 10, 20, 1), (2, 2, 21, 0)] {
        let (sampler, warnings) = with(people, images, size);
        assert_eq!((sampler.batch_size(), warnings.len()), (size, lowered), "{warnings:?}");
        for batch in (0..3).flat_map(|epoch| sampler.epoch(epoch)) {
            assert_eq!((batch.images.len(), distinct(&batch)), (size, size), "{people} x {images}");
        }
    }
    let (sampler, warnings) = with(2, 2, 500);
    assert_eq!(sampler.batch_size(), 21);
    assert_eq!(warnings, ["batches have 21 images instead of 500: there are no more to train on"]);
    let refused = PkSampler::new(&flat_faces(&[5; 4]), &[0, 1, 2, 3], PkConfig { batch: Some(7), ..config(2, 4) });
    assert!(matches!(refused, Err(Error::Setting(_))));
}

#[test]
fn people_with_one_image_are_negatives_unless_somebody_says_otherwise() {
    let with = |negatives| sampler(&[4, 4, 4, 4, 1, 1, 1, 1, 1, 1], PkConfig { negatives, ..config(3, 2) }).0;
    let open = with(None);
    assert_eq!((open.negatives(), open.batch_size(), open.unused_singles(), open.paired_images()), (3, 9, 0, 16));
    let mut met = HashSet::new();
    for batch in (0..20).flat_map(|epoch| open.epoch(epoch)) {
        let (pairs, singles) = batch.labels.split_at(6);
        assert!(pairs.iter().all(|&person| person < 4) && singles.iter().all(|&person| person >= 4), "{batch:?}");
        assert_eq!(singles.iter().collect::<HashSet<_>>().len(), 3, "nobody twice");
        met.extend(singles.iter().copied());
    }
    assert_eq!(met.len(), 6, "everybody gets a turn");
    let none = with(Some(0));
    assert_eq!((none.batch_size(), none.unused_singles()), (6, 6));
    // Without anybody who has one image only, nothing changes.
    let without = |negatives| sampler(&[4; 6], PkConfig { negatives, ..config(3, 2) }).0;
    assert_eq!(without(None).epoch(3), without(Some(0)).epoch(3));
}
