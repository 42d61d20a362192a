// Sums of a product in the registers of each invocation: the counterpart of conv2d_sums_matrices.wgsl.
//
// uses       conv2d_factors_f32.wgsl or conv2d_factors_f16.wgsl: Four, LEFT_PAD, RIGHT_PAD, Two
// uses       conv2d_tile128.wgsl or conv2d_tile64.wgsl or conv2d_tile32.wgsl: COL_GROUPS, ROW_GROUPS

// The tiles, by position of the sum: four rows, in pairs, or four columns. Constant indices need no bounds check.
var<workgroup> left_tile: array<array<array<array<Two, 2>, ROW_QUADS + LEFT_PAD>, 4>, DEPTH / 4u>;
var<workgroup> right_tile: array<array<array<Four, COL_QUADS + RIGHT_PAD>, RIGHT_SHARE>, DEPTH / RIGHT_SHARE>;

// Four positions of each of the invocation's pixels.
fn put_left(pixels: u32, quad: u32, loads: ptr<function, Loads>) {
    for (var u = 0u; u < 4u; u++) {
        for (var m = 0u; m < LEFT_SHARE; m += 2u) {
            let pair = pixels % (4u / LEFT_SHARE) * (LEFT_SHARE / 2u) + m / 2u;
            left_tile[quad][u][pixels / (4u / LEFT_SHARE)][pair] = Two(vec2((*loads).left[m][u], (*loads).left[m + 1u][u]));
        }
    }
}

// Four rows of position m of the invocation's pixels.
fn put_left_rows(pixels: u32, m: u32, block: u32, rows: vec4<f32>) {
    left_tile[pixels / (4u / LEFT_SHARE)][pixels % (4u / LEFT_SHARE) * LEFT_SHARE + m][block][0] = Two(rows.xy);
    left_tile[pixels / (4u / LEFT_SHARE)][pixels % (4u / LEFT_SHARE) * LEFT_SHARE + m][block][1] = Two(rows.zw);
}

// Four columns of a few positions.
fn put_right(lane: u32, loads: ptr<function, Loads>) {
    for (var u = 0u; u < RIGHT_SHARE; u++) {
        right_tile[lane / COL_QUADS][u][lane % COL_QUADS] = Four((*loads).right[u]);
    }
}

// Quads of rows and columns from one group of an invocation to its next.
const ROW_STEP = ROW_QUADS / ROW_GROUPS;
const COL_STEP = COL_QUADS / COL_GROUPS;
const SUMS = 4u * ROW_GROUPS * COL_GROUPS;
alias Sums = array<vec4<f32>, SUMS>;

// Adds the product of the tiles; invocation (i, j) owns the quads of rows i, i + ROW_STEP and those of columns j, j + COL_STEP.
fn multiply(lane: u32, sums: ptr<function, Sums>) {
    let i = lane / COL_STEP;
    let j = lane % COL_STEP;
    for (var quad = 0u; quad < DEPTH / 4u; quad++) {
        for (var u = 0u; u < 4u; u++) {
            var c: array<vec4<f32>, COL_GROUPS>;
            for (var g = 0u; g < COL_GROUPS; g++) {
                c[g] = vec4<f32>(right_tile[quad * (4u / RIGHT_SHARE) + u / RIGHT_SHARE][u % RIGHT_SHARE][g * COL_STEP + j]);
            }
            for (var h = 0u; h < ROW_GROUPS; h++) {
                let a = vec4<f32>(vec4(left_tile[quad][u][h * ROW_STEP + i][0], left_tile[quad][u][h * ROW_STEP + i][1]));
                for (var g = 0u; g < COL_GROUPS; g++) {
                    let to = 4u * (h * COL_GROUPS + g);
                    (*sums)[to] += a.x * c[g];
                    (*sums)[to + 1u] += a.y * c[g];
                    (*sums)[to + 2u] += a.z * c[g];
                    (*sums)[to + 3u] += a.w * c[g];
                }
            }
        }
    }
}

// The results of an invocation, four neighbouring columns each.
fn settled(lane: u32, sums: ptr<function, Sums>) -> array<vec4<f32>, SUMS> {
    return *sums;
}

// The row within the tile, and the group of four columns of the invocation, that hold result `at`.
fn row_of(lane: u32, at: u32) -> u32 {
    return 4u * (lane / COL_STEP + at / 4u / COL_GROUPS * ROW_STEP) + at % 4u;
}

fn group_of(at: u32) -> u32 {
    return at / 4u % COL_GROUPS;
}

// Groups of four columns of an invocation, and the first column of one within the tile.
const OWN_COLS = COL_GROUPS;

fn col_of(lane: u32, group: u32) -> u32 {
    return 4u * (lane % COL_STEP + group * COL_STEP);
}
