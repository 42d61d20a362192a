// max_pool2d: largest value of each window, per channel
//
//   y[n,a,b,c]   = max over r,s of  x[n, a*stride+r-pad, b*stride+s-pad, c]    (only in-range positions)
//   at[n,a,b,c]  = r*k_w + s of that value, the first one in row-major order
//
//   p   Params
//   x   [n, h_in, w_in, c]      read
//   y   [n, h_out, w_out, c]    read_write, set
//   at  [n, h_out, w_out, c]    read_write, set
//
// dispatch   [ceil(n*h_out*w_out*c/LANES/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      visits r, s in that order; no sums
// uses       index.wgsl: ITEMS, Invocation, item_index
// uses       lanes1.wgsl or lanes4.wgsl: F, LANES, U
// uses       pool.wgsl: p, window, windows_around

@group(0) @binding(1) var<storage, read> x: array<F>;
@group(0) @binding(2) var<storage, read_write> y: array<F>;
@group(0) @binding(3) var<storage, read_write> at: array<U>;

@compute @workgroup_size(ITEMS)
fn max_pool2d(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c / LANES;
    if i < p.n * p.h_out * p.w_out * c {
        let pixel = i / c;
        let row = pixel / p.w_out;
        let image = row / p.h_out;
        // Positions count from the top left corner of the padding.
        let top = (row - image * p.h_out) * p.stride;
        let left = (pixel - row * p.w_out) * p.stride;
        let rows = window(top, p.k_h, p.h_in, p.pad);
        let columns = window(left, p.k_w, p.w_in, p.pad);
        let origin = image * p.h_in * p.w_in * c + (i - pixel * c);
        // Starting from a value of the window and not from -infinity, which WGSL may not know.
        var best_at = U((rows.x - top) * p.k_w + (columns.x - left));
        var best = x[origin + ((rows.x - p.pad) * p.w_in + columns.x - p.pad) * c];
        for (var h = rows.x; h < rows.y; h++) {
            var j = origin + ((h - p.pad) * p.w_in + columns.x - p.pad) * c;
            for (var w = columns.x; w < columns.y; w++) {
                let value = x[j];
                let take = (value > best) | !(value == value); // a NaN wins, as in PyTorch
                best_at = select(best_at, U((h - top) * p.k_w + (w - left)), take);
                best = select(best, value, take);
                j += c;
            }
        }
        y[i] = best;
        at[i] = best_at;
    }
}

// max_pool2d_dx: gradient of max_pool2d with respect to its input
//
//   dx[n,h,w,c] (+)= sum over a,b of  dy[n,a,b,c] if found[n,a,b,c] = (h+pad-a*stride)*k_w + w+pad-b*stride
//                    (only windows a, b that contain h, w)
//
//   p      Params
//   found  [n, h_out, w_out, c]    read: `at` of max_pool2d
//   dy     [n, h_out, w_out, c]    read
//   dx     [n, h_in, w_in, c]      read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(n*h_in*w_in*c/LANES/ITEMS)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      sums a, b in that order, so results repeat bit for bit

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> found: array<U>;
@group(0) @binding(2) var<storage, read> dy: array<F>;
@group(0) @binding(3) var<storage, read_write> dx: array<F>;

@compute @workgroup_size(ITEMS)
fn max_pool2d_dx(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c / LANES;
    if i < p.n * p.h_in * p.w_in * c {
        let pixel = i / c;
        let row = pixel / p.w_in;
        let image = row / p.h_in;
        // Positions count from the top left corner of the padding.
        let h = row - image * p.h_in + p.pad;
        let w = pixel - row * p.w_in + p.pad;
        let rows = windows_around(h, p.k_h, p.stride, p.h_out);
        let columns = windows_around(w, p.k_w, p.stride, p.w_out);
        var g = F(0.0);
        for (var a = rows.x; a < rows.y; a++) {
            var j = ((image * p.h_out + a) * p.w_out + columns.x) * c + (i - pixel * c);
            for (var b = columns.x; b < columns.y; b++) {
                let here = (h - a * p.stride) * p.k_w + (w - b * p.stride);
                g += select(F(0.0), dy[j], found[j] == U(here));
                j += c;
            }
        }
        if ACCUMULATE {
            g += dx[i];
        }
        dx[i] = g;
    }
}
