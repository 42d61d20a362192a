// triplet_order: the images sorted by label (stable), so that each image finds the others of its person in one run
//
//   first[i] = number of j with  labels[j] < labels[i]
//   count[i] = number of j with  labels[j] = labels[i]
//   order[first[i] + number of j < i with labels[j] = labels[i]] = i
//
//   p        Params
//   labels   [b]       read (u32)
//   members  [3, b]    read_write, set (u32): the rows are order, first, count
//
// dispatch   [ceil(b/64)]
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      sums of integers
// uses       triplet_params.wgsl: p
// uses       triplet_sums.wgsl: HUGE, PAIR_*, SLOTS

@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> members: array<u32>;

@compute @workgroup_size(64)
fn triplet_order(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i < p.b {
        let label = labels[i];
        var first = 0u;
        var count = 0u;
        var before = 0u;
        for (var j = 0u; j < p.b; j++) {
            let other = labels[j];
            first += u32(other < label);
            count += u32(other == label);
            before += u32(other == label && j < i);
        }
        members[first + before] = i;
        members[p.b + i] = first;
        members[2u * p.b + i] = count;
    }
}

// triplet_hardest: the farthest positive of each anchor, as the members of a run of its own
//
//   farthest[a] = the p of a's person, not a, with the largest d[a,p], then the least p;  a itself if that person has no other image
//   the rows of hardest are  farthest, a, 1:  what triplet_order writes if each image's run is its farthest positive
//
//   p        Params
//   all      [3, b]    read (u32): the members of triplet_order
//   d        [b, b]    read
//   hardest  [3, b]    read_write, set (u32)
//
// dispatch   [ceil(b/64)]
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums

@group(0) @binding(1) var<storage, read> all: array<u32>;
@group(0) @binding(2) var<storage, read> d: array<f32>;
@group(0) @binding(3) var<storage, read_write> hardest: array<u32>;

@compute @workgroup_size(64)
fn triplet_hardest(@builtin(global_invocation_id) id: vec3<u32>) {
    let a = id.x;
    if a < p.b {
        let first = all[p.b + a];
        let count = all[2u * p.b + a]; // the anchor included
        var farthest = a;
        var distance = -1.0;
        for (var at = 0u; at < count; at++) {
            let i = all[first + at];
            if i != a && d[a * p.b + i] > distance {
                farthest = i;
                distance = d[a * p.b + i];
            }
        }
        hardest[a] = farthest;
        hardest[p.b + a] = a;
        hardest[2u * p.b + a] = 1u;
    }
}

// triplet_pairs: what each anchor's positives and negatives are like, before anything is selected
//
//   share[a] = the sums of a's pairs:  COUNT of positives,  DISTANCE of d[a,p],  SQUARES of (d[a,p] - mean of d[a,p])^2,
//              HARD pairs with closest <= d[a,p],  SEMI_HARD ones with 0 < closest - d[a,p] < margin,  OTHERS: other
//              people's n,  OTHER_DISTANCE of d[a,n],  ALL_DISTANCE of d[a,j] over all j, which is not finite if any
//              distance is not;  closest = the least d[a,n]  (with PAIR_ before each name: the slots of a row)
//
//   p        Params
//   labels   [b]       read (u32)
//   sorted   [3, b]    read (u32): the members of triplet_order, or of triplet_hardest
//   near     [b, b]    read: the distances
//   share    [b, SLOTS]    read_write, set
//
// dispatch   [b]: a workgroup per anchor
// overrides  none
// needs      nothing beyond default limits; two barriers
// order      sums every LANES-th image, then the lanes, so results repeat bit for bit

const LANES: u32 = 32u;

@group(0) @binding(2) var<storage, read> sorted: array<u32>;
@group(0) @binding(3) var<storage, read> near: array<f32>;
@group(0) @binding(4) var<storage, read_write> share: array<f32>;

// Of each lane: positives, sum of their distances, distance of the closest negative.
var<workgroup> found: array<vec3<f32>, LANES>;
var<workgroup> lane_sums: array<f32, LANES * SLOTS>;

@compute @workgroup_size(LANES)
fn triplet_pairs(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let a = workgroup.x;
    let row = a * p.b;
    let label = labels[a];
    let first = sorted[p.b + a];
    let count = sorted[2u * p.b + a];
    var sums: array<f32, SLOTS>;
    var closest = HUGE;
    for (var n = lane; n < p.b; n += LANES) {
        let distance = near[row + n];
        sums[PAIR_ALL_DISTANCE] += distance;
        if labels[n] != label {
            sums[PAIR_OTHERS] += 1.0;
            sums[PAIR_OTHER_DISTANCE] += distance;
            closest = min(closest, distance);
        }
    }
    for (var at = lane; at < count; at += LANES) {
        let i = sorted[first + at];
        if i != a {
            sums[PAIR_COUNT] += 1.0;
            sums[PAIR_DISTANCE] += near[row + i];
        }
    }
    found[lane] = vec3(sums[PAIR_COUNT], sums[PAIR_DISTANCE], closest);
    workgroupBarrier();
    var pairs = 0.0;
    var distances = 0.0;
    for (var l = 0u; l < LANES; l++) {
        pairs += found[l].x;
        distances += found[l].y;
        closest = min(closest, found[l].z);
    }
    let mean = distances / max(pairs, 1.0);
    for (var at = lane; at < count; at += LANES) {
        let i = sorted[first + at];
        if i != a {
            let distance = near[row + i];
            sums[PAIR_SQUARES] += (distance - mean) * (distance - mean);
            if closest <= distance {
                sums[PAIR_HARD] += 1.0;
            } else if closest - distance < p.margin {
                sums[PAIR_SEMI_HARD] += 1.0;
            }
        }
    }
    for (var s = 0u; s < SLOTS; s++) {
        lane_sums[s * LANES + lane] = sums[s];
    }
    workgroupBarrier();
    for (var s = lane; s < SLOTS; s += LANES) {
        var sum = 0.0;
        for (var l = 0u; l < LANES; l++) {
            sum += lane_sums[s * LANES + l];
        }
        share[a * SLOTS + s] = sum;
    }
}
