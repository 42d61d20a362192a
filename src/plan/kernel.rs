//! What one kernel is: its WGSL variants, its Rust twin, and the parameters that both read. [`kernel!`](crate::kernel)
//! declares one.

use std::sync::Arc;

use super::reflect::{Interface, interface};
use super::{Asked, Call, Step, Way};
use crate::Result;

/// Kernels come in families; a device takes the first variant of a kernel whose family suits it and that suits the sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Tiles of 128 rows and columns, whose factors in `f16` are multiplied by cooperative matrices and summed in `f32`: devices
    /// that were asked for it and stand a test.
    Matrix128,
    /// The same with tiles of 128 rows and 64 columns.
    Matrix64,
    /// As [`Tiles128`](Self::Tiles128), with factors that are rounded to `f16` as they enter workgroup memory, and sums in `f32`:
    /// devices that were asked for it.
    Half128,
    /// As [`Tiles64`](Self::Tiles64), with factors in `f16`.
    Half64,
    /// As [`Tiles32`](Self::Tiles32), with factors in `f16`.
    Half32,
    /// Register tiles fed by subgroup broadcasts, without workgroup memory: software adapters and some mobile GPUs.
    /// Needs subgroups of exactly eight invocations.
    Subgroup8,
    /// Tiles of 128 rows and columns in workgroup memory, 8 x 8 results per invocation: GPUs.
    Tiles128,
    /// Tiles of 128 rows and 64 columns, 8 x 8 results per invocation: GPUs, for few columns or few tiles.
    Tiles64,
    /// Tiles of 32 rows and columns, 4 x 4 results per invocation: GPUs, for products that are too small to fill them otherwise.
    Tiles32,
    /// Many invocations share the loop over one row and reduce in workgroup memory: GPUs.
    Shared,
    /// Workgroup-memory tiles or plain kernels: any adapter.
    Portable,
}

impl Family {
    /// Every family, in the order in which kernels name them.
    pub const ALL: [Self; 11] = [
        Self::Matrix128,
        Self::Matrix64,
        Self::Half128,
        Self::Half64,
        Self::Half32,
        Self::Subgroup8,
        Self::Tiles128,
        Self::Tiles64,
        Self::Tiles32,
        Self::Shared,
        Self::Portable,
    ];

    /// Whether its kernels round factors to `f16`.
    pub fn is_half(self) -> bool {
        self.has_matrices() || matches!(self, Self::Half128 | Self::Half64 | Self::Half32)
    }

    /// Whether its kernels multiply cooperative matrices.
    pub fn has_matrices(self) -> bool {
        matches!(self, Self::Matrix128 | Self::Matrix64)
    }

    /// Most bytes of workgroup memory that a kernel of this family may use: the 16 KiB that every adapter has, less what
    /// drivers keep, or half of the 32 KiB and more of GPUs and somewhat above.
    pub fn workgroup_memory(self) -> u32 {
        match self {
            Self::Matrix128 => 24 << 10,
            Self::Tiles128 => 20 << 10,
            _ => 16_352,
        }
    }
}

/// One WGSL implementation of a kernel.
#[derive(Debug)]
pub struct Variant {
    /// Which adapters it is meant for.
    pub family: Family,
    /// Name of the family: what a choice among the variants is kept by.
    pub name: &'static str,
    /// File in `shaders/`, for messages and tests.
    pub file: &'static str,
    /// The file's text, followed by the library files that it uses.
    pub source: &'static str,
    /// Entry point.
    pub entry: &'static str,
    /// Workgroups to dispatch, from the bytes of the parameters and from what the WGSL says of itself: its workgroup size
    /// and its constants.
    pub grid: fn(&[u8], &Interface) -> [u32; 3],
    /// Whether it is a good choice for these parameters; it is right for all. What the WGSL says of itself is the second argument.
    pub suits: fn(&[u8], &Interface) -> bool,
}

impl Variant {
    /// Workgroups to dispatch for these parameters.
    ///
    /// # Errors
    /// The WGSL cannot be read.
    pub fn workgroups(&self, params: &[u8]) -> Result<[u32; 3]> {
        Ok((self.grid)(params, &*interface(self)?))
    }

    /// Whether it is a good choice for these parameters, as far as their sizes tell.
    ///
    /// # Panics
    /// If the WGSL cannot be read.
    pub fn suits(&self, params: &[u8]) -> bool {
        (self.suits)(params, &interface(self).expect("the kernels' files are valid: tests/all/shaders.rs"))
    }
}

/// The Rust implementations of a kernel, for both float types: `f32` is the CPU device, `f64` the oracle of the tests.
#[derive(Debug, Clone, Copy)]
pub struct Twin {
    /// The kernel on `f32` buffers: ways of which the last suits every step.
    pub f32: &'static [Way],
    /// The name of the way that should be the fastest for a step; without one, it is the first that suits.
    pub prefer: Option<fn(&Asked<'_>) -> &'static str>,
    /// The kernel on `f64` buffers.
    pub f64: fn(Call<'_, f64>),
}

/// One kernel: a name that stands in the plan, the profile and the shader file.
#[derive(Debug)]
pub struct Kernel {
    /// Name in plans, profiles and error messages; the entry point of the portable variant.
    pub name: &'static str,
    /// Fields of its parameter struct, in order, as WGSL names them.
    pub params: &'static [Field],
    /// WGSL implementations, the most specialised first; the last one runs everywhere and suits all sizes.
    pub variants: &'static [Variant],
    /// Rust implementation.
    pub twin: Twin,
}

impl Kernel {
    /// What the WGSL of the portable variant says of itself: for sizes that a plan depends on, the same on all devices.
    ///
    /// # Panics
    /// If the WGSL cannot be read, which `tests/all/shaders.rs` rules out.
    pub fn interface(&self) -> Arc<Interface> {
        let portable = self.variants.last().expect("every kernel has a portable variant");
        interface(portable).expect("the kernels' files are valid: tests/all/shaders.rs")
    }

    /// The ways of the CPU device that suit a step, the one that is taken where nothing is measured first.
    pub fn ways(&self, asked: &Asked<'_>) -> Vec<&'static Way> {
        let mut ways: Vec<_> = self.twin.f32.iter().filter(|way| (way.suits)(asked)).collect();
        if let Some(prefer) = self.twin.prefer {
            let best = prefer(asked);
            ways.sort_by_key(|way| way.name != best);
        }
        ways
    }

    /// The way that a step is computed in: the chosen one, if it suits, else the first that does.
    ///
    /// # Panics
    /// If none suits: a bug of the op, whose last way suits every step.
    pub fn way(&self, step: &Step, asked: &Asked<'_>) -> &'static Way {
        let suiting = self.ways(asked);
        let chosen = suiting.iter().find(|way| step.choice == Some(way.name));
        chosen.or(suiting.first()).unwrap_or_else(|| panic!("no way of {} suits {asked:?}", self.name))
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// One field of a parameter struct: four bytes, a `u32` or an `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Name on both sides.
    pub name: &'static str,
    /// `"u32"` or `"f32"`.
    pub ty: &'static str,
}

/// A parameter struct that WGSL reads as `var<uniform> p: Params`.
pub trait Params: bytemuck::Pod + std::fmt::Debug {
    /// The fields, in order.
    const FIELDS: &'static [Field];
}

/// Declares a parameter struct of `u32` and `f32` fields together with the list that tests hold against the WGSL.
#[macro_export]
#[doc(hidden)]
macro_rules! params {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$fmeta:meta])* $field:ident: $ty:ident,)* }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        $vis struct $name { $($(#[$fmeta])* $vis $field: $ty,)* }
        impl $crate::plan::Params for $name {
            const FIELDS: &'static [$crate::plan::Field] =
                &[$($crate::plan::Field { name: stringify!($field), ty: stringify!($ty) },)*];
        }
    };
}

/// The twin of a kernel from one function that is generic over the float type; or, with `ways` before it, from a
/// `&'static [Way]` for `f32`, perhaps a function that prefers one of them, and a function for `f64`.
#[macro_export]
#[doc(hidden)]
macro_rules! twin {
    (ways $ways:expr, prefer $prefer:expr, $function:path $(,)?) => {
        $crate::plan::Twin { f32: $ways, prefer: Some($prefer), f64: $function }
    };
    (ways $ways:expr, $function:path $(,)?) => {
        $crate::plan::Twin { f32: $ways, prefer: None, f64: $function }
    };
    ($function:path $(,)?) => {
        $crate::plan::Twin { f32: &[$crate::plan::Way::only($function)], prefer: None, f64: $function }
    };
}

/// Grid function of a variant: a closure over its typed parameters and the WGSL's [`Interface`].
#[macro_export]
#[doc(hidden)]
macro_rules! grid {
    ($params:ty, |$p:ident, $w:ident| $body:expr) => {
        |bytes: &[u8], $w: &$crate::plan::reflect::Interface| -> [u32; 3] {
            let $p: $params = bytemuck::pod_read_unaligned(bytes);
            $body
        }
    };
}

/// Whether a variant suits its typed parameters; without a function it suits all.
#[macro_export]
#[doc(hidden)]
macro_rules! suits {
    ($params:ty) => {
        |_, _| true
    };
    ($params:ty, $suits:path) => {
        |bytes: &[u8], w: &$crate::plan::reflect::Interface| -> bool {
            let p: $params = bytemuck::pod_read_unaligned(bytes);
            $suits(&p, w)
        }
    };
}

/// What the texts of a family begin with: extensions have to be named before all else. It stands on the first line of the
/// kernel's file, so that errors keep its line numbers.
#[macro_export]
#[doc(hidden)]
macro_rules! enables {
    (Matrix128) => {
        "enable f16; enable wgpu_cooperative_matrix; "
    };
    (Matrix64) => {
        "enable f16; enable wgpu_cooperative_matrix; "
    };
    (Half128) => {
        "enable f16; "
    };
    (Half64) => {
        "enable f16; "
    };
    (Half32) => {
        "enable f16; "
    };
    ($family:ident) => {
        ""
    };
}

/// The text of a shader file for a family, followed by the library files it uses.
#[macro_export]
#[doc(hidden)]
macro_rules! shader {
    ($family:ident, $file:literal $(, $lib:literal)*) => {
        concat!(
            $crate::enables!($family),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $file)),
            $("\n", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/lib/", $lib)),)*
        )
    };
}

/// Declares a kernel. In this order:
///
/// 1. its name, which is also its entry point and the name of its profile row;
/// 2. its text: the file in `shaders/`, then the files of `shaders/lib/` that the header of the file names;
/// 3. the type of its parameters, which [`params!`](crate::params) has declared;
/// 4. its grid, a closure `|p, w|` of the parameters and of the [`Interface`] that is read from the WGSL, such as
///    `w.items(p.len)` for one invocation per item;
/// 5. its twin, a function that is generic over the float type; or, where the CPU device has several ways of computing it,
///    `ways WAYS, prefer function, function`: a `&'static [Way]` for `f32`, what chooses among them where nothing is
///    measured (or the first that suits, if it is left out), and the function for `f64`.
///
/// ```ignore
/// static SUM: Kernel = kernel!("sum", ["sum.wgsl", "index.wgsl"], SumParams, |p, w| w.items(p.len), sum);
/// ```
///
/// `wide` before the name makes it a [`Wide`](super::Wide), one text for one float at a time and for four: `index.wgsl` and
/// `lanes1.wgsl` or `lanes4.wgsl` are joined to it. In place of one text there may be one for each family, the portable one last:
/// `{ Subgroup8: [..], Portable: [..] }`; they share the grid, which finds the size of their tiles in their constants. A family is
/// passed over for sizes that it does not suit: `{ Tiles64 if fills: [..], Portable: [..] }` with a function of the parameters and
/// the [`Interface`].
#[macro_export]
#[doc(hidden)]
macro_rules! kernel {
    (
        wide, $name:literal, [$file:literal $(, $lib:literal)*], $params:ty,
        |$p:ident, $w:ident| $grid:expr, $($twin:tt)+
    ) => {
        $crate::kernel!(wide, $name, { Portable: [$file $(, $lib)*] }, $params, |$p, $w| $grid, $($twin)+)
    };
    (
        wide, $name:literal, { $($family:ident $(if $suits:path)?: [$file:literal $(, $lib:literal)* $(,)?]),+ $(,)? }, $params:ty,
        |$p:ident, $w:ident| $grid:expr, $($twin:tt)+
    ) => {
        $crate::plan::Wide {
            one: $crate::kernel!(
                $name,
                { $($family $(if $suits)?: [$file $(, $lib)*, "lanes1.wgsl", "index.wgsl"]),+ },
                $params,
                |$p, $w| $grid,
                $($twin)+
            ),
            four: $crate::kernel!(
                $name,
                { $($family $(if $suits)?: [$file $(, $lib)*, "lanes4.wgsl", "index.wgsl"]),+ },
                $params,
                |$p, $w| $grid,
                $($twin)+
            ),
        }
    };
    (
        $name:literal, [$file:literal $(, $lib:literal)*], $params:ty,
        |$p:ident, $w:ident| $grid:expr, $($twin:tt)+
    ) => {
        $crate::kernel!($name, { Portable: [$file $(, $lib)*] }, $params, |$p, $w| $grid, $($twin)+)
    };
    (
        $name:literal, { $($family:ident $(if $suits:path)?: [$file:literal $(, $lib:literal)* $(,)?]),+ $(,)? }, $params:ty,
        |$p:ident, $w:ident| $grid:expr, $($twin:tt)+
    ) => {
        $crate::plan::Kernel {
            name: $name,
            params: <$params as $crate::plan::Params>::FIELDS,
            variants: &[$($crate::plan::Variant {
                family: $crate::plan::Family::$family,
                name: stringify!($family),
                file: $file,
                source: $crate::shader!($family, $file $(, $lib)*),
                entry: $name,
                grid: $crate::grid!($params, |$p, $w| $grid),
                suits: $crate::suits!($params $(, $suits)?),
            }),+],
            twin: $crate::twin!($($twin)+),
        }
    };
}

/// Grids: how many workgroups to dispatch.
pub mod grid {
    /// Most workgroups per dimension that every adapter takes.
    pub const MAX_WORKGROUPS: u32 = 65_535;

    /// One workgroup per `per_group` items. More than 65,535 workgroups fold into rows; the kernel finds its number
    /// with `group_index` of `shaders/lib/index.wgsl` and must check it against the number of items.
    pub fn linear(items: u32, per_group: u32) -> [u32; 3] {
        fold(items.div_ceil(per_group))
    }

    /// `groups` workgroups, folded into rows of at most 65,535.
    pub fn fold(groups: u32) -> [u32; 3] {
        if groups <= MAX_WORKGROUPS {
            [groups, 1, 1]
        } else {
            let rows = groups.div_ceil(MAX_WORKGROUPS);
            [groups.div_ceil(rows), rows, 1]
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_folded_grid_covers_every_group_within_the_limit() {
            for groups in [1, 65_535, 65_536, 70_001, 4_000_000_000] {
                let [x, y, z] = fold(groups);
                assert!(x <= MAX_WORKGROUPS && y <= MAX_WORKGROUPS && z == 1, "{groups}: {x} {y} {z}");
                assert!(u64::from(x) * u64::from(y) >= u64::from(groups));
            }
        }
    }
}
