//! What offline selection chooses, held against distances computed anew, and when.

use std::path::Path;

use super::*;
use crate::Engine;
use crate::data::augment::Augment;
use crate::data::sampler::PkConfig;
use crate::data::testing::noise_faces;
use crate::eval::verification::squared_distance;
use crate::model::Model;
use crate::net::find;
use crate::session::{initial_weights, load_weights, store_of};
use crate::store::Store;
use crate::weights::{Metadata, Weights};

const PEOPLE: usize = 8;
const IMAGES: usize = 4;
const SETTINGS: Offline = Offline { every: 5, subset: 1000, share: 1.0, hardest: false };

struct Silent;

impl Observer for Silent {}

/// Asks for a stop once this many images are embedded.
struct Impatient<'a>(usize, &'a AtomicBool);

impl Observer for Impatient<'_> {
    fn embedding(&mut self, _what: &str, done: usize, _of: usize) {
        self.1.store(done >= self.0, Ordering::Relaxed);
    }
}

fn model(set: &FaceSet) -> Model {
    let preprocess = set.preprocess();
    let model = find("zf64").unwrap().sized(Some([preprocess.height, preprocess.width]), Some(16)).unwrap();
    model.with_preprocess(preprocess.clone()).unwrap()
}

fn weights(set: &FaceSet, seed: u64) -> Weights {
    let model = model(set);
    initial_weights(&model, Metadata::of(&model).unwrap(), seed)
}

/// A store of its own that holds these weights.
fn store(set: &FaceSet, weights: &Weights) -> Store {
    let store = store_of(&Engine::Cpu, &model(set)).unwrap();
    load_weights(&store, weights, Path::new("w")).unwrap();
    store
}

fn session(set: &FaceSet, store: &Store) -> Session {
    Session::on_store(&Engine::Cpu, model(set), store.clone()).unwrap()
}

fn batches(set: &Arc<FaceSet>, settings: Offline, margin: f32) -> OfflineBatches {
    let train: Vec<usize> = (0..PEOPLE).collect();
    let config = PkConfig {
        people: 3,
        images: 2,
        negatives: Some(0),
        batch: None,
        seed: 5,
        augment: Augment { shift: Some(1), ..Augment::TRAINING },
    };
    let (sampler, _) = PkSampler::new(set, &train, config).unwrap();
    OfflineBatches::new((settings, margin), set, sampler, 12)
}

/// The triplets of the whole set by the definition, from embeddings of a model of its own.
fn expected(set: &FaceSet, weights: &Weights, hardest: bool, margin: f32) -> Vec<[usize; 3]> {
    let mut session = Session::with_weights(&Engine::Cpu, weights, "w").unwrap().with_batch(8);
    let faces: Vec<_> = (0..set.len()).map(|image| set.face(image).unwrap()).collect();
    let embeddings = session.embed_faces(&faces).unwrap();
    let d = |a: usize, b: usize| squared_distance(&embeddings[a], &embeddings[b]);
    let mut triplets = Vec::new();
    for a in 0..set.len() {
        let others =
            |same: bool| (0..set.len()).filter(move |&j| j != a && (set.person_of(j) == set.person_of(a)) == same);
        let p = others(true).max_by(|&x, &y| d(a, x).total_cmp(&d(a, y))).unwrap();
        let beyond = others(false).filter(|&n| hardest || d(a, n) > d(a, p));
        if let Some(n) = beyond.min_by(|&x, &y| d(a, x).total_cmp(&d(a, y)))
            && d(a, n) - d(a, p) < margin
        {
            triplets.push([a, p, n]);
        }
    }
    triplets
}

#[test]
fn the_chosen_are_those_of_the_weights_at_hand_and_keep_the_margin_from_nobody() {
    let set = Arc::new(noise_faces(&[IMAGES; PEOPLE], 24));
    let (first, second) = (weights(&set, 1), weights(&set, 2));
    let everyone: Vec<usize> = (0..set.len()).collect();
    let mut seen = Vec::new();
    for hardest in [false, true] {
        for margin in [0.2, 1e-3] {
            let store = store(&set, &first);
            let batches = batches(&set, Offline { hardest, ..SETTINGS }, margin);
            let mut session = session(&set, &store);
            // Weights that come later count, too.
            for weights in [&first, &second, &first] {
                let stop = AtomicBool::new(false);
                load_weights(&store, weights, Path::new("w")).unwrap();
                let chosen = batches.choose(&mut session, &everyone, &stop, &mut Silent).unwrap().unwrap();
                let chosen: Vec<[usize; 3]> = chosen.iter().map(|chosen| chosen.images).collect();
                assert_eq!(chosen, expected(&set, weights, hardest, margin), "hardest {hardest}, margin {margin}");
                seen.push(chosen);
            }
        }
    }
    // What should differ does: weights, rules, margins.
    assert_eq!(seen[0], seen[2]);
    for (one, other) in [(0, 1), (0, 6), (0, 3), (6, 7)] {
        assert_ne!(seen[one], seen[other], "{one} and {other}");
    }
}

#[test]
fn a_selection_fills_the_steps_until_the_next_one_with_its_triplets() {
    let set = Arc::new(noise_faces(&[IMAGES; PEOPLE], 24));
    let weights = weights(&set, 1);
    let stop = AtomicBool::new(false);
    let all = expected(&set, &weights, true, 0.2);
    let store = store(&set, &weights);
    for (share, offline) in [(1.0, [true; 5]), (0.4, [false, false, true, false, true])] {
        let batches = batches(&set, Offline { hardest: true, share, ..SETTINGS }, 0.2);
        assert_eq!((0..11).filter(|&done| batches.due(done)).collect::<Vec<_>>(), [0, 5, 10]);
        let (mut ready, _, report) =
            batches.select(&mut session(&set, &store), 0, &stop, &mut Silent).unwrap().unwrap();
        assert_eq!((report.step, report.images, report.triplets), (0, set.len(), all.len()));
        assert!(report.d_ap > 0.0 && report.d_an > 0.0 && (1..=all.len()).contains(&report.used), "{report:?}");
        let (mut used, mut kinds) = (0, Vec::new());
        while let Some(batch) = ready.next_batch() {
            let batch = batch.unwrap();
            for triplet in &batch.triplets {
                let images = triplet.map(|at| batch.indices[at as usize]);
                assert!(all.contains(&images), "{images:?}");
            }
            used += batch.triplets.len();
            kinds.push(!batch.triplets.is_empty());
        }
        assert_eq!(kinds, offline, "a share of {share}");
        assert_eq!(used, report.used);
    }
    // The last steps of the run are fewer.
    let (mut ready, ..) =
        batches(&set, SETTINGS, 0.2).select(&mut session(&set, &store), 10, &stop, &mut Silent).unwrap().unwrap();
    assert_eq!(std::iter::from_fn(|| ready.next_batch()).count(), 2);
}

#[test]
fn a_subset_is_drawn_anew_each_time_and_is_the_set_where_that_is_smaller() {
    let set = Arc::new(noise_faces(&[IMAGES; PEOPLE], 24));
    let store = store(&set, &weights(&set, 1));
    let stop = AtomicBool::new(false);
    let images = |done: usize, subset: usize| {
        let batches = batches(&set, Offline { subset, hardest: true, ..SETTINGS }, 4.0);
        let (mut ready, _, report) =
            batches.select(&mut session(&set, &store), done, &stop, &mut Silent).unwrap().unwrap();
        let mut seen: Vec<usize> = std::iter::from_fn(|| ready.next_batch())
            .flat_map(|batch| batch.unwrap().into_description().images)
            .collect();
        seen.sort_unstable();
        seen.dedup();
        (report.images, seen)
    };
    let (first, second) = (images(0, 12), images(5, 12));
    assert_eq!((first.0, second.0, images(0, 5000).0), (12, 12, set.len()));
    assert!(first.1.len() <= 12 && first.1 != second.1, "{first:?} {second:?}");
    assert_eq!(first, images(0, 12), "the seed and the step decide");
}

#[test]
fn a_selection_ends_early_if_it_is_asked_to() {
    let set = Arc::new(noise_faces(&[IMAGES; PEOPLE * 3], 24));
    let store = store(&set, &weights(&set, 1));
    let stop = AtomicBool::new(false);
    let everyone: Vec<usize> = (0..set.len()).collect();
    let batches = batches(&set, SETTINGS, 0.2);
    let chosen = batches.choose(&mut session(&set, &store), &everyone, &stop, &mut Impatient(0, &stop)).unwrap();
    assert!(chosen.is_none() && stop.load(Ordering::Relaxed));
}

#[test]
fn a_selection_that_does_not_fit_the_device_names_the_flag_that_makes_it_smaller() {
    let said = too_many(Error::Memory("the tensor labels [9] does not fit".into())).to_string();
    assert_eq!(said, "offline selection: the tensor labels [9] does not fit; lower `offline.subset`");
    assert!(matches!(too_many(Error::Setting("x".into())), Error::Setting(_)));
}

#[test]
fn the_share_of_offline_steps_is_kept_over_any_number_of_steps() {
    for share in [0.3, 0.5, 0.75, 1.0] {
        let count = (0..1000).filter(|&step| is_offline(step, share)).count();
        assert!((count as f64 - 1000.0 * share).abs() <= 1.0, "{count} of 1000 at {share}");
    }
    assert_eq!((0..6).map(|step| is_offline(step, 0.5)).collect::<Vec<_>>(), [false, true, false, true, false, true]);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    assert!(SETTINGS.check().is_ok());
    for bad in [
        Offline { every: 0, ..SETTINGS },
        Offline { subset: 2, ..SETTINGS },
        Offline { share: 0.0, ..SETTINGS },
        Offline { share: 1.1, ..SETTINGS },
        Offline { share: f64::NAN, ..SETTINGS },
    ] {
        assert!(matches!(bad.check(), Err(Error::Setting(_))), "{bad:?}");
    }
}
