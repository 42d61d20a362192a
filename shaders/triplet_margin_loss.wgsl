// triplet_margin_loss: the loss of triplets that were chosen before, and what makes its statistics
//
//   share[t] = (LOSS: hinge, ACTIVE: active, POSITIVE: d[a,p], NEGATIVE: d[a,n], HARD: hard, COUNT: 1)
//              with  (a,p,n) = triplets[t],  active = 1 where hinge > 0,
//              hinge = max(d[a,p] - d[a,n] + margin, 0),  hard = 1 where d[a,n] <= d[a,p];  zeros where any of a, p, n is
//              not below b: then it is no triplet;  d[i,j] = sum over k of (x[i,k] - x[j,k])^2
//
//   p         Params
//   x         [b, dim]    read
//   triplets  [t, 3]      read (u32): indices of anchor, positive, negative
//   share     [t, SLOTS]  read_write, set
//
// dispatch   [ceil(t/64)]
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      sums k in order, so results repeat bit for bit
// uses       stat.wgsl: STAT_*, loss_or_nan, mean
// uses       triplet_dx.wgsl: DX_COLUMNS, DX_LANES

struct Params {
    b: u32,
    dim: u32,
    t: u32,
    margin: f32,
}

// The row of a triplet.
const SLOTS = 6u;
const TERM_LOSS = 0u;
const TERM_ACTIVE = 1u;
const TERM_POSITIVE = 2u;
const TERM_NEGATIVE = 3u;
const TERM_HARD = 4u;
const TERM_COUNT = 5u;

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
        share[SLOTS * t + TERM_LOSS] = select(0.0, hinge, counts);
        share[SLOTS * t + TERM_ACTIVE] = select(0.0, 1.0, counts);
        share[SLOTS * t + TERM_POSITIVE] = near;
        share[SLOTS * t + TERM_NEGATIVE] = far;
        share[SLOTS * t + TERM_HARD] = select(0.0, 1.0, is_one && far <= near);
        share[SLOTS * t + TERM_COUNT] = select(0.0, 1.0, is_one);
    }
}

// triplet_margin_stats: the loss and the statistics of all triplets, in the slots of triplet_loss
//
//   y[slot], where  t = the sums over the triplets of shares,  far = sum of ACTIVE * NEGATIVE,  semi = number of triplets that
//       are active and not hard,  each slot named as in shaders/lib
//       LOSS               t.LOSS / t.ACTIVE      LOSS_PER_PAIR      t.LOSS / t.COUNT
//       PAIRS, TRIPLETS    t.COUNT                ACTIVE, CANDIDATES t.ACTIVE
//       POSITIVE_DISTANCE  t.POSITIVE / t.COUNT   NEGATIVE_DISTANCE  far / t.ACTIVE
//       HARD               t.HARD                 SEMI_HARD          semi
//       EASY               t.COUNT - t.HARD - semi                   SKIPPED_PAIRS      t.COUNT - t.ACTIVE
//       POSITIVE_STD       sqrt(1/t.COUNT * sum over the triplets of (d[a,p] - POSITIVE_DISTANCE)^2)
//       NEGATIVE_STD       sqrt(1/t.ACTIVE * sum over the active triplets of (d[a,n] - NEGATIVE_DISTANCE)^2)
//       0 where a quotient would divide by 0;  the losses are NaN if any distance is not finite;  what is known of a whole
//       batch only (DIFFERENT_DISTANCE, MEAN_LENGTH) is 0
//
//   p       Params
//   shares  [t, SLOTS]    read: the share of triplet_margin_loss
//   y       [16]          read_write, set
//
// dispatch   [1]
// overrides  none
// needs      nothing beyond default limits; three barriers
// order      LANES interleaved parts of the triplets, then the parts, so results repeat bit for bit

const LANES: u32 = 32u;
// What is summed: the slots of a row, and two sums of products of them.
const TOTALS = 8u;
const ACTIVE_NEGATIVE = 6u;
const ACTIVE_SEMI_HARD = 7u;

@group(0) @binding(1) var<storage, read> shares: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

var<workgroup> parts: array<f32, LANES * TOTALS>;
var<workgroup> totals: array<f32, TOTALS>;
// Of each lane: squares of distances from their mean, for positives and negatives.
var<workgroup> squares: array<vec2<f32>, LANES>;

@compute @workgroup_size(LANES)
fn triplet_margin_stats(@builtin(local_invocation_index) lane: u32) {
    var sums: array<f32, TOTALS>;
    for (var t = lane; t < p.t; t += LANES) {
        for (var s = 0u; s < SLOTS; s++) {
            sums[s] += shares[SLOTS * t + s];
        }
        let is_active = shares[SLOTS * t + TERM_ACTIVE];
        sums[ACTIVE_NEGATIVE] += is_active * shares[SLOTS * t + TERM_NEGATIVE];
        sums[ACTIVE_SEMI_HARD] += is_active * (1.0 - shares[SLOTS * t + TERM_HARD]);
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
    let count = totals[TERM_COUNT];
    let used = totals[TERM_ACTIVE];
    let positive = mean(totals[TERM_POSITIVE], count);
    let negative = mean(totals[ACTIVE_NEGATIVE], used);
    var square = vec2<f32>();
    for (var t = lane; t < p.t; t += LANES) {
        let near = shares[SLOTS * t + TERM_POSITIVE] - positive;
        let far = shares[SLOTS * t + TERM_NEGATIVE] - negative;
        square.x += shares[SLOTS * t + TERM_COUNT] * near * near;
        square.y += shares[SLOTS * t + TERM_ACTIVE] * far * far;
    }
    squares[lane] = square;
    workgroupBarrier();
    if lane == 0u {
        var all_squares = vec2<f32>();
        for (var l = 0u; l < LANES; l++) {
            all_squares += squares[l];
        }
        let all = totals[TERM_POSITIVE] + totals[TERM_NEGATIVE];
        let hard = totals[TERM_HARD];
        let semi_hard = totals[ACTIVE_SEMI_HARD];
        y[STAT_LOSS] = loss_or_nan(mean(totals[TERM_LOSS], used), all);
        y[STAT_LOSS_PER_PAIR] = loss_or_nan(mean(totals[TERM_LOSS], count), all);
        y[STAT_PAIRS] = count;
        y[STAT_ACTIVE] = used;
        y[STAT_POSITIVE_DISTANCE] = positive;
        y[STAT_NEGATIVE_DISTANCE] = negative;
        y[STAT_DIFFERENT_DISTANCE] = 0.0;
        y[STAT_HARD] = hard;
        y[STAT_SEMI_HARD] = semi_hard;
        y[STAT_EASY] = count - hard - semi_hard;
        y[STAT_CANDIDATES] = used;
        y[STAT_SKIPPED_PAIRS] = count - used;
        y[STAT_POSITIVE_STD] = sqrt(mean(all_squares.x, count));
        y[STAT_NEGATIVE_STD] = sqrt(mean(all_squares.y, used));
        y[STAT_MEAN_LENGTH] = 0.0;
        y[STAT_TRIPLETS] = count;
    }
}

// triplet_margin_loss_dx: gradient of triplet_margin_loss with respect to the embeddings
//
//   dx[i,k] (+)= 2 * share * sum over the active triplets of
//                    x[n,k] - x[p,k] where i is the anchor,  x[p,k] - x[a,k] where it is the positive,
//                    x[a,k] - x[n,k] where it is the negative
//   share = dy[LOSS]/out[ACTIVE] + dy[LOSS_PER_PAIR]/out[PAIRS]
//                    (a quotient is 0 where it would divide by 0; the other statistics have no gradient)
//
//   p       Params
//   x       [b, dim]    read
//   chosen  [t, 3]      read (u32): the triplets
//   terms   [t, SLOTS]      read: the share of triplet_margin_loss
//   out     [16]        read: the output of triplet_margin_loss
//   dy      [16]        read
//   dx      [b, dim]    read_write, set or add (ACCUMULATE)
//
// dispatch   [b, ceil(dim/(DX_LANES*DX_COLUMNS))]: a workgroup per image, lanes along dim
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      sums the triplets in order, so results repeat bit for bit

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
        if terms[SLOTS * t + TERM_ACTIVE] != 0.0 && (i == a || i == near || i == far) {
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
    let scale = 2.0 * (mean(dy[STAT_LOSS], out[STAT_ACTIVE]) + mean(dy[STAT_LOSS_PER_PAIR], out[STAT_PAIRS]));
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
