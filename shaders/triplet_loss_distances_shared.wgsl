// triplet_centre: the mean embedding; its length is near 1 where all embeddings fall onto a point
//
//   centre[k] = 1/b * sum over i of  x[i,k]
//
//   p       Params
//   x       [b, dim]    read
//   centre  [dim]       read_write, set
//
// dispatch   [ceil(dim/RESULTS)], folded; PARTS invocations share the batch
// overrides  none
// needs      nothing beyond default limits; barriers
// order      every PARTS-th image, then halves are added
// uses       columns.wgsl: PARTS, RESULTS, SHARED, result_of, sum_of_column
// uses       index.wgsl: Invocation
// uses       lanes1.wgsl: F
// uses       triplet_params.wgsl: p

@group(0) @binding(1) var<storage, read> x: array<F>;
@group(0) @binding(2) var<storage, read_write> centre: array<F>;

@compute @workgroup_size(SHARED)
fn triplet_centre(invocation: Invocation) {
    let lane = invocation.lane;
    let k = result_of(invocation);
    var sum = F(0.0);
    for (var i = lane / RESULTS; i < p.b; i += PARTS) {
        sum += x[i * p.dim + min(k, p.dim - 1u)];
    }
    sum = sum_of_column(lane, sum);
    if lane < RESULTS && k < p.dim {
        centre[k] = sum / f32(p.b);
    }
}
