//! Offline selection (the paper's section 3.2): every so many steps the latest weights embed a part of the training set,
//! hard triplets are chosen over all of it, and training goes on with these until the next time.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rand::SeedableRng;
use rand::seq::{SliceRandom, index};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::faces::FaceSet;
use crate::data::prefetch::{Prefetcher, depth};
use crate::data::sampler::{Batch, PkSampler};
use crate::model::Model;
use crate::net::Network;
use crate::op::hard_triplets;
use crate::weights::{Metadata, Weights};
use crate::{Engine, Error, Result};

/// Images that are embedded at a time.
const BATCH: u32 = 32;
/// Images that are decoded at a time, so that a set that stays on disk is never whole in memory.
const PART: usize = 256;

/// How triplets are chosen offline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Offline {
    /// Steps from one selection to the next.
    pub every: usize,
    /// Images of the part that is selected from, drawn anew each time; all training images if there are fewer.
    pub subset: usize,
    /// Part of the steps that train on these triplets, 0 to 1; the others choose theirs from their batch.
    pub share: f64,
    /// The negative is the closest image of another person; else the closest one that is farther than the positive.
    pub hardest: bool,
}

impl Offline {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// A setting that makes no sense.
    pub(super) fn check(&self) -> Result<()> {
        let usage = |what: &str| Err(Error::Usage(what.to_string()));
        if self.every == 0 {
            return usage("offline selection needs at least one step from one selection to the next");
        }
        if self.subset < 3 {
            return usage("offline selection needs at least three images to select from");
        }
        if !(self.share > 0.0 && self.share <= 1.0) {
            return usage(
                "the share of steps on offline triplets must be above 0 and at most 1; 0.5 is every other step",
            );
        }
        Ok(())
    }
}

/// Makes the batches of a run that selects offline. Everything follows from the seed and the weights.
#[derive(Debug)]
pub(super) struct OfflineBatches {
    settings: Offline,
    /// Triplets that keep it have no loss and are left out.
    margin: f32,
    set: Arc<FaceSet>,
    /// Images of the training people.
    images: Vec<usize>,
    sampler: PkSampler,
    model: Model,
    steps: usize,
}

impl OfflineBatches {
    pub(super) fn new(
        engine: &Engine,
        network: &Network,
        (settings, margin): (Offline, f32),
        metadata: Metadata,
        set: &Arc<FaceSet>,
        sampler: PkSampler,
        steps: usize,
    ) -> Result<Self> {
        let model = Model::untrained(engine, network, metadata, BATCH)?;
        let images = sampler.images();
        Ok(Self { settings, margin, set: set.clone(), images, sampler, model, steps })
    }

    /// Whether step `done` (counted from 0) begins with a selection.
    pub(super) fn due(&self, done: usize) -> bool {
        done.is_multiple_of(self.settings.every)
    }

    /// Chooses triplets and starts the batches of the steps until the next selection; says so if there are none, because
    /// then all steps choose from their batch.
    pub(super) fn select(
        &mut self,
        engine: &Engine,
        weights: &Weights,
        done: usize,
    ) -> Result<(Prefetcher, Option<String>)> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.sampler.config().seed);
        rng.set_stream(u64::MAX - done as u64);
        let mut subset: Vec<usize> =
            index::sample(&mut rng, self.images.len(), self.settings.subset.min(self.images.len()))
                .iter()
                .map(|at| self.images[at])
                .collect();
        subset.sort_unstable();
        let mut triplets = self.choose(engine, weights, &subset)?;
        triplets.shuffle(&mut rng);
        let (set, size) = (self.set.clone(), self.sampler.batch_size());
        let count = self.settings.every.min(self.steps - done);
        let online = self.sampler.clone().batches(done as u64);
        let (share, augment) = (self.settings.share, self.sampler.config().augment);
        let warning = triplets.is_empty().then(|| {
            format!("no triplet was found among {} images at step {done}; the batches choose their own", subset.len())
        });
        let offline = pack(&triplets, size, &subset, |image| set.person_of(image));
        let mut offline = offline.into_iter().cycle();
        let batches = online.take(count).zip(done..).map(move |(online, step)| {
            let own = is_offline(step, share).then(|| offline.next()).flatten();
            own.map_or(online, |own| Batch {
                views: own.images.iter().map(|_| augment.draw(&mut rng)).collect(),
                ..own
            })
        });
        Ok((Prefetcher::start(self.set.clone(), batches, depth(&self.set, size))?, warning))
    }

    /// The triplets of the images in `subset`, as images of the set.
    fn choose(&mut self, engine: &Engine, weights: &Weights, subset: &[usize]) -> Result<Vec<[usize; 3]>> {
        self.model.load_weights(weights, Path::new("the weights in training"))?;
        let mut embeddings = Vec::with_capacity(subset.len());
        for part in subset.chunks(PART) {
            let faces: Result<Vec<_>> = part.par_iter().map(|&image| self.set.face(image)).collect();
            embeddings.extend(self.model.embed_faces(&faces?)?);
        }
        let person = |&image: &usize| u32::try_from(self.set.person_of(image)).expect("people are counted in u32");
        let people: Vec<u32> = subset.iter().map(person).collect();
        let chosen = hard_triplets(engine, &embeddings, &people)?;
        let triplet = |(&anchor, chosen): (&usize, &crate::op::HardTriplet)| {
            let (positive, near) = chosen.positive?;
            let (negative, far) = (if self.settings.hardest { chosen.hardest } else { chosen.semi_hard })?;
            (far - near < self.margin).then(|| [anchor, subset[positive as usize], subset[negative as usize]])
        };
        Ok(subset.iter().zip(&chosen).filter_map(triplet).collect())
    }
}

/// Whether step `step` of the run (counted from 0) trains on offline triplets: spread evenly, so that after any number of
/// steps as many have done so as the share says.
fn is_offline(step: usize, share: f64) -> bool {
    let due = |steps: usize| num_traits::cast::<f64, u64>((steps as f64 * share).floor()).unwrap_or(0);
    due(step + 1) > due(step)
}

/// Packs triplets into batches of `size` images, each image once in a batch; places that no triplet fits into any more
/// are filled with other images of `spare`. Batches have no views yet.
fn pack(triplets: &[[usize; 3]], size: usize, spare: &[usize], person: impl Fn(usize) -> usize) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut open = Open::default();
    for triplet in triplets {
        let new = triplet.iter().filter(|image| !open.places.contains_key(image)).count();
        if (open.images.len() + new > size || open.triplets.len() == size) && !open.triplets.is_empty() {
            let full = std::mem::take(&mut open).close(size, spare, batches.len(), &person);
            batches.push(full);
        }
        if size >= 3 {
            open.add(triplet);
        }
    }
    if !open.triplets.is_empty() {
        let last = open.close(size, spare, batches.len(), &person);
        batches.push(last);
    }
    batches
}

/// A batch in the making.
#[derive(Default)]
struct Open {
    images: Vec<usize>,
    places: HashMap<usize, u32>,
    triplets: Vec<[u32; 3]>,
}

impl Open {
    fn add(&mut self, triplet: &[usize; 3]) {
        let places = triplet.map(|image| {
            *self.places.entry(image).or_insert_with(|| {
                self.images.push(image);
                u32::try_from(self.images.len() - 1).expect("a batch fits 32 bits")
            })
        });
        self.triplets.push(places);
    }

    /// Fills the batch up, each `number` from another place in `spare`.
    fn close(mut self, size: usize, spare: &[usize], number: usize, person: impl Fn(usize) -> usize) -> Batch {
        let free = size - self.images.len();
        let from = number * size % spare.len().max(1);
        let others = spare[from..].iter().chain(&spare[..from]).copied();
        let others: Vec<usize> = others.filter(|i| !self.places.contains_key(i)).take(free).collect();
        self.images.extend(others);
        // Fewer images than places: some come twice.
        let again: Vec<usize> = self.images.iter().copied().cycle().take(size - self.images.len()).collect();
        self.images.extend(again);
        let label = |&image: &usize| u32::try_from(person(image)).expect("people are counted in u32");
        let labels = self.images.iter().map(label).collect();
        Batch { labels, images: self.images, views: Vec::new(), triplets: self.triplets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_triplet_is_in_one_batch_and_every_batch_is_full() {
        let triplets = [[0, 1, 9], [1, 0, 9], [4, 5, 0], [7, 6, 2], [2, 3, 7]];
        let spare: Vec<usize> = (0..12).collect();
        let batches = pack(&triplets, 6, &spare, |image| image / 2);
        let back = |b: &Batch| b.triplets.iter().map(|t| t.map(|at| b.images[at as usize])).collect::<Vec<_>>();
        assert_eq!(batches.iter().flat_map(back).collect::<Vec<_>>(), triplets);
        for batch in &batches {
            assert_eq!((batch.images.len(), batch.labels.len()), (6, 6));
            let mut once = batch.images.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), 6, "{batch:?}");
            assert!(batch.images.iter().zip(&batch.labels).all(|(&i, &l)| i / 2 == l as usize));
        }
        assert_eq!(batches.len(), 2);
        assert!(pack(&[], 6, &spare, |image| image).is_empty());
    }

    #[test]
    fn the_share_of_offline_steps_is_kept_over_any_number_of_steps() {
        for share in [0.3, 0.5, 0.75, 1.0] {
            let count = (0..1000).filter(|&step| is_offline(step, share)).count();
            assert!((count as f64 - 1000.0 * share).abs() <= 1.0, "{count} of 1000 at {share}");
        }
        assert_eq!(
            (0..6).map(|step| is_offline(step, 0.5)).collect::<Vec<_>>(),
            [false, true, false, true, false, true]
        );
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let good = Offline { every: 10, subset: 100, share: 0.5, hardest: false };
        assert!(good.check().is_ok());
        for bad in [
            Offline { every: 0, ..good },
            Offline { subset: 2, ..good },
            Offline { share: 0.0, ..good },
            Offline { share: 1.1, ..good },
            Offline { share: f64::NAN, ..good },
        ] {
            assert_eq!(bad.check().unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
