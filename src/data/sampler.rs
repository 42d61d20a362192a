//! Batches of P people with K images each, and M random images of other people.
//!
//! The rules, all from the seed alone:
//! * An epoch is a permutation of the training people with two or more images, cut into groups of P; the last group is
//!   filled up from the start of the permutation.
//! * Each person of a group gives K different images, or all they have.
//! * Places left free are filled in this order: people with a single image (in random order), one image each of people
//!   outside the group, further images of the people in the group, and only then images that are in the batch already.
//! * M negatives follow: images of people outside the group, drawn from all of them that are not in the batch yet. Where
//!   those are too few, because the free places took some, further images of the group follow, and only then images that
//!   are in the batch already.
//! * P is lowered to the number of people with two or more images, K to the most images any of them has; both with a
//!   warning, and so is M to the images that are left where the P people have as many as any P have. Apart from that
//!   every batch has P x K + M images.

use std::collections::HashSet;

use rand::seq::{SliceRandom, index};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::augment::{Augment, View};
use super::faces::FaceSet;
use crate::{Error, Result};

/// What the batches look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PkConfig {
    /// P: people per batch, at least 2.
    pub people: usize,
    /// K: images per person, at least 2.
    pub images: usize,
    /// M: random images of other people.
    pub negatives: usize,
    /// Decides about everything random.
    pub seed: u64,
    /// Random changes to the images.
    pub augment: Augment,
}

/// The description of one batch; its three lists have the same length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Indices of faces in the set, person after person.
    pub images: Vec<usize>,
    /// Person on each image: the index in [`FaceSet::people`].
    pub labels: Vec<u32>,
    /// Random changes of each image.
    pub views: Vec<View>,
}

/// Draws [`Batch`]es. See the module for the rules.
#[derive(Clone, Debug)]
pub struct PkSampler {
    config: PkConfig,
    /// Faces of every person of the set.
    faces: Vec<Vec<usize>>,
    /// Training people with two or more images.
    paired: Vec<usize>,
    /// Training people with one image.
    singles: Vec<usize>,
}

impl PkSampler {
    /// A sampler for the people `train` of `set`, and warnings for the console where P, K or M had to be lowered.
    ///
    /// # Errors
    /// [`Error::Usage`] where P or K is below 2; [`Error::Data`] where fewer than two people have two or more images.
    pub fn new(set: &FaceSet, train: &[usize], mut config: PkConfig) -> Result<(Self, Vec<String>)> {
        let PkConfig { people: p, images: k, negatives: m, .. } = config;
        if p < 2 || k < 2 {
            return Err(Error::Usage(format!(
                "batches of {p} people with {k} images each hold no triplet; give at least 2 people and 2 images"
            )));
        }
        u32::try_from(set.people().len()).map_err(|_| Error::Data("more than 2^32 people".to_owned()))?;
        let faces: Vec<Vec<usize>> = set.people().iter().map(|person| person.faces.clone()).collect();
        let (paired, singles): (Vec<usize>, Vec<usize>) = train.iter().partition(|&&person| faces[person].len() > 1);
        if paired.len() < 2 {
            return Err(Error::Data(format!(
                "{} of the {} people to train on have two or more images; two such people are needed: add images",
                paired.len(),
                train.len()
            )));
        }
        let mut warnings = Vec::new();
        if p > paired.len() {
            config.people = paired.len();
            warnings.push(format!(
                "{p} people per batch were asked for, but {} have two or more images; batches have {} people",
                paired.len(),
                paired.len()
            ));
        }
        let most = paired.iter().map(|&person| faces[person].len()).max().unwrap_or(2);
        if k > most {
            config.images = most;
            warnings.push(format!(
                "{k} images per person were asked for, but nobody has more than {most}; batches have {most} per person"
            ));
        }
        let outside = images_outside(&faces, &paired, &singles, config.people);
        if m > outside {
            config.negatives = outside;
            warnings.push(format!(
                "{m} negatives were asked for, but beside {} people there may be no more than {outside} images; batches \
                 have {outside} negatives",
                config.people
            ));
        }
        Ok((Self { config, faces, paired, singles }, warnings))
    }

    /// P, K, M, seed and augmentation as used, after any lowering.
    pub fn config(&self) -> &PkConfig {
        &self.config
    }

    /// Images in every batch: P x K + M.
    pub fn batch_size(&self) -> usize {
        self.config.people * self.config.images + self.config.negatives
    }

    /// Batches in every epoch.
    pub fn batches_per_epoch(&self) -> usize {
        self.paired.len().div_ceil(self.config.people)
    }

    /// All batches of epoch `epoch`, counted from 0. Any epoch can be asked for at any time.
    pub fn epoch(&self, epoch: u64) -> Vec<Batch> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(epoch);
        let mut order = self.paired.clone();
        order.shuffle(&mut rng);
        let people = self.config.people;
        let group = |start: usize| order[start..].iter().chain(&order).copied().take(people).collect::<Vec<_>>();
        (0..order.len()).step_by(people).map(|start| self.batch(&group(start), &mut rng)).collect()
    }

    /// Batches without end, epoch after epoch, from training step `first_step` (counted from 0) on: the way to resume.
    pub fn batches(self, first_step: u64) -> impl Iterator<Item = Batch> + Send + 'static {
        let per_epoch = self.batches_per_epoch() as u64;
        let skip = usize::try_from(first_step % per_epoch).expect("below the number of batches");
        (first_step / per_epoch..).flat_map(move |epoch| self.epoch(epoch)).skip(skip)
    }

    fn batch(&self, group: &[usize], rng: &mut impl Rng) -> Batch {
        let (size, k) = (self.config.people * self.config.images, self.config.images);
        let (mut chosen, mut spare) = (Vec::with_capacity(size), Vec::new());
        for &person in group {
            let mut faces = self.faces[person].clone();
            faces.shuffle(rng);
            chosen.extend(faces.iter().take(k).map(|&face| (person, face)));
            spare.extend(faces.iter().skip(k).map(|&face| (person, face)));
        }
        let free = size - chosen.len();
        if free > 0 {
            let fillers = self.fillers(group, free, rng);
            chosen.extend(fillers);
            spare.shuffle(rng);
            fill_up(&mut chosen, &mut spare, size);
        }
        if self.config.negatives > 0 {
            let negatives = self.negatives(group, &chosen, rng);
            chosen.extend(negatives);
            fill_up(&mut chosen, &mut spare, self.batch_size());
        }
        let label = |person| u32::try_from(person).expect("checked in new");
        Batch {
            images: chosen.iter().map(|&(_, face)| face).collect(),
            labels: chosen.iter().map(|&(person, _)| label(person)).collect(),
            views: chosen.iter().map(|_| self.config.augment.draw(rng)).collect(),
        }
    }

    /// Up to `free` negatives from as many people outside `group`: those with a single image first.
    fn fillers(&self, group: &[usize], free: usize, rng: &mut impl Rng) -> Vec<(usize, usize)> {
        let mut fillers: Vec<(usize, usize)> = index::sample(rng, self.singles.len(), free.min(self.singles.len()))
            .iter()
            .map(|at| (self.singles[at], self.faces[self.singles[at]][0]))
            .collect();
        if fillers.len() < free {
            let mut others: Vec<usize> = self.paired.iter().copied().filter(|p| !group.contains(p)).collect();
            others.shuffle(rng);
            for person in others.into_iter().take(free - fillers.len()) {
                let at = index::sample(rng, self.faces[person].len(), 1).index(0);
                fillers.push((person, self.faces[person][at]));
            }
        }
        fillers
    }

    /// M images of people outside `group` that are not among `chosen`, or all there are.
    fn negatives(&self, group: &[usize], chosen: &[(usize, usize)], rng: &mut impl Rng) -> Vec<(usize, usize)> {
        let (group, taken): (HashSet<_>, HashSet<_>) = (group.iter().collect(), chosen.iter().collect());
        let people = self.paired.iter().chain(&self.singles).filter(|person| !group.contains(person));
        let images = people.flat_map(|&person| self.faces[person].iter().map(move |&face| (person, face)));
        let mut left: Vec<(usize, usize)> = images.filter(|image| !taken.contains(image)).collect();
        let (negatives, _) = left.partial_shuffle(rng, self.config.negatives);
        negatives.to_vec()
    }
}

/// Images of all others where the `people` people of a group have as many as any so many have: what every batch can have.
fn images_outside(faces: &[Vec<usize>], paired: &[usize], singles: &[usize], people: usize) -> usize {
    let mut counts: Vec<usize> = paired.iter().map(|&person| faces[person].len()).collect();
    counts.sort_unstable();
    counts.iter().rev().skip(people).sum::<usize>() + singles.len()
}

/// Fills `chosen` up to `size` images: from `spare`, and where nothing is left, because every image of the training people
/// is in the batch, from the batch's start.
fn fill_up(chosen: &mut Vec<(usize, usize)>, spare: &mut Vec<(usize, usize)>, size: usize) {
    let free = size - chosen.len();
    chosen.extend(spare.drain(..free.min(spare.len())));
    let repeats: Vec<_> = chosen.iter().copied().cycle().take(size - chosen.len()).collect();
    chosen.extend(repeats);
}

#[cfg(test)]
mod tests;
