// Sums of a product in cooperative matrices of 16 x 16, which belong to subgroups of 32 invocations: the counterpart of
// conv2d_sums_lanes.wgsl.
//
// uses       conv2d_factors_f16.wgsl: Four, RIGHT_PAD
// uses       conv2d_tile128.wgsl or conv2d_tile64.wgsl: COLS, ROWS, THREADS

// The tiles: the left one by row, four positions of the sum each, the right one by position, four columns each, as the hardware
// wants its factors. A matrix is loaded from one array, so they are flat. Rows begin at multiples of 16 bytes and spread over the
// banks.
const LEFT_PITCH = DEPTH / 4u + RIGHT_PAD;
const RIGHT_PITCH = COL_QUADS + RIGHT_PAD;
var<workgroup> left_tile: array<Four, ROWS * LEFT_PITCH>;
var<workgroup> right_tile: array<Four, DEPTH * RIGHT_PITCH>;

// Four positions of each of the invocation's pixels.
fn put_left(pixels: u32, quad: u32, loads: ptr<function, Loads>) {
    for (var m = 0u; m < LEFT_SHARE; m++) {
        left_tile[(pixels * LEFT_SHARE + m) * LEFT_PITCH + quad] = Four((*loads).left[m]);
    }
}

// Four rows of position m of the invocation's pixels.
fn put_left_rows(pixels: u32, m: u32, block: u32, rows: vec4<f32>) {
    let position = pixels * LEFT_SHARE + m;
    let four = Four(rows);
    for (var u = 0u; u < 4u; u++) {
        left_tile[(4u * block + u) * LEFT_PITCH + position / 4u][position % 4u] = four[u];
    }
}

// Four columns of a few positions.
fn put_right(lane: u32, loads: ptr<function, Loads>) {
    for (var u = 0u; u < RIGHT_SHARE; u++) {
        right_tile[(lane / COL_QUADS * RIGHT_SHARE + u) * RIGHT_PITCH + lane % COL_QUADS] = Four((*loads).right[u]);
    }
}

// A subgroup owns 32 rows and 64 columns: two matrices by four.
const SUBGROUP = 32u;
const SUBGROUP_COLS = COLS / 64u;
struct Sums {
    m00: coop_mat16x16<f32, C>,
    m01: coop_mat16x16<f32, C>,
    m02: coop_mat16x16<f32, C>,
    m03: coop_mat16x16<f32, C>,
    m10: coop_mat16x16<f32, C>,
    m11: coop_mat16x16<f32, C>,
    m12: coop_mat16x16<f32, C>,
    m13: coop_mat16x16<f32, C>,
}

// The number of the subgroup, in which all of its invocations agree.
fn subgroup_of(lane: u32) -> u32 {
    return subgroupBroadcastFirst(lane / SUBGROUP);
}

// Adds the product of the tiles.
fn multiply(lane: u32, sums: ptr<function, Sums>) {
    let subgroup = subgroup_of(lane);
    let row = subgroup / SUBGROUP_COLS * 32u;
    let col = subgroup % SUBGROUP_COLS * 16u;
    let a0 = coopLoadT<coop_mat16x16<f16, A>>(&left_tile[row * LEFT_PITCH], LEFT_PITCH);
    let a1 = coopLoadT<coop_mat16x16<f16, A>>(&left_tile[(row + 16u) * LEFT_PITCH], LEFT_PITCH);
    let b0 = coopLoadT<coop_mat16x16<f16, B>>(&right_tile[col], RIGHT_PITCH);
    (*sums).m00 = coopMultiplyAdd(a0, b0, (*sums).m00);
    (*sums).m10 = coopMultiplyAdd(a1, b0, (*sums).m10);
    let b1 = coopLoadT<coop_mat16x16<f16, B>>(&right_tile[col + 4u], RIGHT_PITCH);
    (*sums).m01 = coopMultiplyAdd(a0, b1, (*sums).m01);
    (*sums).m11 = coopMultiplyAdd(a1, b1, (*sums).m11);
    let b2 = coopLoadT<coop_mat16x16<f16, B>>(&right_tile[col + 8u], RIGHT_PITCH);
    (*sums).m02 = coopMultiplyAdd(a0, b2, (*sums).m02);
    (*sums).m12 = coopMultiplyAdd(a1, b2, (*sums).m12);
    let b3 = coopLoadT<coop_mat16x16<f16, B>>(&right_tile[col + 12u], RIGHT_PITCH);
    (*sums).m03 = coopMultiplyAdd(a0, b3, (*sums).m03);
    (*sums).m13 = coopMultiplyAdd(a1, b3, (*sums).m13);
}

// Elements of a matrix cannot be named: one of each subgroup at a time is laid out here, and the workgroup takes them in turn.
const SHARE = 64u / SUBGROUP;
const SUMS = 8u * SHARE;
var<workgroup> laid_out: array<vec4<f32>, SHARE * THREADS>;

fn take(lane: u32, matrix: u32, own: ptr<function, array<vec4<f32>, SUMS>>) {
    workgroupBarrier();
    for (var s = 0u; s < SHARE; s++) {
        (*own)[matrix * SHARE + s] = laid_out[s * THREADS + lane];
    }
    workgroupBarrier();
}

// The results of an invocation, four neighbouring columns each.
fn settled(lane: u32, sums: ptr<function, Sums>) -> array<vec4<f32>, SUMS> {
    var own: array<vec4<f32>, SUMS>;
    let to = subgroup_of(lane) * 64u;
    coopStoreT((*sums).m00, &laid_out[to], 4u);
    take(lane, 0u, &own);
    coopStoreT((*sums).m01, &laid_out[to], 4u);
    take(lane, 1u, &own);
    coopStoreT((*sums).m02, &laid_out[to], 4u);
    take(lane, 2u, &own);
    coopStoreT((*sums).m03, &laid_out[to], 4u);
    take(lane, 3u, &own);
    coopStoreT((*sums).m10, &laid_out[to], 4u);
    take(lane, 4u, &own);
    coopStoreT((*sums).m11, &laid_out[to], 4u);
    take(lane, 5u, &own);
    coopStoreT((*sums).m12, &laid_out[to], 4u);
    take(lane, 6u, &own);
    coopStoreT((*sums).m13, &laid_out[to], 4u);
    take(lane, 7u, &own);
    return own;
}

// The row within the tile, and the group of four columns of the invocation, that hold result `at`.
fn row_of(lane: u32, at: u32) -> u32 {
    let quad = at % SHARE * THREADS + lane;
    return quad / 64u / SUBGROUP_COLS * 32u + at / SHARE / 4u * 16u + quad % 64u / 4u;
}

fn group_of(at: u32) -> u32 {
    return at / SHARE % 4u;
}

// Groups of four columns of an invocation, and the first column of one within the tile.
const OWN_COLS = 4u;

fn col_of(lane: u32, group: u32) -> u32 {
    return lane / 64u % SUBGROUP_COLS * 64u + group * 16u + lane % 4u * 4u;
}
