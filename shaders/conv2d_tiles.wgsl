// conv2d: two-dimensional convolution, for GPUs
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
// dispatch   [ceil(n*h_out*w_out/ROWS) * ceil(c_out/COLS)], folded
// overrides  ACCUMULATE, RELU, SCALE
// needs      up to 19 KiB of workgroup memory; barriers in uniform control flow
// order      sums r, s, i in that order, then adds b
// uses       conv2d.wgsl: View, p, read_origin, view_dx, view_forward, write_origin
// uses       conv2d_left_any.wgsl or conv2d_left_vec4.wgsl: Inside, LEFT, WHOLE, as_inside, left_unit, load_left_unit
// uses       conv2d_right_any.wgsl or conv2d_right_vec4.wgsl: RIGHT, columns, load_b, load_right_unit, store_y
// uses       conv2d_sums_lanes.wgsl or conv2d_sums_matrices.wgsl: OWN_COLS, SUMS, Sums, col_of, group_of, multiply,
//            put_left, put_left_rows, put_right, row_of, settled
// uses       conv2d_tile128.wgsl or conv2d_tile64.wgsl or conv2d_tile32.wgsl: COLS, ROWS, THREADS
// uses       index.wgsl: group_index

// One workgroup computes ROWS x COLS results, 8 x 8 or 4 x 4 per invocation. Sixteen positions of the sum at a time pass through
// workgroup memory; every invocation loads its share of both sides, four floats at a time, while the sixteen before are
// multiplied.

override RELU: bool = false;
override ACCUMULATE: bool = false;
override SCALE: f32 = 1.0;

const DEPTH = 16u;
const ROW_QUADS = ROWS / 4u;
const COL_QUADS = COLS / 4u;
// Loads of each side by one invocation, for one round: two or four.
const LEFT_SHARE = ROW_QUADS * DEPTH / THREADS;
const RIGHT_SHARE = COL_QUADS * DEPTH / THREADS;
// Starts a row outside the image: no offset within a row reaches the top bit.
const OUTSIDE = 0x80000000u;
const FOUR = vec4(0u, 1u, 2u, 3u);

// Where pixels read: index of the first float, image row, float within it. Those of a tile, or of a round of conv2d_dw.
var<workgroup> origins: array<array<vec4<u32>, LEFT_SHARE>, ROWS / LEFT_SHARE>;

// What an invocation has loaded for a round, and which of the left floats count. Zeros are put in later, so that nothing waits
// for the loads.
struct Loads {
    left: array<vec4<f32>, LEFT_SHARE>,
    inside: array<Inside, LEFT_SHARE>,
    right: array<vec4<f32>, RIGHT_SHARE>,
}

// Four floats of each of the invocation's pixels: at kernel rows r and floats q within them, `offset` from the first one.
fn load_pixels(v: View, pixels: u32, r: vec4<u32>, q: vec4<u32>, offset: vec4<u32>, to: ptr<function, Loads>) {
    for (var m = 0u; m < LEFT_SHARE; m++) {
        let origin = origins[pixels][m];
        (*to).inside[m] = as_inside((origin.y + r < vec4(v.h_in)) & (origin.z + q < vec4(v.row_len)));
        (*to).left[m] = load_left_unit(origin.x + offset);
    }
}

// How positions of the sum lie in memory: floats of a kernel row, floats from one row to the next, and what both are multiplied
// with and divided by.
struct Line {
    run: u32,
    pitch: u32,
    scale: u32,
    unit: u32,
}

// A position of the sum: kernel row, float within it, and where that lies in memory.
struct Place {
    r: u32,
    q: u32,
    at: u32,
}

fn place(k: u32, line: Line) -> Place {
    let r = k / line.run;
    let q = k - r * line.run;
    return Place(r, q, (r * line.pitch + q) * line.scale / line.unit);
}

// Moves on by `step`, which is a position, too.
fn moved(old: Place, step: Place, line: Line) -> Place {
    let q = old.q + step.q;
    let wraps = q >= line.run;
    // A kernel row may be longer than an image row.
    let back = bitcast<i32>((line.pitch - line.run) * line.scale) / bitcast<i32>(line.unit);
    let jump = select(0u, bitcast<u32>(back), wraps);
    return Place(
        old.r + step.r + select(0u, 1u, wraps),
        q - select(0u, line.run, wraps),
        old.at + step.at + jump,
    );
}

// Four positions of each of the invocation's pixels.
fn load_left(v: View, pixels: u32, line: Line, first: Place, to: ptr<function, Loads>) {
    var r = vec4(first.r);
    var q = first.q + FOUR;
    var at = first.at + FOUR / LEFT;
    if !WHOLE {
        var s = first;
        for (var u = 1u; u < 4u; u++) {
            s = moved(s, Place(0u, 1u, 1u), line);
            r[u] = s.r;
            q[u] = s.q;
            at[u] = s.at;
        }
    }
    load_pixels(v, pixels, r, select(q, vec4(OUTSIDE), r >= vec4(v.taps)), at, to);
}

// Neighbouring positions of four columns. What lies behind the last position is any weight, because the left side is zero there.
fn load_right(line: Line, first: Place, last: u32, col: vec4<u32>, to: ptr<function, Loads>) {
    var s = first;
    for (var u = 0u; u < RIGHT_SHARE; u++) {
        if WHOLE {
            (*to).right[u] = load_right_unit(min(first.at, last) + u * (line.scale / RIGHT), col);
        } else {
            (*to).right[u] = load_right_unit(min(s.at, last), col);
            s = moved(s, Place(0u, 1u, line.scale / RIGHT), line);
        }
    }
}

// Adds the product of ROWS rows and COLS columns to `sums`.
fn product(v: View, first: u32, first_col: u32, lane: u32, sums: ptr<function, Sums>) {
    for (var m = lane; m < ROWS; m += THREADS) {
        let origin = read_origin(v, min(first + m, v.rows - 1u));
        let at = (origin.x + origin.y) * v.row_len + origin.z;
        origins[m / LEFT_SHARE][m % LEFT_SHARE] = vec4(left_unit(at), origin.yz, 0u);
    }
    workgroupBarrier();
    // An invocation stays at a few pixels and at four columns. Of the left side it takes four positions of each round.
    let run = max(v.run, 1u);
    let depth = v.taps * v.run;
    let quad = lane % 4u;
    let pixels = lane / 4u;
    let pixel_line = Line(run, v.row_len, 1u, LEFT);
    let pixel_step = place(DEPTH, pixel_line);
    var left = place(4u * quad, pixel_line);
    let col = columns(first_col + 4u * (lane % COL_QUADS), v.cols) / RIGHT;
    let weight_line = Line(run, v.w_pitch, v.cols, RIGHT);
    let weight_step = place(DEPTH, weight_line);
    let last = (v.w_first + (max(v.taps, 1u) - 1u) * v.w_pitch + run - select(1u, RIGHT_SHARE, WHOLE)) * v.cols / RIGHT;
    var right = place(lane / COL_QUADS * RIGHT_SHARE, weight_line);
    right.at += v.w_first * v.cols / RIGHT;
    var next: Loads;
    if depth > 0u {
        load_left(v, pixels, pixel_line, left, &next);
        load_right(weight_line, right, last, col, &next);
    }
    for (var k0 = 0u; k0 < depth; k0 += DEPTH) {
        for (var m = 0u; m < LEFT_SHARE; m++) {
            next.left[m] = select(vec4(0.0), next.left[m], next.inside[m]);
        }
        put_left(pixels, quad, &next);
        put_right(lane, &next);
        workgroupBarrier();
        left = moved(left, pixel_step, pixel_line);
        right = moved(right, weight_step, weight_line);
        load_left(v, pixels, pixel_line, left, &next);
        load_right(weight_line, right, last, col, &next);
        multiply(lane, sums);
        workgroupBarrier();
    }
}

// The first row and the first column of a tile.
fn corner(tile: u32, v: View) -> vec2<u32> {
    let tiles = (v.cols + COLS - 1u) / COLS;
    return vec2(tile / tiles * ROWS, tile % tiles * COLS);
}

fn store_forward(
    first: vec2<u32>, lane: u32, v: View, bias: array<vec4<f32>, OWN_COLS>, sums: ptr<function, Sums>
) {
    var acc = settled(lane, sums);
    for (var at = 0u; at < SUMS; at++) {
        let row = first.x + row_of(lane, at);
        if row < v.rows {
            store_y(row * v.cols, first.y + col_of(lane, group_of(at)), v.cols, acc[at] + bias[group_of(at)]);
        }
    }
}

@compute @workgroup_size(THREADS)
fn conv2d(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let v = view_forward();
    let first = corner(group_index(workgroup, groups), v);
    var sums: Sums;
    product(v, first.x, first.y, lane, &sums);
    var bias: array<vec4<f32>, OWN_COLS>;
    for (var g = 0u; g < OWN_COLS; g++) {
        bias[g] = load_b(columns(first.y + col_of(lane, g), v.cols));
    }
    store_forward(first, lane, v, bias, &sums);
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
// dispatch   [ceil(n*h_out*w_out/ROWS) * ceil(c_out/COLS)], folded
// overrides  ACCUMULATE, RELU, SCALE
// needs      up to 19 KiB of workgroup memory; barriers in uniform control flow
// order      sums r, s, i in that order

@compute @workgroup_size(THREADS)
fn conv2d_nobias(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let v = view_forward();
    let first = corner(group_index(workgroup, groups), v);
    var sums: Sums;
    product(v, first.x, first.y, lane, &sums);
    var bias: array<vec4<f32>, OWN_COLS>;
    store_forward(first, lane, v, bias, &sums);
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
// dispatch   [stride^2 * ceil(n*ceil(h_in/stride)*ceil(w_in/stride)/ROWS) * ceil(c_in/COLS)], folded
// overrides  ACCUMULATE
// needs      up to 19 KiB of workgroup memory; barriers in uniform control flow
// order      sums r, s from the last to the first, o from the first to the last

@compute @workgroup_size(THREADS)
fn conv2d_dx(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = group_index(workgroup, groups);
    let tiles = (p.c_in + COLS - 1u) / COLS;
    let most = p.n * ((p.h_in + p.stride - 1u) / p.stride) * ((p.w_in + p.stride - 1u) / p.stride);
    let per_phase = (most + ROWS - 1u) / ROWS;
    let phase = tile / tiles / per_phase;
    let v = view_dx(min(phase, p.stride * p.stride - 1u));
    let rows = select(0u, v.rows, phase < p.stride * p.stride);
    let first = (tile / tiles - phase * per_phase) * ROWS;
    let first_col = tile % tiles * COLS;
    var sums: Sums;
    product(v, first, first_col, lane, &sums);
    var acc = settled(lane, &sums);
    for (var at = 0u; at < SUMS; at++) {
        let row = first + row_of(lane, at);
        if row < rows {
            store_y(write_origin(v, row), first_col + col_of(lane, group_of(at)), v.cols, acc[at]);
        }
    }
}

// conv2d_dw: gradient of conv2d with respect to its weights, in parts
//
//   part[t,r,s,i,o] (+)= sum over the pixels n,h,w of part t of  x[n,h*stride-pad_top+r,w*stride-pad_left+s,i] * dy[n,h,w,o]
//                        (only in-range positions)
//
//   p   Params
//   x   [n, h_in, w_in, c_in]              read
//   w   [n, h_out, w_out, c_out]           read: dy
//   y   [splits, k_h, k_w, c_in, c_out]    read_write: part, set or add (ACCUMULATE); dw itself if splits is 1
//
// dispatch   [splits * ceil(k_h*k_w*c_in/ROWS) * ceil(c_out/COLS)], folded
// overrides  ACCUMULATE
// needs      up to 19 KiB of workgroup memory; barriers in uniform control flow
// order      sums n, h, w in that order within a part of ceil(n*h_out*w_out/splits) pixels

// A pixel of a round: its number, and its place in its image.
struct Pixel {
    i: u32,
    x: u32,
    y: u32,
    image: u32,
}

// Writes where the pixel reads, and moves on to that of the next round.
fn note_origin(v: View, lane: u32, end: u32, pixel: ptr<function, Pixel>) {
    let top = (*pixel).y * v.step + v.y_first;
    let left = ((*pixel).x * v.step + v.x_first) * v.c;
    let at = left_unit(((*pixel).image * v.h_in + top) * v.row_len + left);
    origins[lane / LEFT_SHARE][lane % LEFT_SHARE] = vec4(at, top, select(OUTSIDE, left, (*pixel).i < end), 0u);
    (*pixel).i += DEPTH;
    (*pixel).x += DEPTH % v.w;
    let next_row = (*pixel).x >= v.w;
    (*pixel).x -= select(0u, v.w, next_row);
    (*pixel).y += DEPTH / v.w % v.h + select(0u, 1u, next_row);
    let next_image = (*pixel).y >= v.h;
    (*pixel).y -= select(0u, v.h, next_image);
    (*pixel).image += DEPTH / v.w / v.h + select(0u, 1u, next_image);
}

// Adds the product of ROWS weight rows and COLS columns, summed over the pixels from `begin` on, to `sums`.
fn product_dw(
    v: View, first: u32, first_col: u32, begin: u32, end: u32, lane: u32, sums: ptr<function, Sums>
) {
    // An invocation stays at four weight rows and at four channels, and takes a few pixels of each round.
    let pixels = lane / ROW_QUADS;
    let block = lane % ROW_QUADS;
    let k = min(first + 4u * block + FOUR, vec4(v.taps * v.run - 1u));
    let r = k / v.run;
    let q = k - r * v.run;
    let offset = (r * v.row_len + q) / LEFT;
    let col = columns(first_col + 4u * (lane % COL_QUADS), v.cols) / RIGHT;
    let cols = v.cols / RIGHT;
    let last = (end - 1u) * cols;
    var at = (begin + lane / COL_QUADS * RIGHT_SHARE) * cols;
    let i = begin + lane % DEPTH;
    var pixel = Pixel(i, i % v.w, i / v.w % v.h, i / v.w / v.h);
    if lane < DEPTH {
        note_origin(v, lane, end, &pixel);
    }
    workgroupBarrier();
    var next: Loads;
    load_pixels(v, pixels, r, q, offset, &next);
    load_pixels_right(cols, at, last, col, &next);
    workgroupBarrier();
    for (var i0 = begin; i0 < end; i0 += DEPTH) {
        for (var m = 0u; m < LEFT_SHARE; m++) {
            let row = select(vec4(0.0), next.left[m], next.inside[m]);
            put_left_rows(pixels, m, block, row);
        }
        put_right(lane, &next);
        if lane < DEPTH {
            note_origin(v, lane, end, &pixel);
        }
        workgroupBarrier();
        at += DEPTH * cols;
        load_pixels(v, pixels, r, q, offset, &next);
        load_pixels_right(cols, at, last, col, &next);
        multiply(lane, sums);
        workgroupBarrier();
    }
}

// Four columns of neighbouring pixels. What lies behind the last pixel is any, because the left side is zero there.
fn load_pixels_right(cols: u32, at: u32, last: u32, col: vec4<u32>, to: ptr<function, Loads>) {
    for (var m = 0u; m < RIGHT_SHARE; m++) {
        (*to).right[m] = load_right_unit(min(at + m * cols, last), col);
    }
}

@compute @workgroup_size(THREADS)
fn conv2d_dw(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = group_index(workgroup, groups);
    let v = view_forward();
    let depth = v.taps * v.run;
    let tiles = (v.cols + COLS - 1u) / COLS;
    let tiles_k = (depth + ROWS - 1u) / ROWS;
    let split = tile / tiles / tiles_k;
    let first = (tile / tiles - split * tiles_k) * ROWS;
    let first_col = tile % tiles * COLS;
    let per_split = (v.rows + p.splits - 1u) / p.splits;
    let begin = min(split * per_split, v.rows);
    let end = min(begin + per_split, v.rows);
    var sums: Sums;
    if begin < end {
        product_dw(v, first, first_col, begin, end, lane, &sums);
    }
    var acc = settled(lane, &sums);
    for (var at = 0u; at < SUMS; at++) {
        let row = first + row_of(lane, at);
        if split < p.splits && row < depth {
            store_y((split * depth + row) * v.cols, first_col + col_of(lane, group_of(at)), v.cols, acc[at]);
        }
    }
}
