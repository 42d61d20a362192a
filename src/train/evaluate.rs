//! How well held-out people are told apart, beside two floors measured the same way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::embed::embed;
use crate::data::faces::FaceSet;
use crate::eval::verification::{
    Accuracy, Pair, balanced_pairs, raw_pixel_distances, squared_distance, verification_accuracy,
};
use crate::model::Model;
use crate::net::Network;
use crate::train::{Compatible, Config, Observer, Versions};
use crate::weights::{Metadata, Weights};
use crate::{Engine, Result};

/// Most pairs that an evaluation classifies: the size of LFW's View 2.
const MAX_PAIRS: usize = 6_000;
/// Images that are embedded together.
const BATCH: u32 = 32;
/// Images that are embedded where nobody is held out, only to see that the network still gives numbers.
const PROBE: usize = 32;

/// What is reached without training: a network that does not beat both has learnt nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floors {
    /// Squared distance of raw pixels.
    pub pixels: Accuracy,
    /// The network with its starting weights.
    pub untrained: Accuracy,
}

/// Measures verification accuracy on the held-out people.
#[derive(Debug)]
pub struct Evaluator {
    set: Arc<FaceSet>,
    pairs: Vec<Pair>,
    /// Position of each image of the pairs in the list of embedded images.
    rows: BTreeMap<usize, usize>,
    seed: u64,
    model: Model,
}

impl Evaluator {
    /// Draws the pairs, the same for every epoch and for the floors. Where nobody is held out there are none, and a few
    /// images stand in, so that [`accuracy`](Self::accuracy) still notices embeddings that are not numbers.
    ///
    /// # Errors
    /// The held-out people give no pairs, or the device lacks memory.
    pub fn new(
        engine: &Engine,
        network: &Network,
        config: &Config,
        metadata: Metadata,
        set: Arc<FaceSet>,
        held_out: &[usize],
    ) -> Result<Self> {
        let pairs = match held_out {
            [] => Vec::new(),
            people => balanced_pairs(&set.faces_of(people), config.seed, MAX_PAIRS)?,
        };
        let mut rows: BTreeMap<usize, usize> = pairs.iter().flat_map(|p| [(p.a, 0), (p.b, 0)]).collect();
        if pairs.is_empty() {
            rows.extend((0..set.len().min(PROBE)).map(|image| (image, 0)));
        }
        rows.values_mut().enumerate().for_each(|(row, value)| *value = row);
        let model = Model::untrained(engine, network, metadata, BATCH)?;
        Ok(Self { set, pairs, rows, seed: config.seed, model })
    }

    /// Number of pairs.
    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// The two floors, given the starting weights; `None` where nobody is held out or `stop` was set meanwhile.
    ///
    /// # Errors
    /// An image can no longer be read, or the device is lost.
    pub fn floors(
        &mut self,
        start: &Weights,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Option<Floors>> {
        if self.pairs.is_empty() || stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let distances = raw_pixel_distances(&self.set, &self.pairs)?;
        let pixels = verification_accuracy(&self.pairs, &distances, self.seed)?;
        self.model.load_weights(start, Path::new("the starting weights"))?;
        Ok(self.measure(stop, observer)?.map(|untrained| Floors { pixels, untrained }))
    }

    /// Accuracy with these weights; `None` where nobody is held out or `stop` was set meanwhile.
    ///
    /// # Errors
    /// An image can no longer be read, the device is lost, or an embedding is not a number.
    pub fn accuracy(
        &mut self,
        weights: &Weights,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Option<Accuracy>> {
        self.model.load_weights(weights, Path::new("the weights in training"))?;
        self.measure(stop, observer)
    }

    /// Accuracy of these weights, of an old network, and of one against the other; `None` where nobody is held out or
    /// `stop` was set meanwhile.
    ///
    /// # Errors
    /// As [`accuracy`](Self::accuracy).
    pub fn versions(
        &mut self,
        weights: &Weights,
        old: &Compatible,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Option<Versions>> {
        self.model.load_weights(weights, Path::new("the weights in training"))?;
        let Some(new) = self.embed(stop, observer)?.filter(|_| !self.pairs.is_empty()) else { return Ok(None) };
        let new = |image: usize| &new[self.rows[&image]][..];
        Ok(Some(Versions {
            new: self.accuracy_of(|p| squared_distance(new(p.a), new(p.b)))?,
            old: self.accuracy_of(|p| squared_distance(old.row(p.a), old.row(p.b)))?,
            across: self.accuracy_of(|p| squared_distance(new(p.a), old.row(p.b)))?,
        }))
    }

    fn measure(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Option<Accuracy>> {
        let Some(embeddings) = self.embed(stop, observer)?.filter(|_| !self.pairs.is_empty()) else { return Ok(None) };
        let row = |image: usize| &embeddings[self.rows[&image]][..];
        self.accuracy_of(|p| squared_distance(row(p.a), row(p.b))).map(Some)
    }

    fn accuracy_of(&self, distance: impl Fn(&Pair) -> f32) -> Result<Accuracy> {
        let distances: Vec<f32> = self.pairs.iter().map(distance).collect();
        verification_accuracy(&self.pairs, &distances, self.seed)
    }

    /// The embeddings of all images in question, in the order of `rows`; `None` if `stop` was set meanwhile.
    fn embed(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Option<Vec<Vec<f32>>>> {
        let images: Vec<usize> = self.rows.keys().copied().collect();
        embed(&mut self.model, &images, |image| self.set.face(image), "measuring", stop, observer)
    }
}
