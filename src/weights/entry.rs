//! One tensor of a state dict, and where its values are.

use std::ops::Range;

use crate::text::shown;

/// A tensor in the file.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its sizes, outermost first; none for a scalar.
    pub(super) shape: Vec<usize>,
    /// Its type as the file calls it: `F32`, `I64`, ...
    pub(super) dtype: String,
    pub(super) data: Data,
}

/// Where the values are.
#[derive(Debug)]
pub(super) enum Data {
    /// Bytes of the file.
    Range(Range<usize>),
    /// Behind PyTorch's reader.
    #[cfg(feature = "program")]
    PyTorch(pytorch_reader::Tensor),
}

impl Entry {
    /// Whether its type is one of those that become `f32`.
    pub(super) fn is_float(&self) -> bool {
        matches!(self.dtype.as_str(), "F16" | "BF16" | "F32" | "F64")
    }

    /// Number of values.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// What is said of a file that contradicts itself.
pub(super) fn damaged(detail: &str) -> String {
    format!("is cut short or damaged ({}); copy it again", shown(detail.lines().next().unwrap_or_default()))
}
