// What the kernels share that choose the negatives of the triplet loss.
//
// uses       triplet_params.wgsl: p
// uses       triplet_sums.wgsl: HUGE, PAIR_OTHERS, PAIR_OTHER_DISTANCE, SLOTS, TRIPLET_*

const LANES: u32 = 8u;
const PER_LANE: u32 = 5u;
const NONE: u32 = 0xffffffffu;

// Whether images that are as close to the anchor as the positive, or closer, are candidates.
override HARD: bool = false;

// Whether an image of another person may be the negative. The difference of two close distances is exact, so that it
// decides, and enters the loss, without the rounding of d + margin.
fn is_candidate(near: f32, far: f32) -> bool {
    return far - near < p.margin && (HARD || far > near);
}

// The positives of a lane from position `start` of its anchor's run: the anchor itself where there is none.
fn positives(a: u32, start: u32, lane: u32) -> array<u32, PER_LANE> {
    let first = sorted[p.b + a];
    let count = sorted[2u * p.b + a];
    var positive: array<u32, PER_LANE>;
    for (var q = 0u; q < PER_LANE; q++) {
        let at = start + q * LANES + lane;
        positive[q] = a;
        if at < count {
            positive[q] = sorted[first + at];
        }
    }
    return positive;
}

// Their distances; that of a missing one is so low that it has no candidates.
fn distances_of(a: u32, positive: array<u32, PER_LANE>) -> array<f32, PER_LANE> {
    var near: array<f32, PER_LANE>;
    for (var q = 0u; q < PER_LANE; q++) {
        near[q] = select(d[a * p.b + positive[q]], -HUGE, positive[q] == a);
    }
    return near;
}

// The mean distance of all images of other people: distances are summed less this, so that their deviation keeps its digits.
fn pivot_of(a: u32) -> f32 {
    return pair[a * SLOTS + PAIR_OTHER_DISTANCE] / max(pair[a * SLOTS + PAIR_OTHERS], 1.0);
}

var<workgroup> lane_sums: array<f32, LANES * SLOTS>;

// Adds the sums of the first LANES invocations up and writes them. Every invocation must come here: there is a barrier.
fn write_share(a: u32, lane: u32, sums: array<f32, SLOTS>) {
    if lane < LANES {
        for (var s = 0u; s < SLOTS; s++) {
            lane_sums[s * LANES + lane] = sums[s];
        }
    }
    workgroupBarrier();
    if lane == 0u {
        var sum: array<f32, SLOTS>;
        for (var s = 0u; s < SLOTS; s++) {
            for (var l = 0u; l < LANES; l++) {
                sum[s] += lane_sums[s * LANES + l];
            }
        }
        // From sums of d - pivot and (d - pivot)^2 to the sum of d and that of (d - mean)^2.
        let distance = sum[TRIPLET_DISTANCE];
        let count = sum[TRIPLET_COUNT];
        sum[TRIPLET_SQUARES] = max(sum[TRIPLET_SQUARES] - distance * distance / max(count, 1.0), 0.0);
        sum[TRIPLET_DISTANCE] += count * pivot_of(a);
        for (var s = 0u; s < SLOTS; s++) {
            share[a * SLOTS + s] = sum[s];
        }
    }
}
