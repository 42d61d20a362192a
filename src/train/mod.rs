//! Training: the plan of a step, the loop around it, what a run leaves behind.

mod checkpoints;
mod chunk;
mod collapse;
mod compatible;
mod config;
mod diagnose;
mod embed;
mod evaluate;
mod offline;
mod on_pairs;
mod output;
mod pack;
#[cfg(feature = "program")]
mod plot;
mod prepare;
mod rate;
mod recipe;
mod report;
mod run;
#[cfg(feature = "program")]
mod run_folder;
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
pub use evaluate::{Baselines, Evaluator, Measured};
pub use offline::Offline;
pub use output::{InMemory, Output};
pub use prepare::check_data;
pub use recipe::Recipe;
pub use report::{End, EpochReport, Observer, SelectionReport, Setup, StepReport, Summary};
pub use run::train;
#[cfg(feature = "program")]
pub use run_folder::RunFolder;
pub use state::{OfflineState, Progress, RunState, TrainingState};
pub use trainer::{Trainer, Work};
