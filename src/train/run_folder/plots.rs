//! The pictures of a run, in `plots/`.

use std::path::{Path, PathBuf};

use super::curves::{Curves, Point};
use crate::Result;
use crate::chart::colours::{BLUE, GREEN, GREY, ORANGE, RED};
use crate::chart::{Chart, Series, Style, verification};
use crate::eval::roc::Roc;
use crate::train::{Baselines, Config, EpochReport, HeldOutPairs, LossKind};
use crate::weights::write_whole;

/// What the pictures show beside the steps and epochs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) margin: f64,
    pub(super) loss: LossKind,
}

impl Setting {
    pub(super) fn of(config: &Config) -> Self {
        Self { margin: f64::from(config.margin), loss: config.loss }
    }
}

/// Points of what differs much from batch to batch.
const MEANS: usize = 100;

fn series(name: &str, colour: [u8; 3], style: Style) -> Series {
    Series { name: name.to_string(), colour, style }
}

fn write(dir: &Path, name: &str, chart: &Chart) -> Result<PathBuf> {
    let path = dir.join(name);
    write_whole(&path, &chart.png()?)?;
    Ok(path)
}

/// Draws what steps and epochs tell.
///
/// # Errors
/// A file cannot be written.
pub(super) fn draw(
    dir: &Path,
    curves: &Curves,
    history: &[EpochReport],
    baselines: Option<&Baselines>,
    setting: Setting,
) -> Result<()> {
    let points = curves.points();
    if points.is_empty() {
        return Ok(());
    }
    let of = |value: fn(&Point) -> f64| points.iter().map(|p| (p.step, value(p))).collect::<Vec<_>>();
    let means = curves.smooth(MEANS);
    let mean = |value: fn(&Point) -> f64| Style::Line(means.iter().map(|p| (p.step, value(p))).collect());
    let epochs = |value: fn(&EpochReport) -> f64| history.iter().map(|r| (r.step as f64, value(r))).collect::<Vec<_>>();
    let mut loss = vec![
        series("a step", BLUE, Style::Pale(of(|p| p.loss))),
        series("mean of an epoch", BLUE, Style::Line(epochs(|r| r.loss_all))),
    ];
    if setting.loss == LossKind::Triplet {
        let ends = [points[0].step, points[points.len() - 1].step];
        loss.push(series("margin", GREY, Style::Dashed(ends.map(|step| (step, setting.margin)).to_vec())));
    }
    let y = if setting.loss == LossKind::Triplet { "loss, mean of all pairs" } else { "loss" };
    write(dir, "loss.png", &Chart { x: "step", y, series: loss, ..Chart::default() })?;

    let rate = vec![series("", ORANGE, Style::Line(of(|p| p.learning_rate)))];
    write(dir, "learning_rate.png", &Chart { x: "step", y: "learning rate", series: rate, ..Chart::default() })?;

    let mut active = vec![
        series("easy", GREY, mean(|p| p.easy)),
        series("hard", RED, mean(|p| p.hard)),
        series("semi-hard", ORANGE, mean(|p| p.semi_hard)),
        series("active", BLUE, mean(|p| p.active)),
    ];
    if setting.loss != LossKind::Triplet {
        active = vec![series("told rightly", BLUE, mean(|p| p.right))];
    }
    let y = if setting.loss == LossKind::Triplet { "part of the pairs" } else { "part of the images" };
    let shares = Chart { x: "step", y, series: active, y_range: Some(0.0..1.0), percent: true, ..Chart::default() };
    write(dir, "active.png", &shares)?;

    let band = |mean: fn(&Point) -> f64, std: fn(&Point) -> f64| {
        Style::Band(means.iter().map(|p| (p.step, (mean(p) - std(p)).max(0.0), mean(p) + std(p))).collect())
    };
    let distances = vec![
        series("", BLUE, band(|p| p.d_ap, |p| p.d_ap_std)),
        series("", RED, band(|p| p.d_an, |p| p.d_an_std)),
        series("anchor to negative", RED, mean(|p| p.d_an)),
        series("anchor to positive", BLUE, mean(|p| p.d_ap)),
    ];
    let y = "squared distance, with its standard deviation";
    write(dir, "distances.png", &Chart { x: "step", y, series: distances, ..Chart::default() })?;

    baselines.map_or(Ok(()), |baselines| accuracy(dir, history, baselines))
}

/// The accuracy on held-out people after each epoch.
fn accuracy(dir: &Path, history: &[EpochReport], baselines: &Baselines) -> Result<()> {
    let epochs = history.iter().filter_map(|r| Some((r.step as f64, r.accuracy?)));
    let measured: Vec<(f64, f64)> = std::iter::once((0.0, baselines.untrained.accuracy)).chain(epochs).collect();
    let last = measured.last().map_or(0.0, |&(step, _)| step);
    let [low, high] = baselines.untrained.interval();
    let intervals = history.iter().filter_map(|r| Some((r.step as f64, r.accuracy_low?, r.accuracy_high?)));
    let interval = std::iter::once((0.0, low, high)).chain(intervals).collect();
    let on_pairs: Vec<(f64, f64)> = history.iter().filter_map(|r| Some((r.step as f64, r.pairs_accuracy?))).collect();
    let level = |accuracy: f64| Style::Dashed(vec![(0.0, accuracy), (last, accuracy)]);
    let mut all = vec![
        series("raw pixels", GREY, level(baselines.pixels.accuracy)),
        series("before training", ORANGE, level(baselines.untrained.accuracy)),
        series("", GREEN, Style::Band(interval)),
        series("held-out people, 95 % interval", GREEN, Style::Line(measured)),
    ];
    if !on_pairs.is_empty() {
        all.push(series("given pairs", BLUE, Style::Line(on_pairs)));
    }
    let chart = Chart { x: "step", y: "accuracy", series: all, percent: true, ..Chart::default() };
    write(dir, "accuracy.png", &chart).map(drop)
}

/// The ROC curve and both histograms of the best weights' distances.
///
/// # Errors
/// A file cannot be written.
pub(super) fn draw_held_out(dir: &Path, found: &HeldOutPairs) -> Result<()> {
    let curves = [("raw pixels", GREY, &found.pixels), ("embeddings", GREEN, &found.distances)];
    let curves: Result<Vec<_>> =
        curves.into_iter().map(|(name, colour, scored)| Ok((name, colour, Roc::new(scored)?))).collect();
    write(dir, "roc.png", &verification::roc(&curves?))?;
    let kind = |same: bool| found.distances.iter().filter(move |d| d.1 == same).map(|d| f64::from(d.0));
    let [same, different] = [true, false].map(|same| verification::histogram(kind(same), 4.0));
    write(dir, "histogram.png", &verification::histograms("squared distance", same, different)).map(drop)
}
