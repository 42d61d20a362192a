//! Training: the plan of a step, the loop around it, what a run leaves behind.

mod chunk;
mod collapse;
mod compatible;
mod config;
mod diagnose;
mod embed;
mod evaluate;
mod offline;
mod pack;
mod plot;
mod report;
mod run;
mod run_folder;
mod step;
mod trainer;

pub use chunk::choose_chunk;
pub use collapse::OnCollapse;
pub use compatible::{Compatible, Versions};
#[cfg(feature = "program")]
pub(crate) use config::image_size;
pub use config::{Config, OptimiserKind, Schedule};
pub use evaluate::{Evaluator, Floors};
pub use offline::Offline;
pub use report::{EpochReport, Observer, SelectionReport, Setup, StepReport, Summary};
pub use run::{check_data, train};
pub use run_folder::RunFolder;
pub use trainer::{Trainer, Work};
