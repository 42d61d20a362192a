//! `facenet-gpu eval`: verification accuracy on a list of pairs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use rayon::prelude::*;

use super::{DeviceFlag, table, weights};
use crate::data::decode::decode_face;
use crate::eval::pairs_file::{ImageName, NamedPair, PairsFile};
use crate::eval::verification::{Pair, cross_validated, squared_distance, verification_accuracy};
use crate::{Error, Result, Session};

/// Measure weights on a list of pairs in LFW's format
#[derive(Debug, Args)]
pub(super) struct Eval {
    /// Weights file
    weights: PathBuf,

    /// Folder of all people, with a folder for each, as LFW's archive lays them out
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// List of pairs: LFW's pairsDevTest.txt, pairsDevTrain.txt or pairs.txt
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,

    /// Decides which pairs of a single set choose the threshold
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,

    #[command(flatten)]
    device: DeviceFlag,
}

impl Eval {
    pub(super) fn run(self) -> Result<()> {
        let list = PairsFile::read(&self.pairs)?;
        let (engine, reason) = self.device.open()?;
        say!("device    {}", engine.describe());
        say!("          {reason}");
        let mut session = weights::from_user(&self.weights, Session::open(&engine, &self.weights))?;
        let metadata = session.metadata().clone();
        let (height, width) = (metadata.preprocess.height, metadata.preprocess.width);
        let crop = metadata.preprocess.crop.map_or(String::new(), |crop| format!(", crop {crop}"));
        say!("weights   {}, {height}x{width}{crop}, {} dimensions", metadata.network, metadata.embedding);

        // Each image once; those that cannot be used leave their pairs out.
        let mut rows: BTreeMap<&ImageName, Option<usize>> = BTreeMap::new();
        list.sets.iter().flatten().flat_map(|pair| [&pair.a, &pair.b]).for_each(|image| {
            rows.insert(image, None);
        });
        let decode = |&image: &&ImageName| decode_face(&image.path(&self.data), &metadata.preprocess);
        let names: Vec<&ImageName> = rows.keys().copied().collect();
        let decoded: Vec<_> = names.par_iter().map(decode).collect();
        let mut faces = Vec::new();
        let mut first_failure = None;
        for (name, face) in names.iter().zip(decoded) {
            match face {
                Ok(face) => {
                    rows.insert(name, Some(faces.len()));
                    faces.push(face);
                }
                Err(e) => {
                    first_failure.get_or_insert(e);
                }
            }
        }
        if let Some(e) = &first_failure {
            if faces.is_empty() {
                return Err(Error::Data(format!(
                    "none of the {} images of {} can be used in {}; the first: {e}",
                    names.len(),
                    self.pairs.display(),
                    self.data.display()
                )));
            }
            hint!("warning: {} of {} images cannot be used; the first: {e}", names.len() - faces.len(), names.len());
        }
        let embeddings = session.embed_faces(&faces)?;
        let rows_of = |pair: &NamedPair| rows[&pair.a].zip(rows[&pair.b]);
        let usable = |set: &Vec<NamedPair>| -> Vec<(Pair, f32, f32)> {
            let measure = |pair: &NamedPair| {
                let (a, b) = rows_of(pair)?;
                let pixels = |face: &[u8]| face.iter().map(|&x| f32::from(x) / 255.0).collect::<Vec<_>>();
                let raw = squared_distance(&pixels(&faces[a]), &pixels(&faces[b]));
                Some((Pair { a, b, same: pair.same }, squared_distance(&embeddings[a], &embeddings[b]), raw))
            };
            set.par_iter().filter_map(measure).collect()
        };
        let sets: Vec<Vec<(Pair, f32, f32)>> = list.sets.iter().map(usable).collect();
        let (all, used) = (list.sets.iter().flatten().count(), sets.iter().flatten().count());
        say!(
            "pairs     {} of {} in {} set{}, of {} images",
            table::count(used as u64),
            table::count(all as u64),
            sets.len(),
            if sets.len() == 1 { "" } else { "s" },
            table::count(faces.len() as u64)
        );
        if let [set] = &sets[..] {
            let pairs: Vec<Pair> = set.iter().map(|(pair, ..)| *pair).collect();
            let accuracy = |distances: Vec<f32>| verification_accuracy(&pairs, &distances, self.seed);
            let model = accuracy(set.iter().map(|(_, d, _)| *d).collect())?;
            let pixels = accuracy(set.iter().map(|(.., raw)| *raw).collect())?;
            say!("protocol  threshold chosen on one half of the pairs, applied to the other, both ways");
            say!("accuracy  {:.1} % at threshold {:.3}", model.accuracy * 100.0, model.threshold);
            say!("baseline  raw pixels {:.1} %", pixels.accuracy * 100.0);
        } else {
            let scored = |of: fn(&(Pair, f32, f32)) -> f32| -> Vec<Vec<(f32, bool)>> {
                sets.iter().map(|set| set.iter().map(|row| (of(row), row.0.same)).collect()).collect()
            };
            let (model, pixels) = (cross_validated(&scored(|row| row.1))?, cross_validated(&scored(|row| row.2))?);
            let percent = |x: f64| x * 100.0;
            say!("protocol  each set with the threshold of the others; mean and standard error");
            say!("accuracy  {:.2} % +- {:.2}", percent(model.accuracy), percent(model.standard_error));
            say!("baseline  raw pixels {:.2} % +- {:.2}", percent(pixels.accuracy), percent(pixels.standard_error));
        }
        Ok(())
    }
}
