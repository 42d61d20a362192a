// avg_pool2d: mean of each window, per channel; padding counts as zeros
//
//   y[n,a,b,c] = sum over r,s of  x[n, a*stride+r-pad, b*stride+s-pad, c] / area[a,b]    (only in-range positions)
//   area[a,b]  = k_h*k_w, less what lies beyond the padding where the number of windows is rounded up
//
//   p   Params
//   x   [n, h_in, w_in, c]      read
//   y   [n, h_out, w_out, c]    read_write, set
//
// dispatch   [ceil(n*h_out*w_out*c/LANES/RESULTS)], folded; PARTS invocations share a window
// overrides  none
// needs      nothing beyond default limits; barriers
// order      every PARTS-th position in the order of r, s, then halves are added, so results repeat bit for bit
// uses       columns.wgsl: PARTS, RESULTS, SHARED, result_of, sum_of_column
// uses       index.wgsl: Invocation
// uses       lanes1.wgsl or lanes4.wgsl: F, LANES
// uses       pool.wgsl: p, window, window_size

@group(0) @binding(1) var<storage, read> x: array<F>;
@group(0) @binding(2) var<storage, read_write> y: array<F>;

@compute @workgroup_size(SHARED)
fn avg_pool2d(invocation: Invocation) {
    let lane = invocation.lane;
    let c = p.c / LANES;
    let count = p.n * p.h_out * p.w_out * c;
    let own = result_of(invocation);
    let i = min(own, count - 1u);
    let pixel = i / c;
    let row = pixel / p.w_out;
    let image = row / p.h_out;
    let a = row - image * p.h_out;
    let b = pixel - row * p.w_out;
    let rows = window(a * p.stride, p.k_h, p.h_in, p.pad);
    let columns = window(b * p.stride, p.k_w, p.w_in, p.pad);
    let origin = image * p.h_in * p.w_in * c + (i - pixel * c);
    let width = columns.y - columns.x;
    var sum = F(0.0);
    for (var at = lane / RESULTS; at < (rows.y - rows.x) * width; at += PARTS) {
        let h = rows.x + at / width;
        let w = columns.x + at % width;
        sum += x[origin + ((h - p.pad) * p.w_in + w - p.pad) * c];
    }
    sum = sum_of_column(lane, sum);
    if lane < RESULTS && own < count {
        y[i] = sum / f32(window_size(a, p.k_h, p.h_in) * window_size(b, p.k_w, p.w_in));
    }
}
