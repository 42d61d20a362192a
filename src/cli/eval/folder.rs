//! `facenet-gpu eval folder`: all pairs of all images of a folder per person, as the paper measures its hold-out.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::embedder::{Embedder, View};
use super::told::Told;
use super::{FARS, listed, percent, report, trained_on};
use crate::chart::colours::GREEN;
use crate::chart::verification::{BINS, of_parts};
use crate::cli::DeviceFlag;
use crate::cli::output::{self, Audience, number};
use crate::cli::table::count;
use crate::cli::train::console::bar;
use crate::data::faces::{DEFAULT_PIXEL_BUDGET, FaceSet};
use crate::data::folder::FaceFolder;
use crate::data::preprocess::Preprocess;
use crate::eval::all_pairs::{STEPS_PER_UNIT, all_pairs, certainty};
use crate::eval::verification::{balanced_pairs, squared_distance, verification_accuracy};
use crate::{Error, Result};

/// Pairs for the accuracy, as many as training measures on.
const BALANCED: usize = 10_000;

/// Measure weights on all pairs of all images in a folder per person
#[derive(Debug, Args)]
pub(super) struct Folder {
    /// Weights file
    weights: PathBuf,

    /// Folder with a folder for each person, or a list of images with their people
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    #[command(flatten)]
    view: View,

    /// Draws the pairs that the accuracy is of
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,

    /// Write a page with curves and histograms, and its pictures, into a folder
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,

    /// Print the figures as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    device: DeviceFlag,
}

impl Folder {
    pub(super) fn run(self) -> Result<()> {
        if self.json {
            output::speak_to(Audience::Programs);
        }
        if let Some(folder) = &self.report {
            report::prepare(folder)?;
        }
        let (engine, reason) = self.device.open()?;
        say!("device    {}", engine.describe());
        say!("          {reason}");
        let mut told = Told::default();
        let mut embedder = Embedder::open(&engine, &self.weights, &self.view, &mut told)?;
        let set = self.load(&embedder.preprocess, &mut told)?;
        let digest = set.digest()?;
        let paths: Vec<PathBuf> = (0..set.len()).filter_map(|image| set.path(image)).map(Into::into).collect();
        match embedder.metadata().training.as_ref().and_then(|training| training.data.as_ref()) {
            Some(trained) if *trained == digest => hint!(
                "warning: these are the very images of the weights' training: the figures say nothing of other people"
            ),
            _ => trained_on::warn(&self.weights, embedder.metadata(), &self.data, &paths),
        }
        listed::tell_large(&embedder, &paths);
        let names = paths.iter().map(|path| path.display().to_string()).collect();
        let embeddings = embedder.embed(names, |image| set.face(image))?;

        let people: Vec<usize> = (0..set.len()).map(|image| set.person_of(image)).collect();
        let (rows, dim) = (embeddings.as_slice(), embeddings.dim());
        let begin = std::time::Instant::now();
        let found = all_pairs(rows, dim, &people)?;
        let (same, different) = found.pairs();
        let roc = found.roc();
        let seconds = begin.elapsed().as_secs_f64();
        let text = format!(
            "{}: {} of one person, {} of different people; in {seconds:.2} s",
            count(same + different),
            count(same),
            count(different)
        );
        told.line("pairs", text);
        let text = "all pairs of all images, as the paper's hold-out; squared distance, counted in steps of";
        told.line("protocol", format!("{text} 1/{}", count(u64::from(STEPS_PER_UNIT))));

        let groups = set.faces_of(&(0..set.people().len()).collect::<Vec<_>>());
        let pairs = balanced_pairs(&groups, self.seed, BALANCED)?;
        let row = |image: usize| embeddings.row(image);
        let distances: Vec<f32> = pairs.iter().map(|pair| squared_distance(row(pair.a), row(pair.b))).collect();
        // Few pairs have rates and no accuracy.
        let accuracy = verification_accuracy(&pairs, &distances, |image| people[image], self.seed).ok();
        if let Some(accuracy) = &accuracy {
            let [low, high] = accuracy.interval().map(percent);
            let text = format!(
                "{:.1} % ({low:.1} to {high:.1}) of {} pairs, as many of either kind, at threshold {:.3}",
                percent(accuracy.accuracy),
                count(accuracy.pairs as u64),
                accuracy.threshold
            );
            told.line("accuracy", text);
        }
        let (auc, eer) = (roc.auc(), roc.equal_error_rate());
        told.line("rates", format!("area under the ROC curve {auc:.4}, equal error rate {:.1} %", percent(eer)));
        let (mut rates, mut headline) = (Vec::new(), String::new());
        let at: Vec<_> = FARS.iter().map_while(|&wanted| found.val_at_far(wanted)).collect();
        let mut certain = certainty(rows, dim, &people, &at)?.into_iter();
        for wanted in FARS {
            let Some((at, certain)) = found.val_at_far(wanted).zip(certain.next()) else {
                told.line("", format!("VAL at FAR {wanted:.0e}: there are too few pairs of different people"));
                break;
            };
            let [low, high] = certain.val.map(percent);
            let val = format!("VAL {:.1} % ({low:.1} to {high:.1}) at FAR {wanted:.0e}", percent(at.val));
            let wrongly = count(at.false_accepts as u64);
            told.line("", format!("{val} (threshold {:.3}, {wrongly} wrongly accepted)", at.threshold));
            rates.push(json!({
                "wanted_far": wanted, "far": at.far, "false_accepts": at.false_accepts, "val": at.val, "interval": certain.val,
                "far_interval": certain.far,
                "threshold": number(at.threshold),
            }));
            if wanted >= 1e-3 {
                headline = val;
            }
        }
        told.line("", "intervals hold 95 %, and count people, not pairs".to_string());
        if let Some(folder) = &self.report {
            let [same, different] = [true, false].map(|same| of_parts(&found.histogram(same, BINS), 4.0));
            let curves = [("embeddings", GREEN, roc)];
            let pictures = report::curves_and_histograms(&curves, "squared distance", same, different)?;
            report::write(folder, "All pairs of a folder", &headline, &told, &[], &pictures)?;
            say!("report    {}", folder.join("report.html").display());
        }
        output::json(&json!({
            "protocol": "all-pairs", "images": set.len(), "people": set.people().len(), "images_left_out": set.skipped().len(),
            "pairs_same": same, "pairs_different": different, "auc": auc, "equal_error_rate": eer, "val_at_far": rates,
            "accuracy": accuracy.map(|a| a.accuracy), "interval": accuracy.map(|a| a.interval()),
            "threshold": accuracy.map(|a| number(a.threshold)), "balanced_pairs": accuracy.map(|a| a.pairs),
            "conditions": {
                "weights": self.weights, "network": embedder.metadata().network,
                "dimensions": embedder.metadata().embedding, "crop": embedder.preprocess.crop, "flip": self.view.flip,
                "metric": "squared distance", "data": self.data, "images_digest": digest,
            },
        }));
        Ok(())
    }

    /// Reads the folder, and says what is to be known of it.
    fn load(&self, preprocess: &Preprocess, told: &mut Told) -> Result<FaceSet> {
        let folder = FaceFolder::scan(&self.data)?;
        if let Some(understood) = &folder.understood {
            say!("people    {understood}");
        }
        folder.remarks().iter().for_each(|remark| hint!("warning: {remark}"));
        let bar = bar(folder.image_count(), "reading   {bar:40} {pos}/{len} images");
        let set = FaceSet::load(&folder, preprocess, DEFAULT_PIXEL_BUDGET, &|done, _| bar.set_position(done as u64));
        bar.finish_and_clear();
        let set = set?;
        set.lost_people().iter().for_each(|lost| hint!("warning: {lost}"));
        if set.people().len() < 2 {
            return Err(Error::Data(format!(
                "{} shows one person, and pairs of different people are needed; give a folder with two people or more",
                self.data.display()
            )));
        }
        told.line("images", set.summary());
        Ok(set)
    }
}
