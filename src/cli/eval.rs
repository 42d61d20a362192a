//! `facenet-gpu eval`: verification accuracy on a list of pairs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use super::output::{self, Audience};
use super::{DeviceFlag, table, weights};
use crate::data::decode::decode_face;
use crate::data::preprocess::Face;
use crate::eval::images::{ImageName, Images};
use crate::eval::pairs_file::{NamedPair, PairsFile};
use crate::eval::rates::{AtFar, val_at_far};
use crate::eval::roc::Roc;
use crate::eval::verification::{Pair, cross_validated, squared_distance, verification_accuracy};
use crate::text::counted;
use crate::weights::write_whole;
use crate::{Error, Result, Session};

/// False accept rates at which the validation rate is told.
const FARS: [f64; 4] = [1e-1, 1e-2, 1e-3, 1e-4];

/// Measure weights on a list of pairs, LFW's or your own
#[derive(Debug, Args)]
pub(super) struct Eval {
    /// Weights file
    weights: PathBuf,

    /// Folder of all people, with a folder for each, as LFW's archive lays them out; of lists of files the folder of the files
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// List of pairs: LFW's pairsDevTest.txt, pairsDevTrain.txt or pairs.txt, or lines such as a/1.jpg,b/2.jpg,0
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,

    /// Decides which pairs of a single set choose the threshold
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,

    /// Write a row for each pair: its images, whether they show one person, both distances
    #[arg(long, value_name = "FILE.csv")]
    distances: Option<PathBuf>,

    /// Print the figures as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    device: DeviceFlag,
}

/// A pair that could be measured.
struct Measured<'a> {
    pair: &'a NamedPair,
    indices: Pair,
    distance: f32,
    pixels: f32,
}

/// A row of `--distances`.
#[derive(Serialize)]
struct Row {
    set: usize,
    first: String,
    second: String,
    same: u8,
    distance: f32,
    raw_pixels: f32,
}

/// The images of a list, decoded.
struct Decoded<'a> {
    rows: BTreeMap<&'a ImageName, usize>,
    faces: Vec<Face>,
}

impl Eval {
    pub(super) fn run(self) -> Result<()> {
        if self.json {
            output::speak_to(Audience::Programs);
        }
        let list = PairsFile::read(&self.pairs)?;
        let (engine, reason) = self.device.open()?;
        say!("device    {}", engine.describe());
        say!("          {reason}");
        let mut session = weights::from_user(&self.weights, Session::open(&engine, &self.weights))?;
        let metadata = session.metadata().clone();
        let (height, width) = (metadata.preprocess.height, metadata.preprocess.width);
        let crop = metadata.preprocess.crop.map_or(String::new(), |crop| format!(", crop {crop}"));
        say!("weights   {}, {height}x{width}{crop}, {} dimensions", metadata.network, metadata.embedding);

        let Decoded { rows, faces } = self.decode(&list, &session)?;
        let embeddings = session.embed_faces(&faces)?;
        let measure = |pair: &NamedPair| {
            let (a, b) = (*rows.get(&pair.a)?, *rows.get(&pair.b)?);
            let floats = |face: &[u8]| face.iter().map(|&x| f32::from(x) / 255.0).collect::<Vec<_>>();
            let pixels = squared_distance(&floats(&faces[a]), &floats(&faces[b]));
            let distance = squared_distance(&embeddings[a], &embeddings[b]);
            Some((Pair { a, b, same: pair.same }, distance, pixels))
        };
        let mut all: Vec<Vec<Measured<'_>>> = Vec::new();
        for set in &list.sets {
            let found: Vec<_> = set.par_iter().map(measure).collect();
            let of = |(pair, found): (_, Option<(Pair, f32, f32)>)| {
                found.map(|(indices, distance, pixels)| Measured { pair, indices, distance, pixels })
            };
            all.push(set.iter().zip(found).filter_map(of).collect());
        }
        self.say_pairs(&list, &all, faces.len());
        if let Some(path) = &self.distances {
            write_distances(path, &all)?;
        }
        self.figures(&all)
    }

    /// Each image once; those that cannot be used leave their pairs out.
    fn decode<'a>(&self, list: &'a PairsFile, session: &Session) -> Result<Decoded<'a>> {
        let named = list.sets.iter().flatten().flat_map(|pair| [&pair.a, &pair.b]);
        let names: Vec<&ImageName> = named.collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        let images = Images::new(&self.data);
        let preprocess = &session.metadata().preprocess;
        let decode = |name: &&ImageName| decode_face(&images.find(name).map_err(Error::Data)?, preprocess);
        let outcomes: Vec<Result<Face>> = names.par_iter().map(decode).collect();
        let (mut rows, mut faces, mut failures) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (name, outcome) in names.iter().zip(outcomes) {
            match outcome {
                Ok(face) => {
                    rows.insert(*name, faces.len());
                    faces.push(face);
                }
                Err(e) => failures.push(e),
            }
        }
        match failures.first() {
            Some(e) if faces.is_empty() => Err(Error::Data(format!(
                "none of the {} images of {} can be used in {}; the first: {e}",
                names.len(),
                self.pairs.display(),
                self.data.display()
            ))),
            first => {
                if let Some(e) = first {
                    let (missing, all) = (failures.len(), names.len());
                    hint!("warning: {missing} of {all} images cannot be used; the first: {e}");
                }
                Ok(Decoded { rows, faces })
            }
        }
    }

    /// How many pairs there are, of which kind, and which sets have none.
    fn say_pairs(&self, list: &PairsFile, all: &[Vec<Measured<'_>>], images: usize) {
        let wanted = list.sets.iter().flatten().count();
        let used: Vec<&Measured<'_>> = all.iter().flatten().collect();
        let same = used.iter().filter(|m| m.pair.same).count();
        say!(
            "pairs     {} of {} in {}, of {} images: {} of one person, {} of different people",
            table::count(used.len() as u64),
            table::count(wanted as u64),
            counted(all.len(), "set"),
            table::count(images as u64),
            table::count(same as u64),
            table::count((used.len() - same) as u64)
        );
        let empty: Vec<String> =
            all.iter().enumerate().filter(|(_, set)| set.is_empty()).map(|(at, _)| (at + 1).to_string()).collect();
        if !empty.is_empty() && !used.is_empty() {
            hint!("warning: no pair of set {} can be used; the set is left out", empty.join(", "));
        }
        if used.len() < wanted && same * 2 != used.len() {
            hint!("warning: the pairs that are left are not balanced, so guessing reaches more than 50 %");
        }
    }

    /// Accuracy by the protocol of the list's form, and rates over all pairs.
    fn figures(&self, all: &[Vec<Measured<'_>>]) -> Result<()> {
        let sets: Vec<&Vec<Measured<'_>>> = all.iter().filter(|set| !set.is_empty()).collect();
        let scored = |of: fn(&Measured<'_>) -> f32| -> Vec<Vec<(f32, bool)>> {
            sets.iter().map(|set| set.iter().map(|m| (of(m), m.pair.same)).collect()).collect()
        };
        let (distances, pixels) = (scored(|m| m.distance), scored(|m| m.pixels));
        let percent = |x: f64| x * 100.0;
        let mut told = match &sets[..] {
            [] => return Err(Error::Data(format!("no pair of {} can be used", self.pairs.display()))),
            [set] => {
                let pairs: Vec<Pair> = set.iter().map(|m| m.indices).collect();
                let accuracy = |scored: &[(f32, bool)]| {
                    let distances: Vec<f32> = scored.iter().map(|s| s.0).collect();
                    verification_accuracy(&pairs, &distances, |image| image, self.seed)
                };
                let (model, raw) = (accuracy(&distances[0])?, accuracy(&pixels[0])?);
                let [low, high] = model.interval().map(percent);
                say!("protocol  threshold chosen on one half of the pairs, applied to the other, both ways");
                say!(
                    "accuracy  {:.1} % ({low:.1} to {high:.1}) at threshold {:.3}",
                    percent(model.accuracy),
                    model.threshold
                );
                let [low, high] = raw.interval().map(percent);
                say!("baseline  raw pixels {:.1} % ({low:.1} to {high:.1})", percent(raw.accuracy));
                json!({
                    "protocol": "halves", "accuracy": model.accuracy, "interval": model.interval(),
                    "threshold": output::number(model.threshold), "raw_pixels_accuracy": raw.accuracy,
                    "raw_pixels_interval": raw.interval(),
                })
            }
            _ => {
                let (model, raw) = (cross_validated(&distances)?, cross_validated(&pixels)?);
                let (low, high) =
                    model.thresholds.iter().fold((f32::MAX, f32::MIN), |(low, high), &t| (low.min(t), high.max(t)));
                say!("protocol  each of {} sets with the threshold of the others; mean over the sets", sets.len());
                say!(
                    "accuracy  {:.2} %, standard error {:.2}, standard deviation {:.2}, thresholds {low:.3} to {high:.3}",
                    percent(model.accuracy),
                    percent(model.standard_error),
                    percent(model.standard_deviation)
                );
                say!(
                    "baseline  raw pixels {:.2} %, standard error {:.2}",
                    percent(raw.accuracy),
                    percent(raw.standard_error)
                );
                json!({
                    "protocol": "cross-validation", "sets": sets.len(), "accuracy": model.accuracy,
                    "standard_error": model.standard_error, "standard_deviation": model.standard_deviation,
                    "thresholds": model.thresholds.iter().map(|&t| output::number(t)).collect::<Vec<_>>(), "raw_pixels_accuracy": raw.accuracy,
                })
            }
        };
        let together: Vec<(f32, bool)> = distances.into_iter().flatten().collect();
        let roc = Roc::new(&together)?;
        let (auc, eer) = (roc.auc(), roc.equal_error_rate());
        say!("rates     area under the ROC curve {auc:.4}, equal error rate {:.1} %", percent(eer));
        let mut rates = Vec::new();
        for wanted in FARS {
            let Some(at) = val_at_far(&together, wanted)? else {
                say!("          VAL at FAR {wanted:.0e}: the list has too few pairs of different people");
                continue;
            };
            let AtFar { threshold, false_accepts, far, val, .. } = at;
            say!(
                "          VAL {:.1} % at FAR {wanted:.0e} (threshold {threshold:.3}, {} wrongly accepted)",
                percent(val),
                table::count(false_accepts as u64)
            );
            rates.push(json!({ "wanted_far": wanted, "far": far, "val": val, "threshold": output::number(threshold) }));
        }
        told["pairs"] = together.len().into();
        told["auc"] = auc.into();
        told["equal_error_rate"] = eer.into();
        told["val_at_far"] = rates.into();
        output::json(&told);
        Ok(())
    }
}

/// Writes a row for each pair.
fn write_distances(path: &std::path::Path, all: &[Vec<Measured<'_>>]) -> Result<()> {
    let mut out = csv::Writer::from_writer(Vec::new());
    for (set, measured) in (1..).zip(all).flat_map(|(set, measured)| measured.iter().map(move |m| (set, m))) {
        let Measured { pair, distance, pixels, .. } = measured;
        let row = Row {
            set,
            first: pair.a.to_string(),
            second: pair.b.to_string(),
            same: pair.same.into(),
            distance: *distance,
            raw_pixels: *pixels,
        };
        out.serialize(row).expect("memory takes every row");
    }
    write_whole(path, &out.into_inner().expect("memory takes every row"))
}
