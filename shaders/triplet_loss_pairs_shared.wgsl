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
// dispatch   [b]: a workgroup per image; its SHARED invocations share the batch
// overrides  none
// needs      nothing beyond default limits; barriers
// order      sums of integers
// uses       triplet_params.wgsl: p

const RESULTS = 1u;
const SHARED = 64u;

@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> members: array<u32>;

// Of each invocation: how many images have a lower label, the same label, and the same label and a lower number.
var<workgroup> counts: array<vec3<u32>, SHARED>;

@compute @workgroup_size(SHARED)
fn triplet_order(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup.x;
    let label = labels[i];
    var count = vec3<u32>();
    for (var j = lane; j < p.b; j += SHARED) {
        let other = labels[j];
        count += vec3(u32(other < label), u32(other == label), u32(other == label && j < i));
    }
    counts[lane] = count;
    for (var half = SHARED / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            counts[lane] += counts[lane + half];
        }
    }
    if lane == 0u {
        members[counts[0].x + counts[0].z] = i;
        members[p.b + i] = counts[0].x;
        members[2u * p.b + i] = counts[0].y;
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
// dispatch   [b]: a workgroup per anchor; its SHARED invocations share the person's images
// overrides  none
// needs      nothing beyond default limits; barriers
// order      no sums

@group(0) @binding(1) var<storage, read> all: array<u32>;
@group(0) @binding(2) var<storage, read> d: array<f32>;
@group(0) @binding(3) var<storage, read_write> hardest: array<u32>;

// Of each invocation: the farthest positive that it has found, and its distance.
var<workgroup> found: array<u32, SHARED>;
var<workgroup> distances: array<f32, SHARED>;

@compute @workgroup_size(SHARED)
fn triplet_hardest(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let a = workgroup.x;
    let first = all[p.b + a];
    let count = all[2u * p.b + a]; // the anchor included
    var farthest = a;
    var distance = -1.0;
    for (var at = lane; at < count; at += SHARED) {
        let i = all[first + at];
        if i != a && d[a * p.b + i] > distance {
            farthest = i;
            distance = d[a * p.b + i];
        }
    }
    found[lane] = farthest;
    distances[lane] = distance;
    for (var half = SHARED / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            let other = distances[lane + half];
            if other > distance || (other == distance && found[lane + half] < farthest) {
                farthest = found[lane + half];
                distance = other;
                found[lane] = farthest;
                distances[lane] = distance;
            }
        }
    }
    if lane == 0u {
        hardest[a] = farthest;
        hardest[p.b + a] = a;
        hardest[2u * p.b + a] = 1u;
    }
}
