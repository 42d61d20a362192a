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
// dispatch   [b]: a workgroup per anchor; its SHARED invocations share the batch, a run of images each, LANES positives at a time
// overrides  HARD
// needs      nothing beyond default limits; barriers; integer atomics, whose sums do not depend on the order
// order      that of the portable kernel: every LANES-th positive, then the lanes, so results repeat bit for bit
// uses       triplet.wgsl: LANES, count_candidates, is_candidate, pivot_of, write_share
// uses       triplet_counts.wgsl: part_counts, share_counts, shared_counts, total_of
// uses       triplet_drawn.wgsl: drawn
// uses       triplet_pair.wgsl: NONE, add_pair
// uses       triplet_params.wgsl: p
// uses       triplet_shared.wgsl: PARTS, SHARED, shared_distances
// uses       triplet_sums.wgsl: SLOTS

@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> sorted: array<u32>;
@group(0) @binding(3) var<storage, read> d: array<f32>;
@group(0) @binding(4) var<storage, read> pair: array<f32>;
@group(0) @binding(5) var<storage, read_write> pull: array<atomic<i32>>;
@group(0) @binding(6) var<storage, read_write> share: array<f32>;
@group(0) @binding(7) var<storage, read> seed: array<u32>;

@compute @workgroup_size(SHARED)
fn triplet_random(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let a = workgroup.x;
    let run = (p.b + SHARED - 1u) / SHARED; // images of an invocation
    let first = sorted[p.b + a];
    let count = sorted[2u * p.b + a];
    let pivot = pivot_of(a);
    var sums: array<f32, SLOTS>;
    for (var start = 0u; start < count; start += LANES) {
        var near = shared_distances(a, start);
        share_counts(lane, count_candidates(a, &near, lane * run, min(lane * run + run, p.b), 1u));
        if lane < LANES && start + lane < count {
            let i = sorted[first + start + lane];
            let distance = d[a * p.b + i];
            let candidates = select(total_of(lane), 0u, i == a);
            var choice = NONE;
            var far = 0.0;
            if candidates != 0u {
                choice = candidate(a, lane, run, distance, drawn(a, i, candidates));
                far = d[a * p.b + choice];
            }
            add_pair(&sums, a, i, choice, distance, far, candidates, pivot);
        }
        workgroupBarrier();
    }
    write_share(a, lane, sums);
}

// The candidate that comes behind `before` others of positive `q`, whose distance is `near`: its part, its invocation's run, itself.
fn candidate(a: u32, q: u32, run: u32, near: f32, before: u32) -> u32 {
    var left = before;
    var part = q * PARTS;
    for (; part < q * PARTS + PARTS - 1u && left >= part_counts[part]; part++) {
        left -= part_counts[part];
    }
    var at = part * LANES;
    for (; at < part * LANES + LANES - 1u && left >= shared_counts[at]; at++) {
        left -= shared_counts[at];
    }
    var n = at % SHARED * run;
    for (; n < p.b - 1u; n++) {
        if labels[n] != labels[a] && is_candidate(near, d[a * p.b + n]) {
            if left == 0u {
                break;
            }
            left--;
        }
    }
    return n;
}
