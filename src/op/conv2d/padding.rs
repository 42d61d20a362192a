//! Zeros around an image.

use std::fmt;

/// How many rows and columns of zeros a convolution reads around its input. Made from one number for all sides, or from
/// `[rows, columns]` for both sides alike, as PyTorch has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Padding {
    /// Rows above.
    pub top: u32,
    /// Rows below.
    pub bottom: u32,
    /// Columns to the left.
    pub left: u32,
    /// Columns to the right.
    pub right: u32,
}

impl From<u32> for Padding {
    fn from(all: u32) -> Self {
        Self::from([all; 2])
    }
}

impl From<[u32; 2]> for Padding {
    fn from([rows, columns]: [u32; 2]) -> Self {
        Self { top: rows, bottom: rows, left: columns, right: columns }
    }
}

/// `1x2` for one row above and below and two columns left and right; `0+1x2+2` where sides differ.
impl fmt::Display for Padding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { top, bottom, left, right } = self;
        if top == bottom && left == right {
            write!(f, "{top}x{left}")
        } else {
            write!(f, "{top}+{bottom}x{left}+{right}")
        }
    }
}
