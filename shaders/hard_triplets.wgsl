// hard_triplets_positive: for each anchor of a block the farthest image of its person in one part of the set
//
//   d[a,j]       = sum over k of  (anchors[k,a] - images[k,j])^2
//   chosen[a,0]  = the image p of a's person, not a, with the largest d[a,p];  the lowest index of equals, 2^32-1 where
//                  there is none
//   reach[a,0]   = d[a,p], 0 where there is none
//
//   p        Params
//   anchors  [dim, anchors_size]    read: embeddings, transposed, of the part that the block lies in
//   images   [dim, images_size]     read: embeddings, transposed, of the part that is searched
//   labels   [m]                    read (u32)
//   chosen   [m, 3]                 read_write, set for the anchors of the block, or kept where no better is found
//                                   (ACCUMULATE: the parts before this one have been searched)
//   reach    [m, 3]                 read_write, as chosen
//
// dispatch   [ceil(count/ROWS)]
// overrides  ACCUMULATE
// needs      nothing beyond default limits; barriers in uniform control flow
// order      sums k in order, so results repeat bit for bit, whatever the parts; no matrix of distances is kept

struct Params {
    dim: u32,
    first: u32,
    count: u32,
    anchors_from: u32,
    anchors_size: u32,
    images_from: u32,
    images_size: u32,
}

const LANES: u32 = 32u;
const ROWS: u32 = 8u;
const COLUMNS: u32 = 4u; // per invocation, LANES apart
const NONE: u32 = 0xffffffffu;
const HUGE: f32 = 0x1p127f;

override ACCUMULATE: bool = false;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> anchors: array<f32>;
@group(0) @binding(2) var<storage, read> images: array<f32>;
@group(0) @binding(3) var<storage, read> labels: array<u32>;
@group(0) @binding(4) var<storage, read_write> chosen: array<u32>;
@group(0) @binding(5) var<storage, read_write> reach: array<f32>;

// What each lane has found for each anchor.
var<workgroup> lane_reach: array<f32, LANES * ROWS>;
var<workgroup> lane_choice: array<u32, LANES * ROWS>;

// The anchors of a workgroup, as places in their part. Behind the end of the block they repeat its last one, for which
// nothing is written twice.
fn anchors_of(start: u32) -> array<u32, ROWS> {
    var anchor: array<u32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        anchor[r] = min(start + r, p.first + p.count - 1u) - p.anchors_from;
    }
    return anchor;
}

// The images of a lane, as places in their part. Behind its end they repeat its last one: an image that is seen twice
// changes nothing.
fn images_of(first: u32) -> array<u32, COLUMNS> {
    var image: array<u32, COLUMNS>;
    for (var c = 0u; c < COLUMNS; c++) {
        image[c] = min(first + c * LANES, p.images_size - 1u);
    }
    return image;
}

// Squared distances of eight anchors and four images, all as places in their parts.
fn distances(anchor: array<u32, ROWS>, image: array<u32, COLUMNS>) -> array<f32, ROWS * COLUMNS> {
    var sum: array<f32, ROWS * COLUMNS>;
    for (var k = 0u; k < p.dim; k++) {
        var x: array<f32, COLUMNS>;
        for (var c = 0u; c < COLUMNS; c++) {
            x[c] = images[k * p.images_size + image[c]];
        }
        for (var r = 0u; r < ROWS; r++) {
            let own = anchors[k * p.anchors_size + anchor[r]];
            for (var c = 0u; c < COLUMNS; c++) {
                let difference = own - x[c];
                sum[r * COLUMNS + c] += difference * difference;
            }
        }
    }
    return sum;
}

// Joins what the lanes have found for each anchor with what the parts before have left, and writes it as number `slot` of
// three. `sign` is -1 where the largest distance is wanted: all comparisons are for the least.
fn settle(lane: u32, start: u32, slot: u32, sign: f32, best: array<f32, ROWS>, choice: array<u32, ROWS>) {
    for (var r = 0u; r < ROWS; r++) {
        lane_reach[r * LANES + lane] = best[r];
        lane_choice[r * LANES + lane] = choice[r];
    }
    workgroupBarrier();
    if lane < ROWS && start + lane < p.first + p.count {
        let out = 3u * (start + lane) + slot;
        var least = HUGE;
        var at = NONE;
        if ACCUMULATE {
            at = chosen[out];
            least = select(HUGE, sign * reach[out], at != NONE);
        }
        for (var l = 0u; l < LANES; l++) {
            let value = lane_reach[lane * LANES + l];
            let index = lane_choice[lane * LANES + l];
            let better = index != NONE && (value < least || (value == least && index < at));
            least = select(least, value, better);
            at = select(at, index, better);
        }
        chosen[out] = at;
        reach[out] = select(0.0, sign * least, at != NONE);
    }
    workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn hard_triplets_positive(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let start = p.first + workgroup.x * ROWS;
    let anchor = anchors_of(start);
    var label: array<u32, ROWS>;
    var far: array<f32, ROWS>;
    var far_at: array<u32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        label[r] = labels[p.anchors_from + anchor[r]];
        far[r] = HUGE;
        far_at[r] = NONE;
    }
    for (var first = 0u; first < p.images_size; first += LANES * COLUMNS) {
        let image = images_of(first + lane);
        var related = false;
        for (var c = 0u; c < COLUMNS; c++) {
            let own = labels[p.images_from + image[c]];
            for (var r = 0u; r < ROWS; r++) {
                related |= own == label[r];
            }
        }
        // Most images are of people that no anchor is of: their distances are left to the search for negatives.
        if related {
            let d = distances(anchor, image);
            for (var c = 0u; c < COLUMNS; c++) {
                let at = p.images_from + image[c];
                let own = labels[at];
                for (var r = 0u; r < ROWS; r++) {
                    let value = -d[r * COLUMNS + c];
                    let farther = own == label[r] && at != p.anchors_from + anchor[r] && value < far[r];
                    far[r] = select(far[r], value, farther);
                    far_at[r] = select(far_at[r], at, farther);
                }
            }
        }
    }
    settle(lane, start, 0u, -1.0, far, far_at);
}

// hard_triplets_negatives: for each anchor of a block the closest image of another person in one part of the set, and the
// closest one that is farther than the anchor's positive
//
//   d[a,j]       = sum over k of  (anchors[k,a] - images[k,j])^2
//   chosen[a,1]  = the image n of another person with the least d[a,n]
//   chosen[a,2]  = the one of these with the least d[a,s] > d[a,p],  p = chosen[a,0] in the whole set;
//                  the lowest index of equals, 2^32-1 where there is none
//   reach[a]     = (d[a,p], d[a,n], d[a,s]), 0 where there is none
//
//   p        Params
//   anchors  [dim, anchors_size]    read: embeddings, transposed, of the part that the block lies in
//   images   [dim, images_size]     read: embeddings, transposed, of the part that is searched
//   labels   [m]                    read (u32)
//   chosen   [m, 3]                 read_write, set for the anchors of the block, or kept where no better is found
//                                   (ACCUMULATE: the parts before this one have been searched); the positive is read
//   reach    [m, 3]                 read_write, as chosen
//
// dispatch   [ceil(count/ROWS)]
// overrides  ACCUMULATE
// needs      nothing beyond default limits; barriers in uniform control flow
// order      as hard_triplets_positive, so that the distances of both compare bit for bit

@compute @workgroup_size(LANES)
fn hard_triplets_negatives(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let start = p.first + workgroup.x * ROWS;
    let anchor = anchors_of(start);
    var label: array<u32, ROWS>;
    var beyond: array<f32, ROWS>;
    var near: array<f32, ROWS>;
    var near_at: array<u32, ROWS>;
    var semi: array<f32, ROWS>;
    var semi_at: array<u32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        label[r] = labels[p.anchors_from + anchor[r]];
        let positive = 3u * (p.anchors_from + anchor[r]);
        beyond[r] = select(HUGE, reach[positive], chosen[positive] != NONE);
        near[r] = HUGE;
        near_at[r] = NONE;
        semi[r] = HUGE;
        semi_at[r] = NONE;
    }
    for (var first = 0u; first < p.images_size; first += LANES * COLUMNS) {
        let image = images_of(first + lane);
        let d = distances(anchor, image);
        for (var c = 0u; c < COLUMNS; c++) {
            let at = p.images_from + image[c];
            let own = labels[at];
            for (var r = 0u; r < ROWS; r++) {
                let value = d[r * COLUMNS + c];
                let nearer = own != label[r] && value < near[r];
                near[r] = select(near[r], value, nearer);
                near_at[r] = select(near_at[r], at, nearer);
                let harder = own != label[r] && value > beyond[r] && value < semi[r];
                semi[r] = select(semi[r], value, harder);
                semi_at[r] = select(semi_at[r], at, harder);
            }
        }
    }
    settle(lane, start, 1u, 1.0, near, near_at);
    settle(lane, start, 2u, 1.0, semi, semi_at);
}
