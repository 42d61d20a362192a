//! The ops, one file each. Tests, benches and validation iterate over [`ENTRIES`].

mod add;
mod avg_pool2d;
mod batch_norm;
mod case;
mod case_plan;
mod concat;
mod conv2d;
mod dropout;
mod hard_triplets;
mod l2_normalize;
mod l2_pool2d;
mod linear;
mod local_response_norm;
mod max_pool2d;
mod maxout;
mod philox;
mod pool2d;
mod relu;
mod rows;
mod sum_partials;
mod triplet_loss;
mod triplet_margin_loss;
mod zero_pad2d;

pub use add::Add;
pub use avg_pool2d::AvgPool2d;
pub use batch_norm::BatchNorm;
pub use case::{Case, CaseInput, Values};
pub use case_plan::CasePlan;
pub use concat::{Concat, ConcatRows};
pub use conv2d::{Conv2d, Padding};
pub use dropout::Dropout;
pub use hard_triplets::{HardTriplet, Selection, hard_triplets};
pub use l2_normalize::L2Normalize;
pub use l2_pool2d::L2Pool2d;
pub use linear::Linear;
pub use local_response_norm::LocalResponseNorm;
pub use max_pool2d::MaxPool2d;
pub use maxout::Maxout;
pub use relu::Relu;
pub use rows::{active_rows, gather_rows, scatter_rows};
pub use triplet_loss::{Mining, Positives, TripletLoss, stat};
pub use triplet_margin_loss::TripletMarginLoss;
pub use zero_pad2d::ZeroPad2d;

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
    &batch_norm::ENTRY,
    &concat::ENTRY,
    &conv2d::ENTRY,
    &dropout::ENTRY,
    &l2_normalize::ENTRY,
    &l2_pool2d::ENTRY,
    &linear::ENTRY,
    &local_response_norm::ENTRY,
    &max_pool2d::ENTRY,
    &maxout::ENTRY,
    &relu::ENTRY,
    &triplet_loss::ENTRY,
    &triplet_margin_loss::ENTRY,
    &zero_pad2d::ENTRY,
];

/// Kernels of no op: what several ops use, how a batch is put together from chunks, and offline selection.
pub static SHARED_KERNELS: &[&Kernel] = &[
    &hard_triplets::NEGATIVES,
    &hard_triplets::POSITIVE,
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
