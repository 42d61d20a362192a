//! `facenet-gpu identify`: who of a gallery is on images.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::embed::{hint_inputs, inputs_of, progress};
use super::gallery::model_of;
use super::output::{self, Form};
use super::signals::stop_on_signals;
use super::threshold::ThresholdFlag;
use super::view::{Finding, View};
use super::{DeviceFlag, INTERRUPTED, models, table};
use crate::embed::Row;
use crate::gallery::{Candidate, Faces, Gallery, Identifier, Identity, Search};
use crate::text::shown;
use crate::{Embeddings, Result, Session};

/// Say who of a gallery is on images, or that it is nobody of them
#[derive(Debug, Args)]
#[command(override_usage = "facenet-gpu identify [OPTIONS] <GALLERY> [WEIGHTS] <IMAGE|FOLDER>...")]
pub(super) struct Identify {
    /// Gallery
    gallery: PathBuf,

    /// Weights file, that with which the gallery was made, or the name of a model in the folder of models [default: the only one
    /// there]; images, and folders with images in them and below
    #[arg(value_name = "WEIGHTS|IMAGE|FOLDER", required_unless_present = "list")]
    arguments: Vec<PathBuf>,

    /// A list of images, a path a line; - is the standard input. May be given several times
    #[arg(long, value_name = "FILE")]
    list: Vec<PathBuf>,

    #[command(flatten)]
    finding: Finding,

    #[command(flatten)]
    threshold: ThresholdFlag,

    /// People to name for each image, the nearest first
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = at_least_one)]
    top: usize,

    #[command(flatten)]
    form: Form,

    #[command(flatten)]
    device: DeviceFlag,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "give 1 or more".to_string())
}

/// What was found.
#[derive(Default)]
struct Counts {
    known: usize,
    unknown: usize,
    failed: usize,
}

impl Identify {
    pub(super) fn run(self) -> Result<ExitCode> {
        self.form.choose();
        let gallery = Gallery::open_read_only(&self.gallery)?;
        let (path, images) = models::split(&self.arguments)?;
        let view = View::of(gallery.model(), &self.finding);
        let (weights, model) = model_of(&path, &view)?;
        let threshold = self.threshold.of(&weights.metadata)?;
        gallery.check_model(&model)?;
        let inputs = inputs_of(images, &self.list)?;
        let faces = gallery.load()?;
        // Others may change the file now.
        drop(gallery);
        let engine = self.device.open_told()?;
        say!("gallery   {} faces of {} people", table::count(faces.len() as u64), table::count(faces.people() as u64));
        say!("threshold {:.3}, {}", threshold.value, super::words::with_flags(&threshold.origin()));
        let mut session = Session::with_weights(&engine, &weights, &path)?;
        let search = Search { threshold: threshold.value, top: self.top };
        let mut identifier = Identifier::new(&engine, &faces, &search)?;
        let stop = stop_on_signals("stopping: what was printed stays (Ctrl-C again to end at once)");
        let mut eyes = view.eyes(&engine, &path, &weights.metadata.preprocess)?;
        hint_inputs(&inputs, &eyes, &weights.metadata.preprocess);
        output::csv(["path", "decision", "rank", "person", "distance", "face", "reason"]);
        let mut counts = Counts::default();
        let bar = progress(inputs.len(), 0);
        let mut take = |rows: &[Row<'_>]| {
            let good: Vec<&Vec<f32>> = rows.iter().filter_map(|row| row.outcome.as_ref().ok()).collect();
            let dim = faces.model().dimensions as usize;
            let queries = Embeddings::new(dim, good.into_iter().flatten().copied().collect())?;
            let mut found = identifier.identify(&queries)?.into_iter();
            let lines: Vec<_> = rows
                .iter()
                .map(|row| (row, row.outcome.as_ref().map(|_| found.next().expect("an answer for each embedding"))))
                .collect();
            bar.suspend(|| lines.iter().for_each(|(row, outcome)| tell(&faces, row, outcome, &mut counts)));
            bar.inc(rows.len() as u64);
            Ok(())
        };
        let done = eyes.embed_files(&mut session, &inputs, 0, &stop, &mut take);
        bar.finish_and_clear();
        let done = done?;
        eyes.tell();
        let Counts { known, unknown, failed } = counts;
        let count = |n: usize| table::count(n as u64);
        say!("done      {} known, {} unknown, {} unusable", count(known), count(unknown), count(failed));
        if failed > 0 {
            hint!("warning: {} of {} images could not be used", count(failed), count(done.rows));
        }
        output::json(&json!({
            "event": "end", "images": done.rows, "known": known, "unknown": unknown, "failed": failed,
            "threshold": output::number(threshold.value), "threshold_source": threshold.source(),
            "complete": !done.stopped,
        }));
        Ok(match () {
            () if done.stopped => ExitCode::from(INTERRUPTED),
            () if failed == inputs.len() => ExitCode::FAILURE,
            () => ExitCode::SUCCESS,
        })
    }
}

/// Prints who is on an image.
fn tell(faces: &Faces, row: &Row<'_>, outcome: &Result<Identity, &String>, counts: &mut Counts) {
    let path = row.path.to_string_lossy();
    let who = match outcome {
        Ok(who) => who,
        Err(reason) => {
            counts.failed += 1;
            say!("{}: {reason}", row.path.display());
            output::json(&json!({ "event": "image", "path": path, "reason": reason }));
            output::csv([&*path, "", "", "", "", "", reason]);
            return;
        }
    };
    let person = who.person().map(|found| faces.name(found.person));
    *if person.is_some() { &mut counts.known } else { &mut counts.unknown } += 1;
    let named = |c: &Candidate| format!("{} {:.3}", shown(faces.name(c.person)), c.distance);
    let candidates: Vec<String> = who.candidates.iter().map(named).collect();
    match (person, candidates.split_first()) {
        (Some(_), Some((first, []))) => say!("{}: {first}", row.path.display()),
        (Some(_), Some((first, others))) => say!("{}: {first} (next {})", row.path.display(), others.join(", ")),
        _ => say!("{}: unknown (nearest {})", row.path.display(), candidates.join(", ")),
    }
    let candidate = |c: &Candidate| -> Value {
        json!({ "person": faces.name(c.person), "distance": output::number(c.distance), "face": c.face })
    };
    output::json(&json!({
        "event": "image", "path": path, "person": person,
        "candidates": who.candidates.iter().map(candidate).collect::<Vec<_>>(),
    }));
    let decision = if person.is_some() { "known" } else { "unknown" };
    for (rank, c) in (1..).zip(&who.candidates) {
        let (rank, distance, face) = (i32::to_string(&rank), c.distance.to_string(), c.face.to_string());
        output::csv([&*path, decision, &rank, faces.name(c.person), &distance, &face, ""]);
    }
}
