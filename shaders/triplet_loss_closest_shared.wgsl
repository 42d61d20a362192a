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
// dispatch   [b]: a workgroup per anchor; its SHARED invocations share the batch, LANES positives at a time
// overrides  HARD
// needs      nothing beyond default limits; barriers; integer atomics, whose sums do not depend on the order
// order      that of the portable kernel: every LANES-th positive, then the lanes, so results repeat bit for bit
// uses       triplet.wgsl: LANES, pivot_of, write_share
// uses       triplet_closest.wgsl: closest_candidates
// uses       triplet_pair.wgsl: add_pair
// uses       triplet_params.wgsl: p
// uses       triplet_shared.wgsl: PARTS, SHARED, shared_distances
// uses       triplet_sums.wgsl: SLOTS

@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> sorted: array<u32>;
@group(0) @binding(3) var<storage, read> d: array<f32>;
@group(0) @binding(4) var<storage, read> pair: array<f32>;
@group(0) @binding(5) var<storage, read_write> pull: array<atomic<i32>>;
@group(0) @binding(6) var<storage, read_write> share: array<f32>;

// What each invocation has found for each positive: distance and number of the closest candidate, number of candidates.
var<workgroup> found_far: array<f32, LANES * SHARED>;
var<workgroup> found_choice: array<u32, LANES * SHARED>;
var<workgroup> found_candidates: array<u32, LANES * SHARED>;

// Reduces `count` findings, `step` apart from `first`, into the first. Of equally close candidates the first in the batch wins.
fn reduce(first: u32, count: u32, step: u32) {
    var far = found_far[first];
    var choice = found_choice[first];
    var candidates = found_candidates[first];
    for (var k = 1u; k < count; k++) {
        let at = first + k * step;
        let better = found_far[at] < far || (found_far[at] == far && found_choice[at] < choice);
        far = select(far, found_far[at], better);
        choice = select(choice, found_choice[at], better);
        candidates += found_candidates[at];
    }
    found_far[first] = far;
    found_choice[first] = choice;
    found_candidates[first] = candidates;
}

@compute @workgroup_size(SHARED)
fn triplet_closest(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let a = workgroup.x;
    let first = sorted[p.b + a];
    let count = sorted[2u * p.b + a];
    let pivot = pivot_of(a);
    var sums: array<f32, SLOTS>;
    for (var start = 0u; start < count; start += LANES) {
        var near = shared_distances(a, start);
        var found = closest_candidates(a, &near, lane, SHARED);
        for (var q = 0u; q < LANES; q++) {
            found_far[q * SHARED + lane] = found.far[q];
            found_choice[q * SHARED + lane] = found.choice[q];
            found_candidates[q * SHARED + lane] = found.candidates[q];
        }
        workgroupBarrier();
        reduce(lane / PARTS * SHARED + lane % PARTS, LANES, PARTS);
        workgroupBarrier();
        if lane < LANES && start + lane < count {
            let i = sorted[first + start + lane];
            let at = lane * SHARED;
            reduce(at, PARTS, 1u);
            add_pair(&sums, a, i, found_choice[at], d[a * p.b + i], found_far[at], found_candidates[at], pivot);
        }
        workgroupBarrier();
    }
    write_share(a, lane, sums);
}
