// Whether a number is a number.

// Neither infinite nor NaN. Asks the bits, because implementations may assume that comparisons never meet either.
fn is_finite(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7F800000u) != 0x7F800000u;
}
