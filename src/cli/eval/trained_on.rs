//! Whether weights are measured on the images that they were trained on.

use std::collections::HashSet;
use std::path::Path;

use rayon::prelude::*;
use serde::Deserialize;

use crate::Result;
use crate::data::faces::FaceSet;
use crate::digest::hex;
use crate::text::{count, shown};
use crate::weights::Metadata;

/// A row of a run's `data.csv`.
#[derive(Debug, Deserialize)]
struct Row {
    sha256: String,
    held_out: bool,
}

/// Warns where the images of `set`, read from `data`, were trained on.
///
/// # Errors
/// The set's images cannot be read.
pub(in crate::cli) fn warn_of_set(weights: &Path, metadata: &Metadata, data: &Path, set: &FaceSet) -> Result<()> {
    let trained = metadata.training.as_ref().and_then(|training| training.data.as_ref());
    match trained {
        Some(trained) if *trained == set.digest()? => {
            hint!("warning: these are the images of the weights' training: {OF_NO_USE}");
        }
        _ => warn(weights, metadata, data, set.len(), |image| set.content(image)),
    }
    Ok(())
}

/// What figures of images that were trained on are good for.
const OF_NO_USE: &str = "what is measured on them holds for no other people";

/// Warns where some of so many images were trained on: where the list of images of the weights' run lies beside them, by their
/// `content`, its SHA-256; else by the name of the folder `data`.
pub(in crate::cli) fn warn(
    weights: &Path,
    metadata: &Metadata,
    data: &Path,
    images: usize,
    content: impl Fn(usize) -> Option<[u8; 32]> + Sync,
) {
    if let Some(trained) = trained(weights) {
        let known = |&image: &usize| content(image).is_some_and(|digest| trained.contains(&hex(&digest)));
        let known = (0..images).into_par_iter().filter(known).count();
        if known > 0 {
            hint!(
                "warning: the weights were trained on {} of these {} images: {OF_NO_USE}",
                count(known as u64),
                count(images as u64)
            );
        }
        return;
    }
    let folder = data.canonicalize().ok().and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned()));
    if let (Some(dataset), Some(folder)) = (&metadata.origin.dataset, folder)
        && *dataset == folder
    {
        hint!(
            "warning: the weights were trained on a data set called {}, as {} is: where these are images of the training, {OF_NO_USE}",
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
