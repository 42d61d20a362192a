// sgd: one step of stochastic gradient descent with momentum, in place; PyTorch's formula
//
//   g           = rate[3] * dw[i] + weight_decay * w[i]
//   velocity[i] = momentum * velocity[i] + g
//   step        = velocity[i], with Nesterov's momentum g + momentum * velocity[i]
//   w[i]        = w[i] - factor * rate[0] * step    all of it only while loss[0] is finite
//
//   p              Params
//   w              [len]    read_write, updated in place
//   dw             [len]    read
//   velocity       [len]    read_write, updated in place
//   rate           [5]      read: learning rate, two that are not used, scale of the gradient
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
    momentum: f32,
    weight_decay: f32,
    nesterov: f32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> w: array<F>;
@group(0) @binding(2) var<storage, read> dw: array<F>;
@group(0) @binding(3) var<storage, read_write> velocity: array<F>;
@group(0) @binding(4) var<storage, read> rate: array<f32>;
@group(0) @binding(5) var<storage, read> loss: array<f32>;

@compute @workgroup_size(ITEMS)
fn sgd(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.len / LANES && is_finite(loss[0]) {
        let g = rate[3] * dw[i] + p.weight_decay * w[i];
        let v = p.momentum * velocity[i] + g;
        velocity[i] = v;
        w[i] -= p.factor * rate[0] * select(v, g + p.momentum * v, p.nesterov != 0.0);
    }
}
