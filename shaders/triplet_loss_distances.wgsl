// triplet_transpose: the embeddings with the images side by side, so that lanes along images read contiguous memory
//
//   xt[k,i] = x[i,k]
//
//   p   Params
//   x   [b, dim]    read
//   xt  [dim, b]    read_write, set
//
// dispatch   [ceil(b*dim/256)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums
// uses       index.wgsl: group_index
// uses       triplet_params.wgsl: p

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> xt: array<f32>;

@compute @workgroup_size(256)
fn triplet_transpose(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = group_index(workgroup, groups) * 256u + lane;
    if at < p.b * p.dim {
        let k = at / p.b;
        xt[at] = x[(at - k * p.b) * p.dim + k];
    }
}

// triplet_distances: squared Euclidean distances of all pairs of images, and a zeroed matrix for the selection
//
//   d[i,j] = sum over k of  (x[i,k] - x[j,k])^2
//   pull[i,j] = 0
//                    (differences first: |x|^2 + |y|^2 - 2xy would lose the small distances that decide near-ties)
//
//   p        Params
//   columns  [dim, b]    read: the embeddings, transposed
//   d        [b, b]      read_write, set; symmetric to the bit
//   pull     [b, b]      read_write, set (i32)
//
// dispatch   [ceil(b/(LANES*COLUMNS)), ceil(b/ROWS)]; tiles below the diagonal do nothing, the others write both halves
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      sums k in order, so results repeat bit for bit

const LANES: u32 = 32u;
const ROWS: u32 = 8u;
const COLUMNS: u32 = 4u; // per invocation, LANES apart

@group(0) @binding(1) var<storage, read> columns: array<f32>;
@group(0) @binding(2) var<storage, read_write> d: array<f32>;
@group(0) @binding(3) var<storage, read_write> pull: array<i32>;

@compute @workgroup_size(LANES)
fn triplet_distances(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first_i = workgroup.y * ROWS;
    let first_j = workgroup.x * (LANES * COLUMNS);
    if first_j + LANES * COLUMNS > first_i {
        let last = p.b - 1u; // rows and columns past the end repeat the last one and are not written
        var i: array<u32, ROWS>;
        var j: array<u32, COLUMNS>;
        for (var r = 0u; r < ROWS; r++) {
            i[r] = min(first_i + r, last);
        }
        for (var c = 0u; c < COLUMNS; c++) {
            j[c] = min(first_j + c * LANES + lane, last);
        }
        var sum: array<f32, ROWS * COLUMNS>;
        for (var k = 0u; k < p.dim; k++) {
            let row = k * p.b;
            var y: array<f32, COLUMNS>;
            for (var c = 0u; c < COLUMNS; c++) {
                y[c] = columns[row + j[c]];
            }
            for (var r = 0u; r < ROWS; r++) {
                let own = columns[row + i[r]];
                for (var c = 0u; c < COLUMNS; c++) {
                    let difference = own - y[c];
                    sum[r * COLUMNS + c] += difference * difference;
                }
            }
        }
        for (var c = 0u; c < COLUMNS; c++) {
            for (var r = 0u; r < ROWS; r++) {
                write_pair(first_i + r, first_j + c * LANES + lane, sum[r * COLUMNS + c]);
            }
        }
    }
}

// Writes both halves; each pair of images with i <= j has one owner.
fn write_pair(i: u32, j: u32, distance: f32) {
    if i <= j && j < p.b {
        d[i * p.b + j] = distance;
        pull[i * p.b + j] = 0;
        if i < j {
            d[j * p.b + i] = distance;
            pull[j * p.b + i] = 0;
        }
    }
}

// triplet_centre: the mean embedding; its length is near 1 where all embeddings fall onto a point
//
//   centre[k] = 1/b * sum over i of  x[i,k]
//
//   p       Params
//   x       [b, dim]    read
//   centre  [dim]       read_write, set
//
// dispatch   [ceil(dim/64)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      sums i in order, so results repeat bit for bit

@group(0) @binding(2) var<storage, read_write> centre: array<f32>;

@compute @workgroup_size(64)
fn triplet_centre(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let k = group_index(workgroup, groups) * 64u + lane;
    if k < p.dim {
        var sum = 0.0;
        for (var i = 0u; i < p.b; i++) {
            sum += x[i * p.dim + k];
        }
        centre[k] = sum / f32(p.b);
    }
}
