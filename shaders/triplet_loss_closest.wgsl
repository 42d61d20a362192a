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
// dispatch   [b]: a workgroup per anchor, PER_LANE * LANES positives at a time
// overrides  HARD
// needs      nothing beyond default limits; one barrier; integer atomics, whose sums do not depend on the order
// order      sums the positives of a lane, then the lanes, so results repeat bit for bit
// uses       triplet.wgsl: LANES, NONE, PER_LANE, distances_of, is_candidate, pivot_of, positives, write_share
// uses       triplet_params.wgsl: p
// uses       triplet_sums.wgsl: HUGE, SLOTS, TRIPLET_*

@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> sorted: array<u32>;
@group(0) @binding(3) var<storage, read> d: array<f32>;
@group(0) @binding(4) var<storage, read> pair: array<f32>;
@group(0) @binding(5) var<storage, read_write> pull: array<atomic<i32>>;
@group(0) @binding(6) var<storage, read_write> share: array<f32>;

@compute @workgroup_size(LANES)
fn triplet_closest(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let a = workgroup.x;
    let row = a * p.b;
    let label = labels[a];
    let count = sorted[2u * p.b + a];
    let pivot = pivot_of(a);
    var sums: array<f32, SLOTS>;
    for (var start = 0u; start < count; start += LANES * PER_LANE) {
        let positive = positives(a, start, lane);
        let near = distances_of(a, positive);
        var far: array<f32, PER_LANE>;
        var choice: array<u32, PER_LANE>;
        var candidates: array<u32, PER_LANE>;
        for (var q = 0u; q < PER_LANE; q++) {
            far[q] = HUGE;
            choice[q] = NONE;
        }
        for (var n = 0u; n < p.b; n++) {
            if labels[n] != label {
                let distance = d[row + n];
                for (var q = 0u; q < PER_LANE; q++) {
                    let fits = is_candidate(near[q], distance);
                    let better = fits && distance < far[q];
                    candidates[q] += u32(fits);
                    far[q] = select(far[q], distance, better);
                    choice[q] = select(choice[q], n, better);
                }
            }
        }
        for (var q = 0u; q < PER_LANE; q++) {
            let i = positive[q];
            let n = choice[q];
            if i != a {
                sums[TRIPLET_POSSIBLE] += 1.0;
                if n != NONE {
                    let apart = far[q] - pivot;
                    sums[TRIPLET_LOSS] += p.margin - (far[q] - near[q]);
                    sums[TRIPLET_COUNT] += 1.0;
                    sums[TRIPLET_CANDIDATES] += f32(candidates[q]);
                    sums[TRIPLET_DISTANCE] += apart;
                    sums[TRIPLET_SQUARES] += apart * apart;
                    sums[TRIPLET_PAIRS] += 1.0;
                    atomicAdd(&pull[row + i], 1);
                    atomicAdd(&pull[row + n], -1);
                }
            }
        }
    }
    write_share(a, lane, sums);
}
