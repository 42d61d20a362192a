//! `report.html`: a result on one page, with its pictures inside; the pictures also lie beside it.

use std::path::Path;

use image::RgbImage;
use maud::{Markup, html};

use super::figures::Figures;
use super::listed::{Listed, Measured};
use super::told::Told;
use crate::chart::colours::{GREEN, GREY, ORANGE};
use crate::chart::page::{figure, page};
use crate::chart::{captioned_rows, png, verification};
use crate::data::preprocess::{Face, Preprocess};
use crate::eval::metric::Metric;
use crate::eval::roc::Roc;
use crate::text::printable;
use crate::weights::{check_writable, write_whole};
use crate::{Error, Result};

/// Errors of either kind that are shown at most.
pub(super) const WORST: usize = 12;

/// A picture: name of its file, the bytes of a PNG file, and what stands below it.
pub(super) type Picture = (&'static str, Vec<u8>, &'static str);

/// Makes the folder of a report, before the work and not after it.
pub(super) fn prepare(folder: &Path) -> Result<()> {
    let used = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if used && !folder.join("report.html").is_file() {
        return Err(Error::setting(format!(
            "{} holds files and no report; give `report` an empty or a new folder",
            folder.display()
        )));
    }
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    check_writable(folder)
}

/// Writes the page and the pictures.
pub(super) fn write(
    folder: &Path,
    title: &str,
    headline: &str,
    told: &Told,
    tables: &[Markup],
    pictures: &[Picture],
) -> Result<()> {
    for (name, bytes, _) in pictures {
        write_whole(&folder.join(name), bytes)?;
    }
    let body = html! {
        h1 { (title) }
        @if !headline.is_empty() { p.result { (headline) } }
        div.wide { table { @for (name, text) in &told.lines { tr { th { (name) } td { (printable(text)) } } } } }
        @for table in tables { div.wide { (table) } }
        div.pictures { @for (_, bytes, caption) in pictures { (figure(bytes, caption)) } }
        p.note { "facenet-gpu " (env!("CARGO_PKG_VERSION")) ", " code { (command()) } }
    };
    write_whole(&folder.join("report.html"), page(&format!("{title} - facenet-gpu"), &body).as_bytes())
}

/// The command that this program was run by, as a shell reads it.
fn command() -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%".contains(c);
    let quoted = |word: &str| match !word.is_empty() && word.chars().all(plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    let words = std::env::args_os().skip(1).map(|word| quoted(&printable(&word.to_string_lossy())));
    std::iter::once("facenet-gpu".to_string()).chain(words).collect::<Vec<_>>().join(" ")
}

/// The report of a list of pairs.
pub(super) fn write_listed(
    folder: &Path,
    title: &str,
    told: &Told,
    listed: &Listed<'_>,
    (figures, centre): (&Figures, Option<&Roc>),
    (metric, preprocess): (Metric, &Preprocess),
) -> Result<()> {
    let mut curves = vec![("raw pixels", GREY, figures.pixels.clone())];
    curves.extend(centre.map(|roc| ("embeddings, fixed crop", ORANGE, roc.clone())));
    curves.push(("embeddings", GREEN, figures.roc.clone()));
    let farthest = listed.pairs().fold(4.0, |farthest, m| f64::max(farthest, m.distance.into()));
    let (largest, x) = match metric {
        Metric::Squared => (farthest, "squared distance"),
        Metric::Angle => (1.0, "angle, as a part of a half turn"),
    };
    let of = |same: bool| listed.pairs().filter(move |m| m.pair.same == same).map(|m| f64::from(m.distance));
    let [same, different] = [true, false].map(|same| verification::histogram(of(same), largest));
    let mut pictures = curves_and_histograms(&curves, x, same, different)?;
    let [accepts, rejects] = [false, true].map(|same| worst(listed, &figures.thresholds, same));
    pictures.extend(errors(accepts, rejects, preprocess)?);
    write(folder, title, &figures.headline, told, &[], &pictures)
}

/// ROC, trade-off of errors, and histograms.
pub(super) fn curves_and_histograms(
    curves: &[(&str, [u8; 3], Roc)],
    x: &'static str,
    same: Vec<(f64, f64)>,
    different: Vec<(f64, f64)>,
) -> Result<Vec<Picture>> {
    Ok(vec![
        ("roc.png", verification::roc(curves).png()?, "Pairs accepted rightly and wrongly (ROC)."),
        ("det.png", verification::det(curves).png()?, "Pairs refused wrongly and accepted wrongly (DET)."),
        (
            "histogram.png",
            verification::histograms(x, same, different).png()?,
            "Distances of the pairs. The less they overlap, the better.",
        ),
    ])
}

/// The wrongly classified pairs of one kind that are farthest from the threshold of their set.
fn worst(listed: &Listed<'_>, thresholds: &[f32], same: bool) -> Vec<Wrong> {
    let of_set = |(set, &threshold): (&Vec<Measured<'_>>, &f32)| -> Vec<(f32, Wrong)> {
        let wrong = set.iter().filter(|m| m.pair.same == same && (m.distance < threshold) != same);
        wrong
            .map(|m| {
                let text = format!("{:.3}, threshold {threshold:.3}\n{}\n{}", m.distance, m.pair.a, m.pair.b);
                let faces = [m.indices.a, m.indices.b].map(|image| listed.faces[image].clone());
                ((m.distance - threshold).abs(), Wrong { text, faces })
            })
            .collect()
    };
    let mut wrong: Vec<_> = listed.sets.iter().zip(thresholds).flat_map(of_set).collect();
    wrong.sort_by(|a, b| b.0.total_cmp(&a.0));
    wrong.truncate(WORST);
    wrong.into_iter().map(|(_, wrong)| wrong).collect()
}

/// A pair that is judged wrongly, with the text beside it.
pub(super) struct Wrong {
    pub(super) text: String,
    pub(super) faces: [Face; 2],
}

/// Contact sheets of the errors of either kind, each kind with its worst first; none where there is no error.
pub(super) fn errors(accepts: Vec<Wrong>, rejects: Vec<Wrong>, preprocess: &Preprocess) -> Result<Vec<Picture>> {
    let kinds = [
        (accepts, "false_accepts.png", "Different people that are taken for one, the worst first."),
        (rejects, "false_rejects.png", "One person taken for two, the worst first."),
    ];
    let picture = |face: Face| {
        RgbImage::from_raw(preprocess.width, preprocess.height, face).expect("a face has the network's size")
    };
    let mut pictures = Vec::new();
    for (wrong, name, caption) in kinds.into_iter().filter(|kind| !kind.0.is_empty()) {
        let row = |Wrong { text, faces }| (faces.map(picture).to_vec(), text);
        let rows: Vec<(Vec<RgbImage>, String)> = wrong.into_iter().map(row).collect();
        pictures.push((name, png(&captioned_rows(&[], &rows)?)?, caption));
    }
    Ok(pictures)
}
