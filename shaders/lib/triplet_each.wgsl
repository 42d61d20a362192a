// An invocation for every LANES-th positive of an anchor, which looks through the whole batch by itself.
//
// uses       triplet.wgsl: LANES
// uses       triplet_params.wgsl: p
// uses       triplet_sums.wgsl: HUGE

// Positives of an invocation at a time.
const POSITIVES: u32 = 5u;

// The positives of a lane from position `start` of its anchor's run. A lane that has fewer gets the anchor itself for
// the missing ones.
fn positives(a: u32, start: u32, lane: u32) -> array<u32, POSITIVES> {
    let first = sorted[p.b + a];
    let count = sorted[2u * p.b + a];
    var positive: array<u32, POSITIVES>;
    for (var q = 0u; q < POSITIVES; q++) {
        let at = start + q * LANES + lane;
        positive[q] = a;
        if at < count {
            positive[q] = sorted[first + at];
        }
    }
    return positive;
}

// Their distances; that of a missing one is so low that it has no candidates.
fn distances_of(a: u32, positive: array<u32, POSITIVES>) -> array<f32, POSITIVES> {
    var near: array<f32, POSITIVES>;
    for (var q = 0u; q < POSITIVES; q++) {
        near[q] = select(d[a * p.b + positive[q]], -HUGE, positive[q] == a);
    }
    return near;
}
