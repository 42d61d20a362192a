// What the kernels share that choose the negatives of the triplet loss. An invocation looks for the negatives of POSITIVES
// positives at a time.
//
// uses       triplet_each.wgsl or triplet_shared.wgsl: POSITIVES
// uses       triplet_params.wgsl: p
// uses       triplet_sums.wgsl: PAIR_OTHERS, PAIR_OTHER_DISTANCE, SLOTS, TRIPLET_*

// Invocations of a workgroup whose sums are those of the anchor: every LANES-th positive is one's.
const LANES: u32 = 8u;

// Whether images that are as close to the anchor as the positive, or closer, are candidates.
override HARD: bool = false;

// Whether an image of another person may be the negative. The difference of two close distances is exact, so that it
// decides, and enters the loss, without the rounding of d + margin.
fn is_candidate(near: f32, far: f32) -> bool {
    return far - near < p.margin && (HARD || far > near);
}

// The candidates of each positive, at a distance of `near`, among the images from `first` to before `end`, `step` apart.
fn count_candidates(a: u32, near: ptr<function, array<f32, POSITIVES>>, first: u32, end: u32, step: u32)
    -> array<u32, POSITIVES> {
    let row = a * p.b;
    let label = labels[a];
    var candidates: array<u32, POSITIVES>;
    for (var n = first; n < end; n += step) {
        if labels[n] != label {
            let distance = d[row + n];
            for (var q = 0u; q < POSITIVES; q++) {
                candidates[q] += u32(is_candidate((*near)[q], distance));
            }
        }
    }
    return candidates;
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
