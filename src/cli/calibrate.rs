//! `facenet-gpu calibrate`: a threshold for a wanted rate of false accepts, kept in the weights file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::eval::{Distances, Embedder, Listed, Told, trained_on};
use super::output::{self, Form};
use super::view::View;
use super::{DeviceFlag, models, table, weights};
use crate::data::faces::FaceSet;
use crate::data::folder::{FaceFolder, Layout};
use crate::eval::all_pairs::{Certainty, all_pairs, certainty};
use crate::eval::interval::{effective_pairs, wilson};
use crate::eval::metric::Metric;
use crate::eval::pairs_file::PairsFile;
use crate::eval::rates::{AtFar, val_at_far};
use crate::weights::{Calibration, CurvePoint, check_writable};
use crate::{Embeddings, Engine, Error, Result, Session, Weights};

/// Images that are embedded at a time.
const BLOCK: usize = 256;
/// Points of the curve that is kept: rates at which it is drawn, besides the smallest that the pairs tell.
const CURVE: [f64; 21] = [
    1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0,
];

/// Find the threshold for a wanted rate of false accepts, and keep it in the weights file
#[derive(Debug, Args)]
pub(super) struct Calibrate {
    /// Weights file, or the name of a model in the folder of models [default: the only one there]
    weights: Option<PathBuf>,

    /// Faces of people who were not trained on: a folder per person, or a list (.csv, .txt) of path,person; all pairs are used
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Use the pairs of this list alone, LFW's or your own, with the images in --data
    #[arg(long, value_name = "FILE", conflicts_with = "layout")]
    pairs: Option<PathBuf>,

    /// Part of the pairs of different people that may be accepted (FAR), such as 0.001 for one in a thousand
    #[arg(long, value_name = "RATE", default_value_t = 1e-3, value_parser = rate)]
    far: f64,

    /// Which folders are people
    #[arg(long, value_enum, default_value_t = Layout::Auto)]
    layout: Layout,

    /// Write the weights with their threshold into another file
    #[arg(long, value_name = "FILE.safetensors")]
    out: Option<PathBuf>,

    #[command(flatten)]
    view: View,

    #[command(flatten)]
    form: Form,

    #[command(flatten)]
    device: DeviceFlag,
}

/// A rate above 0 and below 1.
fn rate(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|&value| value > 0.0 && value < 1.0);
    value.ok_or_else(|| "give a rate above 0 and below 1, such as 0.001".to_string())
}

/// What the pairs say.
struct Sample {
    /// Both rates at growing thresholds.
    curve: Vec<AtFar>,
    same: u64,
    different: u64,
    people: usize,
    /// The wanted rate, if the pairs can show it, and how certain it is.
    found: Option<(AtFar, Certainty)>,
}

impl Calibrate {
    pub(super) fn run(self) -> Result<()> {
        self.form.choose();
        let path = models::given_or_found(self.weights.as_deref())?;
        let mut weights = weights::from_user(&path, Weights::load(&path))?;
        if let Some(out) = self.out.as_deref().filter(|out| out.exists()) {
            let same = Weights::load(out).is_ok_and(|other| other.model_id() == weights.model_id());
            if !same {
                return Err(Error::Data(format!(
                    "{} exists already and holds something other than these weights; give another `out`",
                    out.display()
                )));
            }
        }
        let out = self.out.as_deref().unwrap_or(&path);
        check_writable(out.parent().unwrap_or(Path::new("")))?;
        let engine = self.device.open_told()?;
        // The weights keep their own preprocessing.
        let own = weights.metadata.preprocess.clone();
        self.view.apply(&path, &mut weights.metadata.preprocess)?;
        let sample = match &self.pairs {
            Some(list) => self.of_list(list, &path, &engine)?,
            None => self.of_folder(&engine, &weights, &path)?,
        };
        let calibration = Calibration {
            crop: weights.metadata.preprocess.crop,
            alignment: weights.metadata.preprocess.alignment.clone(),
            ..self.calibration(&sample)?
        };
        weights.metadata.preprocess = own;
        weights.metadata.calibration = Some(calibration.clone());
        weights.save(out)?;
        tell(&calibration, out);
        Ok(())
    }

    /// All pairs of a folder.
    fn of_folder(&self, engine: &Engine, weights: &Weights, path: &Path) -> Result<Sample> {
        let folder = FaceFolder::scan_as(&self.data, self.layout)?;
        if let Some(understood) = &folder.understood {
            say!("people    {understood}; --layout reads them otherwise");
        }
        folder.remarks().iter().for_each(|remark| hint!("warning: {remark}"));
        let mut session = Session::with_weights(engine, weights, path)?;
        let preprocess = &weights.metadata.preprocess;
        let mut eyes = self.view.eyes(engine, path, preprocess)?;
        let bar = super::progress::bar(folder.image_count(), "reading   {bar:40} {pos}/{len} images");
        let set = eyes.load(&folder, preprocess, &|done, _| bar.set_position(done as u64));
        bar.finish_and_clear();
        let set = set?;
        eyes.tell();
        set.remarks()?.iter().for_each(|remark| hint!("warning: {remark}"));
        say!("data      {}", set.summary());
        trained_on::warn_of_set(path, &weights.metadata, &self.data, &set)?;
        let paths: Vec<&Path> = (0..set.len()).filter_map(|image| set.path(image)).collect();
        eyes.hint_sizes(&paths, preprocess);
        let (embeddings, people) = embed(&mut session, &set)?;
        let (rows, dim) = (embeddings.as_slice(), embeddings.dim());
        let pairs = all_pairs(rows, dim, &people)?;
        let found = match pairs.val_at_far(self.far) {
            Some(at) => Some((at, certainty(rows, dim, &people, &[at])?[0])),
            None => None,
        };
        let (same, different) = pairs.pairs();
        Ok(Sample { curve: pairs.curve().collect(), same, different, people: set.people().len(), found })
    }

    /// The pairs of a list.
    fn of_list(&self, list: &Path, path: &Path, engine: &Engine) -> Result<Sample> {
        let mut told = Told::default();
        let pairs = PairsFile::read(list)?;
        pairs.remarks.iter().for_each(|remark| hint!("warning: {remark}"));
        let mut embedder = Embedder::open(engine, path, &self.view, false, &mut told)?;
        let distances = Distances { metric: Metric::Squared, subtract_mean: false };
        let paths = [path, list, self.data.as_path()];
        let listed = Listed::measure(&pairs, paths, &mut embedder, distances)?;
        let scored: Vec<(f32, bool)> = listed.pairs().map(|m| (m.distance, m.pair.same)).collect();
        let found = val_at_far(&scored, self.far)?;
        let found = found.map(|at| {
            let effective = |same: bool| {
                let of_kind = listed.pairs().filter(|m| m.pair.same == same);
                let judged = of_kind.map(|m| (m.indices.people(&listed.people), m.distance <= at.threshold));
                effective_pairs(&judged.collect::<Vec<_>>())
            };
            (at, Certainty::of(&at, effective(true), effective(false)))
        });
        let same = scored.iter().filter(|pair| pair.1).count() as u64;
        let different = scored.len() as u64 - same;
        let people = listed.people.iter().collect::<BTreeSet<_>>().len();
        Ok(Sample { curve: curve(&scored), same, different, people, found })
    }

    fn calibration(&self, sample: &Sample) -> Result<Calibration> {
        let &Sample { same, different, people, .. } = sample;
        let Some((rates, certainty)) = &sample.found else {
            return Err(Error::Data(format!(
                "{} pairs of different people cannot show a FAR of {}: give a larger `far`, or images of more people",
                table::count(different),
                self.far
            )));
        };
        // The interval of each rate as if it were found on as many independent pairs.
        let end = |of: usize| move |far: f64| wilson(far, certainty.different)[of];
        let (upper, lower) = (end(1), end(0));
        let low = sample.curve.iter().take_while(|at| upper(at.far) <= self.far).last().map_or(0.0, |at| at.threshold);
        let last = sample.curve.last().map_or(4.0, |at| at.threshold.max(4.0));
        let high = sample.curve.iter().find(|at| lower(at.far) >= self.far).map_or(last, |at| at.threshold);
        let smallest = 1.0 / different as f64;
        let wanted = std::iter::once(smallest).chain(CURVE.into_iter().filter(|&far| far > smallest));
        let at = |far: f64| sample.curve.iter().take_while(|at| at.far <= far).last();
        let mut points: Vec<CurvePoint> =
            wanted.filter_map(at).map(|at| CurvePoint { threshold: at.threshold, far: at.far, val: at.val }).collect();
        points.dedup_by(|a, b| a.threshold <= b.threshold);
        let source = self.pairs.as_deref().unwrap_or(&self.data);
        let name = source.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        Ok(Calibration {
            threshold: rates.threshold,
            threshold_interval: [low.min(rates.threshold), high.max(rates.threshold)],
            wanted: self.far,
            far: rates.far,
            far_interval: certainty.far,
            val: rates.val,
            val_interval: certainty.val,
            same,
            different,
            people,
            data: name.unwrap_or_else(|| source.display().to_string()),
            crop: None,
            alignment: None,
            curve: points,
        })
    }
}

/// Both rates at the distance of each pair of a list, growing.
fn curve(scored: &[(f32, bool)]) -> Vec<AtFar> {
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let kind = |same: bool| sorted.iter().filter(|pair| pair.1 == same).count() as f64;
    let (same, different) = (kind(true), kind(false));
    let (mut right, mut wrong) = (0_usize, 0_usize);
    let equal = sorted.chunk_by(|a, b| a.0 == b.0);
    let point = |equal: &[(f32, bool)]| {
        let own = equal.iter().filter(|pair| pair.1).count();
        (right, wrong) = (right + own, wrong + equal.len() - own);
        let (far, val) = (wrong as f64 / different, right as f64 / same);
        AtFar { wanted: far, threshold: equal[0].0, false_accepts: wrong, far, val }
    };
    equal.map(point).collect()
}

/// The embeddings of a set and the person on each.
fn embed(session: &mut Session, set: &FaceSet) -> Result<(Embeddings, Vec<usize>)> {
    let bar = super::progress::bar(set.len(), "embedding {bar:40} {pos}/{len} images");
    let images: Vec<usize> = (0..set.len()).collect();
    let mut data = Vec::new();
    for block in images.chunks(BLOCK) {
        let faces = block.iter().map(|&image| set.face(image)).collect::<Result<Vec<_>>>()?;
        data.extend(session.embed_faces(&faces)?.into_vec());
        bar.inc(block.len() as u64);
    }
    bar.finish_and_clear();
    let dim = session.model().dimensions()? as usize;
    Ok((Embeddings::new(dim, data)?, images.into_iter().map(|image| set.person_of(image)).collect()))
}

fn tell(c: &Calibration, out: &Path) {
    let percent = |rate: f64| format!("{:.3} %", 100.0 * rate);
    let [low, high] = c.threshold_interval;
    say!("pairs     {} of one person, {} of different people", table::count(c.same), table::count(c.different));
    say!("threshold {:.3} ({low:.3} to {high:.3}) for a FAR of {}", c.threshold, percent(c.wanted));
    let [low, high] = c.far_interval.map(percent);
    say!("FAR       {} ({low} to {high}): pairs of different people that it accepts", percent(c.far));
    let [low, high] = c.val_interval.map(|end| 100.0 * end);
    say!("VAL       {:.1} % ({low:.1} to {high:.1}): pairs of one person that it accepts", 100.0 * c.val);
    say!("weights   {} holds the threshold now; other commands use it", out.display());
    output::record(&json!({
        "event": "end", "threshold": output::number(c.threshold),
        "threshold_interval": c.threshold_interval.map(output::number), "wanted_far": c.wanted, "far": c.far,
        "far_interval": c.far_interval, "val": c.val, "val_interval": c.val_interval, "same": c.same,
        "different": c.different, "people": c.people, "weights": out.display().to_string(),
    }));
}
