// conv2d_grouped: convolution with the channels in groups, and with holes in the kernel
//
//   y[n,h,w,o] = b[o] + sum over r,s,i of
//                w[r,s,i,o] * x[n,h*stride-pad_top+r*dilation_h,w*stride-pad_left+s*dilation_w,first+i]
//                (only in-range positions), then max(., 0) if RELU; first is the first input channel of o's group
//
//   p   Params
//   x   [n, h_in, w_in, c_in]              read
//   w   [k_h, k_w, c_in/groups, c_out]     read
//   y   [n, h_out, w_out, c_out]           read_write, set
//   b   [c_out]                            read
//
// dispatch   [ceil(n*h_out*w_out*c_out/LANES/ITEMS)], folded
// overrides  RELU
// needs      nothing beyond default limits; no barrier
// order      sums r, s, i in that order, then adds b
// uses       conv2d_grouped.wgsl: OUTSIDE, input_pixel, next_place, output_pixel, p, part_of, place_of
// uses       index.wgsl: ITEMS, Invocation, item_index
// uses       lanes1.wgsl or lanes4.wgsl: F, LANES, float_of
// uses       rectified.wgsl: rectified

// LANES channels of the output that lie side by side belong to one group: it has a multiple of LANES of them.

override RELU: bool = false;
override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<F>;
@group(0) @binding(3) var<storage, read_write> y: array<F>;
@group(0) @binding(4) var<storage, read> b: array<F>;

// The sum over the window of an output pixel, for one item of its channels.
fn window_sum(pixel: u32, channel: u32) -> F {
    let c_out = p.c_out / LANES;
    let c_group = p.c_in / p.groups;
    let first = channel / (c_out / p.groups) * c_group;
    let at = place_of(pixel, p.h_out, p.w_out);
    var sum = F(0.0);
    for (var r = 0u; r < p.k_h; r++) {
        for (var s = 0u; s < p.k_w; s++) {
            let source = input_pixel(at, r, s);
            if source != OUTSIDE {
                let x_at = source * p.c_in + first;
                let w_at = (r * p.k_w + s) * c_group * c_out + channel;
                for (var i = 0u; i < c_group; i++) {
                    sum += w[w_at + i * c_out] * x[x_at + i];
                }
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
fn conv2d_grouped(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c_out / LANES;
    if i < p.n * p.h_out * p.w_out * c {
        let pixel = i / c;
        let channel = i - pixel * c;
        finish(i, window_sum(pixel, channel) + b[channel]);
    }
}

// conv2d_grouped_nobias: conv2d_grouped without a bias
//
//   y[n,h,w,o] = sum over r,s,i of
//                w[r,s,i,o] * x[n,h*stride-pad_top+r*dilation_h,w*stride-pad_left+s*dilation_w,first+i]
//                (only in-range positions), then max(., 0) if RELU; first is the first input channel of o's group
//
//   p   Params
//   x   [n, h_in, w_in, c_in]              read
//   w   [k_h, k_w, c_in/groups, c_out]     read
//   y   [n, h_out, w_out, c_out]           read_write, set
//
// dispatch   [ceil(n*h_out*w_out*c_out/LANES/ITEMS)], folded
// overrides  RELU
// needs      nothing beyond default limits; no barrier
// order      sums r, s, i in that order

@compute @workgroup_size(ITEMS)
fn conv2d_grouped_nobias(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c_out / LANES;
    if i < p.n * p.h_out * p.w_out * c {
        let pixel = i / c;
        finish(i, window_sum(pixel, i - pixel * c));
    }
}

// conv2d_grouped_dx: gradient of conv2d_grouped with respect to its input
//
//   dx[n,h,w,first+i] (+)= sum over r,s and the channels o of the group of
//                          w[r,s,i,o] * dy[n,(h+pad_top-r*dilation_h)/stride,(w+pad_left-s*dilation_w)/stride,o]
//                          (only integral, in-range positions)
//
//   p   Params
//   dy  [n, h_out, w_out, c_out]           read
//   w   [k_h, k_w, c_in/groups, c_out]     read
//   dx  [n, h_in, w_in, c_in]              read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(n*h_in*w_in*c_in/ITEMS)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      LANES sums of every LANES-th channel, each r, s, o in that order; then adds these up

@group(0) @binding(1) var<storage, read> dy: array<F>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(ITEMS)
fn conv2d_grouped_dx(invocation: Invocation) {
    let item = item_index(invocation);
    if item < p.n * p.h_in * p.w_in * p.c_in {
        let c_out = p.c_out / LANES;
        let c_group = p.c_in / p.groups;
        let o_group = c_out / p.groups;
        let pixel = item / p.c_in;
        let channel = item - pixel * p.c_in;
        let group = channel / c_group;
        let i = channel - group * c_group;
        let at = place_of(pixel, p.h_in, p.w_in);
        var sum = F(0.0);
        for (var r = 0u; r < p.k_h; r++) {
            for (var s = 0u; s < p.k_w; s++) {
                let source = output_pixel(at, r, s);
                if source != OUTSIDE {
                    let dy_at = source * c_out + group * o_group;
                    let w_at = ((r * p.k_w + s) * c_group + i) * c_out + group * o_group;
                    for (var o = 0u; o < o_group; o++) {
                        sum += w[w_at + o] * dy[dy_at + o];
                    }
                }
            }
        }
        var total = 0.0;
        for (var number = 0u; number < LANES; number++) {
            total += float_of(sum, number);
        }
        if ACCUMULATE {
            total += dx[item];
        }
        dx[item] = total;
    }
}

// conv2d_grouped_dw: gradient of conv2d_grouped with respect to its weights, in parts
//
//   part[t,r,s,i,o] (+)= sum over the pixels n,h,w of part t of
//                        x[n,h*stride-pad_top+r*dilation_h,w*stride-pad_left+s*dilation_w,first+i] * dy[n,h,w,o]
//                        (only in-range positions); first is the first input channel of o's group
//
//   p     Params
//   x     [n, h_in, w_in, c_in]                     read
//   dyw   [n, h_out, w_out, c_out]                  read: dy
//   part  [splits, k_h, k_w, c_in/groups, c_out]    read_write, set or add (ACCUMULATE); dw itself if splits is 1
//
// dispatch   [ceil(splits*k_h*k_w*c_in/groups*c_out/LANES/ITEMS)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      sums n, h, w in that order within a part of ceil(n*h_out*w_out/splits) pixels

@group(0) @binding(2) var<storage, read> dyw: array<F>;
@group(0) @binding(3) var<storage, read_write> part: array<F>;

@compute @workgroup_size(ITEMS)
fn conv2d_grouped_dw(invocation: Invocation) {
    let item = item_index(invocation);
    let c_out = p.c_out / LANES;
    let c_group = p.c_in / p.groups;
    let rows = p.k_h * p.k_w * c_group;
    if item < p.splits * rows * c_out {
        let channel = item % c_out;
        let row = item / c_out % rows;
        let tap = row / c_group;
        let r = tap / p.k_w;
        let s = tap - r * p.k_w;
        let x_channel = channel / (c_out / p.groups) * c_group + (row - tap * c_group);
        let pixels = part_of(item / c_out / rows);
        var at = place_of(pixels.x, p.h_out, p.w_out);
        var sum = F(0.0);
        for (var pixel = pixels.x; pixel < pixels.y; pixel++) {
            let source = input_pixel(at, r, s);
            if source != OUTSIDE {
                sum += x[source * p.c_in + x_channel] * dyw[pixel * c_out + channel];
            }
            at = next_place(at, p.h_out, p.w_out);
        }
        if ACCUMULATE {
            sum += part[item];
        }
        part[item] = sum;
    }
}
