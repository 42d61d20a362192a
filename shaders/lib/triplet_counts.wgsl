// How many candidates the invocations of a workgroup have found, each among images of its own.
//
// uses       triplet.wgsl: LANES
// uses       triplet_shared.wgsl: PARTS, POSITIVES, SHARED

// Of each positive and each invocation; and of each positive and LANES neighbouring invocations, which are a part.
var<workgroup> shared_counts: array<u32, LANES * SHARED>;
var<workgroup> part_counts: array<u32, LANES * PARTS>;

// Every invocation tells what it has found, and may read what all have. All must come here, and meet at a barrier before they do
// once more.
fn share_counts(lane: u32, candidates: array<u32, POSITIVES>) {
    for (var q = 0u; q < POSITIVES; q++) {
        shared_counts[q * SHARED + lane] = candidates[q];
    }
    workgroupBarrier();
    var count = 0u;
    for (var l = 0u; l < LANES; l++) {
        count += shared_counts[lane * LANES + l];
    }
    part_counts[lane] = count;
    workgroupBarrier();
}

// All candidates of positive `q`.
fn total_of(q: u32) -> u32 {
    var total = 0u;
    for (var part = 0u; part < PARTS; part++) {
        total += part_counts[q * PARTS + part];
    }
    return total;
}
