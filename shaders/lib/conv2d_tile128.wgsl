// Tiles of 128 rows and 128 columns: what conv2d_tiles.wgsl computes in a workgroup.

const ROWS = 128u;
const COLS = 128u;
const THREADS = 256u;
// An invocation owns so many groups of four rows and of four columns.
const ROW_GROUPS = 2u;
const COL_GROUPS = 2u;
