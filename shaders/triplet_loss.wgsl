// triplet_stats: the loss and the statistics of the batch, from the sums of each anchor
//
//   y[0] = t0/t1     y[1] = t0/t6     y[2] = s0     y[3] = t1    y[4] = s1/s0         y[5] = t3/t1
//   y[6] = s6/s5     y[7] = s3        y[8] = s4     y[9] = s0 - s3 - s4    y[10] = t2     y[11] = s0 - t5
//   y[12] = sqrt(1/s0 * sum over a of  pairs[a,2] + pairs[a,0] * (pairs[a,1]/pairs[a,0] - y[4])^2)
//   y[13] = sqrt(1/t1 * sum over a of  triplets[a,4] + triplets[a,1] * (triplets[a,3]/triplets[a,1] - y[5])^2)
//   y[14] = length of centre     y[15] = t6
//                    with  si, ti = sum over a of pairs[a,i], triplets[a,i];  a quotient is 0 where it would divide by 0;
//                    y[0] and y[1] are NaN if any distance (their sum s7) is not finite, because a NaN is never selected
//                    and would pass unseen
//
//   p         Params
//   pairs     [b, 8]    read: the share of triplet_pairs
//   triplets  [b, 8]    read: the share of triplet_closest, triplet_random or triplet_all
//   centre    [dim]     read: the mean embedding
//   y         [16]      read_write, set
//
// dispatch   [1]
// overrides  none
// needs      nothing beyond default limits; three barriers
// order      sums PARTS interleaved parts of the anchors, then the parts, so results repeat bit for bit

const SLOTS: u32 = 8u; // of each of the two kinds of sums
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
    let positive = mean(totals[1], totals[0]);
    let negative = mean(totals[SLOTS + 3u], totals[SLOTS + 1u]);
    var square = vec3<f32>();
    for (var a = lane; a < p.b; a += LANES) {
        let i = a * SLOTS;
        square.x += pairs[i + 2u] + between(pairs[i + 1u], pairs[i], positive);
        square.y += triplets[i + 4u] + between(triplets[i + 3u], triplets[i + 1u], negative);
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
        // Bits, because a shader compiler may assume that floats are finite.
        let all = bitcast<u32>(totals[7]);
        let broken = (all & 0x7f800000u) == 0x7f800000u;
        let nan = bitcast<f32>(all | 0x7fc00000u);
        let used = totals[SLOTS + 1u];
        y[0] = select(mean(totals[SLOTS], used), nan, broken);
        y[1] = select(mean(totals[SLOTS], totals[SLOTS + 6u]), nan, broken);
        y[2] = totals[0];
        y[3] = used;
        y[4] = positive;
        y[5] = negative;
        y[6] = mean(totals[6], totals[5]);
        y[7] = totals[3];
        y[8] = totals[4];
        y[9] = totals[0] - totals[3] - totals[4];
        y[10] = totals[SLOTS + 2u];
        y[11] = totals[0] - totals[SLOTS + 5u];
        y[12] = sqrt(mean(all_squares.x, totals[0]));
        y[13] = sqrt(mean(all_squares.y, used));
        y[14] = sqrt(all_squares.z);
        y[15] = totals[SLOTS + 6u];
    }
}

fn mean(sum: f32, count: f32) -> f32 {
    if count == 0.0 {
        return 0.0;
    }
    return sum / count;
}

// What the mean of an anchor's distances adds to the squares of all distances from their mean.
fn between(sum: f32, count: f32, all: f32) -> f32 {
    let apart = mean(sum, count) - all;
    return count * apart * apart;
}

// triplet_loss_dx: gradient of triplet_loss with respect to the embeddings
//
//   dx[i,k] (+)= 2 * (dy[0]/out[3] + dy[1]/out[15]) * sum over j of  (pull[i,j] + pull[j,i]) * (x[i,k] - x[j,k])
//                    (a quotient is 0 where it would divide by 0; the statistics behind dy[2..] have no gradient)
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

const DX_LANES: u32 = 8u;
const DX_COLUMNS: u32 = 16u; // per invocation, DX_LANES apart

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
    let scale = 2.0 * (mean(dy[0], out[3]) + mean(dy[1], out[15]));
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
