//! To how many bits kernels may round what they multiply.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// To how many bits the factors of convolutions may be rounded before they are multiplied: `f32`, which rounds nothing, or `f16`.
///
/// With `F16` a GPU may round weights and activations to 16 bits as a convolution of the forward pass reads them; products are
/// summed in `f32`, and all tensors stay in `f32`, as do the gradients of training and all other kernels. A result differs by up to
/// 2e-3 of the largest of its tensor, an embedding by about 1e-3, with a detector in the same precision by more. Activations above
/// 65,504 become infinite, which is reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    /// Nothing is rounded.
    #[default]
    F32,
    /// Factors of convolutions have 16 bits where that is faster: for GPUs with 16-bit floats in shaders.
    F16,
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            _ => Err(Error::Setting(format!("unknown precision \"{text}\": use f32 or f16"))),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        })
    }
}
