//! Training: the plan of a step, the loop around it, what a run leaves behind.

mod averages;
mod checkpoints;
mod chunk;
mod collapse;
mod compatible;
mod config;
mod diagnose;
mod embed;
mod evaluate;
mod find_rate;
mod hardest;
mod offline;
mod on_pairs;
mod output;
mod pack;
mod prepare;
mod rate;
mod ready;
mod recipe;
mod report;
mod run;
#[cfg(feature = "program")]
mod run_folder;
#[cfg(test)]
mod shortage;
mod start;
mod state;
mod step;
mod sums;
mod trainer;

pub use chunk::choose_chunk;
pub use collapse::OnCollapse;
pub use compatible::{Compatible, Versions};
#[cfg(feature = "program")]
pub(crate) use config::image_size;
pub use config::{Config, LossKind, OptimiserKind, RateFrom, Schedule, Seconds, read_rates};
pub use evaluate::{Baselines, Evaluator, HeldOutPairs, Measured};
pub use find_rate::{RateSearch, RateStep, find_rate};
pub use hardest::HardTriplet;
pub use offline::Offline;
pub use output::{Begun, InMemory, Output};
pub use ready::check_data;
#[cfg(feature = "program")]
pub(crate) use ready::check_precision;
pub use recipe::Recipe;
pub use report::{End, EpochReport, Observer, Pace, SelectionReport, Setup, StepReport, Summary, Verdict};
pub use run::train;
#[cfg(feature = "program")]
pub use run_folder::{ReportFacts, RunFolder, numbered};
pub use state::{OfflineState, Progress, RunState, TrainingState};
pub use trainer::{Trainer, Work};
