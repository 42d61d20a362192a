//! The pairs of a list, embedded and measured.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::embedder::Embedder;
use super::told::Told;
use super::trained_on;
use crate::cli::progress::bar;
use crate::cli::table::count;
use crate::data::preprocess::Face;
use crate::digest::sha256_of;
use crate::eval::folds::{self, Fold};
use crate::eval::images::{ImageName, Images};
use crate::eval::metric::Metric;
use crate::eval::pairs_file::{NamedPair, PairsFile};
use crate::eval::verification::{Pair, squared_distance};
use crate::text::{counted, listed};
use crate::weights::write_whole;
use crate::{Error, Result};

/// How distances are taken.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Distances {
    pub(in crate::cli) metric: Metric,
    pub(in crate::cli) subtract_mean: bool,
}

/// A pair that could be measured.
#[derive(Debug)]
pub(in crate::cli) struct Measured<'a> {
    pub(in crate::cli) pair: &'a NamedPair,
    /// Places of its faces.
    pub(in crate::cli) indices: Pair,
    pub(in crate::cli) distance: f32,
    pub(in crate::cli) pixels: f32,
}

/// What a list gave.
#[derive(Debug)]
pub(in crate::cli) struct Listed<'a> {
    /// Every set that has a pair.
    pub(in crate::cli) sets: Vec<Vec<Measured<'a>>>,
    pub(in crate::cli) folds: Vec<Fold>,
    pub(in crate::cli) faces: Vec<Face>,
    /// The person on each face, by numbers. A list of files does not say who they show: there, everybody is on one image.
    pub(in crate::cli) people: Vec<usize>,
    /// Sets and pairs of the list.
    pub(in crate::cli) wanted: (usize, usize),
    /// Names of the sets that have a pair.
    pub(in crate::cli) names: Vec<&'a str>,
    /// Names of those without one.
    pub(in crate::cli) empty: Vec<&'a str>,
}

/// A row of the pairs' distances.
#[derive(Serialize)]
struct Row<'a> {
    set: &'a str,
    first: String,
    second: String,
    same: u8,
    distance: f32,
    raw_pixels: f32,
}

/// The images that a list names, each once: where they are, or why not.
pub(in crate::cli) fn find<'a>(list: &'a PairsFile, data: &Path) -> Vec<(&'a ImageName, Result<PathBuf>)> {
    let named = list.sets.iter().flatten().flat_map(|pair| [&pair.a, &pair.b]);
    let names: Vec<&ImageName> = named.collect::<BTreeSet<_>>().into_iter().collect();
    let images = Images::new(data);
    names.into_par_iter().map(|name| (name, images.find(name).map_err(Error::Data))).collect()
}

/// Refuses where all images fail, and warns where some do.
pub(in crate::cli) fn tell_failures(failures: &[Error], all: usize, pairs: &Path, data: &Path) -> Result<()> {
    match failures.first() {
        Some(e) if failures.len() == all => Err(Error::Data(format!(
            "none of the {all} images of {} can be used in {}; the first: {e}",
            pairs.display(),
            data.display()
        ))),
        Some(e) => {
            hint!("warning: {} of {all} images cannot be used; the first: {e}", failures.len());
            Ok(())
        }
        None => Ok(()),
    }
}

impl<'a> Listed<'a> {
    /// Decodes and embeds the images of a list and measures its pairs.
    pub(in crate::cli) fn measure(
        list: &'a PairsFile,
        [weights, pairs, data]: [&Path; 3],
        embedder: &mut Embedder,
        distances: Distances,
    ) -> Result<Self> {
        let found = find(list, data);
        let all = found.len();
        let there: Vec<&PathBuf> = found.iter().filter_map(|(_, path)| path.as_ref().ok()).collect();
        let bar = bar(there.len(), "reading   {bar:40} {pos}/{len} images, {eta}");
        let read = embedder.eyes.faces(&there, &embedder.preprocess, &mut |files| bar.inc(files as u64));
        bar.finish_and_clear();
        let mut read = read?.into_iter();
        let outcomes: Vec<_> = found
            .into_iter()
            .map(|(name, path)| (name, path.and_then(|path| Ok((read.next().expect("one for each file")?, path)))))
            .collect();
        let (mut rows, mut faces, mut paths, mut failures) = (BTreeMap::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut people, mut named) = (Vec::new(), BTreeMap::new());
        for (name, outcome) in outcomes {
            match outcome {
                Ok((face, path)) => {
                    rows.insert(name, faces.len());
                    let number = named.len();
                    people.push(*named.entry(name.person()).or_insert(number));
                    faces.push(face);
                    paths.push(path);
                }
                Err(e) => failures.push(e),
            }
        }
        tell_failures(&failures, all, pairs, data)?;
        embedder.eyes.hint_sizes(&paths, &embedder.preprocess);
        trained_on::warn(weights, embedder.metadata(), data, paths.len(), |at| sha256_of(&paths[at]).ok());
        let names = paths.iter().map(|path| path.display().to_string()).collect();
        let embeddings = embedder.embed(names, |at| Ok(&faces[at]))?;
        let indices = |pair: &'a NamedPair| {
            let (a, b) = (*rows.get(&pair.a)?, *rows.get(&pair.b)?);
            Some((pair, Pair { a, b, same: pair.same }))
        };
        let usable: Vec<Vec<(&NamedPair, Pair)>> =
            list.sets.iter().map(|set| set.iter().filter_map(indices).collect()).collect();
        let wanted = (list.sets.len(), list.sets.iter().flatten().count());
        let named = |empty: bool| -> Vec<&'a str> {
            let names = list.names.iter().zip(&usable).filter(|(_, set)| set.is_empty() == empty);
            names.map(|(name, _)| name.as_str()).collect()
        };
        let (names, empty) = (named(false), named(true));
        let usable: Vec<_> = usable.into_iter().filter(|set| !set.is_empty()).collect();
        let row = |image: usize| embeddings.row(image);
        let places: Vec<Vec<Pair>> = usable.iter().map(|set| set.iter().map(|pair| pair.1).collect()).collect();
        let folds = if distances.subtract_mean && places.len() > 1 {
            folds::with_mean_subtracted(&places, distances.metric, row)
        } else {
            let scored = |pair: &Pair| (distances.metric.distance(row(pair.a), row(pair.b), None), pair.same);
            let scored: Vec<Vec<_>> = places.iter().map(|set| set.iter().map(scored).collect()).collect();
            folds::of_sets(&scored)
        };
        let floats = |face: &[u8]| face.iter().map(|&x| f32::from(x) / 255.0).collect::<Vec<_>>();
        let sets = usable.into_iter().zip(&folds).map(|(set, fold)| {
            let measured = |((pair, indices), &(distance, _)): ((&'a NamedPair, Pair), &(f32, bool))| {
                let pixels = squared_distance(&floats(&faces[indices.a]), &floats(&faces[indices.b]));
                Measured { pair, indices, distance, pixels }
            };
            set.into_par_iter().zip(&fold.test).map(measured).collect()
        });
        let sets = sets.collect();
        Ok(Self { sets, folds, faces, people, wanted, names, empty })
    }

    /// The measured pairs.
    pub(in crate::cli) fn pairs(&self) -> impl Iterator<Item = &Measured<'a>> {
        self.sets.iter().flatten()
    }

    /// How many pairs there are, of which kind, and which sets have none.
    pub(in crate::cli) fn tell(&self, told: &mut Told) {
        let used = self.pairs().count();
        let same = self.pairs().filter(|m| m.pair.same).count();
        let text = format!(
            "{} of {} in {}, of {} images: {} of one person, {} of different people",
            count(used as u64),
            count(self.wanted.1 as u64),
            counted(self.wanted.0, "set"),
            count(self.faces.len() as u64),
            count(same as u64),
            count((used - same) as u64)
        );
        told.line("pairs", text);
        if !self.empty.is_empty() && used > 0 {
            hint!("warning: no pair of set {} can be used; the set is left out", listed(&self.empty));
        }
        if same * 2 != used {
            let which = if used < self.wanted.1 { "pairs that are left" } else { "pairs" };
            hint!("warning: the {which} are not balanced, so guessing reaches more than 50 %");
        }
    }

    /// Writes a row for each pair.
    pub(in crate::cli) fn write(&self, path: &Path) -> Result<()> {
        let mut out = csv::Writer::from_writer(Vec::new());
        let sets = self.names.iter().zip(&self.sets);
        for (&set, measured) in sets.flat_map(|(set, rows)| rows.iter().map(move |m| (set, m))) {
            let Measured { pair, distance, pixels, .. } = measured;
            let (first, second) = (pair.a.to_string(), pair.b.to_string());
            let row = Row { set, first, second, same: pair.same.into(), distance: *distance, raw_pixels: *pixels };
            out.serialize(row).expect("memory takes every row");
        }
        write_whole(path, &out.into_inner().expect("memory takes every row"))
    }
}
