// conv2d_depthwise: convolution of each channel with a kernel of its own
//
//   y[n,h,w,c] = b[c] + sum over r,s of  w[r,s,c] * x[n,h*stride-pad_top+r*dilation_h,w*stride-pad_left+s*dilation_w,c]
//                (only in-range positions), then max(., 0) if RELU
//
//   p   Params
//   x   [n, h_in, w_in, c]      read
//   w   [k_h, k_w, 1, c]        read
//   y   [n, h_out, w_out, c]    read_write, set
//   b   [c]                     read
//
// dispatch   [ceil(n*h_out*w_out*c/LANES/ITEMS)], folded
// overrides  RELU
// needs      nothing beyond default limits; no barrier
// order      sums r, s in that order, then adds b
// uses       conv2d_grouped.wgsl: OUTSIDE, input_pixel, next_place, output_pixel, p, part_of, place_of
// uses       index.wgsl: ITEMS, Invocation, item_index
// uses       lanes1.wgsl or lanes4.wgsl: F, LANES
// uses       rectified.wgsl: rectified

override RELU: bool = false;
override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> x: array<F>;
@group(0) @binding(2) var<storage, read> w: array<F>;
@group(0) @binding(3) var<storage, read_write> y: array<F>;
@group(0) @binding(4) var<storage, read> b: array<F>;

// The sum over the window of an output pixel, for one item of its channels.
fn window_sum(pixel: u32, channel: u32) -> F {
    let c = p.c_in / LANES;
    let at = place_of(pixel, p.h_out, p.w_out);
    var sum = F(0.0);
    for (var r = 0u; r < p.k_h; r++) {
        for (var s = 0u; s < p.k_w; s++) {
            let source = input_pixel(at, r, s);
            if source != OUTSIDE {
                sum += w[(r * p.k_w + s) * c + channel] * x[source * c + channel];
            }
        }
    }
    return sum;
}

fn finish(i: u32, sum: F) {
    var value = sum;
    if RELU {
        value = rectified(sum);
    }
    y[i] = value;
}

@compute @workgroup_size(ITEMS)
fn conv2d_depthwise(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c_in / LANES;
    if i < p.n * p.h_out * p.w_out * c {
        let pixel = i / c;
        let channel = i - pixel * c;
        finish(i, window_sum(pixel, channel) + b[channel]);
    }
}

// conv2d_depthwise_nobias: conv2d_depthwise without a bias
//
//   y[n,h,w,c] = sum over r,s of  w[r,s,c] * x[n,h*stride-pad_top+r*dilation_h,w*stride-pad_left+s*dilation_w,c]
//                (only in-range positions), then max(., 0) if RELU
//
//   p   Params
//   x   [n, h_in, w_in, c]      read
//   w   [k_h, k_w, 1, c]        read
//   y   [n, h_out, w_out, c]    read_write, set
//
// dispatch   [ceil(n*h_out*w_out*c/LANES/ITEMS)], folded
// overrides  RELU
// needs      nothing beyond default limits; no barrier
// order      sums r, s in that order

@compute @workgroup_size(ITEMS)
fn conv2d_depthwise_nobias(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c_in / LANES;
    if i < p.n * p.h_out * p.w_out * c {
        let pixel = i / c;
        finish(i, window_sum(pixel, i - pixel * c));
    }
}

// conv2d_depthwise_dx: gradient of conv2d_depthwise with respect to its input
//
//   dx[n,h,w,c] (+)= sum over r,s of  w[r,s,c] * dy[n,(h+pad_top-r*dilation_h)/stride,(w+pad_left-s*dilation_w)/stride,c]
//                    (only integral, in-range positions)
//
//   p   Params
//   dy  [n, h_out, w_out, c]    read
//   w   [k_h, k_w, 1, c]        read
//   dx  [n, h_in, w_in, c]      read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(n*h_in*w_in*c/LANES/ITEMS)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      sums r, s in that order

@group(0) @binding(1) var<storage, read> dy: array<F>;
@group(0) @binding(3) var<storage, read_write> dx: array<F>;

@compute @workgroup_size(ITEMS)
fn conv2d_depthwise_dx(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c_in / LANES;
    if i < p.n * p.h_in * p.w_in * c {
        let pixel = i / c;
        let channel = i - pixel * c;
        let at = place_of(pixel, p.h_in, p.w_in);
        var sum = F(0.0);
        for (var r = 0u; r < p.k_h; r++) {
            for (var s = 0u; s < p.k_w; s++) {
                let source = output_pixel(at, r, s);
                if source != OUTSIDE {
                    sum += w[(r * p.k_w + s) * c + channel] * dy[source * c + channel];
                }
            }
        }
        if ACCUMULATE {
            sum += dx[i];
        }
        dx[i] = sum;
    }
}

// conv2d_depthwise_dw: gradient of conv2d_depthwise with respect to its weights, in parts
//
//   part[t,r,s,c] (+)= sum over the pixels n,h,w of part t of
//                      x[n,h*stride-pad_top+r*dilation_h,w*stride-pad_left+s*dilation_w,c] * dy[n,h,w,c]
//                      (only in-range positions)
//
//   p     Params
//   x     [n, h_in, w_in, c]          read
//   dyw   [n, h_out, w_out, c]        read: dy
//   part  [splits, k_h, k_w, 1, c]    read_write, set or add (ACCUMULATE); dw itself if splits is 1
//
// dispatch   [ceil(splits*k_h*k_w*c/LANES/ITEMS)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      sums n, h, w in that order within a part of ceil(n*h_out*w_out/splits) pixels

@group(0) @binding(2) var<storage, read> dyw: array<F>;
@group(0) @binding(3) var<storage, read_write> part: array<F>;

@compute @workgroup_size(ITEMS)
fn conv2d_depthwise_dw(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c_in / LANES;
    let taps = p.k_h * p.k_w;
    if i < p.splits * taps * c {
        let tap = i / c % taps;
        let channel = i % c;
        let r = tap / p.k_w;
        let s = tap - r * p.k_w;
        let pixels = part_of(i / c / taps);
        var at = place_of(pixels.x, p.h_out, p.w_out);
        var sum = F(0.0);
        for (var pixel = pixels.x; pixel < pixels.y; pixel++) {
            let source = input_pixel(at, r, s);
            if source != OUTSIDE {
                sum += x[source * c + channel] * dyw[pixel * c + channel];
            }
            at = next_place(at, p.h_out, p.w_out);
        }
        if ACCUMULATE {
            sum += part[i];
        }
        part[i] = sum;
    }
}
