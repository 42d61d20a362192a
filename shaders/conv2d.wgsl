// conv2d: two-dimensional convolution
//
//   y[n,h,w,o] = b[o] + sum over r,s,i of  w[r,s,i,o] * x[n,h*stride-pad_top+r,w*stride-pad_left+s,i]
//                (only in-range positions), times SCALE and added to y if ACCUMULATE, then max(., 0) if RELU
//
//   p   Params
//   x   [n, h_in, w_in, c_in]       read
//   w   [k_h, k_w, c_in, c_out]     read
//   y   [n, h_out, w_out, c_out]    read_write, set or add (ACCUMULATE)
//   b   [c_out]                     read
//
// dispatch   [ceil(n*h_out*w_out/64) * ceil(c_out/64)], folded
// overrides  ACCUMULATE, RELU, SCALE
// needs      nothing beyond default limits; barriers in uniform control flow
// order      sums r, s, i in that order, then adds b
// uses       conv2d.wgsl: View, p, read_origin, view_dx, view_forward, write_origin
// uses       index.wgsl: group_index
// uses       rectified.wgsl: rectified

// One workgroup computes 64 pixels of 64 channels, 4 x 4 per invocation. Sixteen positions of the sum at a time pass
// through workgroup memory; neighbouring invocations load neighbouring channels.

override RELU: bool = false;
override ACCUMULATE: bool = false;
override SCALE: f32 = 1.0;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read> b: array<f32>;

const TILE = 64u;
const ROWS = TILE;
const COLS = TILE;
const DEPTH = 16u;
// Rows of the left tile are one vector longer than the tile, so that the transposing stores spread over the banks.
const PITCH = TILE / 4u + 1u;

// The tiles, by position of the sum: four pixels or four channels per vector.
var<workgroup> left_tile: array<vec4<f32>, DEPTH * PITCH>;
var<workgroup> right_tile: array<vec4<f32>, DEPTH * (TILE / 4u)>;

// Product of the tiles in workgroup memory; invocation (i, j) owns pixels 4i.. and channels 4j...
fn multiply(i: u32, j: u32, acc: ptr<function, array<vec4<f32>, 4>>) {
    for (var k = 0u; k < DEPTH; k++) {
        let a = left_tile[k * PITCH + i];
        let c = right_tile[k * 16u + j];
        (*acc)[0] += a.x * c;
        (*acc)[1] += a.y * c;
        (*acc)[2] += a.z * c;
        (*acc)[3] += a.w * c;
    }
}

// Adds the product of 64 rows and 64 columns to `acc`.
fn product(v: View, first: u32, first_col: u32, lane: u32, acc: ptr<function, array<vec4<f32>, 4>>) {
    // Loading, an invocation stays at one position of the sum and takes four neighbouring pixels,
    let k_mine = lane % 16u;
    let i_mine = lane / 16u;
    var at: array<u32, 4>;
    var top: array<u32, 4>;
    var start: array<u32, 4>;
    for (var m = 0u; m < 4u; m++) {
        let origin = read_origin(v, min(first + 4u * i_mine + m, v.rows - 1u));
        at[m] = (origin.x + origin.y) * v.row_len + origin.z;
        top[m] = origin.y;
        start[m] = origin.z;
    }
    // and one weight row of which it takes four neighbouring channels.
    let last = v.cols - 1u;
    let c = first_col + 4u * k_mine;
    let col = min(vec4(c, c + 1u, c + 2u, c + 3u), vec4(last));
    let depth = v.taps * v.run;
    for (var k0 = 0u; k0 < depth; k0 += DEPTH) {
        let k = k0 + k_mine;
        let r = k / v.run;
        let q = k - r * v.run;
        var a: vec4<f32>;
        for (var m = 0u; m < 4u; m++) {
            let inside = k < depth && top[m] + r < v.h_in && start[m] + q < v.row_len;
            a[m] = select(0.0, x[select(0u, at[m] + r * v.row_len + q, inside)], inside);
        }
        left_tile[k_mine * PITCH + i_mine] = a;
        let k_w = min(k0 + i_mine, depth - 1u);
        let r_w = k_w / v.run;
        let w_at = (v.w_first + r_w * v.w_pitch + k_w - r_w * v.run) * v.cols;
        right_tile[i_mine * 16u + k_mine] = vec4(w[w_at + col.x], w[w_at + col.y], w[w_at + col.z], w[w_at + col.w]);
        workgroupBarrier();
        multiply(i_mine, k_mine, acc);
        workgroupBarrier();
    }
}

fn forward(tile: u32, lane: u32, v: View, bias: vec4<f32>) {
    let tiles = (v.cols + TILE - 1u) / TILE;
    let first = tile / tiles * TILE;
    let first_col = tile % tiles * TILE;
    var acc: array<vec4<f32>, 4>;
    product(v, first, first_col, lane, &acc);
    let col = first_col + lane % 16u * 4u;
    for (var m = 0u; m < 4u; m++) {
        let row = first + lane / 16u * 4u + m;
        var sum = acc[m] + bias;
        if ACCUMULATE {
            let to = min(row, v.rows - 1u) * v.cols;
            let last = v.cols - 1u;
            let old = vec4(
                y[to + min(col, last)], y[to + min(col + 1u, last)], y[to + min(col + 2u, last)], y[to + min(col + 3u, last)]
            );
            sum = old + SCALE * sum;
        }
        if RELU {
            sum = rectified(sum);
        }
        for (var c = 0u; c < 4u; c++) {
            if row < v.rows && col + c < v.cols {
                y[row * v.cols + col + c] = sum[c];
            }
        }
    }
}

@compute @workgroup_size(256)
fn conv2d(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let v = view_forward();
    let tile = group_index(workgroup, groups);
    let col = tile % ((v.cols + TILE - 1u) / TILE) * TILE + lane % 16u * 4u;
    let last = v.cols - 1u;
    let bias = vec4(b[min(col, last)], b[min(col + 1u, last)], b[min(col + 2u, last)], b[min(col + 3u, last)]);
    forward(tile, lane, v, bias);
}

// conv2d_nobias: conv2d without a bias
//
//   y[n,h,w,o] = sum over r,s,i of  w[r,s,i,o] * x[n,h*stride-pad_top+r,w*stride-pad_left+s,i]
//                (only in-range positions), times SCALE and added to y if ACCUMULATE, then max(., 0) if RELU
//
//   p   Params
//   x   [n, h_in, w_in, c_in]       read
//   w   [k_h, k_w, c_in, c_out]     read
//   y   [n, h_out, w_out, c_out]    read_write, set or add (ACCUMULATE)
//
// dispatch   [ceil(n*h_out*w_out/64) * ceil(c_out/64)], folded
// overrides  ACCUMULATE, RELU, SCALE
// needs      nothing beyond default limits; barriers in uniform control flow
// order      sums r, s, i in that order

@compute @workgroup_size(256)
fn conv2d_nobias(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    forward(group_index(workgroup, groups), lane, view_forward(), vec4(0.0));
}

// conv2d_dx: gradient of conv2d with respect to its input
//
//   dx[n,h,w,i] (+)= sum over r,s,o of  w[r,s,i,o] * dy[n,(h+pad_top-r)/stride,(w+pad_left-s)/stride,o]
//                    (only integral, in-range positions)
//
//   p   Params
//   x   [n, h_out, w_out, c_out]    read: dy
//   w   [k_h, k_w, c_out, c_in]     read: the weights as conv2d_flip writes them
//   y   [n, h_in, w_in, c_in]       read_write: dx, set or add (ACCUMULATE)
//
// dispatch   [stride^2 * ceil(n*ceil(h_in/stride)*ceil(w_in/stride)/64) * ceil(c_in/64)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; barriers in uniform control flow
// order      sums r, s from the last to the first, o from the first to the last

@compute @workgroup_size(256)
fn conv2d_dx(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = group_index(workgroup, groups);
    let tiles = (p.c_in + TILE - 1u) / TILE;
    let most = p.n * ((p.h_in + p.stride - 1u) / p.stride) * ((p.w_in + p.stride - 1u) / p.stride);
    let per_phase = (most + TILE - 1u) / TILE;
    let phase = tile / tiles / per_phase;
    let v = view_dx(min(phase, p.stride * p.stride - 1u));
    let rows = select(0u, v.rows, phase < p.stride * p.stride);
    let first = (tile / tiles - phase * per_phase) * TILE;
    let first_col = tile % tiles * TILE;
    var acc: array<vec4<f32>, 4>;
    product(v, first, first_col, lane, &acc);
    let col = first_col + lane % 16u * 4u;
    for (var m = 0u; m < 4u; m++) {
        let row = first + lane / 16u * 4u + m;
        if row < rows {
            let to = write_origin(v, row) + col;
            for (var c = 0u; c < 4u; c++) {
                if col + c < v.cols {
                    var sum = acc[m][c];
                    if ACCUMULATE {
                        sum += y[to + c];
                    }
                    y[to + c] = sum;
                }
            }
        }
    }
}

// conv2d_dw: gradient of conv2d with respect to its weights, in parts
//
//   part[t,r,s,i,o] (+)= sum over the pixels n,h,w of part t of  x[n,h*stride-pad_top+r,w*stride-pad_left+s,i] * dy[n,h,w,o]
//                        (only in-range positions)
//
//   p     Params
//   x     [n, h_in, w_in, c_in]              read
//   dy    [n, h_out, w_out, c_out]           read
//   part  [splits, k_h, k_w, c_in, c_out]    read_write, set or add (ACCUMULATE); dw itself if splits is 1
//
// dispatch   [splits * ceil(k_h*k_w*c_in/64) * ceil(c_out/64)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; barriers in uniform control flow
// order      sums n, h, w in that order within a part of ceil(n*h_out*w_out/splits) pixels

@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> part: array<f32>;

// Where the sixteen pixels of the next round read.
var<workgroup> origins: array<vec3<u32>, DEPTH>;

@compute @workgroup_size(256)
fn conv2d_dw(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = group_index(workgroup, groups);
    let v = view_forward();
    let depth = v.taps * v.run;
    let tiles = (v.cols + TILE - 1u) / TILE;
    let tiles_k = (depth + TILE - 1u) / TILE;
    let split = tile / tiles / tiles_k;
    let first = (tile / tiles - split * tiles_k) * TILE;
    let first_col = tile % tiles * TILE;
    let i_mine = lane / 16u;
    let j_mine = lane % 16u;
    // Loading, an invocation stays at four weight rows and at four channels, and takes one pixel of each round.
    var at: array<u32, 4>;
    var r: array<u32, 4>;
    var q: array<u32, 4>;
    for (var m = 0u; m < 4u; m++) {
        let k = min(first + 4u * j_mine + m, depth - 1u);
        r[m] = k / v.run;
        q[m] = k - r[m] * v.run;
        at[m] = r[m] * v.row_len + q[m];
    }
    let last = v.cols - 1u;
    let c = first_col + 4u * j_mine;
    let col = min(vec4(c, c + 1u, c + 2u, c + 3u), vec4(last));
    let per_split = (v.rows + p.splits - 1u) / p.splits;
    let begin = min(split * per_split, v.rows);
    let end = min(begin + per_split, v.rows);
    if lane < DEPTH {
        origins[lane] = read_origin(v, min(begin + lane, v.rows - 1u));
    }
    workgroupBarrier();
    var acc: array<vec4<f32>, 4>;
    for (var i0 = begin; i0 < end; i0 += DEPTH) {
        let origin = origins[i_mine];
        let i = i0 + i_mine;
        var a: vec4<f32>;
        for (var m = 0u; m < 4u; m++) {
            let inside = i < end && origin.y + r[m] < v.h_in && origin.z + q[m] < v.row_len;
            let start = (origin.x + origin.y) * v.row_len + origin.z + at[m];
            a[m] = select(0.0, x[select(0u, start, inside)], inside);
        }
        left_tile[i_mine * PITCH + j_mine] = a;
        let dy_at = min(i, end - 1u) * v.cols;
        right_tile[i_mine * 16u + j_mine] =
            vec4(dy[dy_at + col.x], dy[dy_at + col.y], dy[dy_at + col.z], dy[dy_at + col.w]);
        workgroupBarrier();
        if lane < DEPTH {
            origins[lane] = read_origin(v, min(i0 + DEPTH + lane, v.rows - 1u));
        }
        multiply(i_mine, j_mine, &acc);
        workgroupBarrier();
    }
    for (var m = 0u; m < 4u; m++) {
        let k = first + 4u * i_mine + m;
        for (var u = 0u; u < 4u; u++) {
            if split < p.splits && k < depth && c + u < v.cols {
                let to = (split * depth + k) * v.cols + c + u;
                var sum = acc[m][u];
                if ACCUMULATE {
                    sum += part[to];
                }
                part[to] = sum;
            }
        }
    }
}
