//! Offline selection (the paper's section 3.2): every so many steps the latest weights embed a part of the training set,
//! hard triplets are chosen over all of it, and training goes on with these until the next time.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rand::SeedableRng;
use rand::seq::{SliceRandom, index};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::embed::embed;
use super::pack::pack;
use super::{Observer, OfflineState, SelectionReport};
use crate::data::faces::FaceSet;
use crate::data::prefetch::{Prefetcher, depth};
use crate::data::sampler::{Batch, PkSampler};
use crate::search::{Neighbours, Pairs, Points, Queries, Question, Searcher};
use crate::session::Session;
use crate::{Error, Result};

/// The farthest image of the same person.
const POSITIVE: Question = Question { k: 1, farthest: true, pairs: Pairs::SameLabel };
/// The closest image of another person.
const NEGATIVE: Question = Question { k: 1, farthest: false, pairs: Pairs::OtherLabel };

/// How triplets are chosen offline: see [`Offline::every()`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "program", derive(clap::Args))]
#[non_exhaustive]
pub struct Offline {
    /// Choose triplets offline every N steps: over many images at once, with the latest weights.
    #[cfg_attr(feature = "program", arg(id = "offline.every", long = "offline-every", value_name = "N", required = false,
                                        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..)))]
    pub every: usize,

    /// Images that offline selection chooses from, drawn anew each time; all training images if there are fewer.
    #[cfg_attr(feature = "program", arg(id = "offline.subset", long = "offline-subset", value_name = "N",
                                        default_value_t = Self::every(1).subset, requires = "offline.every",
                                        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(3..)))]
    pub subset: usize,

    /// Part of the steps that train on triplets chosen offline; the others choose from their batch.
    #[cfg_attr(feature = "program", arg(id = "offline.share", long = "offline-share", value_name = "PART",
                                        default_value_t = Self::every(1).share, requires = "offline.every"))]
    pub share: f64,

    /// Choose the closest negative offline, also where it is closer than the positive.
    #[cfg_attr(feature = "program", arg(id = "offline.hardest", long = "offline-hardest", requires = "offline.every"))]
    pub hardest: bool,
}

impl Offline {
    /// A selection every so many steps, over 5,000 images, whose triplets all steps train on.
    pub fn every(every: usize) -> Self {
        Self { every, subset: 5000, share: 1.0, hardest: false }
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// A setting that makes no sense.
    pub(super) fn check(&self) -> Result<()> {
        let usage = |what: &str| Err(Error::Setting(what.to_string()));
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
    steps: usize,
}

impl OfflineBatches {
    pub(super) fn new(
        (settings, margin): (Offline, f32),
        set: &Arc<FaceSet>,
        sampler: PkSampler,
        steps: usize,
    ) -> Self {
        let images = sampler.images();
        Self { settings, margin, set: set.clone(), images, sampler, steps }
    }

    /// Whether step `done` (counted from 0) begins with a selection.
    pub(super) fn due(&self, done: usize) -> bool {
        done.is_multiple_of(self.settings.every)
    }

    /// Chooses triplets with `session`, the network in training, and starts the batches of the steps until the next
    /// selection, all of which choose from their batch if none was found. `None` if `stop` was set meanwhile.
    pub(super) fn select(
        &self,
        session: &mut Session,
        done: usize,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Option<(Prefetcher, OfflineState, SelectionReport)>> {
        let begin = Instant::now();
        let (_, subset) = self.subset(done);
        let Some(chosen) = self.choose(session, &subset, stop, observer)? else { return Ok(None) };
        let triplets = chosen.iter().map(|chosen| chosen.images).collect();
        let state = OfflineState { step: done, triplets };
        let (batches, used) = self.batches(&state, done)?;
        let mean =
            |of: fn(&Chosen) -> f32| chosen.iter().map(|c| f64::from(of(c))).sum::<f64>() / chosen.len().max(1) as f64;
        let report = SelectionReport {
            step: done,
            images: subset.len(),
            triplets: chosen.len(),
            used,
            d_ap: mean(|c| c.d_ap),
            d_an: mean(|c| c.d_an),
            seconds: begin.elapsed().as_secs_f64(),
        };
        Ok(Some((batches, state, report)))
    }

    /// The images that are chosen from before step `done`, and the generator that goes on from there.
    fn subset(&self, done: usize) -> (ChaCha8Rng, Vec<usize>) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.sampler.config().seed);
        rng.set_stream(u64::MAX - done as u64);
        let count = self.settings.subset.min(self.images.len());
        let mut subset: Vec<usize> =
            index::sample(&mut rng, self.images.len(), count).iter().map(|at| self.images[at]).collect();
        subset.sort_unstable();
        (rng, subset)
    }

    /// Starts the batches that train on the triplets of `state`, from step `from` on until the next selection. Returns how
    /// many triplets all steps since the selection have room for, too.
    pub(super) fn batches(&self, state: &OfflineState, from: usize) -> Result<(Prefetcher, usize)> {
        let (mut rng, subset) = self.subset(state.step);
        let mut triplets = state.triplets.clone();
        triplets.shuffle(&mut rng);
        let size = self.sampler.batch_size();
        let steps = state.step..self.steps.min(state.step + self.settings.every);
        let share = self.settings.share;
        let wanted = steps.clone().filter(|&step| is_offline(step, share)).count();
        let packed = pack(&triplets, size, wanted, &subset, |image| self.set.person_of(image));
        let used = packed.iter().map(|batch| batch.triplets.len()).sum();
        let online = self.sampler.clone().batches(state.step as u64);
        let augment = self.sampler.config().augment;
        let mut offline = packed.into_iter().cycle();
        let batches = online.zip(steps).map(move |(online, step)| {
            let own = is_offline(step, share).then(|| offline.next()).flatten();
            own.map_or(online, |own| Batch {
                views: own.images.iter().map(|_| augment.draw(&mut rng)).collect(),
                ..own
            })
        });
        // Those before `from` draw from the generator, too.
        let batches = batches.skip(from - state.step);
        Ok((Prefetcher::start(self.set.clone(), batches, depth(&self.set, size))?, used))
    }

    /// The triplets of the images in `subset`.
    fn choose(
        &self,
        session: &mut Session,
        subset: &[usize],
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Option<Vec<Chosen>>> {
        let (set, what) = (&self.set, "selecting offline");
        let embeddings = embed(session, subset, |image| set.face_or_other(image), what, stop, observer)?;
        let Some(embeddings) = embeddings else { return Ok(None) };
        let person = |&image: &usize| u32::try_from(set.person_of(image)).expect("people are counted in u32");
        let people: Vec<u32> = subset.iter().map(person).collect();
        let points = Points::new(embeddings.as_slice(), embeddings.dim())?.labelled(&people)?;
        let ask = |queries: Queries<'_>, question| {
            let mut searcher = Searcher::new(session.engine(), points, question, people.len())?;
            searcher.search(&queries, |_, _| match stop.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        };
        let anchors = Queries::gallery(points);
        let Some(positives) = ask(anchors, POSITIVE).map_err(too_many)? else { return Ok(None) };
        let semi_hard = anchors.beyond(&positives.distance)?;
        let negatives = ask(if self.settings.hardest { anchors } else { semi_hard }, NEGATIVE).map_err(too_many)?;
        let Some(negatives) = negatives else { return Ok(None) };
        let one = |found: &Neighbours, at| found.of(at).next();
        let triplet = |(at, &anchor): (usize, &usize)| {
            let ((positive, d_ap), (negative, d_an)) = (one(&positives, at)?, one(&negatives, at)?);
            let images = [anchor, subset[positive as usize], subset[negative as usize]];
            (d_an - d_ap < self.margin).then_some(Chosen { images, d_ap, d_an })
        };
        Ok(Some(subset.iter().enumerate().filter_map(triplet).collect()))
    }
}

/// A triplet of images of the set, and its squared distances.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Chosen {
    images: [usize; 3],
    d_ap: f32,
    d_an: f32,
}

/// Tells how to select from fewer images where a selection does not fit the device: the batch has no part in it.
fn too_many(error: Error) -> Error {
    match error {
        Error::Memory(what) => Error::Device(format!("offline selection: {what}; lower `offline.subset`")),
        other => other,
    }
}

/// Whether step `step` of the run (counted from 0) trains on offline triplets: spread evenly, so that after any number of
/// steps as many have done so as the share says.
fn is_offline(step: usize, share: f64) -> bool {
    let due = |steps: usize| num_traits::cast::<f64, u64>((steps as f64 * share).floor()).unwrap_or(0);
    due(step + 1) > due(step)
}

#[cfg(test)]
mod tests;
