//! Whether weights are measured on the images that they were trained on.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;

use crate::digest::{hex, sha256_of};
use crate::text::{count, shown};
use crate::weights::Metadata;

/// A row of a run's `data.csv`.
#[derive(Debug, Deserialize)]
struct Row {
    sha256: String,
    held_out: bool,
}

/// Warns where some of `images` were trained on: where the list of images of the weights' run lies beside them, by their
/// content; else by the name of the folder `data`.
pub(in crate::cli) fn warn(weights: &Path, metadata: &Metadata, data: &Path, images: &[PathBuf]) {
    if let Some(trained) = trained(weights) {
        let known = |path: &&PathBuf| sha256_of(path).is_ok_and(|digest| trained.contains(&hex(&digest)));
        let known = images.par_iter().filter(known).count();
        if known > 0 {
            hint!(
                "warning: the weights were trained on {} of these {} images: the figures say nothing of other people",
                count(known as u64),
                count(images.len() as u64)
            );
        }
        return;
    }
    let folder = data.canonicalize().ok().and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned()));
    if let (Some(dataset), Some(folder)) = (&metadata.origin.dataset, folder)
        && *dataset == folder
    {
        hint!(
            "warning: the weights were trained on a data set called {}, as {} is: on images of the training the figures say \
             nothing of other people",
            shown(dataset),
            data.display()
        );
    }
}

/// SHA-256 of the images that the run of these weights was trained on, if its list is there.
fn trained(weights: &Path) -> Option<HashSet<String>> {
    let weights = weights.canonicalize().ok()?;
    let run = weights.parent().filter(|folder| folder.ends_with("weights"))?.parent()?;
    let mut rows = csv::Reader::from_path(run.join("data.csv")).ok()?;
    let rows = rows.deserialize().filter_map(|row: csv::Result<Row>| row.ok());
    Some(rows.filter(|row| !row.held_out).map(|row| row.sha256).collect())
}
