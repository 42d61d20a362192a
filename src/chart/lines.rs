//! Charts of lines and bands over one axis.

use std::error::Error as StdError;
use std::ops::Range;

use image::RgbImage;
use plotters::prelude::*;

use super::{font, png};
use crate::{Error, Result};

/// Pixels of a chart. Twice what a page shows, for screens with fine pixels.
const SIZE: (u32, u32) = (1280, 720);
const TEXT: u32 = 26;
/// Digits behind the point of small and of smaller numbers on an axis.
const FEW: usize = 2;
const MORE: usize = 4;

/// One chart.
#[derive(Debug, Clone, Default)]
pub struct Chart {
    /// What the x axis shows.
    pub x: &'static str,
    /// What the y axis shows.
    pub y: &'static str,
    /// Lines and bands, the first below the others.
    pub series: Vec<Series>,
    /// Both ends of the y axis, where the data do not decide.
    pub y_range: Option<Range<f64>>,
    /// Numbers of the y axis are parts of 1, shown in percent.
    pub percent: bool,
    /// Numbers of the x axis are powers of ten, shown as such.
    pub powers: bool,
    /// The same of the y axis.
    pub y_powers: bool,
}

/// What is drawn in one colour under one name.
#[derive(Debug, Clone)]
pub struct Series {
    /// Name in the legend; empty for none.
    pub name: String,
    /// Red, green, blue.
    pub colour: [u8; 3],
    /// How it is drawn.
    pub style: Style,
}

/// How a series is drawn. Values that are not finite are left out.
#[derive(Debug, Clone)]
pub enum Style {
    /// A line through points.
    Line(Vec<(f64, f64)>),
    /// A thin, pale line through points.
    Pale(Vec<(f64, f64)>),
    /// A dashed line through points.
    Dashed(Vec<(f64, f64)>),
    /// A line through points, each of them marked.
    Marked(Vec<(f64, f64)>),
    /// The area between a lower and an upper line.
    Band(Vec<(f64, f64, f64)>),
}

impl Style {
    /// Every point that it reaches.
    fn points(&self) -> Vec<(f64, f64)> {
        let points = match self {
            Self::Line(points) | Self::Pale(points) | Self::Dashed(points) | Self::Marked(points) => points.clone(),
            Self::Band(points) => points.iter().flat_map(|&(x, low, high)| [(x, low), (x, high)]).collect(),
        };
        points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
    }
}

type Drawn = std::result::Result<(), Box<dyn StdError>>;

impl Chart {
    /// The chart as a PNG file.
    ///
    /// # Errors
    /// It cannot be drawn.
    pub fn png(&self) -> Result<Vec<u8>> {
        png(&self.picture()?)
    }

    /// The chart as a picture.
    ///
    /// # Errors
    /// It cannot be drawn.
    pub fn picture(&self) -> Result<RgbImage> {
        font::register();
        let mut picture = RgbImage::new(SIZE.0, SIZE.1);
        self.draw(&mut picture).map_err(|e| Error::Data(format!("a chart of {} cannot be drawn: {e}", self.y)))?;
        Ok(picture)
    }

    /// From the smallest to the largest of the values, with some room, and never of no width.
    fn range(values: impl Iterator<Item = f64>, room: f64) -> Range<f64> {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        match high - low {
            width if width > 0.0 => low - room * width..high + room * width,
            _ if low == f64::MAX => 0.0..1.0,
            _ => low - 0.5 * low.abs().max(1e-6)..high + 0.5 * high.abs().max(1e-6),
        }
    }

    fn draw(&self, picture: &mut RgbImage) -> Drawn {
        let points: Vec<(f64, f64)> = self.series.iter().flat_map(|series| series.style.points()).collect();
        let x = Self::range(points.iter().map(|p| p.0), 0.0);
        let y = self.y_range.clone().unwrap_or_else(|| Self::range(points.iter().map(|p| p.1), 0.05));
        let root = BitMapBackend::with_buffer(picture, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let height = y.end - y.start;
        let mut chart = ChartBuilder::on(&root)
            .margin(18)
            .margin_right(36)
            .x_label_area_size(3 * TEXT)
            .y_label_area_size(5 * TEXT)
            .build_cartesian_2d(x, y)?;
        let digits = if height < 0.05 { MORE } else { FEW };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .axis_style(BLACK.mix(0.5))
            .label_style((font::FAMILY, TEXT))
            .axis_desc_style((font::FAMILY, TEXT))
            .x_labels(8)
            .y_labels(6)
            .x_label_formatter(&|&x| if self.powers { power(x) } else { plain(x, FEW) })
            .y_label_formatter(&|&y| match (self.percent, self.y_powers) {
                (_, true) => power(y),
                (true, false) if height < 0.1 => format!("{:.1} %", 100.0 * y),
                (true, false) => format!("{:.0} %", 100.0 * y),
                (false, false) => plain(y, digits),
            })
            .x_desc(self.x)
            .y_desc(self.y)
            .draw()?;
        for series in &self.series {
            let [r, g, b] = series.colour;
            let colour = RGBColor(r, g, b);
            let finite = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
                points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
            };
            let drawn = match &series.style {
                Style::Line(points) => chart.draw_series(line(finite(points), colour.stroke_width(4)))?,
                Style::Pale(points) => chart.draw_series(line(finite(points), colour.mix(0.35).stroke_width(2)))?,
                Style::Dashed(points) => {
                    chart.draw_series(DashedLineSeries::new(finite(points), 14, 10, colour.stroke_width(3)))?
                }
                Style::Marked(points) => {
                    let dot = |&at: &(f64, f64)| Circle::new(at, 8, colour.filled());
                    chart.draw_series(finite(points).iter().map(dot))?;
                    chart.draw_series(line(finite(points), colour.stroke_width(4)))?
                }
                Style::Band(points) => {
                    let finite = points.iter().filter(|(x, low, high)| (x + low + high).is_finite());
                    let (upper, lower): (Vec<_>, Vec<_>) = finite.map(|&(x, low, high)| ((x, high), (x, low))).unzip();
                    let outline: Vec<_> = upper.into_iter().chain(lower.into_iter().rev()).collect();
                    chart.draw_series([Polygon::new(outline, colour.mix(0.15))])?
                }
            };
            if !series.name.is_empty() {
                let (shade, width) = if matches!(series.style, Style::Pale(_)) { (0.35, 2) } else { (1.0, 4) };
                drawn.label(&series.name).legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + TEXT.cast_signed(), y)], colour.mix(shade).stroke_width(width))
                });
            }
        }
        if self.series.iter().any(|series| !series.name.is_empty()) {
            chart
                .configure_series_labels()
                .label_font((font::FAMILY, TEXT))
                .legend_area_size(TEXT + 14)
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK.mix(0.2))
                .position(self.emptiest(&points))
                .draw()?;
        }
        root.present()?;
        Ok(())
    }

    /// The corner with the fewest points, for the legend.
    fn emptiest(&self, points: &[(f64, f64)]) -> SeriesLabelPosition {
        let x = Self::range(points.iter().map(|p| p.0), 0.0);
        let y = self.y_range.clone().unwrap_or_else(|| Self::range(points.iter().map(|p| p.1), 0.05));
        let inside = |right: bool, upper: bool| {
            let of = |v: f64, range: &Range<f64>| (v - range.start) / (range.end - range.start);
            let near = |v: f64, far: bool| if far { v > 0.6 } else { v < 0.4 };
            points.iter().filter(|p| near(of(p.0, &x), right) && near(of(p.1, &y), upper)).count()
        };
        let corners = [
            (inside(true, true), SeriesLabelPosition::UpperRight),
            (inside(true, false), SeriesLabelPosition::LowerRight),
            (inside(false, true), SeriesLabelPosition::UpperLeft),
            (inside(false, false), SeriesLabelPosition::LowerLeft),
        ];
        let fewest = corners.iter().map(|(count, _)| *count).min();
        corners.into_iter().find(|(count, _)| Some(*count) == fewest).expect("there are four corners").1
    }
}

fn line(points: Vec<(f64, f64)>, style: ShapeStyle) -> LineSeries<BitMapBackend<'static>, (f64, f64)> {
    LineSeries::new(points, style)
}

/// A number of an axis, without zeros that say nothing.
fn plain(value: f64, digits: usize) -> String {
    let size = value.abs();
    if size != 0.0 && size < 1e-3 {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_string() } else { text.to_string() }
}

/// Ten to a power, with as many digits as tell it.
fn power(exponent: f64) -> String {
    let value = 10f64.powf(exponent);
    if (exponent - exponent.round()).abs() < 1e-6 { format!("{value:.0e}") } else { format!("{value:.1e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(style: Style) -> Chart {
        let series = vec![Series { name: "name".into(), colour: [200, 0, 0], style }];
        Chart { x: "step", y: "loss", series, ..Chart::default() }
    }

    /// Pixels that are rather red.
    fn red(chart: &Chart) -> usize {
        chart.picture().unwrap().pixels().filter(|p| p.0[0] > 180 && p.0[1] < 60 && p.0[2] < 60).count()
    }

    #[test]
    fn a_line_is_drawn_from_end_to_end_with_texts_around_it() {
        let line = chart(Style::Line(vec![(0.0, 1.0), (10.0, 0.0)]));
        assert!(red(&line) > 1000);
        let mut silent = line.clone();
        (silent.x, silent.y) = ("", "");
        let dark = |chart: &Chart| chart.picture().unwrap().pixels().filter(|p| p.0.iter().all(|&c| c < 100)).count();
        assert!(dark(&line) > dark(&silent) + 100, "the axes have no names");
        assert!(line.png().unwrap().starts_with(b"\x89PNG"));
    }

    #[test]
    fn nothing_one_point_and_values_that_are_not_finite_are_drawn_too() {
        let nan = f64::NAN;
        for style in [
            Style::Line(vec![]),
            Style::Line(vec![(3.0, 0.0)]),
            Style::Pale(vec![(0.0, nan), (1.0, f64::INFINITY)]),
            Style::Dashed(vec![(1.0, 1.0), (1.0, 1.0)]),
            Style::Marked(vec![(1.0, nan), (1.0, 1.0)]),
            Style::Band(vec![(0.0, 0.0, nan), (1.0, 0.0, 1.0)]),
        ] {
            chart(style).picture().unwrap();
        }
    }

    #[test]
    fn numbers_of_axes_are_short() {
        let texts = [0.0, -0.0001, 0.05, 1.0, 2500.0].map(|v| plain(v, 2));
        assert_eq!(texts, ["0", "-1e-4", "0.05", "1", "2500"]);
        assert_eq!([power(-3.0), power(0.0), power(-2.5)], ["1e-3", "1e0", "3.2e-3"]);
    }
}
