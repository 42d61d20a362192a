// triplet_random: for each anchor and each of its positives one candidate at random
//
//   candidates of (a,p) = the n of other people with  d[a,n] - d[a,p] < margin,  and without HARD  d[a,n] > d[a,p]
//   n(a,p) = the candidate number  philox((a,p,0,1), seed) mod number of candidates,  in the order of the batch
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
//   seed     [2]       read (u32): of the run, and the number of the step
//
// dispatch   [b]: a workgroup per anchor, POSITIVES * LANES positives at a time
// overrides  HARD
// needs      nothing beyond default limits; one barrier; integer atomics, whose sums do not depend on the order
// order      sums the positives of a lane, then the lanes, so results repeat bit for bit
// uses       triplet.wgsl: LANES, count_candidates, is_candidate, pivot_of, write_share
// uses       triplet_drawn.wgsl: drawn
// uses       triplet_each.wgsl: POSITIVES, distances_of, positives
// uses       triplet_pair.wgsl: NONE, add_pair
// uses       triplet_params.wgsl: p
// uses       triplet_sums.wgsl: SLOTS

@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> sorted: array<u32>;
@group(0) @binding(3) var<storage, read> d: array<f32>;
@group(0) @binding(4) var<storage, read> pair: array<f32>;
@group(0) @binding(5) var<storage, read_write> pull: array<atomic<i32>>;
@group(0) @binding(6) var<storage, read_write> share: array<f32>;
@group(0) @binding(7) var<storage, read> seed: array<u32>;

@compute @workgroup_size(LANES)
fn triplet_random(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let a = workgroup.x;
    let row = a * p.b;
    let label = labels[a];
    let count = sorted[2u * p.b + a];
    let pivot = pivot_of(a);
    var sums: array<f32, SLOTS>;
    for (var start = 0u; start < count; start += LANES * POSITIVES) {
        let positive = positives(a, start, lane);
        var near = distances_of(a, positive);
        let candidates = count_candidates(a, &near, 0u, p.b, 1u);
        var left: array<u32, POSITIVES>; // candidates to pass over
        var far: array<f32, POSITIVES>;
        var choice: array<u32, POSITIVES>;
        for (var q = 0u; q < POSITIVES; q++) {
            choice[q] = NONE;
            if candidates[q] != 0u {
                left[q] = drawn(a, positive[q], candidates[q]);
            }
        }
        for (var n = 0u; n < p.b; n++) {
            if labels[n] != label {
                let distance = d[row + n];
                for (var q = 0u; q < POSITIVES; q++) {
                    let fits = is_candidate(near[q], distance);
                    let its_turn = fits && left[q] == 0u;
                    left[q] -= u32(fits); // wraps behind the chosen one, and there are too few left to reach 0 again
                    far[q] = select(far[q], distance, its_turn);
                    choice[q] = select(choice[q], n, its_turn);
                }
            }
        }
        for (var q = 0u; q < POSITIVES; q++) {
            add_pair(&sums, a, positive[q], choice[q], near[q], far[q], candidates[q], pivot);
        }
    }
    write_share(a, lane, sums);
}
