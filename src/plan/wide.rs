//! Kernels that work on one float or on four at a time, from one text.

use super::Kernel;

/// A kernel in two widths. Its WGSL speaks of `F`, `U` and `LANES`, which `shaders/lib/lanes1.wgsl` and `lanes4.wgsl`
/// declare. Four at a time is three times faster on the software adapter (index arithmetic and bounds checks are paid
/// once for four floats); the sums and their order are the same in both widths, so that the bits are, too.
#[derive(Debug)]
pub struct Wide {
    /// For any size.
    pub one: Kernel,
    /// Where every row is a multiple of four.
    pub four: Kernel,
}

impl Wide {
    /// The width for tensors whose rows start and end at multiples of these sizes.
    pub fn of(&self, sizes: &[u32]) -> &Kernel {
        if sizes.iter().all(|size| size.is_multiple_of(4)) { &self.four } else { &self.one }
    }
}

/// What a kernel declaration holds: one kernel, or one in two widths.
pub trait Declared: std::fmt::Debug + Sync {
    /// Its kernels.
    fn kernels(&'static self) -> Vec<&'static Kernel>;
}

impl Declared for Kernel {
    fn kernels(&'static self) -> Vec<&'static Kernel> {
        vec![self]
    }
}

impl Declared for Wide {
    fn kernels(&'static self) -> Vec<&'static Kernel> {
        vec![&self.one, &self.four]
    }
}
