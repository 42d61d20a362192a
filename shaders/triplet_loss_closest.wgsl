// triplet_closest: for each anchor and each of its positives the closest candidate
//
//   candidates of (a,p) = the n of other people with  d[a,n] - d[a,p] < margin,  and without HARD  d[a,n] > d[a,p]
//   n(a,p) = the candidate with the least d[a,n], then the least n
//   pull[a,p] += 1, pull[a,n] -= 1    for each (a,p) that has one
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
// dispatch   [b]: a workgroup per anchor, POSITIVES * LANES positives at a time
// overrides  HARD
// needs      nothing beyond default limits; one barrier; integer atomics, whose sums do not depend on the order
// order      sums the positives of a lane, then the lanes, so results repeat bit for bit
// uses       triplet.wgsl: LANES, pivot_of, write_share
// uses       triplet_closest.wgsl: closest_candidates
// uses       triplet_each.wgsl: POSITIVES, distances_of, positives
// uses       triplet_pair.wgsl: add_pair
// uses       triplet_params.wgsl: p
// uses       triplet_sums.wgsl: SLOTS

@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> sorted: array<u32>;
@group(0) @binding(3) var<storage, read> d: array<f32>;
@group(0) @binding(4) var<storage, read> pair: array<f32>;
@group(0) @binding(5) var<storage, read_write> pull: array<atomic<i32>>;
@group(0) @binding(6) var<storage, read_write> share: array<f32>;

@compute @workgroup_size(LANES)
fn triplet_closest(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let a = workgroup.x;
    let count = sorted[2u * p.b + a];
    let pivot = pivot_of(a);
    var sums: array<f32, SLOTS>;
    for (var start = 0u; start < count; start += LANES * POSITIVES) {
        let positive = positives(a, start, lane);
        var near = distances_of(a, positive);
        var found = closest_candidates(a, &near, 0u, 1u);
        for (var q = 0u; q < POSITIVES; q++) {
            add_pair(&sums, a, positive[q], found.choice[q], near[q], found.far[q], found.candidates[q], pivot);
        }
    }
    write_share(a, lane, sums);
}
