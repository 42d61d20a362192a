//! Charts of how well pairs of one person are told from pairs of different people.

use super::colours::{BLUE, ORANGE, RED};
use super::{Chart, Series, Style};
use crate::eval::roc::Roc;

/// Bins of a histogram.
pub const BINS: usize = 50;
/// Points of a curve that lie closer than this part of an axis are drawn as one.
const CLOSE: f64 = 5e-4;

fn series(name: &str, colour: [u8; 3], style: Style) -> Series {
    Series { name: name.to_string(), colour, style }
}

/// ROC curves, each with its name, its colour and the area below it.
pub fn roc(curves: &[(&str, [u8; 3], Roc)]) -> Chart {
    let mut all = vec![series("guessing", ORANGE, Style::Dashed(vec![(0.0, 0.0), (1.0, 1.0)]))];
    for (name, colour, roc) in curves {
        let name = format!("{name}, area {:.3}", roc.auc());
        all.push(series(&name, *colour, Style::Line(thinned(roc.points.iter().copied()))));
    }
    let (x, y) = ("false accept rate", "true accept rate");
    Chart { x, y, series: all, y_range: Some(0.0..1.0), percent: true, ..Chart::default() }
}

/// Detection error trade-off: part of the pairs of one person that are refused by the part of the pairs of different people
/// that are accepted, both as powers of ten.
pub fn det(curves: &[(&str, [u8; 3], Roc)]) -> Chart {
    let line = |roc: &Roc| {
        let rates = roc.points.iter().map(|&(accepted, right)| (accepted, 1.0 - right));
        thinned(
            rates.filter(|&(accepted, refused)| accepted > 0.0 && refused > 1e-12).map(|(x, y)| (x.log10(), y.log10())),
        )
    };
    let all = curves.iter().map(|(name, colour, roc)| series(name, *colour, Style::Line(line(roc)))).collect();
    let (x, y) = ("false accept rate", "false reject rate");
    Chart { x, y, series: all, powers: true, y_powers: true, ..Chart::default() }
}

/// Both histograms of the distances, as [`histogram`] makes them.
pub fn histograms(x: &'static str, same: Vec<(f64, f64)>, different: Vec<(f64, f64)>) -> Chart {
    let series = vec![
        series("pairs of one person", BLUE, Style::Line(same)),
        series("pairs of different people", RED, Style::Line(different)),
    ];
    Chart { x, y: "part of the pairs", series, percent: true, ..Chart::default() }
}

/// Parts of the distances that fall into equal bins from 0 to the largest possible distance, by the middles of the bins.
pub fn histogram(distances: impl Iterator<Item = f64>, largest: f64) -> Vec<(f64, f64)> {
    let (mut counts, mut all) = ([0_usize; BINS], 0_usize);
    for distance in distances {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the number of a bin")]
        let bin = (distance / largest * BINS as f64) as usize;
        counts[bin.min(BINS - 1)] += 1;
        all += 1;
    }
    let parts: Vec<f64> = counts.iter().map(|&count| count as f64 / all.max(1) as f64).collect();
    of_parts(&parts, largest)
}

/// As [`histogram`], of the parts of the bins.
pub fn of_parts(parts: &[f64], largest: f64) -> Vec<(f64, f64)> {
    let last = parts.iter().rposition(|&part| part > 0.0).map_or(0, |last| (last + 2).min(parts.len()));
    (0..last).map(|bin| ((bin as f64 + 0.5) * largest / parts.len() as f64, parts[bin])).collect()
}

/// The points of a curve without those that nobody could see apart; the first and the last stay.
fn thinned(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let (mut kept, mut last): (Vec<(f64, f64)>, _) = (Vec::new(), None);
    for point in points {
        let far = |&(x, y): &(f64, f64)| (point.0 - x).abs().max((point.1 - y).abs()) >= CLOSE;
        match kept.last().is_none_or(far) {
            true => {
                kept.push(point);
                last = None;
            }
            false => last = Some(point),
        }
    }
    kept.extend(last);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_holds_every_distance_once() {
        let bins = histogram([0.0, 0.01, 0.5, 4.0, 4.1].into_iter(), 4.0);
        assert!((bins.iter().map(|bin| bin.1).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!((bins[0].1, bins[6].1, bins.len()), (0.4, 0.2, 50));
        assert!(histogram([].into_iter(), 4.0).is_empty());
    }

    #[test]
    fn a_curve_keeps_its_ends_and_loses_what_nobody_sees() {
        let points: Vec<(f64, f64)> = (0..=100_000).map(|i| (f64::from(i) / 1e5, f64::from(i) / 1e5)).collect();
        let kept = thinned(points.iter().copied());
        assert!(kept.len() < 2100 && kept.len() > 1900, "{}", kept.len());
        assert_eq!((kept[0], kept[kept.len() - 1]), (points[0], points[100_000]));
    }

    #[test]
    fn the_trade_off_leaves_out_what_has_no_logarithm() {
        let roc = Roc::new(&[(0.1, true), (0.2, false), (0.3, true), (0.4, false)]).unwrap();
        let Style::Line(points) = &det(&[("", BLUE, roc)]).series[0].style else { panic!("a line") };
        assert_eq!(points.len(), 1, "{points:?}");
        assert!((points[0].0 - 0.5_f64.log10()).abs() < 1e-9 && (points[0].1 - 0.5_f64.log10()).abs() < 1e-9);
    }
}
