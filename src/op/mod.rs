//! The ops, one file each. Tests, benches and validation iterate over [`ENTRIES`].

mod add;
mod avg_pool2d;
mod case;
mod case_plan;
mod concat;
mod conv2d;
mod l2_normalize;
mod linear;
mod max_pool2d;
mod pool2d;
mod relu;
mod rows;
mod sum_partials;
mod triplet_loss;

pub use add::Add;
pub use avg_pool2d::AvgPool2d;
pub use case::{Case, CaseInput, Values};
pub use case_plan::CasePlan;
pub use concat::Concat;
pub use conv2d::Conv2d;
pub use l2_normalize::L2Normalize;
pub use linear::Linear;
pub use max_pool2d::MaxPool2d;
pub use relu::Relu;
pub use rows::{active_rows, gather_rows, scatter_rows};
pub use triplet_loss::{TripletLoss, stat};

use crate::plan::{Kernel, Shape};
use crate::{Error, Result};

/// One op as tests and benches see it.
#[derive(Debug)]
pub struct Entry {
    /// The op's name, its shader file's stem and its Rust file's stem.
    pub name: &'static str,
    /// Its kernels.
    pub kernels: &'static [&'static Kernel],
    /// Cases for the tests: small and awkward.
    pub cases: fn() -> Vec<Case>,
    /// Cases for the benches: the sizes of real networks.
    pub bench_cases: fn() -> Vec<Case>,
}

/// Every op.
pub static ENTRIES: &[&Entry] = &[
    &add::ENTRY,
    &avg_pool2d::ENTRY,
    &concat::ENTRY,
    &conv2d::ENTRY,
    &l2_normalize::ENTRY,
    &linear::ENTRY,
    &max_pool2d::ENTRY,
    &relu::ENTRY,
    &triplet_loss::ENTRY,
];

/// Kernels that several ops use, and those that belong to no op.
pub static SHARED_KERNELS: &[&Kernel] = &[
    &rows::ACTIVE,
    &rows::GATHER.one,
    &rows::GATHER.four,
    &rows::SCATTER.one,
    &rows::SCATTER.four,
    &sum_partials::SUM_PARTIALS,
];

/// Checks the number of inputs.
fn expect_inputs(op: &str, x: &[Shape], count: usize) -> Result<()> {
    if x.len() == count {
        return Ok(());
    }
    Err(Error::shape(op, format!("expected {count} inputs, got {}", x.len())))
}
