// local_response_norm: divides every channel by a power of what its neighbours hold
//
//   scale[i,j] = k + alpha/size * sum over m of  x[i,m]^2    (j - size/2 <= m <= j + (size-1)/2, in-range channels)
//   y[i,j]     = x[i,j] * scale[i,j]^-beta
//
//   p      Params
//   x      [rows, c]    read
//   y      [rows, c]    read_write, set
//   scale  [rows, c]    read_write, set
//
// dispatch   [ceil(rows*c/LANES/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      sums m in order, so results repeat bit for bit
// uses       index.wgsl: ITEMS, Invocation, item_index
// uses       lanes1.wgsl or lanes4.wgsl: F, LANE, LANES, U, float_of

struct Params {
    rows: u32,
    c: u32,
    size: u32,
    alpha: f32,
    beta: f32,
    k: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<F>;
@group(0) @binding(2) var<storage, read_write> y: array<F>;
@group(0) @binding(3) var<storage, read_write> scale: array<F>;

// The channels [first, last] around an invocation's own, and the items of the row that hold them.
struct Window {
    first: U,
    last: U,
    first_item: u32,
    last_item: u32,
}

// The window that reaches over `before` channels before and `after` behind each one, as far as there are any.
fn window_around(item: u32, before: u32, after: u32) -> Window {
    let channel = U(item * LANES) + LANE;
    let first = channel - min(channel, U(before));
    let last = channel + min(U(p.c - 1u) - channel, U(after));
    let low = item * LANES - min(item * LANES, before);
    let end = item * LANES + LANES - 1u;
    let high = end + min(p.c - 1u - end, after);
    return Window(first, last, low / LANES, high / LANES);
}

// The sum and those floats of an item that lie in the window of each lane, in the order of the channels.
fn add_inside(sum: F, value: F, item: u32, window: Window) -> F {
    var result = sum;
    for (var t = 0u; t < LANES; t++) {
        let channel = U(item * LANES + t);
        let inside = (window.first <= channel) & (channel <= window.last);
        result += select(F(0.0), F(float_of(value, t)), inside);
    }
    return result;
}

@compute @workgroup_size(ITEMS)
fn local_response_norm(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c / LANES;
    if i < p.rows * c {
        let row = i / c * c;
        let window = window_around(i - row, p.size / 2u, (p.size - 1u) / 2u);
        var squares = F(0.0);
        for (var m = window.first_item; m <= window.last_item; m++) {
            let value = x[row + m];
            squares = add_inside(squares, value * value, m, window);
        }
        let s = F(p.k) + squares * (p.alpha / f32(p.size));
        scale[i] = s;
        y[i] = x[i] * pow(s, F(-p.beta)); // roots for a beta of 0.75 gain nothing on the software driver
    }
}

// local_response_norm_dx: gradient of local_response_norm with respect to its input
//
//   dx[i,j] (+)= dy[i,j] * scales[i,j]^-beta
//                - 2*alpha*beta/size * x[i,j] * sum over m of  dy[i,m] * out[i,m] / scales[i,m]
//                (j - (size-1)/2 <= m <= j + size/2, only in-range channels: those whose windows contain j)
//
//   p       Params
//   x       [rows, c]    read
//   out     [rows, c]    read: the output of local_response_norm
//   scales  [rows, c]    read: `scale` of local_response_norm
//   dy      [rows, c]    read
//   dx      [rows, c]    read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(rows*c/LANES/ITEMS)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      sums m in order, so results repeat bit for bit

override ACCUMULATE: bool = false;

@group(0) @binding(2) var<storage, read> out: array<F>;
@group(0) @binding(3) var<storage, read> scales: array<F>;
@group(0) @binding(4) var<storage, read> dy: array<F>;
@group(0) @binding(5) var<storage, read_write> dx: array<F>;

@compute @workgroup_size(ITEMS)
fn local_response_norm_dx(invocation: Invocation) {
    let i = item_index(invocation);
    let c = p.c / LANES;
    if i < p.rows * c {
        let row = i / c * c;
        let window = window_around(i - row, (p.size - 1u) / 2u, p.size / 2u);
        var sum = F(0.0);
        for (var m = window.first_item; m <= window.last_item; m++) {
            let at = row + m;
            sum = add_inside(sum, dy[at] * out[at] / scales[at], m, window);
        }
        var g = dy[i] * pow(scales[i], F(-p.beta)) - x[i] * sum * (2.0 * p.alpha * p.beta / f32(p.size));
        if ACCUMULATE {
            g += dx[i];
        }
        dx[i] = g;
    }
}
