//! Training: the plan of a step, the loop around it, what a run leaves behind.
#![cfg_attr(
    not(feature = "program"),
    allow(dead_code, unused_imports, reason = "the loop leaves a run folder, which is the program's")
)]

mod chunk;
mod collapse;
mod compatible;
mod config;
mod diagnose;
mod embed;
mod evaluate;
mod offline;
mod pack;
#[cfg(feature = "program")]
mod plot;
mod report;
#[cfg(feature = "program")]
mod run;
#[cfg(feature = "program")]
mod run_folder;
mod step;
mod trainer;

pub use chunk::choose_chunk;
pub use collapse::OnCollapse;
pub use compatible::{Compatible, Versions};
pub use config::{Config, OptimiserKind, Schedule};
pub use evaluate::{Evaluator, Floors};
pub use offline::Offline;
pub use report::{EpochReport, Observer, SelectionReport, Setup, StepReport, Summary};
#[cfg(feature = "program")]
pub use run::{check_data, train};
#[cfg(feature = "program")]
pub use run_folder::RunFolder;
pub use trainer::{Trainer, Work};
