//! `facenet-gpu train --find-lr`: which learning rates work.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::Job;
use crate::chart::colours::{BLUE, GREEN, ORANGE};
use crate::chart::{Chart, Series, Style};
use crate::cli::output;
use crate::cli::progress::bar;
use crate::cli::signals::stop_on_signals;
use crate::cli::words::with_flags;
use crate::train::{Observer, Pace, RateSearch, StepReport, find_rate, numbered};
use crate::weights::write_whole;
use crate::{Error, Result};

/// Shows how far the test is.
struct Progress(indicatif::ProgressBar);

impl Observer for Progress {
    fn warning(&mut self, message: &str) {
        hint!("warning: {}", with_flags(message));
    }

    fn starting(&mut self, said: &str) {
        say!("start     {said}");
    }

    fn step(&mut self, report: &StepReport, pace: &Pace) {
        self.0.set_position(report.step as u64);
        self.0.set_message(format!(
            "lr {:.1e}  loss {:.4}  {:.0} images/s",
            report.learning_rate, report.loss_all, pace.images_per_second
        ));
    }
}

/// Runs the test and leaves `rates.csv` and `rates.png` in `runs/find-lr/NAME[N]`.
pub(super) fn find_lr(job: &Job, steps: usize, runs: &Path, name: &str) -> Result<ExitCode> {
    let (set, config) = (&job.set, &job.arguments.config);
    say!("data      {}", set.summary());
    say!("rates     from 1e-6 to 10 in {steps} steps of {:?}", config.optimiser_kind());
    let stop = stop_on_signals("stopping: this step ends (Ctrl-C again to end at once)");
    let mut progress = Progress(bar(steps, "{wide_msg} {pos}/{len}"));
    let found = find_rate(&job.engine, &job.model, config, set, steps, &stop, &mut progress)?;
    progress.0.finish_and_clear();
    if found.steps.is_empty() {
        return Err(Error::Interrupted("stopped before the first step; nothing was written".into()));
    }
    let parent = runs.join("find-lr");
    std::fs::create_dir_all(&parent).map_err(Error::io("create", &parent))?;
    let folder = numbered(&parent, name)?;
    let mut table = csv::Writer::from_writer(Vec::new());
    found.steps.iter().for_each(|step| table.serialize(step).expect("a row is plain data"));
    write_whole(&folder.join("rates.csv"), &table.into_inner().expect("memory takes every row"))?;
    write_whole(&folder.join("rates.png"), &chart(&found).png()?)?;
    tell(&found, config.learning_rate());
    say!("plot      {}", folder.join("rates.png").display());
    output::json(&json!({
        "event": "end", "steepest": found.steepest, "lowest": found.lowest, "learning_rate": output::number(config.learning_rate()),
        "plot": folder.join("rates.png").display().to_string(),
    }));
    Ok(ExitCode::SUCCESS)
}

fn tell(found: &RateSearch, used: f32) {
    match (found.steepest, found.lowest) {
        (Some(steepest), Some(lowest)) => {
            say!("found     the loss falls fastest at {steepest:.1e} and is lowest at {lowest:.1e}");
            say!("          start with --learning-rate {steepest:.1e}; without the flag it is {used:?}");
        }
        _ => {
            say!("found     no rate lowered the loss in {} steps", found.steps.len());
            say!("          give more steps (--find-lr=500), a warm-up in training, or another --optimiser");
        }
    }
}

fn chart(found: &RateSearch) -> Chart {
    let power = |rate: f64| rate.log10();
    let of = |value: fn(&crate::train::RateStep) -> f64| {
        found.steps.iter().map(|step| (power(step.learning_rate), value(step))).collect::<Vec<_>>()
    };
    let smoothed = of(|step| step.smoothed);
    let (low, high) = smoothed.iter().fold((f64::MAX, f64::MIN), |(low, high), p| (low.min(p.1), high.max(p.1)));
    let mark = |rate: f64| Style::Dashed(vec![(power(rate), low), (power(rate), high)]);
    let series = |name: &str, colour, style| Series { name: name.to_string(), colour, style };
    let mut all = vec![
        series("loss of a step", BLUE, Style::Pale(of(|step| step.loss))),
        series("smoothed", BLUE, Style::Line(smoothed)),
    ];
    all.extend(found.steepest.map(|rate| series("falls fastest", GREEN, mark(rate))));
    all.extend(found.lowest.map(|rate| series("lowest", ORANGE, mark(rate))));
    Chart { x: "learning rate", y: "loss", series: all, powers: true, ..Chart::default() }
}
