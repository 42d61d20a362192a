// triplet_margin_loss: the loss of triplets that were chosen before, and what makes its statistics
//
//   share[t] = (hinge, active, d[a,p], d[a,n], hard, 1)  with  (a,p,n) = triplets[t],  active = 1 where hinge > 0,
//              hinge = max(d[a,p] - d[a,n] + margin, 0),  hard = 1 where d[a,n] <= d[a,p];  zeros where any of a, p, n is
//              not below b: such a triplet is none;  d[i,j] = sum over k of (x[i,k] - x[j,k])^2
//
//   p         Params
//   x         [b, dim]    read
//   triplets  [t, 3]      read (u32): indices of anchor, positive, negative
//   share     [t, 6]      read_write, set
//
// dispatch   [ceil(t/64)]
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      sums k in order, so results repeat bit for bit

struct Params {
    b: u32,
    dim: u32,
    t: u32,
    margin: f32,
}

const SLOTS: u32 = 6u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> triplets: array<u32>;
@group(0) @binding(3) var<storage, read_write> share: array<f32>;

fn distance_of(i: u32, j: u32) -> f32 {
    var sum = 0.0;
    for (var k = 0u; k < p.dim; k++) {
        let difference = x[i * p.dim + k] - x[j * p.dim + k];
        sum += difference * difference;
    }
    return sum;
}

@compute @workgroup_size(64)
fn triplet_margin_loss(@builtin(global_invocation_id) id: vec3<u32>) {
    let t = id.x;
    if t < p.t {
        let last = p.b - 1u;
        let a = triplets[3u * t];
        let mate = triplets[3u * t + 1u];
        let rival = triplets[3u * t + 2u];
        let is_one = max(a, max(mate, rival)) <= last;
        let near = select(0.0, distance_of(min(a, last), min(mate, last)), is_one);
        let far = select(0.0, distance_of(min(a, last), min(rival, last)), is_one);
        let hinge = p.margin - (far - near);
        let counts = is_one && hinge > 0.0;
        share[SLOTS * t] = select(0.0, hinge, counts);
        share[SLOTS * t + 1u] = select(0.0, 1.0, counts);
        share[SLOTS * t + 2u] = near;
        share[SLOTS * t + 3u] = far;
        share[SLOTS * t + 4u] = select(0.0, 1.0, is_one && far <= near);
        share[SLOTS * t + 5u] = select(0.0, 1.0, is_one);
    }
}

// triplet_margin_stats: the loss and the statistics of all triplets, in the slots of triplet_loss
//
//   y[0] = t0/t1    y[1] = t0/t5    y[2] = t5    y[3] = t1                y[4] = t2/t5     y[5] = t6/t1      y[6] = 0
//   y[7] = t4       y[8] = t7       y[9] = t5 - t4 - t7     y[10] = t1    y[11] = t5 - t1
//   y[12] = sqrt(1/t5 * sum over the triplets of (d[a,p] - y[4])^2)
//   y[13] = sqrt(1/t1 * sum over the active triplets of (d[a,n] - y[5])^2)
//   y[14] = 0       y[15] = t5
//                   with  ts = sum over the triplets of shares[.,s],  t6 = sum of active * d[a,n],  t7 = number of triplets
//                   that are active and not hard;  0 where a quotient would divide by 0;  y[0] and y[1] are NaN if any
//                   distance is not finite;  what is known of a whole batch only is 0
//
//   p       Params
//   shares  [t, 6]    read: the share of triplet_margin_loss
//   y       [16]      read_write, set
//
// dispatch   [1]
// overrides  none
// needs      nothing beyond default limits; three barriers
// order      LANES interleaved parts of the triplets, then the parts, so results repeat bit for bit

const LANES: u32 = 32u;
const TOTALS: u32 = 8u;

@group(0) @binding(1) var<storage, read> shares: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

var<workgroup> parts: array<f32, LANES * TOTALS>;
var<workgroup> totals: array<f32, TOTALS>;
// Of each lane: squares of distances from their mean, for positives and negatives.
var<workgroup> squares: array<vec2<f32>, LANES>;

fn mean(sum: f32, count: f32) -> f32 {
    if count == 0.0 {
        return 0.0;
    }
    return sum / count;
}

@compute @workgroup_size(LANES)
fn triplet_margin_stats(@builtin(local_invocation_index) lane: u32) {
    var sums: array<f32, TOTALS>;
    for (var t = lane; t < p.t; t += LANES) {
        for (var s = 0u; s < SLOTS; s++) {
            sums[s] += shares[SLOTS * t + s];
        }
        sums[6] += shares[SLOTS * t + 1u] * shares[SLOTS * t + 3u];
        sums[7] += shares[SLOTS * t + 1u] * (1.0 - shares[SLOTS * t + 4u]);
    }
    for (var s = 0u; s < TOTALS; s++) {
        parts[s * LANES + lane] = sums[s];
    }
    workgroupBarrier();
    if lane < TOTALS {
        var total = 0.0;
        for (var l = 0u; l < LANES; l++) {
            total += parts[lane * LANES + l];
        }
        totals[lane] = total;
    }
    workgroupBarrier();
    let count = totals[5];
    let positive = mean(totals[2], count);
    let negative = mean(totals[6], totals[1]);
    var square = vec2<f32>();
    for (var t = lane; t < p.t; t += LANES) {
        let near = shares[SLOTS * t + 2u] - positive;
        let far = shares[SLOTS * t + 3u] - negative;
        square.x += shares[SLOTS * t + 5u] * near * near;
        square.y += shares[SLOTS * t + 1u] * far * far;
    }
    squares[lane] = square;
    workgroupBarrier();
    if lane == 0u {
        var all_squares = vec2<f32>();
        for (var l = 0u; l < LANES; l++) {
            all_squares += squares[l];
        }
        // Bits, because a shader compiler may assume that floats are finite.
        let all = bitcast<u32>(totals[2] + totals[3]);
        let broken = (all & 0x7f800000u) == 0x7f800000u;
        let nan = bitcast<f32>(all | 0x7fc00000u);
        y[0] = select(mean(totals[0], totals[1]), nan, broken);
        y[1] = select(mean(totals[0], count), nan, broken);
        y[2] = count;
        y[3] = totals[1];
        y[4] = positive;
        y[5] = negative;
        y[6] = 0.0;
        y[7] = totals[4];
        y[8] = totals[7];
        y[9] = count - totals[4] - totals[7];
        y[10] = totals[1];
        y[11] = count - totals[1];
        y[12] = sqrt(mean(all_squares.x, count));
        y[13] = sqrt(mean(all_squares.y, totals[1]));
        y[14] = 0.0;
        y[15] = count;
    }
}

// triplet_margin_loss_dx: gradient of triplet_margin_loss with respect to the embeddings
//
//   dx[i,k] (+)= 2 * (dy[0]/out[3] + dy[1]/out[2]) * sum over the active triplets of
//                    x[n,k] - x[p,k] where i is the anchor,  x[p,k] - x[a,k] where it is the positive,
//                    x[a,k] - x[n,k] where it is the negative
//                    (a quotient is 0 where it would divide by 0; the statistics behind dy[2..] have no gradient)
//
//   p       Params
//   x       [b, dim]    read
//   chosen  [t, 3]      read (u32): the triplets
//   terms   [t, 6]      read: the share of triplet_margin_loss
//   out     [16]        read: the output of triplet_margin_loss
//   dy      [16]        read
//   dx      [b, dim]    read_write, set or add (ACCUMULATE)
//
// dispatch   [b, ceil(dim/(DX_LANES*DX_COLUMNS))]: a workgroup per image, lanes along dim
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      sums the triplets in order, so results repeat bit for bit

const DX_LANES: u32 = 8u;
const DX_COLUMNS: u32 = 16u; // per invocation, DX_LANES apart

override ACCUMULATE: bool = false;

@group(0) @binding(2) var<storage, read> chosen: array<u32>;
@group(0) @binding(3) var<storage, read> terms: array<f32>;
@group(0) @binding(4) var<storage, read> out: array<f32>;
@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(DX_LANES)
fn triplet_margin_loss_dx(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup.x;
    let first = workgroup.y * (DX_LANES * DX_COLUMNS) + lane;
    var sum: array<f32, DX_COLUMNS>;
    for (var t = 0u; t < p.t; t++) {
        let a = min(chosen[3u * t], p.b - 1u);
        let near = min(chosen[3u * t + 1u], p.b - 1u);
        let far = min(chosen[3u * t + 2u], p.b - 1u);
        if terms[SLOTS * t + 1u] != 0.0 && (i == a || i == near || i == far) {
            for (var c = 0u; c < DX_COLUMNS; c++) {
                let k = min(first + c * DX_LANES, p.dim - 1u);
                let anchor = x[a * p.dim + k];
                let positive = x[near * p.dim + k];
                let negative = x[far * p.dim + k];
                sum[c] += select(0.0, negative - positive, i == a);
                sum[c] += select(0.0, positive - anchor, i == near);
                sum[c] += select(0.0, anchor - negative, i == far);
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
