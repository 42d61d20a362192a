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
// dispatch   [b, ceil(dim/DX_LANES)]: a workgroup per image; its invocations share the pulls, and then lie along dim
// overrides  ACCUMULATE
// needs      nothing beyond default limits; barriers; integer atomics, whose bits do not depend on the order
// order      sums j in order, so results repeat bit for bit; sums of two pulls that are zero are left out
// uses       stat.wgsl: STAT_*, mean
// uses       triplet_params.wgsl: p

const DX_LANES = 128u;
const DX_COLUMNS = 1u; // per invocation
const WORDS = 4u; // of DX_LANES bits

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> pull: array<i32>;
@group(0) @binding(3) var<storage, read> out: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

// Of DX_LANES images: the sums of two pulls, and which of them are not zero, a bit each.
var<workgroup> weights: array<i32, DX_LANES>;
var<workgroup> pulled: array<atomic<u32>, WORDS>;

@compute @workgroup_size(DX_LANES)
fn triplet_loss_dx(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup.x;
    let k = workgroup.y * DX_LANES + lane;
    // Invocations behind the last dimension take part in the barriers and write nothing.
    let column = min(k, p.dim - 1u);
    let own = x[i * p.dim + column];
    var sum = 0.0;
    for (var first = 0u; first < p.b; first += DX_LANES) {
        if lane < WORDS {
            atomicStore(&pulled[lane], 0u);
        }
        workgroupBarrier();
        let j = first + lane;
        if j < p.b {
            let weight = pull[i * p.b + j] + pull[j * p.b + i];
            if weight != 0 {
                weights[lane] = weight;
                atomicOr(&pulled[lane / 32u], 1u << (lane % 32u));
            }
        }
        workgroupBarrier();
        for (var word = 0u; word < WORDS; word++) {
            for (var bits = atomicLoad(&pulled[word]); bits != 0u; bits &= bits - 1u) {
                let at = word * 32u + firstTrailingBit(bits);
                sum += f32(weights[at]) * (own - x[(first + at) * p.dim + column]);
            }
        }
        workgroupBarrier();
    }
    let scale = 2.0 * (mean(dy[STAT_LOSS], out[STAT_ACTIVE]) + mean(dy[STAT_LOSS_PER_PAIR], out[STAT_TRIPLETS]));
    if k < p.dim {
        var g = scale * sum;
        if ACCUMULATE {
            g += dx[i * p.dim + k];
        }
        dx[i * p.dim + k] = g;
    }
}
