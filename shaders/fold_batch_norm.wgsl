// fold_batch_norm_w: the weights of a layer that takes over the batch normalisation behind it
//
//   folded[i,c] = w[i,c] * gamma[c] / sqrt(var[c] + eps)
//
//   p         Params
//   w         [rows, c]    read
//   gamma     [c]          read
//   variance  [c]          read
//   folded    [rows, c]    read_write, set
//
// dispatch   [ceil(rows*c/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums
// uses       index.wgsl: ITEMS, Invocation, item_index

struct Params {
    rows: u32,
    c: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> gamma: array<f32>;
@group(0) @binding(3) var<storage, read> variance: array<f32>;
@group(0) @binding(4) var<storage, read_write> folded: array<f32>;

@compute @workgroup_size(ITEMS)
fn fold_batch_norm_w(invocation: Invocation) {
    let i = item_index(invocation);
    if i < p.rows * p.c {
        let c = i % p.c;
        folded[i] = w[i] * (gamma[c] / sqrt(variance[c] + p.eps));
    }
}

// fold_batch_norm_b: the bias of such a layer
//
//   shift[c] = beta[c] + (b[c] - mean[c]) * scale[c] / sqrt(running_var[c] + eps)    with b = 0 unless BIAS
//
//   p       Params
//   scale   [c]    read: gamma
//   running_var  [c]    read: the variance
//   beta    [c]    read
//   mean    [c]    read
//   b       [c]    read: the layer's own bias, or anything of that size unless BIAS
//   shift   [c]    read_write, set
//
// dispatch   [ceil(c/ITEMS)]
// overrides  BIAS
// needs      nothing beyond default limits; no barrier
// order      no sums

override BIAS: bool = false;

@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read> running_var: array<f32>;
@group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read> mean: array<f32>;
@group(0) @binding(5) var<storage, read> b: array<f32>;
@group(0) @binding(6) var<storage, read_write> shift: array<f32>;

@compute @workgroup_size(ITEMS)
fn fold_batch_norm_b(invocation: Invocation) {
    let c = item_index(invocation);
    if c < p.c {
        let own = select(0.0, b[c], BIAS);
        shift[c] = beta[c] + (own - mean[c]) * (scale[c] / sqrt(running_var[c] + p.eps));
    }
}
