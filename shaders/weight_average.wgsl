// weight_average: the exponential moving average of a parameter after a step, in place; PyTorch's formula
//
//   average[i] += (1 - rate[4]) * (w[i] - average[i])    only while loss[0] is finite
//
//   p              Params
//   w              [len]    read
//   average        [len]    read_write, updated in place
//   rate           [5]      read (its last float: the part of the average that survives)
//   loss           [1]      read (its first float)
//
// dispatch   [ceil(len/LANES/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums
// uses       finite.wgsl: is_finite
// uses       index.wgsl: ITEMS, Invocation, item_index
// uses       lanes1.wgsl or lanes4.wgsl: F, LANES

struct Params {
    len: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<F>;
@group(0) @binding(2) var<storage, read_write> average: array<F>;
@group(0) @binding(3) var<storage, read> rate: array<f32>;
@group(0) @binding(4) var<storage, read> loss: array<f32>;

@compute @workgroup_size(ITEMS)
fn weight_average(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.len / LANES && is_finite(loss[0]) {
        average[i] += (1.0 - rate[4]) * (w[i] - average[i]);
    }
}
