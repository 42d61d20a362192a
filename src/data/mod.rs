//! Faces: from folders of photographs to batches of floats.

pub mod alignment;
pub mod augment;
pub mod contact_sheet;
mod crop;
pub mod decode;
pub mod faces;
pub mod folder;
mod host_batch;
pub mod inputs;
pub mod prefetch;
pub mod preprocess;
pub mod sampler;
pub(crate) mod sizes;
pub mod skipped;
pub mod split;
#[cfg(feature = "program")]
pub mod synth;
#[cfg(test)]
pub(crate) mod testing;
