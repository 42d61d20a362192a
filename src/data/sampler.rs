//! Batches of P people with K images each, and M random images of other people.
//!
//! The rules, all from the seed alone:
//! * An epoch is a permutation of the training people with two or more images, cut into groups of P; the last group is
//!   filled up from the start of the permutation.
//! * Each person of a group gives K different images, or all they have.
//! * Places left free are filled in this order: people with a single image (in random order), one image each of people
//!   outside the group, further images of the people in the group, further images of others, and only then images that
//!   are in the batch already.
//! * M negatives follow: images of people outside the group, drawn from all of them that are not in the batch yet. Where
//!   those are too few, because the free places took some, further images of the group follow, and only then images that
//!   are in the batch already.
//! * Where M is left open, the negatives are people with a single image: as many as P, or as there are.
//! * P is lowered to the number of people with two or more images, K to the most images any of them has; both with a
//!   warning, and so is M to the images that are left where the P people have as many as any P have. Apart from that
//!   every batch has P x K + M images.
//! * Where the size of a batch is given, M is what P x K leaves of it, also after P and K were lowered, and no batch is
//!   smaller unless there are fewer training images.

use std::collections::HashSet;

use rand::seq::{SliceRandom, index};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::augment::{Augment, View};
use super::faces::FaceSet;
use crate::{Error, Result};

/// What the batches look like: see [`PkConfig::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PkConfig {
    /// P: people per batch, at least 2.
    pub people: usize,
    /// K: images per person, at least 2.
    pub images: usize,
    /// M: random images of other people; `None` is one image each of as many people with a single image as there are
    /// people in the batch, or as many as there are.
    pub negatives: Option<usize>,
    /// Images of a batch, at least P x K; `None` is P x K + M.
    pub batch: Option<usize>,
    /// Decides about everything random.
    pub seed: u64,
    /// Random changes to the images.
    pub augment: Augment,
}

impl PkConfig {
    /// Batches of `people` with `images` each, without further negatives and changes of the images, seed 0.
    pub fn new(people: usize, images: usize) -> Self {
        Self { people, images, negatives: Some(0), batch: None, seed: 0, augment: Augment::default() }
    }
}

/// The description of one batch; its first three lists have the same length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Indices of faces in the set, person after person.
    pub images: Vec<usize>,
    /// Person on each image: the index in [`FaceSet::people`].
    pub labels: Vec<u32>,
    /// Random changes of each image.
    pub views: Vec<View>,
    /// Anchor, positive and negative of each triplet that was chosen before, as places in the batch; empty where the
    /// triplets are chosen from the batch itself.
    pub triplets: Vec<[u32; 3]>,
}

/// A person, and an image of it.
type Image = (usize, usize);

/// Draws [`Batch`]es. See the module for the rules.
#[derive(Clone, Debug)]
pub struct PkSampler {
    config: PkConfig,
    /// M as used.
    negatives: usize,
    /// Negatives are images of people with a single image.
    from_singles: bool,
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
    /// [`Error::Setting`] where P or K is below 2, or P x K exceeds the batch; [`Error::Data`] where fewer than two people have two or more images.
    pub fn new(set: &FaceSet, train: &[usize], mut config: PkConfig) -> Result<(Self, Vec<String>)> {
        let PkConfig { people: p, images: k, .. } = config;
        if p < 2 || k < 2 {
            return Err(Error::Setting(format!(
                "batches with P = {p} and K = {k} hold no triplet; give at least 2 people and 2 images of each"
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
        if config.batch.is_some_and(|batch| p.saturating_mul(k) > batch) {
            return Err(Error::Setting(format!(
                "{p} people with {k} images each are more than a batch of {} images",
                config.batch.unwrap_or_default()
            )));
        }
        let mut warnings = Vec::new();
        if p > paired.len() {
            config.people = paired.len();
            warnings
                .push(format!("batches have {} people instead of {p}: no more have two or more images", config.people));
        }
        let most = paired.iter().map(|&person| faces[person].len()).max().unwrap_or(2);
        if k > most {
            config.images = most;
            warnings.push(format!("batches have {most} images per person instead of {k}: nobody has more"));
        }
        if let Some(batch) = config.batch {
            let all = paired.iter().chain(&singles).map(|&person| faces[person].len()).sum::<usize>();
            if batch > all {
                warnings.push(format!("batches have {all} images instead of {batch}: there are no more to train on"));
            }
            let negatives = batch.min(all).saturating_sub(config.people * config.images);
            return Ok((Self { config, negatives, from_singles: false, faces, paired, singles }, warnings));
        }
        let Some(m) = config.negatives else {
            let negatives = singles.len().min(config.people);
            return Ok((Self { config, negatives, from_singles: true, faces, paired, singles }, warnings));
        };
        let mut negatives = m;
        let outside = images_outside(&faces, &paired, &singles, config.people);
        if m > outside {
            negatives = outside;
            warnings.push(format!(
                "batches have {outside} negatives instead of {m}: beside {} people there may be no more images",
                config.people
            ));
        }
        Ok((Self { config, negatives, from_singles: false, faces, paired, singles }, warnings))
    }

    /// M as used, after any lowering.
    pub fn negatives(&self) -> usize {
        self.negatives
    }

    /// Training people with a single image that never enter a batch, as they do where no places are left for negatives.
    pub fn unused_singles(&self) -> usize {
        let full = self.paired.iter().all(|&person| self.faces[person].len() >= self.config.images);
        if self.negatives == 0 && full { self.singles.len() } else { 0 }
    }

    /// Images of the training people with two or more.
    pub fn paired_images(&self) -> usize {
        self.paired.iter().map(|&person| self.faces[person].len()).sum()
    }

    /// P, K, seed and augmentation as used, after any lowering.
    pub fn config(&self) -> &PkConfig {
        &self.config
    }

    /// Images in every batch: P x K + M.
    pub fn batch_size(&self) -> usize {
        self.config.people * self.config.images + self.negatives
    }

    /// Every training image, in the set's order.
    pub fn images(&self) -> Vec<usize> {
        let mut people: Vec<usize> = self.paired.iter().chain(&self.singles).copied().collect();
        people.sort_unstable();
        people.into_iter().flat_map(|person| self.faces[person].clone()).collect()
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
            take_up_to(&mut chosen, &mut spare, size);
            let others = self.others(group, &chosen, size - chosen.len(), rng);
            chosen.extend(others);
            repeat_up_to(&mut chosen, size);
        }
        if self.negatives > 0 {
            let negatives = match self.from_singles {
                true => self.singles_beside(&chosen, self.negatives, rng),
                false => self.others(group, &chosen, self.negatives, rng),
            };
            chosen.extend(negatives);
            take_up_to(&mut chosen, &mut spare, self.batch_size());
            repeat_up_to(&mut chosen, self.batch_size());
        }
        let label = |person| u32::try_from(person).expect("checked in new");
        Batch {
            images: chosen.iter().map(|&(_, face)| face).collect(),
            labels: chosen.iter().map(|&(person, _)| label(person)).collect(),
            views: chosen.iter().map(|_| self.config.augment.draw(rng)).collect(),
            triplets: Vec::new(),
        }
    }

    /// Up to `free` negatives from as many people outside `group`: those with a single image first.
    fn fillers(&self, group: &[usize], free: usize, rng: &mut impl Rng) -> Vec<Image> {
        let mut fillers: Vec<Image> = index::sample(rng, self.singles.len(), free.min(self.singles.len()))
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

    /// Up to `count` people with a single image that are not among `chosen`.
    fn singles_beside(&self, chosen: &[Image], count: usize, rng: &mut impl Rng) -> Vec<Image> {
        let taken: HashSet<usize> = chosen.iter().map(|&(person, _)| person).collect();
        let mut left: Vec<usize> = self.singles.iter().copied().filter(|person| !taken.contains(person)).collect();
        let (drawn, _) = left.partial_shuffle(rng, count);
        drawn.iter().map(|&person| (person, self.faces[person][0])).collect()
    }

    /// Up to `count` images of people outside `group` that are not among `chosen`.
    fn others(&self, group: &[usize], chosen: &[Image], count: usize, rng: &mut impl Rng) -> Vec<Image> {
        if count == 0 {
            return Vec::new();
        }
        let (group, taken): (HashSet<_>, HashSet<_>) = (group.iter().collect(), chosen.iter().collect());
        let people = self.paired.iter().chain(&self.singles).filter(|person| !group.contains(person));
        let images = people.flat_map(|&person| self.faces[person].iter().map(move |&face| (person, face)));
        let mut left: Vec<Image> = images.filter(|image| !taken.contains(image)).collect();
        let (drawn, _) = left.partial_shuffle(rng, count);
        drawn.to_vec()
    }
}

/// Images of all others where the `people` people of a group have as many as any so many have: what every batch can have.
fn images_outside(faces: &[Vec<usize>], paired: &[usize], singles: &[usize], people: usize) -> usize {
    let mut counts: Vec<usize> = paired.iter().map(|&person| faces[person].len()).collect();
    counts.sort_unstable();
    counts.iter().rev().skip(people).sum::<usize>() + singles.len()
}

/// Fills `chosen` up to `size` images from `spare`, as far as these go.
fn take_up_to(chosen: &mut Vec<Image>, spare: &mut Vec<Image>, size: usize) {
    let free = size - chosen.len();
    chosen.extend(spare.drain(..free.min(spare.len())));
}

/// Fills `chosen` up to `size` images from its start: every image of the training people is in the batch.
fn repeat_up_to(chosen: &mut Vec<Image>, size: usize) {
    let repeats: Vec<Image> = chosen.iter().copied().cycle().take(size - chosen.len()).collect();
    chosen.extend(repeats);
}

#[cfg(test)]
mod tests;
