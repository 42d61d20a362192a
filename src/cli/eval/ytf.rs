//! `facenet-gpu eval ytf`: YouTube Faces.

mod cache;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use rayon::prelude::*;
use serde_json::json;

use self::cache::{Cache, Video};
use super::embedder::Embedder;
use super::lfw::{part, published};
use super::shared::Shared;
use super::told::Told;
use super::{figures, report};
use crate::chart::colours::GREEN;
use crate::chart::verification::histogram;
use crate::cli::models;
use crate::cli::output;
use crate::cli::progress::bar;
use crate::cli::signals::stop_on_signals;
use crate::cli::table::{count, duration};
use crate::cli::view::View;
use crate::data::preprocess::Face;
use crate::digest::{Digest, hex, sha256_of};
use crate::eval::roc::Roc;
use crate::eval::ytf::{Frame, Layout, Means, Splits, Videos};
use crate::{Error, Result};

/// The state is written, and without a terminal a line about it, this often.
const EVERY: Duration = Duration::from_secs(15);

/// Who, under which conditions, accuracy and standard error in percent.
const PUBLISHED: [(&str, &str, f64, Option<f64>); 4] = [
    ("FaceNet", "NN1, first 100 frames with a face that its own detector finds", 95.12, Some(0.39)),
    ("FaceNet", "the same with the first 1,000 frames", 95.18, None),
    ("DeepFace", "100 frames, as FaceNet's paper cites it", 91.4, None),
    ("DeepID2+", "as FaceNet's paper cites it", 93.2, None),
];

#[derive(Debug, Args)]
#[command(about = "Measure weights on the videos of YouTube Faces")]
pub(super) struct Ytf {
    /// Weights file, or the name of a model in the folder of models [default: the only one there]
    weights: Option<PathBuf>,

    #[arg(long, value_name = "DIR", help = "Folder that holds frame_images_DB or aligned_images_DB")]
    data: PathBuf,

    /// List of pairs of videos
    #[arg(long, value_name = "splits.txt")]
    splits: PathBuf,

    /// Frames of a video, from the first on that shows a face
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    frames: u32,

    /// Which pictures are taken [default: frames if they are there]
    #[arg(long, value_name = "WHICH", value_enum)]
    pictures: Option<Pictures>,

    /// Sides of what the network sees, as a multiple of those of the labelled face box
    #[arg(long, value_name = "TIMES", default_value_t = 1.3, value_parser = scale)]
    scale: f64,

    /// Keeps the videos that are done, so that a stopped run goes on [default: a file of its own for each setting]
    #[arg(long, value_name = "FILE")]
    cache: Option<PathBuf>,

    #[command(flatten)]
    shared: Shared,
}

/// A layout of the archive.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Pictures {
    /// Whole frames, cut out by the labelled boxes
    Frames,
    /// Aligned faces
    Aligned,
}

fn scale(text: &str) -> Result<f64, String> {
    let scale = text.parse().ok().filter(|scale| (0.1..=10.0).contains(scale));
    scale.ok_or_else(|| "expected a number from 0.1 to 10, such as 1.3".to_string())
}

/// SHA-256 over what tells frames from others: names, sizes, times and boxes.
fn digest_of(frames: &[Frame]) -> String {
    let mut digest = Digest::default();
    for frame in frames {
        digest.state_of(&frame.path);
        frame.face.iter().flatten().for_each(|x| digest.bytes(&x.to_le_bytes()));
    }
    digest.finish()
}

impl Ytf {
    pub(super) fn run(self) -> Result<()> {
        self.shared.choose_form();
        let splits = Splits::read(&self.splits)?;
        if splits.sets.len() < 2 {
            return Err(Error::Data(format!("{} has one set; two or more are needed", self.splits.display())));
        }
        let wanted = self.pictures.map(|pictures| match pictures {
            Pictures::Frames => Layout::Frames,
            Pictures::Aligned => Layout::Aligned,
        });
        let videos = Videos::find(&self.data, wanted)?;
        let path = models::given_or_found(self.weights.as_deref())?;
        let engine = self.shared.open()?;
        let mut told = Told::default();
        let mut embedder = self.shared.embedder(&engine, &path, &View::of_part(None), &mut told)?;
        // The box says what is seen.
        embedder.preprocess.crop = None;
        let root = videos.root().canonicalize().map_err(Error::io("read", videos.root()))?;
        let key = [
            format!("model {}", embedder.model_id),
            format!("videos {}", root.display()),
            format!("frames {}, scale {}, flip {}", self.frames, self.scale, self.shared.flip),
        ];
        let mut cache = Cache::open(self.cache.as_deref(), &path, key.join("; "))?;
        let missing = self.embed(&splits, &videos, &mut embedder, &mut cache)?;
        self.tell(&splits, &videos, &cache.videos, &missing, (&path, &embedder.model_id), &mut told)
    }

    /// Embeds the videos that the cache lacks; those that cannot be used, with the reason.
    fn embed(
        &self,
        splits: &Splits,
        videos: &Videos,
        embedder: &mut Embedder,
        cache: &mut Cache,
    ) -> Result<BTreeMap<String, String>> {
        let names: BTreeSet<&String> = splits.sets.iter().flatten().flat_map(|pair| [&pair.a, &pair.b]).collect();
        let known = names.iter().filter(|name| cache.videos.contains_key(**name)).count();
        cache.videos.retain(|name, _| names.contains(name));
        if known > 0 {
            say!("videos    {} of {} are done already", count(known as u64), count(names.len() as u64));
        }
        let stop = stop_on_signals("stopping; the videos that are done are kept (again: stop at once)");
        let bar = bar(names.len(), "videos    {bar:40} {pos}/{len}, {eta}");
        let (begin, mut last) = (Instant::now(), Instant::now());
        let (mut missing, mut skipped) = (BTreeMap::new(), 0_usize);
        for (at, name) in names.iter().enumerate() {
            bar.set_position(at as u64);
            if stop.load(Ordering::Relaxed) {
                cache.save()?;
                bar.finish_and_clear();
                return Err(Error::Interrupted(format!(
                    "stopped after {} of {} videos, which are kept in {}; the same command goes on",
                    count(cache.videos.len() as u64),
                    count(names.len() as u64),
                    cache.path.display()
                )));
            }
            let frames = match videos.frames(name, self.frames as usize) {
                Ok(frames) => frames,
                Err(reason) => {
                    cache.remove(name);
                    missing.insert((*name).clone(), reason);
                    continue;
                }
            };
            let of = digest_of(&frames);
            if cache.has(name, &of) {
                continue;
            }
            let face = |frame: &Frame| frame.face(self.scale, &embedder.preprocess);
            let (faces, failures): (Vec<_>, Vec<_>) =
                frames.par_iter().map(face).collect::<Vec<_>>().into_iter().partition(Result::is_ok);
            let faces: Vec<Face> = faces.into_iter().flatten().collect();
            skipped += failures.len();
            if faces.is_empty() {
                cache.remove(name);
                let first = failures.into_iter().find_map(Result::err).map_or(String::new(), |e| e.to_string());
                missing.insert((*name).clone(), first);
                continue;
            }
            let rows = embedder.embed_few(&faces)?;
            let means = Means::of(rows.chunks_exact(rows.len() / faces.len()));
            cache.insert(name, Video { of, frames: faces.len(), means });
            if last.elapsed() >= EVERY {
                last = Instant::now();
                cache.save()?;
                if bar.is_hidden() {
                    let done = count(at as u64 + 1);
                    say!(
                        "videos    {done} of {} after {}",
                        count(names.len() as u64),
                        duration(begin.elapsed().as_secs_f64())
                    );
                }
            }
        }
        bar.finish_and_clear();
        cache.save()?;
        if !cache.videos.is_empty() {
            say!("videos    kept in {}", cache.path.display());
        }
        if skipped > 0 {
            hint!("warning: {} frames cannot be used and were left out", count(skipped as u64));
        }
        match missing.iter().next() {
            Some((name, reason)) if missing.len() == names.len() => {
                Err(Error::Data(format!("none of the {} videos can be used; the first, {name}: {reason}", names.len())))
            }
            first => {
                if let Some((_, reason)) = first {
                    let (few, all) = (count(missing.len() as u64), count(names.len() as u64));
                    hint!("warning: {few} of {all} videos cannot be used; the first: {reason}");
                }
                Ok(missing)
            }
        }
    }

    fn tell(
        &self,
        splits: &Splits,
        videos: &Videos,
        done: &BTreeMap<String, Video>,
        missing: &BTreeMap<String, String>,
        (path, model_id): (&Path, &str),
        told: &mut Told,
    ) -> Result<()> {
        #[expect(clippy::cast_possible_truncation, reason = "rounding to the precision of other distances is meant")]
        let distance = |a: &str, b: &str| Some(done.get(a)?.means.squared_distance(&done.get(b)?.means) as f32);
        let of_set = |set: &Vec<crate::eval::ytf::VideoPair>| -> Vec<(f32, bool)> {
            set.iter().filter_map(|pair| Some((distance(&pair.a, &pair.b)?, pair.same))).collect()
        };
        let sets: Vec<Vec<(f32, bool)>> = splits.sets.iter().map(of_set).collect();
        let all = splits.sets.iter().flatten().count();
        let empty: Vec<usize> = (1..).zip(&sets).filter(|(_, set)| set.is_empty()).map(|(at, _)| at).collect();
        if !empty.is_empty() {
            let numbers: Vec<String> = empty.iter().map(ToString::to_string).collect();
            hint!("warning: no pair of set {} can be used; the set is left out", numbers.join(", "));
        }
        let sets: Vec<Vec<(f32, bool)>> = sets.into_iter().filter(|set| !set.is_empty()).collect();
        let scored: Vec<(f32, bool)> = sets.iter().flatten().copied().collect();
        let same = scored.iter().filter(|pair| pair.1).count();
        let frames: usize = done.values().map(|video| video.frames).sum();
        let text = format!(
            "{} of {} in {} sets, of {} videos with {} frames: {} of one person, {} of different people",
            count(scored.len() as u64),
            count(all as u64),
            sets.len(),
            count(done.len() as u64),
            count(frames as u64),
            count(same as u64),
            count((scored.len() - same) as u64)
        );
        told.line("pairs", text);
        let digest = hex(&sha256_of(&self.splits)?);
        told.line("", format!("{}, SHA-256 {digest}", self.splits.display()));
        let text = format!(
            "{}, {} times the box; first {} frames; mean squared distance over all pairs of frames",
            videos.layout(),
            self.scale,
            count(self.frames.into())
        );
        told.line("protocol", text);
        told.line("", format!("each of {} sets with the threshold of the others; mean over the sets", sets.len()));
        let (mut json, headline, _) = figures::of_folds(&figures::folds_of(&sets), &[], told)?;
        let roc = Roc::new(&scored)?;
        figures::rates(&roc, &scored, told, &mut json)?;
        published(told, &PUBLISHED);
        if let Some(folder) = &self.shared.report {
            let of = |same: bool| scored.iter().filter(move |pair| pair.1 == same).map(|pair| f64::from(pair.0));
            let largest = scored.iter().fold(4.0, |largest, pair| f64::max(largest, pair.0.into()));
            let [same, different] = [true, false].map(|same| histogram(of(same), largest));
            let curves = [("embeddings", GREEN, roc)];
            let pictures = report::curves_and_histograms(&curves, "mean squared distance", same, different)?;
            report::write(folder, "YouTube Faces", &headline, told, &[], &pictures)?;
            say!("report    {}", folder.join("report.html").display());
        }
        json["pairs"] = scored.len().into();
        json["conditions"] = json!({
            "weights": path, "layout": videos.layout().to_string(), "scale": self.scale, "frames": self.frames,
            "flip": self.shared.flip, "model": model_id, "metric": "mean squared distance", "splits": self.splits, "splits_sha256": digest,
            "pairs": all, "pairs_left_out": all - scored.len(), "sets_left_out": empty, "videos": done.len(),
            "videos_left_out": missing,
        });
        let row = |&(who, conditions, accuracy, error): &(&str, &str, f64, Option<f64>)| json!({ "who": who, "conditions": conditions, "accuracy": part(accuracy), "standard_error": error.map(part) });
        json["published"] = PUBLISHED.iter().map(row).collect();
        json["event"] = "end".into();
        output::figures(&json);
        Ok(())
    }
}
