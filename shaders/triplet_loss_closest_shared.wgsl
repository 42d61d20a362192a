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
// uses       triplet.wgsl: LANES, NONE, is_candidate, pivot_of, write_share
// uses       triplet_params.wgsl: p
// uses       triplet_sums.wgsl: HUGE, SLOTS, TRIPLET_*

const SHARED: u32 = 128u;
const PARTS: u32 = SHARED / LANES; // that a positive's findings are reduced in

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
    let row = a * p.b;
    let label = labels[a];
    let first = sorted[p.b + a];
    let count = sorted[2u * p.b + a];
    let pivot = pivot_of(a);
    var sums: array<f32, SLOTS>;
    for (var start = 0u; start < count; start += LANES) {
        // The same in all invocations; the distance of a missing positive is so low that it has no candidates.
        var near: array<f32, LANES>;
        var far: array<f32, LANES>;
        var choice: array<u32, LANES>;
        var candidates: array<u32, LANES>;
        for (var q = 0u; q < LANES; q++) {
            let i = sorted[first + min(start + q, count - 1u)];
            near[q] = select(d[row + i], -HUGE, i == a || start + q >= count);
            far[q] = HUGE;
            choice[q] = NONE;
        }
        for (var n = lane; n < p.b; n += SHARED) {
            if labels[n] != label {
                let distance = d[row + n];
                for (var q = 0u; q < LANES; q++) {
                    let fits = is_candidate(near[q], distance);
                    let better = fits && distance < far[q];
                    candidates[q] += u32(fits);
                    far[q] = select(far[q], distance, better);
                    choice[q] = select(choice[q], n, better);
                }
            }
        }
        for (var q = 0u; q < LANES; q++) {
            found_far[q * SHARED + lane] = far[q];
            found_choice[q * SHARED + lane] = choice[q];
            found_candidates[q * SHARED + lane] = candidates[q];
        }
        workgroupBarrier();
        reduce(lane / PARTS * SHARED + lane % PARTS, LANES, PARTS);
        workgroupBarrier();
        if lane < LANES && start + lane < count {
            let i = sorted[first + start + lane];
            let at = lane * SHARED;
            reduce(at, PARTS, 1u);
            let n = found_choice[at];
            if i != a {
                sums[TRIPLET_POSSIBLE] += 1.0;
                if n != NONE {
                    let distance = found_far[at];
                    let apart = distance - pivot;
                    sums[TRIPLET_LOSS] += p.margin - (distance - d[row + i]);
                    sums[TRIPLET_COUNT] += 1.0;
                    sums[TRIPLET_CANDIDATES] += f32(found_candidates[at]);
                    sums[TRIPLET_DISTANCE] += apart;
                    sums[TRIPLET_SQUARES] += apart * apart;
                    sums[TRIPLET_PAIRS] += 1.0;
                    atomicAdd(&pull[row + i], 1);
                    atomicAdd(&pull[row + n], -1);
                }
            }
        }
        workgroupBarrier();
    }
    write_share(a, lane, sums);
}
