// gather_rows: takes rows out of a matrix, by number
//
//   y[i,j] = x[at[i],j]    or 0 where x has no row at[i]
//
//   p   Params
//   x   [total, dim]    read
//   at  [rows]          read (u32)
//   y   [rows, dim]     read_write, set
//
// dispatch   [ceil(rows*dim/LANES/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums
// uses       index.wgsl: ITEMS, Invocation, item_index
// uses       lanes1.wgsl or lanes4.wgsl: F, LANES

struct Params {
    rows: u32,
    total: u32,
    dim: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<F>;
@group(0) @binding(2) var<storage, read> at: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<F>;

@compute @workgroup_size(ITEMS)
fn gather_rows(invocation: Invocation) {
    let i = item_index(invocation);
    let dim = p.dim / LANES;
    if i < p.rows * dim {
        let row = i / dim;
        let source = at[row];
        var value = F(0.0);
        if source < p.total {
            value = x[source * dim + (i - row * dim)];
        }
        y[i] = value;
    }
}

// scatter_rows: puts rows into a matrix, by number; its other rows stay as they are
//
//   y[at[i],j] = x[i,j]    where y has a row at[i]; no two at[i] may be the same row of y
//
//   p   Params
//   x   [rows, dim]     read
//   at  [rows]          read (u32)
//   y   [total, dim]    read_write, set (the rows that at names)
//
// dispatch   [ceil(rows*dim/LANES/ITEMS)], folded
// overrides  none
// needs      nothing beyond default limits; no barrier
// order      no sums

@compute @workgroup_size(ITEMS)
fn scatter_rows(invocation: Invocation) {
    let i = item_index(invocation);
    let dim = p.dim / LANES;
    if i < p.rows * dim {
        let row = i / dim;
        let target_row = at[row];
        if target_row < p.total {
            y[target_row * dim + (i - row * dim)] = x[i];
        }
    }
}
