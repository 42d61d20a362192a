// The SHARED invocations of a workgroup share the batch, for LANES positives of an anchor at a time.
//
// uses       triplet.wgsl: LANES
// uses       triplet_params.wgsl: p
// uses       triplet_sums.wgsl: HUGE

const SHARED: u32 = 128u;
const PARTS: u32 = SHARED / LANES; // that a positive's findings are reduced in
const POSITIVES: u32 = LANES;

// The distances of the positives from position `start` of the anchor's run, the same in all invocations; that of a missing one
// is so low that it has no candidates.
fn shared_distances(a: u32, start: u32) -> array<f32, POSITIVES> {
    let first = sorted[p.b + a];
    let count = sorted[2u * p.b + a];
    var near: array<f32, POSITIVES>;
    for (var q = 0u; q < POSITIVES; q++) {
        let i = sorted[first + min(start + q, count - 1u)];
        near[q] = select(d[a * p.b + i], -HUGE, i == a || start + q >= count);
    }
    return near;
}
