// hard_triplets: for each anchor of a block the farthest positive, the closest negative, and the closest negative that
// is farther than that positive
//
//   d[a,j]    = sum over k of  (columns[k,a] - columns[k,j])^2
//   chosen[a] = (p, n, s):  p the image of a's person, not a, with the largest d[a,p];
//               n the image of another person with the least d[a,n];
//               s the one of these with the least d[a,s] > d[a,p];  the lowest index of equals, 2^32-1 where there is none
//   reach[a]  = (d[a,p], d[a,n], d[a,s]), 0 where there is none
//
//   p        Params
//   columns  [dim, m]    read: embeddings, transposed
//   labels   [m]         read (u32)
//   chosen   [m, 3]      read_write, set for the anchors of the block
//   reach    [m, 3]      read_write, set for the anchors of the block
//
// dispatch   [ceil(count/ROWS)]
// overrides  none
// needs      nothing beyond default limits; barriers in uniform control flow
// order      sums k in order, so results repeat bit for bit; no matrix of distances is kept

struct Params {
    m: u32,
    dim: u32,
    first: u32,
    count: u32,
}

const LANES: u32 = 32u;
const ROWS: u32 = 8u;
const COLUMNS: u32 = 4u; // per invocation, LANES apart
const NONE: u32 = 0xffffffffu;
const HUGE: f32 = 0x1p127f;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> columns: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> chosen: array<u32>;
@group(0) @binding(4) var<storage, read_write> reach: array<f32>;

// What each lane has found for each anchor, and what all lanes together have.
var<workgroup> lane_reach: array<f32, LANES * ROWS>;
var<workgroup> lane_choice: array<u32, LANES * ROWS>;
var<workgroup> row_reach: array<f32, ROWS>;

// Squared distances of eight anchors and four images.
fn distances(anchor: array<u32, ROWS>, image: array<u32, COLUMNS>) -> array<f32, ROWS * COLUMNS> {
    var sum: array<f32, ROWS * COLUMNS>;
    for (var k = 0u; k < p.dim; k++) {
        let row = k * p.m;
        var x: array<f32, COLUMNS>;
        for (var c = 0u; c < COLUMNS; c++) {
            x[c] = columns[row + image[c]];
        }
        for (var r = 0u; r < ROWS; r++) {
            let own = columns[row + anchor[r]];
            for (var c = 0u; c < COLUMNS; c++) {
                let difference = own - x[c];
                sum[r * COLUMNS + c] += difference * difference;
            }
        }
    }
    return sum;
}

// Joins what the lanes have found for each anchor and writes it as number `slot` of three. `sign` is -1 where the largest
// distance is wanted: all comparisons are for the least.
fn settle(lane: u32, start: u32, slot: u32, sign: f32, best: array<f32, ROWS>, choice: array<u32, ROWS>) {
    for (var r = 0u; r < ROWS; r++) {
        lane_reach[r * LANES + lane] = best[r];
        lane_choice[r * LANES + lane] = choice[r];
    }
    workgroupBarrier();
    if lane < ROWS {
        var least = HUGE;
        var at = NONE;
        for (var l = 0u; l < LANES; l++) {
            let value = lane_reach[lane * LANES + l];
            let index = lane_choice[lane * LANES + l];
            let better = index != NONE && (value < least || (value == least && index < at) || at == NONE);
            least = select(least, value, better);
            at = select(at, index, better);
        }
        let found = at != NONE;
        row_reach[lane] = select(HUGE, sign * least, found);
        if start + lane < p.first + p.count {
            chosen[3u * (start + lane) + slot] = at;
            reach[3u * (start + lane) + slot] = select(0.0, sign * least, found);
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn hard_triplets(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let start = p.first + workgroup.x * ROWS;
    let last = p.m - 1u;
    var anchor: array<u32, ROWS>;
    var label: array<u32, ROWS>;
    var far: array<f32, ROWS>;
    var far_at: array<u32, ROWS>;
    var near: array<f32, ROWS>;
    var near_at: array<u32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        anchor[r] = min(start + r, last);
        label[r] = labels[anchor[r]];
        far[r] = HUGE;
        far_at[r] = NONE;
        near[r] = HUGE;
        near_at[r] = NONE;
    }
    for (var first = 0u; first < p.m; first += LANES * COLUMNS) {
        var image: array<u32, COLUMNS>;
        for (var c = 0u; c < COLUMNS; c++) {
            image[c] = min(first + c * LANES + lane, last);
        }
        let d = distances(anchor, image);
        for (var c = 0u; c < COLUMNS; c++) {
            let own = labels[image[c]];
            let inside = first + c * LANES + lane <= last;
            for (var r = 0u; r < ROWS; r++) {
                let value = d[r * COLUMNS + c];
                let farther = inside && own == label[r] && image[c] != anchor[r] && -value < far[r];
                far[r] = select(far[r], -value, farther);
                far_at[r] = select(far_at[r], image[c], farther);
                let nearer = inside && own != label[r] && value < near[r];
                near[r] = select(near[r], value, nearer);
                near_at[r] = select(near_at[r], image[c], nearer);
            }
        }
    }
    settle(lane, start, 1u, 1.0, near, near_at);
    settle(lane, start, 0u, -1.0, far, far_at);
    // The positive's distance is known to all lanes now; the negatives are visited once more.
    var beyond: array<f32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        beyond[r] = row_reach[r];
        near[r] = HUGE;
        near_at[r] = NONE;
    }
    for (var first = 0u; first < p.m; first += LANES * COLUMNS) {
        var image: array<u32, COLUMNS>;
        for (var c = 0u; c < COLUMNS; c++) {
            image[c] = min(first + c * LANES + lane, last);
        }
        let d = distances(anchor, image);
        for (var c = 0u; c < COLUMNS; c++) {
            let own = labels[image[c]];
            let inside = first + c * LANES + lane <= last;
            for (var r = 0u; r < ROWS; r++) {
                let value = d[r * COLUMNS + c];
                let nearer = inside && own != label[r] && value > beyond[r] && value < near[r];
                near[r] = select(near[r], value, nearer);
                near_at[r] = select(near_at[r], image[c], nearer);
            }
        }
    }
    settle(lane, start, 2u, 1.0, near, near_at);
}
