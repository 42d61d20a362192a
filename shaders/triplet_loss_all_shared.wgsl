// triplet_all: every triplet of an anchor, one of its positives and one of that pair's candidates
//
//   candidates of (a,p) = the n of other people with  d[a,n] - d[a,p] < margin,  and without HARD  d[a,n] > d[a,p]
//   pull[a,p] += number of (a,p)'s candidates    pull[a,n] -= number of a's positives that n is a candidate of
//   share[a] = the sums of a's triplets:  LOSS of  margin - (d[a,n] - d[a,p]),  COUNT of triplets,  CANDIDATES of all its
//              positives,  DISTANCE of d[a,n],  SQUARES of (d[a,n] - mean of d[a,n])^2,  PAIRS with a candidate,
//              POSSIBLE triplets that could have been  (with TRIPLET_ before each name: the slots of a row)
//
//   p        Params
//   labels   [b]       read (u32)
//   sorted   [3, b]    read (u32): the members of triplet_order, or of triplet_hardest
//   d        [b, b]    read
//   pair     [b, SLOTS]    read: the share of triplet_pairs
//   pull     [b, b]    read_write, added to (i32, zero before): row a is the anchor's
//   share    [b, SLOTS]    read_write, set
//
// dispatch   [b]: a workgroup per anchor; its SHARED invocations share the batch, LANES positives at a time, then all positives
// overrides  HARD
// needs      nothing beyond default limits; barriers
// order      sums the positives of a negative, the negatives of an invocation (every SHARED-th), the invocations of a part, then
//            the parts, so results repeat bit for bit
// uses       triplet.wgsl: LANES, count_candidates, write_share
// uses       triplet_counts.wgsl: share_counts, total_of
// uses       triplet_negatives.wgsl: add_negatives
// uses       triplet_params.wgsl: p
// uses       triplet_shared.wgsl: PARTS, SHARED, shared_distances
// uses       triplet_sums.wgsl: PAIR_COUNT, PAIR_OTHERS, SLOTS, TRIPLET_*

@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> sorted: array<u32>;
@group(0) @binding(3) var<storage, read> d: array<f32>;
@group(0) @binding(4) var<storage, read> pair: array<f32>;
@group(0) @binding(5) var<storage, read_write> pull: array<i32>;
@group(0) @binding(6) var<storage, read_write> share: array<f32>;

var<workgroup> shared_sums: array<f32, SLOTS * SHARED>;

@compute @workgroup_size(SHARED)
fn triplet_all(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let a = workgroup.x;
    let first = sorted[p.b + a];
    let count = sorted[2u * p.b + a];
    var sums: array<f32, SLOTS>;
    for (var start = 0u; start < count; start += LANES) {
        var near = shared_distances(a, start);
        share_counts(lane, count_candidates(a, &near, lane, p.b, SHARED));
        if lane < LANES && start + lane < count {
            let candidates = total_of(lane);
            if candidates != 0u {
                sums[TRIPLET_PAIRS] += 1.0;
                pull[a * p.b + sorted[first + start + lane]] = i32(candidates);
            }
        }
        workgroupBarrier();
    }
    add_negatives(&sums, a, lane, SHARED);
    if lane == 0u {
        sums[TRIPLET_POSSIBLE] = pair[a * SLOTS + PAIR_COUNT] * pair[a * SLOTS + PAIR_OTHERS];
    }
    for (var s = 0u; s < SLOTS; s++) {
        shared_sums[s * SHARED + lane] = sums[s];
    }
    workgroupBarrier();
    if lane < LANES {
        for (var s = 0u; s < SLOTS; s++) {
            sums[s] = 0.0;
            for (var l = 0u; l < PARTS; l++) {
                sums[s] += shared_sums[s * SHARED + lane * PARTS + l];
            }
        }
    }
    write_share(a, lane, sums);
}
