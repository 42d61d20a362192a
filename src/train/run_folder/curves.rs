//! The steps of a run as curves of bounded length.

use crate::train::StepReport;

/// The most points of a curve.
const MOST: usize = 1024;

/// Means over some consecutive steps.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Point {
    /// The last of these steps.
    pub(super) step: f64,
    pub(super) loss: f64,
    pub(super) learning_rate: f64,
    /// Parts of the pairs, 0 to 1.
    pub(super) active: f64,
    pub(super) easy: f64,
    pub(super) semi_hard: f64,
    pub(super) hard: f64,
    /// Squared distances and their standard deviations.
    pub(super) d_ap: f64,
    pub(super) d_ap_std: f64,
    pub(super) d_an: f64,
    pub(super) d_an_std: f64,
    /// Part of the images whose class is told rightly.
    pub(super) right: f64,
}

impl Point {
    fn of(r: &StepReport) -> Self {
        let part = |count: f32| if r.pairs > 0.0 { f64::from(count / r.pairs) } else { 0.0 };
        let [loss, learning_rate, d_ap, d_ap_std, d_an, d_an_std, right] =
            [r.loss_all, r.learning_rate, r.d_ap, r.d_ap_std, r.d_an, r.d_an_std, r.class_accuracy].map(f64::from);
        Self {
            step: r.step as f64,
            loss,
            learning_rate,
            active: part(r.pairs - r.skipped_pairs),
            easy: part(r.easy),
            semi_hard: part(r.semi_hard),
            hard: part(r.hard),
            d_ap,
            d_ap_std,
            d_an,
            d_an_std,
            right,
        }
    }

    /// The mean of points that stand for as many steps each.
    fn mean(points: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        Self {
            step: points.last().map_or(0.0, |p| p.step),
            loss: mean(|p| p.loss),
            learning_rate: mean(|p| p.learning_rate),
            active: mean(|p| p.active),
            easy: mean(|p| p.easy),
            semi_hard: mean(|p| p.semi_hard),
            hard: mean(|p| p.hard),
            d_ap: mean(|p| p.d_ap),
            d_ap_std: mean(|p| p.d_ap_std),
            d_an: mean(|p| p.d_an),
            d_an_std: mean(|p| p.d_an_std),
            right: mean(|p| p.right),
        }
    }
}

/// Means over so many steps each that there are never more than [`MOST`] of them.
#[derive(Debug, Clone)]
pub(super) struct Curves {
    /// Steps of a point.
    width: usize,
    points: Vec<Point>,
    /// Steps that make no whole point yet.
    open: Vec<Point>,
}

impl Default for Curves {
    fn default() -> Self {
        Self { width: 1, points: Vec::new(), open: Vec::new() }
    }
}

impl Curves {
    /// Adds the next step.
    pub(super) fn add(&mut self, report: &StepReport) {
        self.open.push(Point::of(report));
        if self.open.len() < self.width {
            return;
        }
        self.points.push(Point::mean(&self.open));
        self.open.clear();
        if self.points.len() == MOST {
            self.points = self.points.chunks(2).map(Point::mean).collect();
            self.width *= 2;
        }
    }

    /// All points, the last of which may stand for fewer steps.
    pub(super) fn points(&self) -> Vec<Point> {
        let open = (!self.open.is_empty()).then(|| Point::mean(&self.open));
        self.points.iter().copied().chain(open).collect()
    }

    /// The same as at most `most` means, for what differs much from batch to batch.
    pub(super) fn smooth(&self, most: usize) -> Vec<Point> {
        let points = self.points();
        points.chunks(points.len().div_ceil(most).max(1)).map(Point::mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_stay_short_and_keep_the_mean() {
        let mut curves = Curves::default();
        let mut statistics = vec![0.0; crate::op::Stat::COUNT];
        for step in 1..=5000_usize {
            statistics[crate::op::Stat::LossPerPair.index()] = step as f32;
            curves.add(&StepReport::new(step, 1, &statistics, 0.5, 0.0));
        }
        let points = curves.points();
        assert!(points.len() < MOST && points.len() > MOST / 4, "{} points", points.len());
        assert_eq!((points[0].loss, points[0].step, points[0].learning_rate), (4.5, 8.0, 0.5));
        assert_eq!(points.last().unwrap().step, 5000.0);
        let smooth = curves.smooth(100);
        assert!(smooth.len() <= 100 && smooth.len() > 50, "{} points", smooth.len());
        assert_eq!(smooth.last().unwrap().step, 5000.0);
    }
}
