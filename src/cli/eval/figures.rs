//! Accuracy by the protocol of the list's form, and rates over all pairs.

use std::path::Path;

use serde_json::{Value, json};

use super::listed::{Distances, Listed, Measured};
use super::told::Told;
use super::{FARS, percent};
use crate::cli::output::number;
use crate::cli::table::count;
use crate::eval::folds::{Fold, cross_validated, cross_validated_folds, of_sets};
use crate::eval::grid;
use crate::eval::rates::{AtFar, val_at_far};
use crate::eval::roc::Roc;
use crate::eval::verification::{Pair, verification_accuracy};
use crate::{Error, Result};

/// The smallest rate that pairs of a list are asked for.
const LIST_FARS: usize = 4;

/// What was found.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) json: Value,
    /// The accuracy, with its uncertainty, in words.
    pub(super) headline: String,
    /// The threshold of each set.
    pub(super) thresholds: Vec<f32>,
    pub(super) roc: Roc,
    pub(super) pixels: Roc,
}

/// The figures of a list, told.
pub(super) fn of(
    listed: &Listed<'_>,
    distances: Distances,
    seed: u64,
    pairs: &Path,
    told: &mut Told,
) -> Result<Figures> {
    let pixels: Vec<Vec<(f32, bool)>> =
        listed.sets.iter().map(|set| set.iter().map(|m| (m.pixels, m.pair.same)).collect()).collect();
    let (mut json, headline, thresholds) = match &listed.sets[..] {
        [] => return Err(Error::Data(format!("no pair of {} can be used", pairs.display()))),
        [set] => of_halves(set, (&pixels[0], &listed.people), seed, distances, told)?,
        _ => {
            let mean = if distances.subtract_mean { ", the mean of the others subtracted" } else { "" };
            let text = format!(
                "each of {} sets with the threshold of the others; mean over the sets; {}{mean}",
                listed.sets.len(),
                distances.metric
            );
            told.line("protocol", text);
            of_folds(&listed.folds, &pixels, told)?
        }
    };
    let together: Vec<(f32, bool)> = listed.folds.iter().flat_map(|fold| fold.test.iter().copied()).collect();
    let roc = Roc::new(&together)?;
    json["pairs"] = together.len().into();
    rates(&roc, &together, told, &mut json)?;
    let pixels = Roc::new(&pixels.into_iter().flatten().collect::<Vec<_>>())?;
    Ok(Figures { json, headline, thresholds, roc, pixels })
}

/// One set: each half with the threshold of the other.
fn of_halves(
    set: &[Measured<'_>],
    (pixels, people): (&[(f32, bool)], &[usize]),
    seed: u64,
    distances: Distances,
    told: &mut Told,
) -> Result<(Value, String, Vec<f32>)> {
    let pairs: Vec<Pair> = set.iter().map(|m| m.indices).collect();
    let of_model: Vec<f32> = set.iter().map(|m| m.distance).collect();
    let of_pixels: Vec<f32> = pixels.iter().map(|pair| pair.0).collect();
    let model = verification_accuracy(&pairs, &of_model, |image| people[image], seed)?;
    let raw = verification_accuracy(&pairs, &of_pixels, |image| people[image], seed)?;
    let text = "threshold chosen on one half of the pairs, applied to the other, both ways";
    told.line("protocol", format!("{text}; {}", distances.metric));
    let [low, high] = model.interval().map(percent);
    let headline = format!("{:.1} % ({low:.1} to {high:.1})", percent(model.accuracy));
    told.line("accuracy", format!("{headline} at threshold {:.3}", model.threshold));
    let [low, high] = raw.interval().map(percent);
    told.line("baseline", format!("raw pixels {:.1} % ({low:.1} to {high:.1})", percent(raw.accuracy)));
    let json = json!({
        "protocol": "halves", "accuracy": model.accuracy, "interval": model.interval(),
        "threshold": number(model.threshold), "raw_pixels_accuracy": raw.accuracy, "raw_pixels_interval": raw.interval(),
    });
    Ok((json, headline, vec![model.threshold]))
}

/// Several sets: each with the threshold of the others, exactly and as facenet does.
pub(super) fn of_folds(
    folds: &[Fold],
    pixels: &[Vec<(f32, bool)>],
    told: &mut Told,
) -> Result<(Value, String, Vec<f32>)> {
    let model = cross_validated_folds(folds)?;
    let ends = |thresholds: &[f64]| {
        let (low, high) = thresholds.iter().fold((f64::MAX, f64::MIN), |(low, high), &t| (low.min(t), high.max(t)));
        format!("{low:.3} to {high:.3}")
    };
    let exact: Vec<f64> = model.thresholds.iter().map(|&t| f64::from(t)).collect();
    let headline = format!("{:.2} % \u{b1}{:.2}", percent(model.accuracy), percent(model.standard_error));
    let text = format!(
        "{:.2} %, standard error {:.2}, standard deviation {:.2}, thresholds {}",
        percent(model.accuracy),
        percent(model.standard_error),
        percent(model.standard_deviation),
        ends(&exact)
    );
    told.line("accuracy", text);
    let mut json = json!({
        "protocol": "cross-validation", "sets": folds.len(), "accuracy": model.accuracy,
        "standard_error": model.standard_error, "standard_deviation": model.standard_deviation,
        "thresholds": model.thresholds.iter().map(|&t| number(t)).collect::<Vec<_>>(),
    });
    if !pixels.is_empty() {
        let raw = cross_validated(pixels)?;
        let text =
            format!("raw pixels {:.2} %, standard error {:.2}", percent(raw.accuracy), percent(raw.standard_error));
        told.line("baseline", text);
        json["raw_pixels_accuracy"] = raw.accuracy.into();
    }
    let on_grid = grid::accuracy(folds)?;
    let text = format!(
        "{:.2} % \u{b1}{:.2} (standard deviation with divisor n), thresholds in steps of 0.01, {}",
        percent(on_grid.accuracy),
        percent(on_grid.standard_deviation),
        ends(&on_grid.thresholds)
    );
    told.line("lfw.py", text);
    let mut vals = Vec::new();
    for wanted in FARS {
        let carries = |fold: &Fold| fold.train.iter().filter(|pair| !pair.1).count() as f64 * wanted >= 1.0;
        if !folds.iter().all(carries) {
            break;
        }
        // A set without pairs of one kind has no rate.
        let Ok(found) = grid::val_at_far(folds, wanted) else { break };
        let text = format!(
            "VAL {:.2} % \u{b1}{:.2} at FAR {wanted:.0e} on the other sets, {:.1e} on its own",
            percent(found.val),
            percent(found.standard_deviation),
            found.far
        );
        told.line("", text);
        vals.push(json!({
            "wanted_far": wanted, "val": found.val, "standard_deviation": found.standard_deviation, "far": found.far,
            "thresholds": found.thresholds,
        }));
    }
    json["lfw_py"] = json!({
        "accuracy": on_grid.accuracy, "standard_deviation": on_grid.standard_deviation, "thresholds": on_grid.thresholds,
        "val_at_far": vals,
    });
    Ok((json, headline, model.thresholds))
}

/// Area, equal error rate and validation rates over all pairs.
pub(super) fn rates(roc: &Roc, scored: &[(f32, bool)], told: &mut Told, json: &mut Value) -> Result<()> {
    let (auc, eer) = (roc.auc(), roc.equal_error_rate());
    told.line("rates", format!("area under the ROC curve {auc:.4}, equal error rate {:.1} %", percent(eer)));
    let mut rates = Vec::new();
    for wanted in &FARS[..LIST_FARS] {
        let Some(at) = val_at_far(scored, *wanted)? else {
            told.line("", format!("VAL at FAR {wanted:.0e}: the list has too few pairs of different people"));
            continue;
        };
        let AtFar { threshold, false_accepts, far, val, .. } = at;
        let wrongly = count(false_accepts as u64);
        let text = format!("(threshold {threshold:.3}, {wrongly} wrongly accepted)");
        told.line("", format!("VAL {:.1} % at FAR {wanted:.0e} {text}", percent(val)));
        rates.push(json!({ "wanted_far": wanted, "far": far, "val": val, "threshold": number(threshold) }));
    }
    json["auc"] = auc.into();
    json["equal_error_rate"] = eer.into();
    json["val_at_far"] = rates.into();
    Ok(())
}

/// Folds of plain sets.
pub(super) fn folds_of(sets: &[Vec<(f32, bool)>]) -> Vec<Fold> {
    of_sets(sets)
}
