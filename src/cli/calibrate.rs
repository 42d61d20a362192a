//! `facenet-gpu calibrate`: a threshold for a wanted rate of false accepts, kept in the weights file.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::output::{self, Audience};
use super::{DeviceFlag, table, weights};
use crate::data::faces::{DEFAULT_PIXEL_BUDGET, FaceSet};
use crate::data::folder::{FaceFolder, Layout};
use crate::eval::all_pairs::{AllPairs, all_pairs, certainty};
use crate::eval::interval::wilson;
use crate::weights::{Calibration, CurvePoint};
use crate::{Embeddings, Error, Result, Session, Weights};

/// Images that are embedded at a time.
const BLOCK: usize = 256;
/// Points of the curve that is kept: rates at which it is drawn, besides the smallest that the pairs tell.
const CURVE: [f64; 13] = [1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0];

/// Find the threshold for a wanted rate of false accepts, and keep it in the weights file
#[derive(Debug, Args)]
pub(super) struct Calibrate {
    /// Weights file
    weights: PathBuf,

    /// Faces of people who were not trained on: a folder per person, or a list (.csv, .txt) of path,person
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Part of the pairs of different people that may be accepted (FAR), such as 0.001 for one in a thousand
    #[arg(long, value_name = "RATE", default_value_t = 1e-3, value_parser = rate)]
    far: f64,

    /// Which folders are people
    #[arg(long, value_enum, default_value_t = Layout::Auto)]
    layout: Layout,

    /// Write the weights with their threshold into another file
    #[arg(long, value_name = "FILE.safetensors")]
    out: Option<PathBuf>,

    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    device: DeviceFlag,
}

/// A rate above 0 and below 1.
fn rate(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|&value| value > 0.0 && value < 1.0);
    value.ok_or_else(|| "give a rate above 0 and below 1, such as 0.001".to_string())
}

impl Calibrate {
    pub(super) fn run(self) -> Result<()> {
        if self.json {
            output::speak_to(Audience::Programs);
        }
        let mut weights = weights::from_user(&self.weights, Weights::load(&self.weights))?;
        let folder = FaceFolder::scan_as(&self.data, self.layout)?;
        let (engine, reason) = self.device.open()?;
        say!("device    {}", engine.describe());
        say!("          {reason}");
        let mut session = Session::with_weights(&engine, &weights, &self.weights)?;
        if let Some(understood) = &folder.understood {
            say!("people    {understood}; --layout reads them otherwise");
        }
        let set = FaceSet::load(&folder, session.model().preprocess(), DEFAULT_PIXEL_BUDGET, &|_, _| {})?;
        set.remarks()?.iter().for_each(|remark| hint!("warning: {remark}"));
        say!("data      {}", set.summary());
        if weights.metadata.training.as_ref().is_some_and(|training| training.data == set.digest().ok()) {
            hint!(
                "warning: the weights were trained on most of these people, so that the threshold suits no others; calibrate on \
                 people who were not trained on"
            );
        }
        let (embeddings, people) = embed(&mut session, &set)?;
        let pairs = all_pairs(embeddings.as_slice(), embeddings.dim(), &people)?;
        let calibration = self.calibration(&pairs, &embeddings, &people, &set)?;
        let out = self.out.as_deref().unwrap_or(&self.weights);
        weights.metadata.calibration = Some(calibration.clone());
        weights.save(out)?;
        tell(&calibration, out);
        Ok(())
    }

    fn calibration(
        &self,
        pairs: &AllPairs,
        embeddings: &Embeddings,
        people: &[usize],
        set: &FaceSet,
    ) -> Result<Calibration> {
        let (same, different) = pairs.pairs();
        let rates = pairs.val_at_far(self.far).ok_or_else(|| {
            Error::Data(format!(
                "{} pairs of different people cannot show a FAR of {}: give a larger `far`, or images of more people",
                table::count(different),
                self.far
            ))
        })?;
        let certainty = certainty(embeddings.as_slice(), embeddings.dim(), people, &[rates])?[0];
        // The interval of each rate as if it were found on as many independent pairs.
        let end = |of: usize| move |far: f64| wilson(far, certainty.different)[of];
        let (upper, lower) = (end(1), end(0));
        let low = pairs.curve().take_while(|r| upper(r.far) <= self.far).last().map_or(0.0, |r| r.threshold);
        let high = pairs.curve().find(|r| lower(r.far) >= self.far).map_or(4.0, |r| r.threshold);
        let smallest = 1.0 / different as f64;
        let mut wanted: Vec<f64> = CURVE.into_iter().filter(|&far| far > smallest).collect();
        wanted.insert(0, smallest);
        let mut curve: Vec<CurvePoint> = wanted
            .into_iter()
            .filter_map(|far| pairs.val_at_far(far))
            .map(|r| CurvePoint { threshold: r.threshold, far: r.far, val: r.val })
            .collect();
        curve.dedup_by(|a, b| a.threshold <= b.threshold);
        let name =
            self.data.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
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
            people: set.people().len(),
            data: name.unwrap_or_else(|| self.data.display().to_string()),
            curve,
        })
    }
}

/// The embeddings of a set and the person on each.
fn embed(session: &mut Session, set: &FaceSet) -> Result<(Embeddings, Vec<usize>)> {
    let bar = super::train::bar(set.len(), "embedding {bar:40} {pos}/{len} images");
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
    say!(
        "pairs     {} of one person, {} of different people, all there are",
        table::count(c.same),
        table::count(c.different)
    );
    say!("threshold {:.3} ({low:.3} to {high:.3}) for a FAR of {}", c.threshold, percent(c.wanted));
    let [low, high] = c.far_interval.map(percent);
    say!("FAR       {} ({low} to {high}): pairs of different people that it accepts", percent(c.far));
    let [low, high] = c.val_interval.map(|end| 100.0 * end);
    say!("VAL       {:.1} % ({low:.1} to {high:.1}): pairs of one person that it accepts", 100.0 * c.val);
    say!("weights   {} holds the threshold now; other commands use it", out.display());
    output::json(&json!({
        "event": "end", "threshold": output::number(c.threshold),
        "threshold_interval": c.threshold_interval.map(output::number), "wanted_far": c.wanted, "far": c.far,
        "far_interval": c.far_interval, "val": c.val, "val_interval": c.val_interval, "same": c.same,
        "different": c.different, "people": c.people, "weights": out.display().to_string(),
    }));
}
