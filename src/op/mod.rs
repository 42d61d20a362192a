//! The ops, one file each. Tests, benches and validation iterate over [`ENTRIES`].

/// Implements [`Op`](crate::graph::Op) for an op that is as a module describes it: [`elementwise`] (one input, and a
/// gradient that follows from the output), [`channelwise`] (one learned number per channel, whose name comes last) or
/// [`rowwise`] (rows that know nothing of one another). `op!(Relu, "relu", elementwise, FORWARD, BACKWARD)`.
macro_rules! op {
    ($op:ty, $name:literal, $like:ident, $forward:ident, $backward:ident $(, $input:literal)*) => {
        impl crate::graph::Op for $op {
            fn name(&self) -> &'static str {
                $name
            }

            fn output_shape(&self, x: &[crate::plan::Shape]) -> crate::Result<crate::plan::Shape> {
                $like::output_shape($name, x $(, $input)*)
            }

            fn forward(&self, r: &mut crate::graph::Recorder<'_>, io: &crate::graph::Io<'_>) {
                $like::forward(r, &$forward, io);
            }

            fn backward(
                &self,
                r: &mut crate::graph::Recorder<'_>,
                io: &crate::graph::Io<'_>,
                dy: crate::plan::Buf,
                dx: &[Option<crate::graph::Grad>],
            ) {
                $like::backward(r, &$backward, io, dy, dx);
            }
        }
    };
}

#[macro_use]
mod slots;

mod add;
mod avg_pool2d;
mod batch_norm;
mod case;
mod case_plan;
mod centre_pad2d;
mod channelwise;
mod concat;
mod conv2d;
mod dropout;
pub(crate) mod elementwise;
mod end_pad2d;
mod fold_batch_norm;
mod l2_normalize;
mod l2_pool2d;
mod linear;
mod local_response_norm;
mod margin_cross_entropy;
mod max_pool2d;
mod maxout;
mod nearest;
mod normalize_columns;
mod philox;
mod pool2d;
mod prelu;
mod relu;
mod rows;
mod rowwise;
mod sigmoid;
mod softmax;
mod sum_partials;
mod triplet_loss;
mod triplet_margin_loss;
mod zero_pad2d;

pub use add::Add;
pub use avg_pool2d::AvgPool2d;
pub use batch_norm::BatchNorm;
#[doc(hidden)]
pub use case::{Case, CaseInput, Values};
#[doc(hidden)]
pub use case_plan::CasePlan;
pub use centre_pad2d::CentrePad2d;
pub use concat::{Concat, ConcatRows};
pub use conv2d::{Conv2d, Padding, prove_convolutions};
pub use dropout::Dropout;
pub use end_pad2d::EndPad2d;
#[doc(hidden)]
pub use fold_batch_norm::fold_batch_norm;
pub use l2_normalize::L2Normalize;
pub use l2_pool2d::L2Pool2d;
pub use linear::Linear;
pub use local_response_norm::LocalResponseNorm;
pub use margin_cross_entropy::MarginCrossEntropy;
pub use max_pool2d::MaxPool2d;
pub use maxout::Maxout;
#[doc(hidden)]
pub use nearest::{Buffers as NearestBuffers, nearest};
pub use nearest::{Pairs, Question};
pub use normalize_columns::NormalizeColumns;
pub use prelu::Prelu;
pub use relu::Relu;
#[doc(hidden)]
pub use rows::{active_rows, gather_rows, scatter_rows};
pub use sigmoid::Sigmoid;
pub use softmax::Softmax;
pub use triplet_loss::{Mining, Positives, Stat, TripletLoss};
pub use triplet_margin_loss::TripletMarginLoss;
pub use zero_pad2d::ZeroPad2d;

use crate::plan::{Declared, Shape};
use crate::{Error, Result};

/// One op as tests and benches see it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Entry {
    /// The op's name, its shader file's stem and its Rust file's stem.
    pub name: &'static str,
    /// Its kernels, as they are declared.
    pub kernels: &'static [&'static dyn Declared],
    /// Cases for the tests: small and awkward.
    pub cases: fn() -> Vec<Case>,
    /// Cases for the benches: the sizes of real networks.
    pub bench_cases: fn() -> Vec<Case>,
}

/// Every op.
#[doc(hidden)]
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
    &margin_cross_entropy::ENTRY,
    &max_pool2d::ENTRY,
    &maxout::ENTRY,
    &normalize_columns::ENTRY,
    &prelu::ENTRY,
    &relu::ENTRY,
    &sigmoid::ENTRY,
    &softmax::ENTRY,
    &triplet_loss::ENTRY,
    &triplet_margin_loss::ENTRY,
    &zero_pad2d::ENTRY,
];

/// Kernels of no op: what several ops use, how a batch is put together from chunks, and searches.
#[doc(hidden)]
pub static SHARED_KERNELS: &[&dyn Declared] = &[
    &fold_batch_norm::FOLD_B,
    &fold_batch_norm::FOLD_W,
    &nearest::MANY,
    &nearest::ONE,
    &rows::ACTIVE,
    &rows::GATHER,
    &rows::SCATTER,
    &sum_partials::SUM_PARTIALS,
];

/// Checks the number of inputs.
fn expect_inputs(op: &str, x: &[Shape], count: usize) -> Result<()> {
    if x.len() == count {
        return Ok(());
    }
    Err(Error::shape(op, format!("expected {count} inputs, got {}", x.len())))
}
