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
// dispatch   [b]: a workgroup per anchor, PER_LANE * LANES positives, then as many negatives at a time
// overrides  HARD
// needs      nothing beyond default limits; one barrier
// order      sums the positives of a negative, the negatives of a lane, then the lanes, so results repeat bit for bit
// uses       triplet.wgsl: LANES, PER_LANE, distances_of, is_candidate, pivot_of, positives, write_share
// uses       triplet_params.wgsl: p
// uses       triplet_sums.wgsl: HUGE, PAIR_COUNT, PAIR_OTHERS, SLOTS, TRIPLET_*

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
    let label = labels[a];
    let count = sorted[2u * p.b + a];
    let pivot = pivot_of(a);
    var sums: array<f32, SLOTS>;
    for (var start = 0u; start < count; start += LANES * PER_LANE) {
        let positive = positives(a, start, lane);
        let near = distances_of(a, positive);
        var candidates: array<u32, PER_LANE>;
        for (var n = 0u; n < p.b; n++) {
            if labels[n] != label {
                let distance = d[row + n];
                for (var q = 0u; q < PER_LANE; q++) {
                    candidates[q] += u32(is_candidate(near[q], distance));
                }
            }
        }
        for (var q = 0u; q < PER_LANE; q++) {
            if candidates[q] != 0u {
                sums[TRIPLET_PAIRS] += 1.0;
                pull[row + positive[q]] = i32(candidates[q]);
            }
        }
    }
    let first = sorted[p.b + a];
    for (var start = lane; start < p.b; start += LANES * PER_LANE) {
        var far: array<f32, PER_LANE>;
        var triplets: array<u32, PER_LANE>;
        var loss: array<f32, PER_LANE>;
        for (var q = 0u; q < PER_LANE; q++) {
            let n = min(start + q * LANES, p.b - 1u);
            // Nothing is so far that this is a candidate: the image of a's own person, or behind the last.
            far[q] = select(HUGE, d[row + n], labels[n] != label && start + q * LANES < p.b);
        }
        for (var at = 0u; at < count; at++) {
            let i = sorted[first + at];
            if i != a {
                let near = d[row + i];
                for (var q = 0u; q < PER_LANE; q++) {
                    let fits = is_candidate(near, far[q]);
                    triplets[q] += u32(fits);
                    loss[q] += select(0.0, p.margin - (far[q] - near), fits);
                }
            }
        }
        for (var q = 0u; q < PER_LANE; q++) {
            if triplets[q] != 0u {
                let number = f32(triplets[q]);
                let apart = far[q] - pivot;
                sums[TRIPLET_LOSS] += loss[q];
                sums[TRIPLET_COUNT] += number;
                sums[TRIPLET_CANDIDATES] += number;
                sums[TRIPLET_DISTANCE] += number * apart;
                sums[TRIPLET_SQUARES] += number * apart * apart;
                pull[row + start + q * LANES] = -i32(triplets[q]);
            }
        }
    }
    if lane == 0u {
        sums[TRIPLET_POSSIBLE] = pair[a * SLOTS + PAIR_COUNT] * pair[a * SLOTS + PAIR_OTHERS];
    }
    write_share(a, lane, sums);
}
