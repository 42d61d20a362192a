// adam: one step of Adam or AdamW (Kingma & Ba, 2015; Loshchilov & Hutter, 2019), in place; PyTorch's formula
//
//   g         = rate[3] * dw[i] + weight_decay * w[i]
//   mean[i]   = beta1 * mean[i] + (1 - beta1) * g
//   square[i] = beta2 * square[i] + (1 - beta2) * g^2
//   w[i]      = w[i] - r * decoupled * w[i] - r * (mean[i] / rate[1]) / (sqrt(square[i]) / rate[2] + eps)
//               with r = factor * rate[0], all of it only while loss[0] is finite
//
//   p       Params
//   w       [len]    read_write, updated in place
//   dw      [len]    read
//   mean    [len]    read_write, updated in place
//   square  [len]    read_write, updated in place
//   rate    [5]      read: learning rate, 1 - beta1^t, sqrt(1 - beta2^t), scale of the gradient
//   loss    [1]      read (its first float)
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
    beta1: f32,
    beta2: f32,
    eps: f32,
    weight_decay: f32,
    decoupled: f32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> w: array<F>;
@group(0) @binding(2) var<storage, read> dw: array<F>;
@group(0) @binding(3) var<storage, read_write> mean: array<F>;
@group(0) @binding(4) var<storage, read_write> square: array<F>;
@group(0) @binding(5) var<storage, read> rate: array<f32>;
@group(0) @binding(6) var<storage, read> loss: array<f32>;

@compute @workgroup_size(ITEMS)
fn adam(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.len / LANES && is_finite(loss[0]) {
        let learning_rate = p.factor * rate[0];
        let shrunk = w[i] - learning_rate * p.decoupled * w[i];
        let g = rate[3] * dw[i] + p.weight_decay * w[i];
        let m = p.beta1 * mean[i] + (1.0 - p.beta1) * g;
        let v = p.beta2 * square[i] + (1.0 - p.beta2) * g * g;
        mean[i] = m;
        square[i] = v;
        w[i] = shrunk - learning_rate * (m / rate[1]) / (sqrt(v) / rate[2] + p.eps);
    }
}
