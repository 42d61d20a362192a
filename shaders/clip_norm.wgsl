// clip_norm: what all gradients are multiplied by, so that together they are no longer than `most`; PyTorch's formula
//
//   rate[3] = min(1, most / (sqrt(sum over t of part[t]) + 1e-6))
//
//   p     Params
//   part  [parts]    read
//   rate  [5]        read_write, sets its fourth float
//
// dispatch   [1]
// overrides  none
// needs      nothing beyond default limits; a barrier
// order      each invocation sums every 256th part, then halves are added

struct Params {
    parts: u32,
    most: f32,
}

const LANE_COUNT = 256u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<storage, read_write> rate: array<f32>;

var<workgroup> sums: array<f32, LANE_COUNT>;

@compute @workgroup_size(LANE_COUNT)
fn clip_norm(@builtin(local_invocation_index) lane: u32) {
    var total = 0.0;
    for (var t = lane; t < p.parts; t += LANE_COUNT) {
        total += part[t];
    }
    sums[lane] = total;
    for (var half = LANE_COUNT / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            sums[lane] += sums[lane + half];
        }
    }
    if lane == 0u {
        rate[3] = min(1.0, p.most / (sqrt(sums[0]) + 1e-6));
    }
}
