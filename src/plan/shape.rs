//! Tensor shapes: up to four sizes, row-major, channels last.

use std::fmt;

use crate::{Error, Result};

/// The sizes of a tensor, outermost first: `[n, h, w, c]` for images, `[rows, columns]` for matrices.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [u32; 4],
    rank: u8,
}

impl Shape {
    /// Builds a shape. Every index into the tensor must fit a `u32`, because that is what the kernels count with.
    ///
    /// # Errors
    /// No size, more than four sizes, a size of zero, or 2^32 elements and more.
    pub fn new(dims: &[u32]) -> Result<Self> {
        if dims.is_empty() || dims.len() > 4 {
            return Err(Error::shape("shape", format!("expected one to four sizes, got {dims:?}")));
        }
        if dims.contains(&0) {
            return Err(Error::shape("shape", format!("every size must be at least 1, got {dims:?}")));
        }
        let len = dims.iter().try_fold(1u64, |product, &d| product.checked_mul(u64::from(d)));
        if len.is_none_or(|len| len > u64::from(u32::MAX)) {
            return Err(Error::shape(
                "shape",
                format!("{dims:?} holds 2^32 elements or more, which 32-bit indices cannot reach; use a smaller batch"),
            ));
        }
        let mut shape = Self { dims: [1; 4], rank: u8::try_from(dims.len()).unwrap_or(4) };
        shape.dims[..dims.len()].copy_from_slice(dims);
        Ok(shape)
    }

    /// A tensor with one size.
    ///
    /// # Panics
    /// If `len` is zero.
    pub fn vector(len: u32) -> Self {
        assert!(len > 0, "a vector needs at least one element");
        Self { dims: [len, 1, 1, 1], rank: 1 }
    }

    /// The sizes.
    pub fn dims(&self) -> &[u32] {
        &self.dims[..usize::from(self.rank)]
    }

    /// Number of sizes.
    pub fn rank(&self) -> usize {
        usize::from(self.rank)
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.dims().iter().map(|&d| d as usize).product()
    }

    /// Always false: a shape holds at least one element.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Number of elements as the kernels count them.
    pub fn len_u32(&self) -> u32 {
        self.dims().iter().product()
    }

    /// The last size: channels of an image, columns of a matrix.
    pub fn channels(&self) -> u32 {
        self.dims[usize::from(self.rank) - 1]
    }

    /// The first size: images of a batch.
    pub fn batch(&self) -> u32 {
        self.dims[0]
    }

    /// Everything but the last size, multiplied: the rows of the tensor seen as a matrix.
    pub fn rows(&self) -> u32 {
        self.len_u32() / self.channels()
    }

    /// `[n, h, w, c]`, or an error of `op` that says what came instead.
    ///
    /// # Errors
    /// The shape has not four sizes.
    pub fn nhwc(&self, op: &str) -> Result<[u32; 4]> {
        if self.rank == 4 {
            return Ok(self.dims);
        }
        Err(Error::shape(op, format!("expected an image batch [n, h, w, c], got {self}")))
    }

    /// `[rows, columns]`, or an error of `op` that says what came instead.
    ///
    /// # Errors
    /// The shape has not two sizes.
    pub fn matrix(&self, op: &str) -> Result<[u32; 2]> {
        if self.rank == 2 {
            return Ok([self.dims[0], self.dims[1]]);
        }
        Err(Error::shape(op, format!("expected a matrix [rows, columns], got {self}")))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_beyond_32_bit_indices_is_refused() {
        assert!(Shape::new(&[65_536, 65_536]).is_err());
        assert!(Shape::new(&[65_536, 65_535]).is_ok());
    }

    #[test]
    fn a_size_of_zero_is_refused() {
        assert!(Shape::new(&[4, 0]).is_err());
    }
}
