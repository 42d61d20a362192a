// Tiles of 128 rows and 64 columns: what conv2d_tiles.wgsl computes in a workgroup.

const ROWS = 128u;
const COLS = 64u;
const THREADS = 128u;
// An invocation owns so many groups of four rows and of four columns.
const ROW_GROUPS = 2u;
const COL_GROUPS = 2u;
