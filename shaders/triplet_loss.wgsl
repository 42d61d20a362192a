// triplet_stats: the loss and the statistics of the batch, from the sums of each anchor
//
//   y[slot], where  s, t = the sums over all anchors a of pairs[a] and triplets[a],  each slot named as in shaders/lib
//       LOSS               t.LOSS / t.COUNT             LOSS_PER_PAIR      t.LOSS / t.POSSIBLE
//       PAIRS              s.COUNT                      ACTIVE             t.COUNT
//       POSITIVE_DISTANCE  s.DISTANCE / s.COUNT         NEGATIVE_DISTANCE  t.DISTANCE / t.COUNT
//       DIFFERENT_DISTANCE s.OTHER_DISTANCE / s.OTHERS  EASY               s.COUNT - s.HARD - s.SEMI_HARD
//       HARD, SEMI_HARD    those of s                   CANDIDATES         t.CANDIDATES
//       SKIPPED_PAIRS      s.COUNT - t.PAIRS            TRIPLETS           t.POSSIBLE
//       POSITIVE_STD       sqrt(1/s.COUNT * sum over a of  SQUARES + COUNT * (DISTANCE/COUNT - POSITIVE_DISTANCE)^2)
//       NEGATIVE_STD       the same of the triplets     MEAN_LENGTH        length of centre
//       a quotient is 0 where it would divide by 0;  the losses are NaN if any distance (s.ALL_DISTANCE) is not finite
//
//   p         Params
//   pairs     [b, SLOTS]    read: the share of triplet_pairs
//   triplets  [b, SLOTS]    read: the share of triplet_closest, triplet_random or triplet_all
//   centre    [dim]         read: the mean embedding
//   y         [16]          read_write, set
//
// dispatch   [1]
// overrides  none
// needs      nothing beyond default limits; three barriers
// order      sums PARTS interleaved parts of the anchors, then the parts, so results repeat bit for bit
// uses       stat.wgsl: STAT_*, loss_or_nan, mean
// uses       triplet_dx.wgsl: DX_COLUMNS, DX_LANES
// uses       triplet_params.wgsl: p
// uses       triplet_sums.wgsl: PAIR_*, SLOTS, TRIPLET_*

const PARTS: u32 = 16u;
const LANES: u32 = 256u; // PARTS * 2 * SLOTS

@group(0) @binding(1) var<storage, read> pairs: array<f32>;
@group(0) @binding(2) var<storage, read> triplets: array<f32>;
@group(0) @binding(3) var<storage, read> centre: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

var<workgroup> parts: array<f32, LANES>;
var<workgroup> totals: array<f32, 2 * SLOTS>;
// Of each lane: squares of the distances of anchors' means from the mean, for positives and negatives; of the centre.
var<workgroup> squares: array<vec3<f32>, LANES>;

@compute @workgroup_size(LANES)
fn triplet_stats(@builtin(local_invocation_index) lane: u32) {
    let slot = lane % (2u * SLOTS);
    var sum = 0.0;
    for (var a = lane / (2u * SLOTS); a < p.b; a += PARTS) {
        if slot < SLOTS {
            sum += pairs[a * SLOTS + slot];
        } else {
            sum += triplets[a * SLOTS + slot - SLOTS];
        }
    }
    parts[lane] = sum;
    workgroupBarrier();
    if lane < 2u * SLOTS {
        var total = 0.0;
        for (var part = 0u; part < PARTS; part++) {
            total += parts[part * 2u * SLOTS + lane];
        }
        totals[lane] = total;
    }
    workgroupBarrier();
    let positive = mean(totals[PAIR_DISTANCE], totals[PAIR_COUNT]);
    let negative = mean(totals[SLOTS + TRIPLET_DISTANCE], totals[SLOTS + TRIPLET_COUNT]);
    var square = vec3<f32>();
    for (var a = lane; a < p.b; a += LANES) {
        let i = a * SLOTS;
        square.x += pairs[i + PAIR_SQUARES] + between(pairs[i + PAIR_DISTANCE], pairs[i + PAIR_COUNT], positive);
        square.y += triplets[i + TRIPLET_SQUARES]
            + between(triplets[i + TRIPLET_DISTANCE], triplets[i + TRIPLET_COUNT], negative);
    }
    for (var k = lane; k < p.dim; k += LANES) {
        square.z += centre[k] * centre[k];
    }
    squares[lane] = square;
    workgroupBarrier();
    if lane == 0u {
        var all_squares = vec3<f32>();
        for (var l = 0u; l < LANES; l++) {
            all_squares += squares[l];
        }
        let all = totals[PAIR_ALL_DISTANCE];
        let pair_count = totals[PAIR_COUNT];
        let loss = totals[SLOTS + TRIPLET_LOSS];
        let used = totals[SLOTS + TRIPLET_COUNT];
        let possible = totals[SLOTS + TRIPLET_POSSIBLE];
        y[STAT_LOSS] = loss_or_nan(mean(loss, used), all);
        y[STAT_LOSS_PER_PAIR] = loss_or_nan(mean(loss, possible), all);
        y[STAT_PAIRS] = pair_count;
        y[STAT_ACTIVE] = used;
        y[STAT_POSITIVE_DISTANCE] = positive;
        y[STAT_NEGATIVE_DISTANCE] = negative;
        y[STAT_DIFFERENT_DISTANCE] = mean(totals[PAIR_OTHER_DISTANCE], totals[PAIR_OTHERS]);
        y[STAT_HARD] = totals[PAIR_HARD];
        y[STAT_SEMI_HARD] = totals[PAIR_SEMI_HARD];
        y[STAT_EASY] = pair_count - totals[PAIR_HARD] - totals[PAIR_SEMI_HARD];
        y[STAT_CANDIDATES] = totals[SLOTS + TRIPLET_CANDIDATES];
        y[STAT_SKIPPED_PAIRS] = pair_count - totals[SLOTS + TRIPLET_PAIRS];
        y[STAT_POSITIVE_STD] = sqrt(mean(all_squares.x, pair_count));
        y[STAT_NEGATIVE_STD] = sqrt(mean(all_squares.y, used));
        y[STAT_MEAN_LENGTH] = sqrt(all_squares.z);
        y[STAT_TRIPLETS] = possible;
    }
}

// What the mean of an anchor's distances adds to the squares of all distances from their mean.
fn between(sum: f32, count: f32, all: f32) -> f32 {
    let apart = mean(sum, count) - all;
    return count * apart * apart;
}

// triplet_loss_dx: gradient of triplet_loss with respect to the embeddings
//
//   dx[i,k] (+)= 2 * share * sum over j of  (pull[i,j] + pull[j,i]) * (x[i,k] - x[j,k])
//   share = dy[LOSS]/out[ACTIVE] + dy[LOSS_PER_PAIR]/out[TRIPLETS]
//                    (a quotient is 0 where it would divide by 0; the other statistics have no gradient)
//
//   p     Params
//   x     [b, dim]    read
//   pull  [b, b]      read (i32): row a holds how often a's triplets pull an image close, less how often they push it away
//   out   [16]        read: the output of triplet_loss
//   dy    [16]        read
//   dx    [b, dim]    read_write, set or add (ACCUMULATE)
//
// dispatch   [b, ceil(dim/(DX_LANES*DX_COLUMNS))]: a workgroup per image, lanes along dim
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      sums j in order, so results repeat bit for bit; most sums of two pulls are zero and cost two loads

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> pull: array<i32>;
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
        let weight = pull[i * p.b + j] + pull[j * p.b + i];
        if weight != 0 {
            for (var c = 0u; c < DX_COLUMNS; c++) {
                let other = x[j * p.dim + min(first + c * DX_LANES, p.dim - 1u)];
                sum[c] += f32(weight) * (own[c] - other);
            }
        }
    }
    let scale = 2.0 * (mean(dy[STAT_LOSS], out[STAT_ACTIVE]) + mean(dy[STAT_LOSS_PER_PAIR], out[STAT_TRIPLETS]));
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
