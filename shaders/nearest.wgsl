// nearest_one: for each query the nearest image, or the farthest, of one part of a gallery
//
//   d[q,j]       = sum over k of  (queries[k,q] - gallery[k,j])^2
//   index[q]     = from + j  with the least d[q,j], the largest if FARTHEST, of the images that count; the lowest of
//                  equals, 2^32-1 where none counts
//   reach[q]     = d[q,j], 0 where none counts
//                  An image counts if it is not the query itself, if d[q,j] > beyond[q], and if its label is that of the
//                  query (SAME), another one (OTHER), or any.
//
//   p         Params
//   queries   [dim, count]    read: embeddings, transposed
//   gallery   [dim, size]     read: embeddings of the part, transposed
//   about     [2, count]      read (u32): the queries' labels; which image of the gallery each of them is, or 2^32-1
//   labels    [size]          read (u32): labels of the part
//   beyond    [count]         read
//   index     [count, 1]      read_write (u32), set, or kept where no better is found (ACCUMULATE: the parts before this
//                             one, whose images have lower indices, have been searched)
//   reach     [count, 1]      read_write, as index
//
// dispatch   [ceil(count/ROWS)]
// overrides  FARTHEST, SAME, OTHER, ACCUMULATE
// needs      nothing beyond default limits; barriers in uniform control flow
// order      sums k in order, so results repeat bit for bit, whatever the blocks and parts; no matrix of distances is kept

struct Params {
    dim: u32,
    count: u32,
    size: u32,
    from_image: u32,
    k: u32,
}

const LANES: u32 = 32u;
const ROWS: u32 = 8u;
const COLUMNS: u32 = 4u; // per invocation, LANES apart
const NONE: u32 = 0xffffffffu;
const HUGE: f32 = 0x1p127f;

override FARTHEST: bool = false;
override SAME: bool = false;
override OTHER: bool = false;
override ACCUMULATE: bool = false;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> queries: array<f32>;
@group(0) @binding(2) var<storage, read> gallery: array<f32>;
@group(0) @binding(3) var<storage, read> about: array<u32>;
@group(0) @binding(4) var<storage, read> labels: array<u32>;
@group(0) @binding(5) var<storage, read> beyond: array<f32>;
@group(0) @binding(6) var<storage, read_write> index: array<u32>;
@group(0) @binding(7) var<storage, read_write> reach: array<f32>;

// What makes the wanted distance the least: all comparisons are for the least.
fn signed(d: f32) -> f32 {
    return select(d, -d, FARTHEST);
}

// The queries of a workgroup. Behind the last one they repeat it, and nothing is written for them.
fn queries_of(start: u32) -> array<u32, ROWS> {
    var query: array<u32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        query[r] = min(start + r, p.count - 1u);
    }
    return query;
}

// The images of a lane, as places in their part. Behind its end they repeat its last one.
fn images_of(first: u32) -> array<u32, COLUMNS> {
    var image: array<u32, COLUMNS>;
    for (var c = 0u; c < COLUMNS; c++) {
        image[c] = min(first + c * LANES, p.size - 1u);
    }
    return image;
}

// Squared distances of eight queries and four images.
fn distances(query: array<u32, ROWS>, image: array<u32, COLUMNS>) -> array<f32, ROWS * COLUMNS> {
    var sum: array<f32, ROWS * COLUMNS>;
    for (var k = 0u; k < p.dim; k++) {
        var x: array<f32, COLUMNS>;
        for (var c = 0u; c < COLUMNS; c++) {
            x[c] = gallery[k * p.size + image[c]];
        }
        for (var r = 0u; r < ROWS; r++) {
            let own = queries[k * p.count + query[r]];
            for (var c = 0u; c < COLUMNS; c++) {
                let difference = own - x[c];
                sum[r * COLUMNS + c] += difference * difference;
            }
        }
    }
    return sum;
}

// Whether an image of the gallery with this label counts for a query.
fn counts(label: u32, itself: u32, low: f32, at: u32, other: u32, d: f32) -> bool {
    return at != itself && d > low && (!SAME || other == label) && (!OTHER || other != label);
}

// What each lane has found for each query.
var<workgroup> lane_value: array<f32, LANES * ROWS>;
var<workgroup> lane_choice: array<u32, LANES * ROWS>;

@compute @workgroup_size(LANES)
fn nearest_one(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let start = workgroup.x * ROWS;
    let query = queries_of(start);
    var label: array<u32, ROWS>;
    var itself: array<u32, ROWS>;
    var low: array<f32, ROWS>;
    var best: array<f32, ROWS>;
    var choice: array<u32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        label[r] = about[query[r]];
        itself[r] = about[p.count + query[r]];
        low[r] = beyond[query[r]];
        best[r] = HUGE;
        choice[r] = NONE;
    }
    for (var first = 0u; first < p.size; first += LANES * COLUMNS) {
        // An image that is seen twice changes nothing.
        let image = images_of(first + lane);
        var related = !SAME;
        if SAME {
            for (var c = 0u; c < COLUMNS; c++) {
                let other = labels[image[c]];
                for (var r = 0u; r < ROWS; r++) {
                    related |= other == label[r];
                }
            }
        }
        // Most images have none of the queries' labels: where only those count, their distances need no sums.
        if related {
            let d = distances(query, image);
            for (var c = 0u; c < COLUMNS; c++) {
                let at = p.from_image + image[c];
                let other = labels[image[c]];
                for (var r = 0u; r < ROWS; r++) {
                    let apart = d[r * COLUMNS + c];
                    let value = signed(apart);
                    let better = value < best[r] && counts(label[r], itself[r], low[r], at, other, apart);
                    best[r] = select(best[r], value, better);
                    choice[r] = select(choice[r], at, better);
                }
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        lane_value[r * LANES + lane] = best[r];
        lane_choice[r * LANES + lane] = choice[r];
    }
    workgroupBarrier();
    let row = start + lane;
    if lane < ROWS && row < p.count {
        var least = HUGE;
        var at = NONE;
        if ACCUMULATE {
            at = index[row];
            least = select(HUGE, signed(reach[row]), at != NONE);
        }
        for (var l = 0u; l < LANES; l++) {
            let value = lane_value[lane * LANES + l];
            let image = lane_choice[lane * LANES + l];
            let better = image != NONE && (value < least || (value == least && image < at));
            least = select(least, value, better);
            at = select(at, image, better);
        }
        index[row] = at;
        reach[row] = select(0.0, signed(least), at != NONE);
    }
}

// nearest_many: for each query the k nearest images, or the farthest, of one part of a gallery
//
//   index[q,i], reach[q,i]  as nearest_one, the i-th of all images that count, by distance and then by index
//
//   p         Params
//   queries   [dim, count]    read: embeddings, transposed
//   gallery   [dim, size]     read: embeddings of the part, transposed
//   about     [2, count]      read (u32): the queries' labels; which image of the gallery each of them is, or 2^32-1
//   labels    [size]          read (u32): labels of the part
//   beyond    [count]         read
//   index     [count, k]      read_write (u32), set, or bettered (ACCUMULATE: the parts before this one, whose images have
//                             lower indices, have been searched)
//   reach     [count, k]      read_write, as index
//
// dispatch   [ceil(count/ROWS)]
// overrides  FARTHEST, SAME, OTHER, ACCUMULATE
// needs      nothing beyond default limits; barriers in uniform control flow
// order      sums k in order, as nearest_one; one lane sees a query's images in order, so that the lowest of equals is first

// Distances of a tile: ROWS queries by LANES * COLUMNS images, in their order.
var<workgroup> tile: array<f32, LANES * ROWS * COLUMNS>;

// Puts an image into the list that begins at `list`, behind all that are as good, and gives the value to beat: that of the
// list's last place.
fn insert(list: u32, value: f32, at: u32) -> f32 {
    var place = list + p.k - 1u;
    for (; place > list; place--) {
        let before = place - 1u;
        if index[before] != NONE && signed(reach[before]) <= value {
            break;
        }
        index[place] = index[before];
        reach[place] = reach[before];
    }
    index[place] = at;
    reach[place] = signed(value);
    return to_beat(list);
}

fn to_beat(list: u32) -> f32 {
    let last = list + p.k - 1u;
    return select(HUGE, signed(reach[last]), index[last] != NONE);
}

@compute @workgroup_size(LANES)
fn nearest_many(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let start = workgroup.x * ROWS;
    let query = queries_of(start);
    // The first lanes keep a query's list each.
    let row = start + lane;
    let keeps = lane < ROWS && row < p.count;
    let list = row * p.k;
    var label = 0u;
    var itself = NONE;
    var low = 0.0;
    var worst = HUGE;
    if keeps {
        label = about[row];
        itself = about[p.count + row];
        low = beyond[row];
        if ACCUMULATE {
            worst = to_beat(list);
        } else {
            for (var i = 0u; i < p.k; i++) {
                index[list + i] = NONE;
                reach[list + i] = 0.0;
            }
        }
    }
    for (var first = 0u; first < p.size; first += LANES * COLUMNS) {
        let d = distances(query, images_of(first + lane));
        for (var r = 0u; r < ROWS; r++) {
            for (var c = 0u; c < COLUMNS; c++) {
                tile[(r * COLUMNS + c) * LANES + lane] = d[r * COLUMNS + c];
            }
        }
        workgroupBarrier();
        if keeps {
            let images = min(LANES * COLUMNS, p.size - first);
            for (var j = 0u; j < images; j++) {
                let apart = tile[lane * LANES * COLUMNS + j];
                let value = signed(apart);
                if value < worst {
                    let at = p.from_image + first + j;
                    if counts(label, itself, low, at, labels[first + j], apart) {
                        worst = insert(list, value, at);
                    }
                }
            }
        }
        workgroupBarrier();
    }
}
