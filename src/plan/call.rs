//! How a twin is called: parameters, overrides and buffers, with the types that the kernel's WGSL declares.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{AddAssign, MulAssign, SubAssign};

use super::{Kept, Params};

/// The float type of a CPU run: `f32` or `f64`.
pub trait Float:
    num_traits::Float
    + num_traits::FromPrimitive
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
    + Default
    + Debug
    + Display
    + Send
    + Sync
    + 'static
{
    /// The nearest value to an `f64`.
    fn of(value: f64) -> Self;
    /// The nearest value to a count.
    fn count(value: u32) -> Self {
        Self::of(f64::from(value))
    }
    /// As `f64`.
    fn f64(self) -> f64;
    /// The slice itself where this is `f32`: a twin that has a faster way for the device than for the oracle asks so.
    fn f32s(_: &[Self]) -> Option<&[f32]> {
        None
    }
    /// The same, to write.
    fn f32s_mut(_: &mut [Self]) -> Option<&mut [f32]> {
        None
    }
}

impl Float for f32 {
    #[expect(clippy::cast_possible_truncation, reason = "rounding to the nearest f32 is what is asked for")]
    fn of(value: f64) -> Self {
        value as Self
    }
    fn f64(self) -> f64 {
        f64::from(self)
    }
    fn f32s(slice: &[Self]) -> Option<&[f32]> {
        Some(slice)
    }
    fn f32s_mut(slice: &mut [Self]) -> Option<&mut [f32]> {
        Some(slice)
    }
}

impl Float for f64 {
    fn of(value: f64) -> Self {
        value
    }
    fn f64(self) -> f64 {
        self
    }
}

/// One buffer as a twin sees it.
#[derive(Debug)]
pub enum Arg<'a, T> {
    /// Floats to read.
    F(&'a [T]),
    /// Floats to read that stay the same from run to run, and what is kept of them.
    Stored(&'a [T], &'a Kept),
    /// Floats to write.
    FMut(&'a mut [T]),
    /// Integers to read.
    U(&'a [u32]),
    /// Integers to write.
    UMut(&'a mut [u32]),
}

impl<'a, T> Arg<'a, T> {
    /// The floats of a read binding.
    ///
    /// # Panics
    /// If the plan bound something else: a bug of the op that recorded the step.
    pub fn f(self) -> &'a [T] {
        match self {
            Self::F(slice) | Self::Stored(slice, _) => slice,
            Self::FMut(slice) => slice,
            _ => panic!("the plan binds integers where the kernel reads floats"),
        }
    }

    /// What is kept of the floats, if they stay the same from run to run.
    pub fn kept(&self) -> Option<&'a Kept> {
        match self {
            Self::Stored(_, kept) => Some(kept),
            _ => None,
        }
    }

    /// The floats of a written binding.
    ///
    /// # Panics
    /// If the plan bound something else.
    pub fn f_mut(self) -> &'a mut [T] {
        match self {
            Self::FMut(slice) => slice,
            _ => panic!("the plan does not bind floats to write where the kernel writes floats"),
        }
    }

    /// The integers of a read binding.
    ///
    /// # Panics
    /// If the plan bound something else.
    pub fn u(self) -> &'a [u32] {
        match self {
            Self::U(slice) => slice,
            Self::UMut(slice) => slice,
            _ => panic!("the plan binds floats where the kernel reads integers"),
        }
    }

    /// The integers of a written binding.
    ///
    /// # Panics
    /// If the plan bound something else.
    pub fn u_mut(self) -> &'a mut [u32] {
        match self {
            Self::UMut(slice) => slice,
            _ => panic!("the plan does not bind integers to write where the kernel writes integers"),
        }
    }
}

/// One call of a twin.
#[derive(Debug)]
pub struct Call<'a, T> {
    /// Bytes of the parameter struct.
    pub params: &'a [u8],
    /// Values of the `override` constants.
    pub overrides: &'a [(&'static str, f64)],
    /// Buffers in binding order.
    pub args: Vec<Arg<'a, T>>,
}

impl<'a, T> Call<'a, T> {
    /// The parameter struct.
    pub fn params<P: Params>(&self) -> P {
        bytemuck::pod_read_unaligned(self.params)
    }

    /// Whether an override is set and not zero.
    pub fn flag(&self, name: &str) -> bool {
        self.overrides.iter().any(|(n, v)| *n == name && *v != 0.0)
    }

    /// The override `SCALE`, 1 if it is not set.
    pub fn scale(&self) -> T
    where
        T: Float,
    {
        T::of(self.overrides.iter().find(|(n, _)| *n == "SCALE").map_or(1.0, |(_, v)| *v))
    }

    /// The buffers.
    ///
    /// # Panics
    /// If the plan bound another number of buffers.
    pub fn args<const N: usize>(self) -> [Arg<'a, T>; N] {
        let given = self.args.len();
        self.args.try_into().unwrap_or_else(|_| panic!("the kernel takes {N} buffers, the plan binds {given}"))
    }
}

/// Sets or adds, as `override ACCUMULATE` says: the first writer of a gradient sets it, later writers add.
pub(crate) fn put<T: Float>(accumulate: bool, to: &mut T, value: T) {
    if accumulate {
        *to += value;
    } else {
        *to = value;
    }
}
