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

struct Params {
    b: u32,
    dim: u32,
    margin: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
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

// triplet_select: for each anchor and each positive the semi-hard negative, and the sums that make the loss
//
//   n(a,p) = the n of another person with  0 < d[a,n] - d[a,p] < margin  and the least d[a,n], then the least n
//   pull[a,p] += 1, pull[p,a] += 1, pull[a,n] -= 1, pull[n,a] -= 1    for each (a,p) that has one
//   share[a,0] = sum of  margin - (d[a,n(a,p)] - d[a,p])    share[a,1] = number of such triplets
//   share[a,2] = number of positives                        share[a,3] = sum of d[a,p]
//   share[a,4] = sum of d[a,n(a,p)]                         share[a,5] = sum of d[a,n] over all other people's n
//   share[a,6] = number of other people's n                 share[a,7] = positives with a d[a,n] <= d[a,p]
//
//   p        Params
//   labels   [b]       read (u32)
//   sorted   [3, b]    read (u32): the members of triplet_order
//   d        [b, b]    read
//   pull     [b, b]    read_write, added to (i32, zero before); symmetric
//   share    [b, 8]    read_write, set
//
// dispatch   [b]: a workgroup per anchor, PER_LANE * LANES positives at a time
// overrides  none
// needs      nothing beyond default limits; one barrier; integer atomics, whose sums do not depend on the order
// order      sums the positives of a lane, then the lanes, so results repeat bit for bit

const LANES: u32 = 8u;
const PER_LANE: u32 = 5u;
const SLOTS: u32 = 8u;
const NONE: u32 = 0xffffffffu;
const HUGE: f32 = 0x1p127f;

@group(0) @binding(2) var<storage, read> sorted: array<u32>;
@group(0) @binding(3) var<storage, read> d: array<f32>;
@group(0) @binding(4) var<storage, read_write> pull: array<atomic<i32>>;
@group(0) @binding(5) var<storage, read_write> share: array<f32>;

var<workgroup> lane_sums: array<f32, LANES * SLOTS>;

@compute @workgroup_size(LANES)
fn triplet_select(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let a = workgroup.x;
    let row = a * p.b;
    let label = labels[a];
    let first = sorted[p.b + a];
    let count = sorted[2u * p.b + a]; // the anchor included
    var sums: array<f32, SLOTS>;
    for (var n = lane; n < p.b; n += LANES) {
        if labels[n] != label {
            sums[5] += d[row + n];
            sums[6] += 1.0;
        }
    }
    for (var start = 0u; start < count; start += LANES * PER_LANE) {
        var positive: array<u32, PER_LANE>;
        var near: array<f32, PER_LANE>;
        var best: array<f32, PER_LANE>;
        var choice: array<u32, PER_LANE>;
        for (var q = 0u; q < PER_LANE; q++) {
            let at = start + q * LANES + lane;
            positive[q] = a;
            near[q] = 0.0;
            best[q] = 0.0; // nothing lies between 0 and 0: a lane without a positive chooses nothing
            choice[q] = NONE;
            if at < count {
                positive[q] = sorted[first + at];
            }
            if positive[q] != a {
                near[q] = d[row + positive[q]];
                best[q] = HUGE;
            }
        }
        var nearest = HUGE;
        for (var n = 0u; n < p.b; n++) {
            if labels[n] != label {
                let far = d[row + n];
                nearest = min(nearest, far);
                for (var q = 0u; q < PER_LANE; q++) {
                    let better = far > near[q] && far < best[q];
                    best[q] = select(best[q], far, better);
                    choice[q] = select(choice[q], n, better);
                }
            }
        }
        for (var q = 0u; q < PER_LANE; q++) {
            let i = positive[q];
            if i != a {
                sums[2] += 1.0;
                sums[3] += near[q];
                sums[7] += select(0.0, 1.0, nearest <= near[q]);
                // The closest of those farther than the positive is semi-hard, or none is. The difference of two close
                // distances is exact, so that it decides, and enters the loss, without the rounding of d + margin.
                let n = choice[q];
                let gap = best[q] - near[q];
                if n != NONE && gap < p.margin {
                    sums[0] += p.margin - gap;
                    sums[1] += 1.0;
                    sums[4] += best[q];
                    atomicAdd(&pull[row + i], 1);
                    atomicAdd(&pull[i * p.b + a], 1);
                    atomicAdd(&pull[row + n], -1);
                    atomicAdd(&pull[n * p.b + a], -1);
                }
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

// triplet_stats: the loss and the statistics of the batch, from the sums of each anchor
//
//   y[0] = t0/t1    y[1] = t0/t2    y[2] = t2    y[3] = t1    y[4] = t3/t2    y[5] = t4/t1    y[6] = t5/t6    y[7] = t7
//                    with  ts = sum over a of sums[a,s];  a quotient is 0 where it would divide by 0;  y[0] and y[1] are
//                    NaN if any distance is not finite, because a NaN is never selected and would pass unseen
//
//   p     Params
//   sums  [b, 8]    read: the share of triplet_select
//   y     [8]       read_write, set
//
// dispatch   [1]
// overrides  none
// needs      nothing beyond default limits; two barriers
// order      sums PARTS interleaved parts of the anchors, then the parts, so results repeat bit for bit

const PARTS: u32 = 32u;

@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

var<workgroup> parts: array<f32, PARTS * SLOTS>;
var<workgroup> totals: array<f32, SLOTS>;

@compute @workgroup_size(256) // PARTS * SLOTS
fn triplet_stats(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var at = lane; at < p.b * SLOTS; at += PARTS * SLOTS) {
        sum += sums[at];
    }
    parts[lane] = sum;
    workgroupBarrier();
    if lane < SLOTS {
        var total = 0.0;
        for (var part = 0u; part < PARTS; part++) {
            total += parts[part * SLOTS + lane];
        }
        totals[lane] = total;
    }
    workgroupBarrier();
    if lane == 0u {
        // Bits, because a shader compiler may assume that floats are finite.
        let all = bitcast<u32>(totals[3] + totals[5]);
        let broken = (all & 0x7f800000u) == 0x7f800000u;
        let nan = bitcast<f32>(all | 0x7fc00000u);
        y[0] = select(mean(totals[0], totals[1]), nan, broken);
        y[1] = select(mean(totals[0], totals[2]), nan, broken);
        y[2] = totals[2];
        y[3] = totals[1];
        y[4] = mean(totals[3], totals[2]);
        y[5] = mean(totals[4], totals[1]);
        y[6] = mean(totals[5], totals[6]);
        y[7] = totals[7];
    }
}

fn mean(sum: f32, count: f32) -> f32 {
    if count == 0.0 {
        return 0.0;
    }
    return sum / count;
}

// triplet_loss_dx: gradient of triplet_loss with respect to the embeddings
//
//   dx[i,k] (+)= 2 * (dy[0]/out[3] + dy[1]/out[2]) * sum over j of  coefficient[i,j] * (x[i,k] - x[j,k])
//                    (a quotient is 0 where it would divide by 0; the statistics behind dy[2..] have no gradient)
//
//   p            Params
//   x            [b, dim]    read
//   coefficient  [b, b]      read (i32): the pull of triplet_select
//   out          [8]         read: the output of triplet_loss
//   dy           [8]         read
//   dx           [b, dim]    read_write, set or add (ACCUMULATE)
//
// dispatch   [b, ceil(dim/(DX_LANES*DX_COLUMNS))]: a workgroup per image, lanes along dim
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      sums j in order, so results repeat bit for bit; most coefficients are zero and cost one load

const DX_LANES: u32 = 8u;
const DX_COLUMNS: u32 = 16u; // per invocation, DX_LANES apart

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> coefficient: array<i32>;
@group(0) @binding(3) var<storage, read> out: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(DX_LANES)
fn triplet_loss_dx(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup.x;
    let first = workgroup.y * (DX_LANES * DX_COLUMNS) + lane;
    var own: array<f32, DX_COLUMNS>;
    var sum: array<f32, DX_COLUMNS>;
    for (var c = 0u; c < DX_COLUMNS; c++) {
        own[c] = x[i * p.dim + min(first + c * DX_LANES, p.dim - 1u)];
    }
    for (var j = 0u; j < p.b; j++) {
        let weight = coefficient[i * p.b + j];
        if weight != 0 {
            for (var c = 0u; c < DX_COLUMNS; c++) {
                let other = x[j * p.dim + min(first + c * DX_LANES, p.dim - 1u)];
                sum[c] += f32(weight) * (own[c] - other);
            }
        }
    }
    let scale = 2.0 * (mean(dy[0], out[3]) + mean(dy[1], out[2]));
    for (var c = 0u; c < DX_COLUMNS; c++) {
        let k = first + c * DX_LANES;
        if k < p.dim {
            var g = scale * sum[c];
            if ACCUMULATE {
                g += dx[i * p.dim + k];
            }
            dx[i * p.dim + k] = g;
        }
    }
}
