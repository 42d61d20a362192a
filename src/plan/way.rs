//! The ways in which the CPU device can compute one kernel: they differ in speed and rounding only.

use super::{Call, Params};

/// One way of computing a kernel in `f32`.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// Its name among those of the kernel: what a choice is kept by.
    pub name: &'static str,
    /// Whether it can compute such a step, and may be worth it.
    pub suits: fn(&Asked<'_>) -> bool,
    /// The computation.
    pub run: fn(Call<'_, f32>),
}

impl Way {
    /// The one way of a kernel that has no other.
    pub const fn only(run: fn(Call<'_, f32>)) -> Self {
        Self { name: "only", suits: |_| true, run }
    }
}

/// What a [`Way`] is asked about: one step of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Bytes of the parameter struct.
    pub params: &'a [u8],
    /// Values of the `override` constants.
    pub overrides: &'a [(&'static str, f64)],
    /// The step reads weights, and no step of its plan writes them: what is made of them may be kept from run to run.
    pub fixed: bool,
}

impl Asked<'_> {
    /// The parameter struct.
    pub fn params<P: Params>(&self) -> P {
        bytemuck::pod_read_unaligned(self.params)
    }

    /// Whether an override is set and not zero.
    pub fn flag(&self, name: &str) -> bool {
        self.overrides.iter().any(|(n, v)| *n == name && *v != 0.0)
    }
}
