//! How well held-out people are told apart, beside two baselines measured the same way.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::embed::embed;
use super::hardest::{HardTriplet, hardest};
use super::on_pairs::OnPairs;
use crate::data::faces::FaceSet;
use crate::eval::verification::{
    Accuracy, Pair, balanced_pairs, raw_pixel_distances, squared_distance, verification_accuracy,
};
use crate::model::Model;
use crate::session::{Session, load_weights, store_of};
use crate::store::Store;
use crate::train::{Compatible, Config, Observer, Versions};
use crate::weights::Weights;
use crate::{Embeddings, Engine, Result};

/// Most pairs that an evaluation classifies: the size of LFW's View 2.
const MAX_PAIRS: usize = 6_000;
/// Images that are embedded where nobody is held out, only to see that the network still gives numbers.
const PROBE: usize = 32;

/// Hardest triplets that are shown.
const HARDEST: usize = 8;

/// What is reached without training: a network that does not beat both has learnt nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Baselines {
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
    session: Session,
    /// Parameters of its own, where what is measured is not what is trained.
    own: Option<Store>,
    on_pairs: Option<OnPairs>,
    /// What was measured last, and what the best weights so far gave.
    last: Option<Embeddings>,
    best: Option<Embeddings>,
}

/// What the best weights make of the held-out people, for those who want to see it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HeldOutPairs {
    /// Squared distance of each pair's embeddings, and whether it is of one person.
    pub distances: Vec<(f32, bool)>,
    /// The same with the squared distance of raw pixels.
    pub pixels: Vec<(f32, bool)>,
    /// The hardest triplets, the hardest first.
    pub hardest: Vec<HardTriplet>,
}

/// What an evaluation has found.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Measured {
    /// Accuracy on the held-out people; `None` where nobody is held out.
    pub accuracy: Option<Accuracy>,
    /// Accuracy within and across versions; `None` without an old network or held-out people.
    pub versions: Option<Versions>,
    /// Accuracy on pairs of other images, at the threshold of the held-out people, with the ends of its 95 % confidence
    /// interval; `None` without such pairs.
    pub on_pairs: Option<(f64, [f64; 2])>,
}

impl Evaluator {
    /// Draws the pairs, the same for every epoch and for the baselines, and binds a session to the parameters in training,
    /// or with [`Config::ema`] to parameters of its own, which [`load`](Self::load) sets. Where nobody is held out there are
    /// no pairs, and a few images stand in, so that [`measure`](Self::measure) still notices embeddings with NaN or Inf.
    ///
    /// # Errors
    /// The held-out people give no pairs, or the device lacks memory.
    pub fn new(
        engine: &Engine,
        model: &Model,
        parameters: &Store,
        config: &Config,
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
        let own = (config.ema > 0.0).then(|| store_of(engine, model)).transpose()?;
        let parameters = own.as_ref().unwrap_or(parameters).clone();
        let session = Session::on_store(engine, model.clone(), parameters)?;
        Ok(Self { set, pairs, rows, seed: config.seed, session, own, on_pairs: None, last: None, best: None })
    }

    /// Takes these weights, unless it measures those in training anyway.
    ///
    /// # Errors
    /// They belong to another network, or the device is lost.
    pub fn load(&self, weights: &Weights) -> Result<()> {
        self.own.as_ref().map_or(Ok(()), |store| load_weights(store, weights, "the weights in training".as_ref()))
    }

    /// Whether it measures other weights than those in training.
    pub fn needs_weights(&self) -> bool {
        self.own.is_some()
    }

    /// Measures these pairs, too.
    pub(super) fn also_on(&mut self, pairs: OnPairs) {
        self.on_pairs = Some(pairs);
    }

    /// The network in training, for whatever else embeds with it.
    pub(super) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Number of pairs.
    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// The two baselines, with the parameters as they are now: the starting ones. `None` where nobody is held out or `stop`
    /// was set meanwhile.
    ///
    /// # Errors
    /// An image can no longer be read, or the device is lost.
    pub fn baselines(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Option<Baselines>> {
        if self.pairs.is_empty() || stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let distances = raw_pixel_distances(&self.set, &self.pairs)?;
        let pixels = self.accuracy(&distances)?;
        let measured = self.measure(None, stop, observer)?.and_then(|measured| measured.accuracy);
        Ok(measured.map(|untrained| Baselines { pixels, untrained }))
    }

    /// Accuracy with the parameters as they are now, and beside an old network also that of the old one and of one against
    /// the other; `None` if `stop` was set meanwhile.
    ///
    /// # Errors
    /// An image can no longer be read, the device is lost, or an embedding holds NaN or Inf.
    pub fn measure(
        &mut self,
        old: Option<&Compatible>,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Option<Measured>> {
        let Some(embeddings) = self.embed(stop, observer)? else { return Ok(None) };
        if self.pairs.is_empty() {
            return Ok(Some(Measured { accuracy: None, versions: None, on_pairs: None }));
        }
        let new = |image: usize| embeddings.row(self.rows[&image]);
        let accuracy = self.accuracy_of(|p| squared_distance(new(p.a), new(p.b)))?;
        let versions = match old {
            None => None,
            Some(old) => Some(Versions {
                new: accuracy,
                old: self.accuracy_of(|p| squared_distance(old.row(p.a), old.row(p.b)))?,
                across: self.accuracy_of(|p| squared_distance(new(p.a), old.row(p.b)))?,
            }),
        };
        let on_pairs = match &self.on_pairs {
            None => None,
            Some(pairs) => match pairs.measure(&mut self.session, accuracy.threshold, stop, observer)? {
                None => return Ok(None),
                measured => measured,
            },
        };
        self.last = Some(embeddings);
        Ok(Some(Measured { accuracy: Some(accuracy), versions, on_pairs }))
    }

    /// What was measured last was the best so far.
    pub(super) fn keep_best(&mut self) {
        self.best = self.last.take();
    }

    /// What the best weights make of the held-out people; `None` where nobody is held out or nothing was measured.
    ///
    /// # Errors
    /// An image can no longer be read.
    pub(super) fn best_pairs(&self) -> Result<Option<HeldOutPairs>> {
        let Some(embeddings) = &self.best else { return Ok(None) };
        let rows = &self.rows;
        let of = |image: usize| embeddings.row(rows[&image]);
        let distances = self.pairs.iter().map(|p| (squared_distance(of(p.a), of(p.b)), p.same)).collect();
        let pixels = raw_pixel_distances(&self.set, &self.pairs)?;
        let pixels = pixels.into_iter().zip(&self.pairs).map(|(distance, p)| (distance, p.same)).collect();
        let people = self.set.people().iter().enumerate();
        let images = people.flat_map(|(person, p)| p.faces.iter().map(move |&image| (image, person)));
        let images: Vec<(usize, usize)> = images.filter(|(image, _)| rows.contains_key(image)).collect();
        let hardest = hardest(&images, of, HARDEST);
        Ok(Some(HeldOutPairs { distances, pixels, hardest }))
    }

    fn accuracy_of(&self, distance: impl Fn(&Pair) -> f32) -> Result<Accuracy> {
        let distances: Vec<f32> = self.pairs.iter().map(distance).collect();
        self.accuracy(&distances)
    }

    fn accuracy(&self, distances: &[f32]) -> Result<Accuracy> {
        verification_accuracy(&self.pairs, distances, |image| self.set.person_of(image), self.seed)
    }

    /// The embeddings of all images in question, in the order of `rows`; `None` if `stop` was set meanwhile. A person of whom
    /// no image can be read any more leaves the pairs.
    fn embed(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Option<Embeddings>> {
        let images: Vec<usize> = self.rows.keys().copied().collect();
        let (set, lost) = (&self.set, Mutex::new(BTreeSet::new()));
        let face = |image: usize| {
            set.face_or_other(image).or_else(|error| {
                set.lose(image, error, "nor can another image of the person; its pairs are left out");
                lost.lock().unwrap_or_else(PoisonError::into_inner).insert(set.person_of(image));
                Ok(Cow::Owned(vec![0; set.preprocess().face_len()]))
            })
        };
        let embeddings = embed(&mut self.session, &images, face, "measuring", stop, observer)?;
        let lost = lost.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.pairs.retain(|pair| [pair.a, pair.b].iter().all(|&image| !lost.contains(&self.set.person_of(image))));
        Ok(embeddings)
    }
}
