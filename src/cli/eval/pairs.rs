//! `facenet-gpu eval pairs`: verification accuracy on a list of pairs.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::figures::{self, Figures};
use super::listed::{Distances, Listed};
use super::report;
use super::shared::Shared;
use super::told::Told;
use crate::cli::files::{check_apart, check_replaceable};
use crate::cli::models;
use crate::cli::output;
use crate::cli::view::View;
use crate::data::preprocess::Crop;
use crate::digest::{hex, sha256_of};
use crate::eval::metric::Metric;
use crate::eval::pairs_file::PairsFile;
use crate::{Error, Result};

/// Measure weights on your own list of pairs, or on LFW's
#[derive(Debug, Args)]
pub(super) struct Pairs {
    /// Weights file, or the name of a model in the folder of models [default: the only one there]
    weights: Option<PathBuf>,

    /// Folder of all people, with a folder for each, as LFW's archive lays them out; of lists of files the folder of the files
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// List of pairs: LFW's pairsDevTest.txt, pairsDevTrain.txt or pairs.txt, or lines such as a/1.jpg,b/2.jpg,0
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,

    #[command(flatten)]
    view: View,

    /// Distance of two embeddings
    #[arg(long, value_name = "METRIC", value_enum, default_value_t)]
    metric: Metric,

    /// Take the mean embedding of each fold's other sets off all embeddings, as facenet's lfw.py; changes angles alone
    #[arg(long)]
    subtract_mean: bool,

    /// Decides which pairs of a single set choose the threshold
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,

    /// Write a row for each pair: its images, whether they show one person, both distances
    #[arg(long, value_name = "FILE.csv")]
    distances: Option<PathBuf>,

    #[command(flatten)]
    shared: Shared,
}

impl Pairs {
    pub(super) fn run(self) -> Result<()> {
        self.measure("Pairs", None, |_, _, _| Value::Null)
    }

    /// Measures, where a detector finds the faces also on a fixed part of the images, `centre`; `published` tells what others have
    /// reached, given the sets and pairs that were used.
    pub(super) fn measure(
        &self,
        title: &str,
        centre: Option<Crop>,
        published: impl Fn(&mut Told, usize, usize) -> Value,
    ) -> Result<()> {
        self.shared.choose_form();
        if self.subtract_mean && self.metric == Metric::Squared {
            return Err(Error::setting("`subtract_mean` changes no squared distance; add `metric` angle"));
        }
        let weights = models::given_or_found(self.weights.as_deref())?;
        check_apart(&[self.distances.as_deref()], &[&weights, &self.pairs])?;
        if let Some(file) = &self.distances {
            check_replaceable(file, "set,first,second,", "distances")?;
        }
        if !self.data.is_dir() {
            return Err(Error::Data(format!(
                "{} is no folder; give `data` the folder of the images",
                self.data.display()
            )));
        }
        let list = PairsFile::read(&self.pairs)?;
        list.remarks.iter().for_each(|remark| hint!("warning: {remark}"));
        if self.subtract_mean && list.sets.len() < 2 {
            return Err(Error::setting("`subtract_mean` takes the mean of other sets, and the list has one set"));
        }
        let digest = hex(&sha256_of(&self.pairs)?);
        let engine = self.shared.open()?;
        let mut told = Told::default();
        let mut embedder = self.shared.embedder(&engine, &weights, &self.view, &mut told)?;
        let distances = Distances { metric: self.metric, subtract_mean: self.subtract_mean };
        let paths: [&Path; 3] = [&weights, &self.pairs, &self.data];
        let listed = Listed::measure(&list, paths, &mut embedder, distances)?;
        listed.tell(&mut told);
        told.line("", format!("{}, SHA-256 {digest}", self.pairs.display()));
        if let Some(path) = &self.distances {
            listed.write(path)?;
        }
        let figures = figures::of(&listed, distances, self.seed, &self.pairs, &mut told)?;
        if let Some(words) = embedder.eyes.in_words() {
            told.line("faces", words);
        }
        let centre = centre.filter(|_| embedder.eyes.finds()).map(|crop| -> Result<(Crop, Figures)> {
            let mut silent = Told::silent();
            let mut embedder = self.shared.embedder(&engine, &weights, &View::of_part(Some(crop)), &mut silent)?;
            let listed = Listed::measure(&list, paths, &mut embedder, distances)?;
            Ok((crop, figures::of(&listed, distances, self.seed, &self.pairs, &mut silent)?))
        });
        let centre = centre.transpose()?;
        if let Some((crop, figures)) = &centre {
            told.line("crop", format!("{} with the fixed {crop} in place of the detector", figures.headline));
        }
        let published = published(&mut told, listed.sets.len(), listed.pairs().count());
        if let Some(folder) = &self.shared.report {
            let centre = centre.as_ref().map(|(_, figures)| &figures.roc);
            report::write_listed(
                folder,
                title,
                &told,
                &listed,
                (&figures, centre),
                (self.metric, &embedder.preprocess),
            )?;
            say!("report    {}", folder.join("report.html").display());
        }
        let mut json = figures.json;
        if let Some((crop, figures)) = centre {
            json["fixed_crop"] = figures.json;
            json["fixed_crop"]["crop"] = crop.to_string().into();
        }
        if !published.is_null() {
            json["published"] = published;
        }
        json["conditions"] = json!({
            "weights": weights, "network": embedder.metadata().network, "dimensions": embedder.metadata().embedding,
            "crop": embedder.preprocess.crop, "alignment": embedder.preprocess.alignment, "faces_found": embedder.eyes.finds(), "flip": self.shared.flip, "model": embedder.model_id, "metric": self.metric.to_string(),
            "subtract_mean": self.subtract_mean, "pairs_file": self.pairs, "pairs_sha256": digest,
            "sets": listed.wanted.0, "sets_left_out": listed.empty, "pairs": listed.wanted.1,
            "pairs_left_out": listed.wanted.1 - listed.pairs().count(),
        });
        json["event"] = "end".into();
        output::figures(&json);
        Ok(())
    }
}
