// Tiles of 32 rows and 32 columns: what conv2d_tiles.wgsl computes in a workgroup.

const ROWS = 32u;
const COLS = 32u;
const THREADS = 64u;
// An invocation owns so many groups of four rows and of four columns.
const ROW_GROUPS = 1u;
const COL_GROUPS = 1u;
