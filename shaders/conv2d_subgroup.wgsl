// conv2d: two-dimensional convolution, for devices whose subgroups have eight invocations
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
// dispatch   [ceil(n*h_out*w_out/32) * ceil(c_out/32)], folded
// overrides  ACCUMULATE, RELU, SCALE
// needs      subgroups of eight; no workgroup memory, no barrier
// order      sums r, s, i in that order, then adds b
// uses       conv2d.wgsl: View, p, read_origin, view_dx, view_forward, write_origin
// uses       conv2d_left_any.wgsl or conv2d_left_vec4.wgsl: load_x
// uses       conv2d_right_any.wgsl or conv2d_right_vec4.wgsl: columns, load_b, load_w, store_y
// uses       index.wgsl: group_index

// One subgroup computes a product of 32 rows and 32 columns in registers. Invocation l owns columns 4l to 4l+3. It also
// loads the left side for its share of the rows, four floats at a time, and broadcasts hand them round. Mesa's software
// driver loads lane by lane with a bounds test for each address: loads cost more than arithmetic, four floats at one
// address cost half of four addresses, and the tile is as large as the instruction cache allows.

override RELU: bool = false;
override ACCUMULATE: bool = false;
override SCALE: f32 = 1.0;

const ROWS = 32u;
const COLS = 32u;
// Starts a row outside the image: no offset within a row reaches the top bit.
const OUTSIDE = 0x80000000u;
const FOUR = vec4(0u, 1u, 2u, 3u);

// Adds the product of eight rows, one per invocation, with four rows of the right side. Row m goes to acc[group * 8 + m].
fn multiply(group: u32, a: vec4<f32>, b: array<vec4<f32>, 4>, acc: ptr<function, array<vec4<f32>, ROWS>>) {
    for (var m = 0u; m < 8u; m++) {
        var sum = (*acc)[8u * group + m];
        sum += subgroupShuffle(a.x, m) * b[0];
        sum += subgroupShuffle(a.y, m) * b[1];
        sum += subgroupShuffle(a.z, m) * b[2];
        sum += subgroupShuffle(a.w, m) * b[3];
        (*acc)[8u * group + m] = sum;
    }
}

// Adds the product of 32 pixels from `first` on and four columns per invocation to `acc`.
fn product(v: View, first: u32, col: vec4<u32>, lane: u32, acc: ptr<function, array<vec4<f32>, ROWS>>) {
    var origin: array<vec3<u32>, 4>;
    for (var g = 0u; g < 4u; g++) {
        origin[g] = read_origin(v, min(first + 8u * g + lane, v.rows - 1u));
    }
    for (var r = 0u; r < v.taps; r++) {
        var at: array<u32, 4>;
        var start: array<u32, 4>;
        for (var g = 0u; g < 4u; g++) {
            let row = origin[g].y + r;
            at[g] = (origin[g].x + row) * v.row_len + origin[g].z;
            start[g] = select(OUTSIDE, origin[g].z, row < v.h_in);
        }
        let w_row = v.w_first + r * v.w_pitch;
        for (var q = 0u; q < v.run; q += 4u) {
            // The last four may reach past the run: what lies there counts as zero.
            let q4 = q + FOUR;
            let run4 = q4 < vec4(v.run);
            var a: array<vec4<f32>, 4>;
            for (var g = 0u; g < 4u; g++) {
                a[g] = select(vec4(0.0), load_x(at[g] + q4), run4 & (start[g] + q4 < vec4(v.row_len)));
            }
            var b: array<vec4<f32>, 4>;
            for (var j = 0u; j < 4u; j++) {
                b[j] = load_w((w_row + min(q + j, v.run - 1u)) * v.cols, col);
            }
            multiply(0u, a[0], b, acc);
            multiply(1u, a[1], b, acc);
            multiply(2u, a[2], b, acc);
            multiply(3u, a[3], b, acc);
        }
    }
}

// Workgroups stand column by column within a row of tiles, so that the left side stays in the cache.
struct Tile {
    first: u32,
    first_col: u32,
    col: vec4<u32>,
}

fn tile_at(index: u32, cols: u32, lane: u32) -> Tile {
    let tiles = (cols + COLS - 1u) / COLS;
    let first_col = index % tiles * COLS + 4u * lane;
    return Tile(index / tiles * ROWS, first_col, columns(first_col, cols));
}

fn forward(tile: Tile, lane: u32, v: View, bias: vec4<f32>) {
    var acc: array<vec4<f32>, ROWS>;
    product(v, tile.first, tile.col, lane, &acc);
    for (var m = 0u; m < ROWS; m++) {
        if tile.first + m < v.rows {
            store_y((tile.first + m) * v.cols, tile.first_col, v.cols, acc[m] + bias);
        }
    }
}

@compute @workgroup_size(8)
fn conv2d(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let v = view_forward();
    let tile = tile_at(group_index(workgroup, groups), v.cols, lane);
    if tile.first < v.rows {
        forward(tile, lane, v, load_b(tile.col));
    }
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
// dispatch   [ceil(n*h_out*w_out/32) * ceil(c_out/32)], folded
// overrides  ACCUMULATE, RELU, SCALE
// needs      subgroups of eight; no workgroup memory, no barrier
// order      sums r, s, i in that order

@compute @workgroup_size(8)
fn conv2d_nobias(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let v = view_forward();
    let tile = tile_at(group_index(workgroup, groups), v.cols, lane);
    if tile.first < v.rows {
        forward(tile, lane, v, vec4(0.0));
    }
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
// dispatch   [stride^2 * ceil(n*ceil(h_in/stride)*ceil(w_in/stride)/32) * ceil(c_in/32)], folded
// overrides  ACCUMULATE
// needs      subgroups of eight; no workgroup memory, no barrier
// order      sums r, s from the last to the first, o from the first to the last

@compute @workgroup_size(8)
fn conv2d_dx(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let most = p.n * ((p.h_in + p.stride - 1u) / p.stride) * ((p.w_in + p.stride - 1u) / p.stride);
    let per_phase = (most + ROWS - 1u) / ROWS * ((p.c_in + COLS - 1u) / COLS);
    let index = group_index(workgroup, groups);
    let phase = index / per_phase;
    let v = view_dx(min(phase, p.stride * p.stride - 1u));
    let tile = tile_at(index - phase * per_phase, v.cols, lane);
    if phase < p.stride * p.stride && tile.first < v.rows {
        var acc: array<vec4<f32>, ROWS>;
        product(v, tile.first, tile.col, lane, &acc);
        var to: array<u32, 4>;
        for (var g = 0u; g < 4u; g++) {
            to[g] = write_origin(v, min(tile.first + 8u * g + lane, v.rows - 1u));
        }
        for (var m = 0u; m < ROWS; m++) {
            let row = subgroupShuffle(to[m / 8u], m % 8u);
            if tile.first + m < v.rows {
                store_y(row, tile.first_col, v.cols, acc[m]);
            }
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
// dispatch   [splits * ceil(k_h*k_w*c_in/32) * ceil(c_out/32)], folded
// overrides  ACCUMULATE
// needs      subgroups of eight; no workgroup memory, no barrier
// order      sums n, h, w in that order within a part of ceil(n*h_out*w_out/splits) pixels

// The sum over the pixels takes the place of the sum over kernel and channels: invocation l loads weight rows 4l to 4l+3
// of the left side.
@compute @workgroup_size(8)
fn conv2d_dw(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let v = view_forward();
    let depth = v.taps * v.run;
    let per_split = (depth + ROWS - 1u) / ROWS * ((v.cols + COLS - 1u) / COLS);
    let index = group_index(workgroup, groups);
    let split = index / per_split;
    let tile = tile_at(index - split * per_split, v.cols, lane);
    if split < p.splits {
        // For the four weight rows: kernel row, float within it, offset in memory.
        let k = min(tile.first + 4u * lane + FOUR, vec4(depth - 1u));
        let r = k / v.run;
        let q = k - r * v.run;
        let offset = r * v.row_len + q;
        let pixels = (v.rows + p.splits - 1u) / p.splits;
        let begin = min(split * pixels, v.rows);
        let end = min(begin + pixels, v.rows);
        var px = begin % v.w;
        var py = begin / v.w % v.h;
        var image = begin / v.w / v.h * v.h_in;
        var acc: array<vec4<f32>, ROWS>;
        for (var i = begin; i < end; i += 4u) {
            var a: array<vec4<f32>, 4>;
            var b: array<vec4<f32>, 4>;
            for (var u = 0u; u < 4u; u++) {
                let top = py * v.step + v.y_first;
                let left = (px * v.step + v.x_first) * v.c;
                let inside = (select(OUTSIDE, left, i + u < end) + q < vec4(v.row_len)) & (top + r < vec4(v.h_in));
                a[u] = select(vec4(0.0), load_x((image + top) * v.row_len + left + offset), inside);
                b[u] = load_w(min(i + u, end - 1u) * v.cols, tile.col);
                px += 1u;
                let next_row = px == v.w;
                px = select(px, 0u, next_row);
                py += select(0u, 1u, next_row);
                let next_image = py == v.h;
                py = select(py, 0u, next_image);
                image += select(0u, v.h_in, next_image);
            }
            multiply(0u, vec4(a[0].x, a[1].x, a[2].x, a[3].x), b, &acc);
            multiply(1u, vec4(a[0].y, a[1].y, a[2].y, a[3].y), b, &acc);
            multiply(2u, vec4(a[0].z, a[1].z, a[2].z, a[3].z), b, &acc);
            multiply(3u, vec4(a[0].w, a[1].w, a[2].w, a[3].w), b, &acc);
        }
        for (var m = 0u; m < ROWS; m++) {
            // acc[8 * c + l] holds component c of invocation l.
            let row = tile.first + 4u * (m % 8u) + m / 8u;
            if row < depth {
                store_y((split * depth + row) * v.cols, tile.first_col, v.cols, acc[m]);
            }
        }
    }
}
