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
// dispatch   [b]: a workgroup per anchor, POSITIVES * LANES positives, then as many negatives at a time
// overrides  HARD
// needs      nothing beyond default limits; one barrier
// order      sums the positives of a negative, the negatives of a lane, then the lanes, so results repeat bit for bit
// uses       triplet.wgsl: LANES, count_candidates, write_share
// uses       triplet_each.wgsl: POSITIVES, distances_of, positives
// uses       triplet_negatives.wgsl: add_negatives
// uses       triplet_params.wgsl: p
// uses       triplet_sums.wgsl: PAIR_COUNT, PAIR_OTHERS, SLOTS, TRIPLET_*

@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> sorted: array<u32>;
@group(0) @binding(3) var<storage, read> d: array<f32>;
@group(0) @binding(4) var<storage, read> pair: array<f32>;
@group(0) @binding(5) var<storage, read_write> pull: array<i32>;
@group(0) @binding(6) var<storage, read_write> share: array<f32>;

@compute @workgroup_size(LANES)
fn triplet_all(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let a = workgroup.x;
    let row = a * p.b;
    let count = sorted[2u * p.b + a];
    var sums: array<f32, SLOTS>;
    for (var start = 0u; start < count; start += LANES * POSITIVES) {
        let positive = positives(a, start, lane);
        var near = distances_of(a, positive);
        let candidates = count_candidates(a, &near, 0u, p.b, 1u);
        for (var q = 0u; q < POSITIVES; q++) {
            if candidates[q] != 0u {
                sums[TRIPLET_PAIRS] += 1.0;
                pull[row + positive[q]] = i32(candidates[q]);
            }
        }
    }
    add_negatives(&sums, a, lane, LANES);
    if lane == 0u {
        sums[TRIPLET_POSSIBLE] = pair[a * SLOTS + PAIR_COUNT] * pair[a * SLOTS + PAIR_OTHERS];
    }
    write_share(a, lane, sums);
}
