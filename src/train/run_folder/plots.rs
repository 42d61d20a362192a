//! The pictures of a run, in `plots/`.

use std::path::{Path, PathBuf};

use super::curves::{Curves, Point};
use crate::Result;
use crate::chart::colours::{BLUE, GREEN, GREY, ORANGE, RED};
use crate::chart::{Chart, Series, Style};
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
    let mut curves = Vec::new();
    for (name, colour, scored) in [("raw pixels", GREY, &found.pixels), ("embeddings", GREEN, &found.distances)] {
        let roc = Roc::new(scored)?;
        let name = format!("{name}, area {:.3}", roc.auc());
        curves.push(series(&name, colour, Style::Line(roc.points)));
    }
    curves.insert(0, series("guessing", ORANGE, Style::Dashed(vec![(0.0, 0.0), (1.0, 1.0)])));
    let (x, y) = ("false accept rate", "true accept rate");
    write(dir, "roc.png", &Chart { x, y, series: curves, y_range: Some(0.0..1.0), percent: true, ..Chart::default() })?;

    let kind = |same: bool| found.distances.iter().filter(move |d| d.1 == same).map(|d| f64::from(d.0));
    let histogram = vec![
        series("pairs of one person", BLUE, Style::Line(histogram(kind(true)))),
        series("pairs of different people", RED, Style::Line(histogram(kind(false)))),
    ];
    let (x, y) = ("squared distance", "part of the pairs");
    let chart = Chart { x, y, series: histogram, percent: true, ..Chart::default() };
    write(dir, "histogram.png", &chart).map(drop)
}

/// Parts of the distances that fall into equal bins from 0 to the largest possible distance, 4.
fn histogram(distances: impl Iterator<Item = f64>) -> Vec<(f64, f64)> {
    const BINS: usize = 50;
    const WIDTH: f64 = 4.0 / BINS as f64;
    let (mut counts, mut all) = ([0_usize; BINS], 0_usize);
    for distance in distances {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the number of a bin")]
        let bin = (distance / WIDTH) as usize;
        counts[bin.min(BINS - 1)] += 1;
        all += 1;
    }
    let middle = |bin: usize| (bin as f64 + 0.5) * WIDTH;
    let last = counts.iter().rposition(|&count| count > 0).map_or(0, |last| (last + 2).min(BINS));
    (0..last).map(|bin| (middle(bin), counts[bin] as f64 / all.max(1) as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_holds_every_distance_once() {
        let bins = histogram([0.0, 0.01, 0.5, 4.0, 4.1].into_iter());
        assert!((bins.iter().map(|bin| bin.1).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!((bins[0].1, bins[6].1, bins.len()), (0.4, 0.2, 50));
        assert!(histogram([].into_iter()).is_empty());
    }
}
