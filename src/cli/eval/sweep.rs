//! `facenet-gpu eval sweep`: the paper's Tables 4 and 5, and embeddings as bytes.

mod condition;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use clap::Args;
use maud::html;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use self::condition::{CONDITIONS, Condition};
use super::embedder::Embedder;
use super::listed::{find, tell_failures};
use super::shared::Shared;
use super::told::Told;
use super::{FARS, percent, report};
use crate::chart::colours::{BLUE, GREEN, GREY, ORANGE, RED};
use crate::chart::{Chart, Series, Style};
use crate::cli::models;
use crate::cli::output;
use crate::cli::progress::bar;
use crate::cli::table::count;
use crate::cli::view::View;
use crate::data::decode::decode_picture;
use crate::data::preprocess::{Crop, Face};
use crate::digest::{hex, sha256_of};
use crate::eval::folds::cross_validated;
use crate::eval::images::ImageName;
use crate::eval::pairs_file::PairsFile;
use crate::eval::quantise::through_bytes;
use crate::eval::rates::val_at_far;
use crate::eval::roc::Roc;
use crate::eval::verification::{Pair, squared_distance, verification_accuracy};
use crate::text::counted;
use crate::{Error, Result};

/// Images that are decoded together, in every condition.
const PART: usize = 64;

/// Measure weights on images made worse: JPEG quality, pixels, and embeddings of other sizes and as bytes
#[derive(Debug, Args)]
pub(super) struct Sweep {
    /// Weights files, or names of models in the folder of models [default: the only one there]; several with other embedding sizes
    /// give the paper's Table 5
    weights: Vec<PathBuf>,

    /// Folder of all people, with a folder for each, as LFW's archive lays them out; of lists of files the folder of the files
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// List of pairs, as eval pairs takes it
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,

    /// Part of each image that is taken, such as center:144 [default: as the weights say]
    #[arg(long, value_name = "center:N")]
    crop: Option<Crop>,

    /// Decides which pairs of a single set choose the threshold
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,

    #[command(flatten)]
    shared: Shared,
}

/// A row of the table.
#[derive(Debug, Clone, Serialize)]
struct Row {
    weights: String,
    dimensions: u32,
    condition: String,
    pairs: usize,
    accuracy: f64,
    far: f64,
    val: Option<f64>,
    auc: f64,
    #[serde(skip)]
    of: Condition,
}

impl Sweep {
    pub(super) fn run(self) -> Result<()> {
        self.shared.choose_form();
        let list = PairsFile::read(&self.pairs)?;
        let weights = match &self.weights[..] {
            [] => vec![models::given_or_found(None)?],
            given => given.iter().map(|weights| models::named(weights)).collect::<Result<_>>()?,
        };
        let engine = self.shared.open()?;
        let digest = hex(&sha256_of(&self.pairs)?);
        let (mut told, mut ids) = (Told::default(), Vec::new());
        let mut table: Vec<Row> = Vec::new();
        for weights in &weights {
            let mut embedder = self.shared.embedder(&engine, weights, &View::of_part(self.crop), &mut told)?;
            let rows = self.rows_of(weights, &list, &mut embedder, table.is_empty())?;
            ids.push(embedder.model_id.clone());
            if table.is_empty() {
                let far = rows.first().map_or(0.0, |row| row.far);
                let text =
                    format!("JPEG before the crop, pixels after it; VAL at FAR {far:.0e} over all pairs of the list");
                told.line("protocol", text);
                let (all, used) = (list.sets.iter().flatten().count(), rows.first().map_or(0, |row| row.pairs));
                told.line(
                    "pairs",
                    format!("{} of {} in {}", count(used as u64), count(all as u64), counted(list.sets.len(), "set")),
                );
                told.line("", format!("{}, SHA-256 {digest}", self.pairs.display()));
            }
            // The report has a table of its own.
            say!("          {:<12} {:>10} {:>10} {:>8}", "", "accuracy", "VAL", "area");
            for row in &rows {
                let val = row.val.map_or("-".to_string(), |val| format!("{:.1} %", percent(val)));
                let accuracy = format!("{:.1} %", percent(row.accuracy));
                say!("          {:<12} {accuracy:>10} {val:>10} {:>8.4}", row.condition, row.auc);
            }
            table.extend(rows);
        }
        output::rows(&table);
        if let Some(folder) = &self.shared.report {
            write_report(folder, &told, &table)?;
            say!("report    {}", folder.join("report.html").display());
        }
        output::json(&json!({
            "event": "end", "protocol": "sweep", "rows": table, "pairs_file": self.pairs, "data": self.data, "crop": self.crop,
            "flip": self.shared.flip, "models": ids, "pairs_sha256": digest, "pairs": list.sets.iter().flatten().count(),
        }));
        Ok(())
    }

    /// The rows of one weights file; hints of the list come with the `first`.
    fn rows_of(&self, weights: &Path, list: &PairsFile, embedder: &mut Embedder, first: bool) -> Result<Vec<Row>> {
        let (names, embeddings) = self.embed(list, embedder)?;
        let row_of = |name: &ImageName| names.binary_search(&name).ok();
        let sets: Vec<Vec<Pair>> = list
            .sets
            .iter()
            .map(|set| {
                let pair = |pair: &crate::eval::pairs_file::NamedPair| {
                    Some(Pair { a: row_of(&pair.a)?, b: row_of(&pair.b)?, same: pair.same })
                };
                set.iter().filter_map(pair).collect()
            })
            .collect();
        let sets: Vec<Vec<Pair>> = sets.into_iter().filter(|set: &Vec<Pair>| !set.is_empty()).collect();
        let (dim, name) = (embedder.metadata().embedding as usize, weights.display().to_string());
        let mut rows = Vec::new();
        for (of, data, seen) in embeddings {
            if seen * 2 < names.len() {
                if first {
                    hint!("hint: most images are too small for the row of {of}, which is left out");
                }
                continue;
            }
            let row = |image: usize| &data[image * dim..][..dim];
            let of_set = |set: &Vec<Pair>| -> Vec<(f32, bool)> {
                set.iter().map(|pair| (squared_distance(row(pair.a), row(pair.b)), pair.same)).collect()
            };
            let scored: Vec<Vec<(f32, bool)>> = sets.iter().map(of_set).collect();
            let accuracy = match &scored[..] {
                [] => return Err(Error::Data(format!("no pair of {} can be used", self.pairs.display()))),
                [set] => {
                    let distances: Vec<f32> = set.iter().map(|pair| pair.0).collect();
                    verification_accuracy(&sets[0], &distances, |image| image, self.seed)?.accuracy
                }
                sets => cross_validated(sets)?.accuracy,
            };
            let together: Vec<(f32, bool)> = scored.into_iter().flatten().collect();
            let auc = Roc::new(&together)?.auc();
            // The paper's rate, or the smallest that the list carries.
            let (mut far, mut val) = (FARS[0], None);
            for wanted in FARS.into_iter().filter(|&far| far >= 1e-3) {
                if let Some(at) = val_at_far(&together, wanted)? {
                    (far, val) = (wanted, Some(at.val));
                }
            }
            let (dimensions, pairs) = (embedder.metadata().embedding, together.len());
            let condition = of.to_string();
            rows.push(Row { weights: name.clone(), dimensions, condition, pairs, accuracy, far, val, auc, of });
        }
        Ok(rows)
    }

    /// Embeddings of all images in every condition, with how many of the images it changes, and the images' names in order.
    #[expect(clippy::type_complexity, reason = "it is taken apart at once")]
    fn embed<'a>(
        &self,
        list: &'a PairsFile,
        embedder: &mut Embedder,
    ) -> Result<(Vec<&'a ImageName>, Vec<(Condition, Vec<f32>, usize)>)> {
        let found = find(list, &self.data);
        let all = found.len();
        let (mut names, mut failures) = (Vec::new(), Vec::new());
        let mut embeddings: Vec<(Condition, Vec<f32>, usize)> =
            CONDITIONS.iter().map(|&condition| (condition, Vec::new(), 0)).collect();
        let bar = bar(all, "embedding {bar:40} {pos}/{len} images in every condition, {eta}");
        for part in found.chunks(PART) {
            let preprocess = &embedder.preprocess;
            let see = |(name, path): &(&'a ImageName, Result<PathBuf>)| -> Result<(&'a ImageName, Vec<Option<Face>>)> {
                let path = path.as_ref().map_err(|e| Error::Data(e.to_string()))?;
                let picture = decode_picture(path)?;
                let faces: Result<_> =
                    CONDITIONS.iter().map(|condition| condition.face(&picture, preprocess)).collect();
                Ok((*name, faces?))
            };
            let mut seen = Vec::new();
            for outcome in part.par_iter().map(see).collect::<Vec<_>>() {
                match outcome {
                    Ok((name, faces)) => {
                        names.push(name);
                        seen.push(faces);
                    }
                    Err(e) => failures.push(e),
                }
            }
            bar.inc(part.len() as u64);
            if seen.is_empty() {
                continue;
            }
            for (at, (condition, rows, changed)) in embeddings.iter_mut().enumerate() {
                // Images that a condition leaves as they are stand as they are.
                let faces: Vec<Face> =
                    seen.iter().filter_map(|faces| faces[at].clone().or_else(|| faces[0].clone())).collect();
                *changed += seen.iter().filter(|faces| faces[at].is_some()).count();
                let new = embedder.embed_few(&faces)?;
                let (dim, unit_length) = (new.len() / faces.len(), embedder.metadata().unit_length);
                match condition {
                    Condition::Bytes => {
                        rows.extend(new.chunks_exact(dim).flat_map(|row| through_bytes(row, unit_length)));
                    }
                    _ => rows.extend(new),
                }
            }
        }
        bar.finish_and_clear();
        tell_failures(&failures, all, &self.pairs, &self.data)?;
        say!("images    {}", count(names.len() as u64));
        Ok((names, embeddings))
    }
}

/// A page with the table, and a curve for each kind of change.
fn write_report(folder: &Path, told: &Told, table: &[Row]) -> Result<()> {
    let markup = html! {
        table {
            tr {
                th { "weights" } th.n { "dimensions" } th { "images" } th.n { "accuracy" } th.n { "VAL" } th.n { "at FAR" }
                th.n { "area" }
            }
            @for row in table {
                tr {
                    td { (row.weights) } td.n { (row.dimensions) } td { (row.condition) }
                    td.n { (format!("{:.1} %", percent(row.accuracy))) }
                    td.n { (row.val.map_or("-".to_string(), |val| format!("{:.1} %", percent(val)))) }
                    td.n { (format!("{:.0e}", row.far)) } td.n { (format!("{:.4}", row.auc)) }
                }
            }
        }
    };
    let all: Vec<&String> = table.iter().map(|row| &row.weights).collect();
    let mut weights = all.clone();
    weights.dedup();
    let short = short_names(&weights);
    let curves = |place: fn(&Condition) -> Option<f64>| -> Vec<Series> {
        let of = |(name, colour): (&&String, [u8; 3])| {
            let rows = || table.iter().filter(|row| row.weights == **name);
            let points: Vec<_> = rows().filter_map(|row| Some((place(&row.of)?, row.val?))).collect();
            let ends = points.first().zip(points.last()).map(|(first, last)| [first.0, last.0]);
            let untouched = rows().find(|row| row.of == Condition::AsIs).and_then(|row| row.val);
            let level = ends.zip(untouched).map_or(Vec::new(), |(ends, val)| ends.map(|x| (x, val)).to_vec());
            let short = short.get(*name).cloned().unwrap_or_default();
            [
                Series { name: format!("{short}, untouched images"), colour, style: Style::Dashed(level) },
                Series { name: short, colour, style: Style::Marked(points) },
            ]
        };
        weights.iter().zip([BLUE, GREEN, ORANGE, RED, GREY].into_iter().cycle()).flat_map(of).collect()
    };
    let chart = |x, series| Chart { x, y: "VAL", series, percent: true, ..Chart::default() };
    let mut pictures = vec![
        ("jpeg.png", chart("JPEG quality", curves(Condition::quality)).png()?, "Validation rate by JPEG quality."),
        (
            "pixels.png",
            chart("side in pixels", curves(Condition::side)).png()?,
            "Validation rate by the size of the crop.",
        ),
    ];
    let mut sizes: Vec<(f64, f64)> = table
        .iter()
        .filter(|row| row.of == Condition::AsIs)
        .filter_map(|row| Some((f64::from(row.dimensions), row.val?)))
        .collect();
    sizes.sort_by(|a, b| a.0.total_cmp(&b.0));
    if sizes.first().map(|first| first.0) != sizes.last().map(|last| last.0) {
        let series = vec![Series { name: String::new(), colour: BLUE, style: Style::Marked(sizes) }];
        pictures.push((
            "dimensions.png",
            chart("dimensions", series).png()?,
            "Validation rate by the size of the embedding.",
        ));
    }
    report::write(folder, "Images made worse", "", told, &[markup], &pictures)
}

/// The ends of paths that tell them apart.
fn short_names<'a>(paths: &[&'a String]) -> HashMap<&'a String, String> {
    let end = |path: &str, parts: usize| {
        let all: Vec<_> = Path::new(path).components().collect();
        let end: PathBuf = all[all.len().saturating_sub(parts)..].iter().collect();
        end.with_extension("").display().to_string()
    };
    let longest = paths.iter().map(|path| Path::new(path).components().count()).max().unwrap_or(1);
    let apart = |parts: &usize| paths.iter().map(|path| end(path, *parts)).collect::<HashSet<_>>().len() == paths.len();
    let parts = (1..longest).find(apart).unwrap_or(longest);
    paths.iter().map(|&path| (path, end(path, parts))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_legend_are_as_short_as_tells_them_apart() {
        let short = |paths: &[&str]| -> Vec<String> {
            let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
            let names = short_names(&paths.iter().collect::<Vec<_>>());
            paths.iter().map(|path| names[path].clone()).collect()
        };
        assert_eq!(short(&["a/b/best.safetensors"]), ["best"]);
        assert_eq!(short(&["a/x/best.safetensors", "a/y/best.safetensors"]), ["x/best", "y/best"]);
        assert_eq!(short(&["n.safetensors", "n.safetensors"]), ["n", "n"]);
    }
}
