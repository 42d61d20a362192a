// The output of the triplet losses: `op::Stat` in Rust says what each slot is.

const STAT_LOSS = 0u;
const STAT_LOSS_PER_PAIR = 1u;
const STAT_PAIRS = 2u;
const STAT_ACTIVE = 3u;
const STAT_POSITIVE_DISTANCE = 4u;
const STAT_NEGATIVE_DISTANCE = 5u;
const STAT_DIFFERENT_DISTANCE = 6u;
const STAT_HARD = 7u;
const STAT_SEMI_HARD = 8u;
const STAT_EASY = 9u;
const STAT_CANDIDATES = 10u;
const STAT_SKIPPED_PAIRS = 11u;
const STAT_POSITIVE_STD = 12u;
const STAT_NEGATIVE_STD = 13u;
const STAT_MEAN_LENGTH = 14u;
const STAT_TRIPLETS = 15u;

// A mean, 0 of nothing.
fn mean(sum: f32, count: f32) -> f32 {
    if count == 0.0 {
        return 0.0;
    }
    return sum / count;
}

// A loss, or NaN if the sum of the distances is not finite: a NaN is never selected and would pass unseen. Bits, because a
// shader compiler may assume that floats are finite.
fn loss_or_nan(loss: f32, distances: f32) -> f32 {
    let all = bitcast<u32>(distances);
    let broken = (all & 0x7f800000u) == 0x7f800000u;
    return select(loss, bitcast<f32>(all | 0x7fc00000u), broken);
}
