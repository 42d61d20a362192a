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

/// Declares a [`Wide`]: name and entry point, shader file and libraries, parameters, floats to compute, twin. One
/// invocation computes `LANES` floats, workgroups have 256 invocations.
#[macro_export]
#[doc(hidden)]
macro_rules! wide {
    ($name:literal, [$file:literal $(, $lib:literal)*], $params:ty, |$p:ident| $floats:expr, $twin:path) => {
        $crate::plan::Wide {
            one: $crate::wide!(@ $name, [$file $(, $lib)*, "lanes1.wgsl"], $params, |$p| $floats, $twin),
            four: $crate::wide!(@ $name, [$file $(, $lib)*, "lanes4.wgsl"], $params, |$p| $floats / 4, $twin),
        }
    };
    (@ $name:literal, [$file:literal $(, $lib:literal)*], $params:ty, |$p:ident| $items:expr, $twin:path) => {
        $crate::plan::Kernel {
            name: $name,
            params: <$params as $crate::plan::Params>::FIELDS,
            variants: &[$crate::plan::Variant {
                family: $crate::plan::Family::Portable,
                file: $file,
                source: $crate::shader!($file $(, $lib)*),
                entry: $name,
                grid: $crate::grid!($params, |$p| $crate::plan::grid::linear($items, 256)),
            }],
            twin: $crate::twin!($twin),
        }
    };
}
