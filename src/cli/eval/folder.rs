//! `facenet-gpu eval folder`: all pairs of all images of a folder per person, as the paper measures its hold-out.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::embedder::Embedder;
use super::shared::Shared;
use super::told::Told;
use super::{FARS, percent, report, trained_on};
use crate::chart::colours::GREEN;
use crate::chart::verification::{BINS, of_parts};
use crate::cli::models;
use crate::cli::output::{self, number};
use crate::cli::progress::bar;
use crate::cli::table::count;
use crate::cli::view::View;
use crate::data::faces::FaceSet;
use crate::data::folder::FaceFolder;
use crate::eval::all_pairs::{STEPS_PER_UNIT, all_pairs, certainty};
use crate::eval::hardest::hardest;
use crate::eval::verification::{Pair, balanced_pairs, squared_distance, verification_accuracy};
use crate::text::shown;
use crate::{Embeddings, Engine, Error, Result};

/// Pairs for the accuracy, as many as training measures on.
const BALANCED: usize = 10_000;

/// Measure weights on all pairs of all images in a folder per person
#[derive(Debug, Args)]
pub(super) struct Folder {
    /// Weights file, or the name of a model in the folder of models [default: the only one there]
    weights: Option<PathBuf>,

    /// Folder with a folder for each person, or a list of images with their people
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    #[command(flatten)]
    view: View,

    /// Draws the pairs that the accuracy is of
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,

    #[command(flatten)]
    shared: Shared,
}

impl Folder {
    pub(super) fn run(self) -> Result<()> {
        self.shared.choose_form();
        let path = models::given_or_found(self.weights.as_deref())?;
        let engine = self.shared.open()?;
        let mut told = Told::default();
        let mut embedder = self.shared.embedder(&engine, &path, &self.view, &mut told)?;
        let set = self.load(&mut embedder, &mut told)?;
        let digest = set.digest()?;
        let paths: Vec<PathBuf> = (0..set.len()).filter_map(|image| set.path(image)).map(Into::into).collect();
        trained_on::warn_of_set(&path, embedder.metadata(), &self.data, &set)?;
        embedder.eyes.hint_sizes(&paths, &embedder.preprocess);
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
        if let Some(folder) = &self.shared.report {
            let [same, different] =
                [true, false].map(|same| of_parts(&found.histogram(same, BINS), found.largest().into()));
            let curves = [("embeddings", GREEN, roc)];
            let mut pictures = report::curves_and_histograms(&curves, "squared distance", same, different)?;
            if let Some(accuracy) = accuracy {
                let worst = |same| worst(&engine, &set, &embeddings, same, accuracy.threshold);
                pictures.extend(report::errors(worst(false)?, worst(true)?, &embedder.preprocess)?);
            }
            report::write(folder, "All pairs of a folder", &headline, &told, &[], &pictures)?;
            say!("report    {}", folder.join("report.html").display());
        }
        output::figures(&json!({
            "event": "end", "protocol": "all-pairs", "images": set.len(), "people": set.people().len(), "images_left_out": set.skipped().len(),
            "pairs_same": same, "pairs_different": different, "auc": auc, "equal_error_rate": eer, "val_at_far": rates,
            "accuracy": accuracy.map(|a| a.accuracy), "interval": accuracy.map(|a| a.interval()),
            "threshold": accuracy.map(|a| number(a.threshold)), "balanced_pairs": accuracy.map(|a| a.pairs),
            "conditions": {
                "weights": path, "network": embedder.metadata().network,
                "dimensions": embedder.metadata().embedding, "crop": embedder.preprocess.crop, "alignment": embedder.preprocess.alignment, "faces_found": embedder.eyes.finds(), "flip": self.shared.flip, "model": embedder.model_id,
                "metric": "squared distance", "data": self.data, "images_digest": digest,
            },
        }));
        Ok(())
    }

    /// Reads the folder, and says what is to be known of it.
    fn load(&self, embedder: &mut Embedder, told: &mut Told) -> Result<FaceSet> {
        let folder = FaceFolder::scan(&self.data)?;
        if let Some(understood) = &folder.understood {
            say!("people    {understood}");
        }
        folder.remarks().iter().for_each(|remark| hint!("warning: {remark}"));
        let bar = bar(folder.image_count(), "reading   {bar:40} {pos}/{len} images");
        let set = embedder.eyes.load(&folder, &embedder.preprocess, &|done, _| bar.set_position(done as u64));
        bar.finish_and_clear();
        let set = set?;
        set.lost_people().iter().for_each(|lost| hint!("warning: {lost}"));
        set.remarks()?.iter().for_each(|remark| hint!("warning: {remark}"));
        if set.people().len() < 2 {
            return Err(Error::Data(format!(
                "{} shows one person, and pairs of different people are needed; give a folder with two people or more",
                self.data.display()
            )));
        }
        told.line("images", set.summary());
        if let Some(words) = embedder.eyes.in_words() {
            told.line("", words);
        }
        Ok(set)
    }
}

/// Pairs of one kind that the threshold judges wrongly, the worst first.
fn worst(
    engine: &Engine,
    set: &FaceSet,
    embeddings: &Embeddings,
    same: bool,
    threshold: f32,
) -> Result<Vec<report::Wrong>> {
    let number = |image| u32::try_from(set.person_of(image)).expect("people are counted in u32");
    let people: Vec<u32> = (0..set.len()).map(number).collect();
    let found = hardest(engine, embeddings, &people, same, report::WORST)?;
    let wrong = found.into_iter().filter(|(_, distance)| (*distance < threshold) != same);
    let told = |(Pair { a, b, .. }, distance)| {
        let face = |image| set.face(image).map(std::borrow::Cow::into_owned);
        let text = format!("{distance:.3}, threshold {threshold:.3}\n{}\n{}", name_of(set, a), name_of(set, b));
        Ok(report::Wrong { text, faces: [face(a)?, face(b)?] })
    };
    wrong.map(told).collect()
}

/// The person on an image, and the name of its file.
fn name_of(set: &FaceSet, image: usize) -> String {
    let file = set.path(image).and_then(Path::file_name).unwrap_or_default();
    format!("{}: {}", shown(&set.people()[set.person_of(image)].name), shown(&file.to_string_lossy()))
}
