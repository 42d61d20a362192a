//! `facenet-gpu eval`: how well embeddings tell people apart, by the protocols of LFW, YouTube Faces and the paper.

mod embedder;
mod figures;
mod folder;
mod lfw;
mod listed;
mod pairs;
mod report;
mod shared;
mod sweep;
mod told;
pub(super) mod trained_on;
mod ytf;

use clap::{Args, Subcommand};

pub(super) use embedder::Embedder;
pub(super) use listed::{Distances, Listed};
pub(super) use told::Told;

use crate::Result;

/// Measure weights: on LFW's or your own pairs, all pairs of a folder, videos, or images made worse
#[derive(Debug, Args)]
pub(super) struct Eval {
    #[command(subcommand)]
    protocol: Protocol,
}

#[derive(Debug, Subcommand)]
enum Protocol {
    Lfw(lfw::Lfw),
    Pairs(pairs::Pairs),
    Folder(folder::Folder),
    Ytf(ytf::Ytf),
    Sweep(sweep::Sweep),
}

impl Eval {
    pub(super) fn run(self) -> Result<()> {
        match self.protocol {
            Protocol::Lfw(verb) => verb.run(),
            Protocol::Pairs(verb) => verb.run(),
            Protocol::Folder(verb) => verb.run(),
            Protocol::Ytf(verb) => verb.run(),
            Protocol::Sweep(verb) => verb.run(),
        }
    }
}

/// False accept rates at which the validation rate is told.
const FARS: [f64; 6] = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];

fn percent(part: f64) -> f64 {
    100.0 * part
}
