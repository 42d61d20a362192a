// l2_pool2d: length of each window, per channel; padding counts as zeros
//
//   y[n,a,b,c] = sqrt(sum over r,s of  x[n, a*stride+r-pad, b*stride+s-pad, c]^2)    (only in-range positions)
//
//   p   Params
//   x   [n, h_in, w_in, c]      read
//   y   [n, h_out, w_out, c]    read_write, set
//
// dispatch   [ceil(n*h_out*w_out*c/LANES/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      sums r, s in that order, so results repeat bit for bit
// uses       index.wgsl: ITEMS, Invocation, item_index
// uses       lanes1.wgsl or lanes4.wgsl: F, LANES
// uses       pool.wgsl: p, window, windows_around

@group(0) @binding(1) var<storage, read> x: array<F>;
@group(0) @binding(2) var<storage, read_write> y: array<F>;

@compute @workgroup_size(ITEMS)
fn l2_pool2d(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c / LANES;
    if i < p.n * p.h_out * p.w_out * c {
        let pixel = i / c;
        let row = pixel / p.w_out;
        let image = row / p.h_out;
        let rows = window((row - image * p.h_out) * p.stride, p.k_h, p.h_in, p.pad);
        let columns = window((pixel - row * p.w_out) * p.stride, p.k_w, p.w_in, p.pad);
        let origin = image * p.h_in * p.w_in * c + (i - pixel * c);
        var squares = F(0.0);
        for (var h = rows.x; h < rows.y; h++) {
            var j = origin + ((h - p.pad) * p.w_in + columns.x - p.pad) * c;
            for (var w = columns.x; w < columns.y; w++) {
                let value = x[j];
                squares += value * value;
                j += c;
            }
        }
        y[i] = sqrt(squares);
    }
}

// l2_pool2d_dx: gradient of l2_pool2d with respect to its input; windows without length give none
//
//   dx[n,h,w,c] (+)= x[n,h,w,c] * sum over a,b of  dy[n,a,b,c] / out[n,a,b,c] if out[n,a,b,c] is not 0, else 0
//                    (only windows a, b that contain h, w)
//
//   p    Params
//   x    [n, h_in, w_in, c]      read
//   out  [n, h_out, w_out, c]    read: the output of l2_pool2d
//   dy   [n, h_out, w_out, c]    read
//   dx   [n, h_in, w_in, c]      read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(n*h_in*w_in*c/LANES/ITEMS)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      sums a, b in that order, so results repeat bit for bit

override ACCUMULATE: bool = false;

@group(0) @binding(2) var<storage, read> out: array<F>;
@group(0) @binding(3) var<storage, read> dy: array<F>;
@group(0) @binding(4) var<storage, read_write> dx: array<F>;

@compute @workgroup_size(ITEMS)
fn l2_pool2d_dx(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c / LANES;
    if i < p.n * p.h_in * p.w_in * c {
        let pixel = i / c;
        let row = pixel / p.w_in;
        let image = row / p.h_in;
        let rows = windows_around(row - image * p.h_in + p.pad, p.k_h, p.stride, p.h_out);
        let columns = windows_around(pixel - row * p.w_in + p.pad, p.k_w, p.stride, p.w_out);
        var sum = F(0.0);
        for (var a = rows.x; a < rows.y; a++) {
            var j = ((image * p.h_out + a) * p.w_out + columns.x) * c + (i - pixel * c);
            for (var b = columns.x; b < columns.y; b++) {
                let length = out[j];
                // Divides by one where it does not use the quotient: 0 / 0 may be anything.
                let empty = length == F(0.0);
                sum += select(dy[j] / select(length, F(1.0), empty), F(0.0), empty);
                j += c;
            }
        }
        var g = x[i] * sum;
        if ACCUMULATE {
            g += dx[i];
        }
        dx[i] = g;
    }
}
