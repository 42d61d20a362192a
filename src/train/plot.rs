//! The run's curves as a picture: loss above, accuracy on held-out people with its baselines below.

use std::path::Path;

use plotters::prelude::*;

use super::{Baselines, EpochReport};
use crate::weights::write_whole;
use crate::{Error, Result};

const LOSS: RGBColor = RGBColor(37, 99, 171);
const ACCURACY: RGBColor = RGBColor(20, 130, 90);
const UNTRAINED: RGBColor = RGBColor(176, 110, 40);
const PIXELS: RGBColor = RGBColor(120, 120, 120);

/// Draws `history` into an SVG file.
///
/// # Errors
/// The file cannot be written.
pub(super) fn loss_curve(path: &Path, history: &[EpochReport], baselines: Option<&Baselines>) -> Result<()> {
    let mut svg = String::new();
    draw(&mut svg, history, baselines).map_err(|e| Error::io("draw", path)(std::io::Error::other(e.to_string())))?;
    write_whole(path, svg.as_bytes())
}

type DrawResult = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw(svg: &mut String, history: &[EpochReport], baselines: Option<&Baselines>) -> DrawResult {
    let root = SVGBackend::with_string(svg, (720, 480)).into_drawing_area();
    root.fill(&WHITE)?;
    let panels = root.split_evenly((if baselines.is_some() { 2 } else { 1 }, 1));
    let last = history.last().map_or(1.0, |r| r.step as f64);
    let points = |of: fn(&EpochReport) -> Option<f64>| {
        history.iter().filter_map(|r| Some((r.step as f64, of(r)?))).collect::<Vec<_>>()
    };

    let loss = points(|r| Some(r.loss_all));
    let highest = loss.iter().fold(1e-6, |m: f64, p| m.max(p.1));
    let mut chart = panel(&panels[0]).build_cartesian_2d(0.0..last, 0.0..highest * 1.1)?;
    chart.configure_mesh().light_line_style(WHITE).x_desc("step").y_desc("loss, mean of all pairs").draw()?;
    chart.draw_series(LineSeries::new(loss, LOSS.stroke_width(2)))?;

    if let (Some(baselines), Some(area)) = (baselines, panels.get(1)) {
        let accuracy = points(|r| r.accuracy);
        let lowest = accuracy.iter().map(|p| p.1).chain([baselines.pixels.accuracy, baselines.untrained.accuracy]);
        let lowest = (lowest.fold(0.5, f64::min) * 20.0).floor() / 20.0;
        let mut chart = panel(area).build_cartesian_2d(0.0..last, lowest..1.0)?;
        let percent = |v: &f64| format!("{:.0} %", v * 100.0);
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .y_label_formatter(&percent)
            .x_desc("step")
            .y_desc("held-out accuracy")
            .draw()?;
        chart.draw_series(LineSeries::new(accuracy, ACCURACY.stroke_width(2)))?.label("trained").legend(key(ACCURACY));
        for (baseline, name, colour) in
            [(baselines.untrained, "untrained network", UNTRAINED), (baselines.pixels, "raw pixels", PIXELS)]
        {
            let line = [(0.0, baseline.accuracy), (last, baseline.accuracy)];
            chart
                .draw_series(DashedLineSeries::new(line, 6, 4, colour.stroke_width(2)))?
                .label(name)
                .legend(key(colour));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .draw()?;
    }
    root.present()?;
    Ok(())
}

fn panel<'a, 'b>(
    area: &'a DrawingArea<SVGBackend<'b>, plotters::coord::Shift>,
) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut builder = ChartBuilder::on(area);
    builder.margin(10).x_label_area_size(36).y_label_area_size(64);
    builder
}

fn key(colour: RGBColor) -> impl Fn((i32, i32)) -> PathElement<(i32, i32)> {
    move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
}
