//! Vectors of four floats that the compiler maps to whatever the processor has, under the names that the kernels of every instruction set
//! use.

pub(super) fn zero() -> [f32; 4] {
    [0.0; 4]
}

pub(super) fn splat(x: f32) -> [f32; 4] {
    [x; 4]
}

pub(super) fn mul_add(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
    std::array::from_fn(|i| a[i] * b[i] + c[i])
}

pub(super) fn add(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
    std::array::from_fn(|i| a[i] + b[i])
}

pub(super) fn sub(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
    std::array::from_fn(|i| a[i] - b[i])
}

/// As x86 has it: `b` where either is a NaN, so that a NaN passes a ReLU.
pub(super) fn max(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
    std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
}

pub(super) unsafe fn load(from: *const f32) -> [f32; 4] {
    // SAFETY: the caller's; an array of floats is aligned as a float is.
    unsafe { from.cast::<[f32; 4]>().read() }
}

pub(super) unsafe fn store(to: *mut f32, value: [f32; 4]) {
    // SAFETY: the caller's.
    unsafe { to.cast::<[f32; 4]>().write(value) }
}
