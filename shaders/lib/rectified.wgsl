// The rectified linear unit, of an item's floats.
//
// uses       lanes1.wgsl or lanes4.wgsl: F, U

// max(x, 0) that leaves a NaN one. Asks the bits: with comparisons, drivers make it the maximum, which drops the NaN.
fn rectified(x: F) -> F {
    return select(x, F(0.0), bitcast<U>(x) - U(0x80000001u) <= U(0x7F7FFFFFu));
}
