//! One tensor of a state dict, and where its values are.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use half::{bf16, f16};

use super::layout::{contiguous, gather};
use crate::text::shown;

/// A tensor in the file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its sizes, outermost first; none for a scalar.
    pub(super) shape: Vec<usize>,
    /// Its type as safetensors calls it: `F32`, `I64`, ...
    pub(super) dtype: String,
    /// Where its first value is in the file, bytes.
    pub(super) begin: u64,
    /// From one value to the next along each axis, values.
    pub(super) strides: Vec<usize>,
    pub(super) big_endian: bool,
    pub(super) meaning: Meaning,
}

/// What the values are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Meaning {
    /// What the name says.
    Values,
    /// `1 / sqrt(variance + eps)` in the place of a variance.
    InverseDeviation {
        /// The number that is added to the variance.
        eps: f64,
    },
    /// All of them are this; the file has none.
    Constant(f32),
}

impl Entry {
    /// A tensor of floats whose values lie one after the other from `begin` on, little-endian.
    pub(super) fn floats(shape: Vec<usize>, begin: u64) -> Self {
        let strides = contiguous(&shape);
        Self { shape, dtype: "F32".to_owned(), begin, strides, big_endian: false, meaning: Meaning::Values }
    }

    /// Whether its type is one of those that become `f32`.
    pub(super) fn is_float(&self) -> bool {
        matches!(self.dtype.as_str(), "F16" | "BF16" | "F32" | "F64")
    }

    /// The values as `f32`, row-major.
    ///
    /// # Errors
    /// The file cannot be read so far.
    pub(super) fn read(&self, mut file: &File) -> io::Result<Vec<f32>> {
        if let Meaning::Constant(value) = self.meaning {
            return Ok(vec![value; self.shape.iter().product()]);
        }
        let odd = || io::Error::other("odd sizes");
        let size = width(&self.dtype);
        let bytes = span(&self.shape, &self.strides).and_then(|values| values.checked_mul(size)).ok_or_else(odd)?;
        file.seek(SeekFrom::Start(self.begin))?;
        let mut raw = Vec::new();
        file.take(bytes as u64).read_to_end(&mut raw)?;
        if raw.len() < bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if self.big_endian {
            raw.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        #[expect(clippy::cast_possible_truncation, reason = "rounding to the precision of the tensor is meant")]
        let mut values: Vec<f32> = match self.dtype.as_str() {
            "F32" => raw.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            "F64" => raw.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32).collect(),
            "F16" => raw.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
            _ => raw.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect(),
        };
        if self.strides != contiguous(&self.shape) {
            values = gather(&values, &self.shape, &self.strides);
        }
        if let Meaning::InverseDeviation { eps } = self.meaning {
            #[expect(clippy::cast_possible_truncation, reason = "rounding to the precision of the tensor is meant")]
            values.iter_mut().for_each(|x| *x = (f64::from(*x).powi(-2) - eps).max(0.0) as f32);
        }
        Ok(values)
    }
}

/// Bytes of a value of this type.
pub(super) fn width(dtype: &str) -> usize {
    match dtype {
        "C128" => 16,
        "F64" | "I64" | "U64" | "C64" => 8,
        "F32" | "I32" | "U32" => 4,
        "F16" | "BF16" | "I16" | "U16" => 2,
        _ => 1,
    }
}

/// Values from the first to the last one of a tensor, both included; `None` if there are more than memory could hold.
pub(super) fn span(shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .zip(strides)
        .try_fold(1_usize, |last, (&size, &stride)| last.checked_add((size - 1).checked_mul(stride)?))
}

/// What is said of a file that contradicts itself.
pub(super) fn damaged(detail: &str) -> String {
    format!("is cut short or damaged ({}); copy it again", shown(detail.lines().next().unwrap_or_default()))
}
