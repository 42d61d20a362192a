// zero_pad2d: images with rows and columns of zeros around them, and channels of zeros behind theirs
//
//   y[n,a,b,c] = x[n,a-top,b-left,c]    where that lies on the image and its channels, else 0
//
//   p   Params
//   x   [n, h_in, w_in, c_in]      read
//   y   [n, h_out, w_out, c_out]    read_write, set
//
// dispatch   [ceil(n*h_out*w_out*c_out/LANES/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums
// uses       index.wgsl: ITEMS, Invocation, item_index
// uses       lanes1.wgsl or lanes4.wgsl: F, LANES

struct Params {
    n: u32,
    h_in: u32,
    w_in: u32,
    c_in: u32,
    h_out: u32,
    w_out: u32,
    c_out: u32,
    top: u32,
    left: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<F>;
@group(0) @binding(2) var<storage, read_write> y: array<F>;

@compute @workgroup_size(ITEMS)
fn zero_pad2d(invocation: Invocation) {
    let i = item_index(invocation);
    let c_in = p.c_in / LANES;
    let c_out = p.c_out / LANES;
    if i < p.n * p.h_out * p.w_out * c_out {
        let pixel = i / c_out;
        let c = i - pixel * c_out;
        let row = pixel / p.w_out;
        let image = row / p.h_out;
        // Positions above or left of the image wrap around and compare as too large.
        let h = row - image * p.h_out - p.top;
        let w = pixel - row * p.w_out - p.left;
        var value = F(0.0);
        if h < p.h_in && w < p.w_in && c < c_in {
            value = x[((image * p.h_in + h) * p.w_in + w) * c_in + c];
        }
        y[i] = value;
    }
}

// zero_pad2d_dx: gradient of zero_pad2d with respect to its input
//
//   dx[n,h,w,c] (+)= dy[n,h+top,w+left,c]
//
//   p   Params
//   dy  [n, h_out, w_out, c_out]    read
//   dx  [n, h_in, w_in, c_in]      read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(n*h_in*w_in*c_in/LANES/ITEMS)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      no sums

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> dy: array<F>;
@group(0) @binding(2) var<storage, read_write> dx: array<F>;

@compute @workgroup_size(ITEMS)
fn zero_pad2d_dx(invocation: Invocation) {
    let i = item_index(invocation);
    let c_in = p.c_in / LANES;
    let c_out = p.c_out / LANES;
    if i < p.n * p.h_in * p.w_in * c_in {
        let pixel = i / c_in;
        let row = pixel / p.w_in;
        let image = row / p.h_in;
        let a = row - image * p.h_in + p.top;
        let b = pixel - row * p.w_in + p.left;
        var g = dy[((image * p.h_out + a) * p.w_out + b) * c_out + (i - pixel * c_in)];
        if ACCUMULATE {
            g += dx[i];
        }
        dx[i] = g;
    }
}
