// gradient_norm: the sum of the squares of one gradient, as one of the parts of the sum over all of them
//
//   part[at + t] = sum over the rows r of part t of  dw[r]^2
//
//   p     Params
//   dw    [len]      read
//   part  [parts]    read_write, sets [at .. at + splits]
//
// dispatch   [splits]
// overrides  none
// needs      nothing beyond default limits; a barrier
// order      each invocation sums every 256th float of its part, then halves are added
// uses       index.wgsl: part_start

struct Params {
    len: u32,
    splits: u32,
    at: u32,
}

const LANE_COUNT = 256u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dw: array<f32>;
@group(0) @binding(2) var<storage, read_write> part: array<f32>;

var<workgroup> sums: array<f32, LANE_COUNT>;

@compute @workgroup_size(LANE_COUNT)
fn gradient_norm(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let end = part_start(workgroup.x + 1u, p.len, p.splits);
    var total = 0.0;
    for (var i = part_start(workgroup.x, p.len, p.splits) + lane; i < end; i += LANE_COUNT) {
        total += dw[i] * dw[i];
    }
    sums[lane] = total;
    for (var half = LANE_COUNT / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            sums[lane] += sums[lane + half];
        }
    }
    if lane == 0u {
        part[p.at + workgroup.x] = sums[0];
    }
}
