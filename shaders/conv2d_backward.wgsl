// conv2d_flip: the weights as conv2d_dx reads them: channels swapped, kernel rows and columns grouped by their phase
// (position mod stride) and reversed within it
//
//   flipped[place(r),place(s),o,i] = w[r,s,i,o]
//
//   p        Params
//   w        [k_h, k_w, c_in, c_out]    read
//   flipped  [k_h, k_w, c_out, c_in]    read_write, set
//
// dispatch   [k_h*k_w * ceil(c_out/ROWS) * ceil(c_in/LANES)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums
// uses       conv2d.wgsl: p, phase_first, phase_taps
// uses       index.wgsl: group_index

// A workgroup of conv2d_flip moves LANES input channels of ROWS output channels, one of conv2d_db sums LANES channels.
const LANES = 32u;
const ROWS = 16u;

override ACCUMULATE: bool = false;

@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> flipped: array<f32>;

// The kernel row or column that stands at `place`.
fn unplace(k: u32, place: u32) -> u32 {
    var phase = 0u;
    while phase + 1u < p.stride && place >= phase_first(k, phase + 1u) {
        phase++;
    }
    return phase + (phase_taps(k, phase) - 1u - (place - phase_first(k, phase))) * p.stride;
}

// Neighbouring invocations write neighbouring floats, and each reads floats
// that lie side by side.
@compute @workgroup_size(LANES)
fn conv2d_flip(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(workgroup, groups);
    let blocks_i = (p.c_in + LANES - 1u) / LANES;
    let blocks_o = (p.c_out + ROWS - 1u) / ROWS;
    let place = index / blocks_i / blocks_o;
    let i = index % blocks_i * LANES + lane;
    if place < p.k_h * p.k_w && i < p.c_in {
        let r = unplace(p.k_h, place / p.k_w);
        let s = unplace(p.k_w, place % p.k_w);
        let first = index / blocks_i % blocks_o * ROWS;
        let at = ((r * p.k_w + s) * p.c_in + i) * p.c_out;
        let to = place * p.c_out * p.c_in + i;
        for (var o = first; o < min(first + ROWS, p.c_out); o++) {
            flipped[to + o * p.c_in] = w[at + o];
        }
    }
}

// conv2d_db: gradient of conv2d with respect to its bias, in parts
//
//   part[t,o] (+)= sum over the pixels n,h,w of part t of  dy[n,h,w,o]
//
//   p     Params
//   dy    [n, h_out, w_out, c_out]    read
//   part  [splits, c_out]             read_write, set or add (ACCUMULATE); db itself if splits is 1
//
// dispatch   [splits * ceil(c_out/LANES)], folded
// overrides  ACCUMULATE
// needs      nothing beyond default limits; no barrier
// order      sums n, h, w in that order within a part of ceil(n*h_out*w_out/splits) pixels

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> part: array<f32>;

@compute @workgroup_size(LANES)
fn conv2d_db(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = group_index(workgroup, groups);
    let tiles = (p.c_out + LANES - 1u) / LANES;
    let split = tile / tiles;
    let o = tile % tiles * LANES + lane;
    if split < p.splits && o < p.c_out {
        let rows = p.n * p.h_out * p.w_out;
        let per_split = (rows + p.splits - 1u) / p.splits;
        let begin = min(split * per_split, rows);
        let end = min(begin + per_split, rows);
        var sum = 0.0;
        for (var i = begin; i < end; i++) {
            sum += dy[i * p.c_out + o];
        }
        if ACCUMULATE {
            sum += part[split * p.c_out + o];
        }
        part[split * p.c_out + o] = sum;
    }
}
