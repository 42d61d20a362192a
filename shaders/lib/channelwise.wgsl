// The parameters of kernels that are elementwise but for one learned number per channel.
//
// uses       index.wgsl: part_start

struct Params {
    rows: u32,
    c: u32,
    splits: u32,
}

@group(0) @binding(0) var<uniform> p: Params;

// The first row of part t of the rows; part `splits` would start behind the last row.
fn first_row(t: u32) -> u32 {
    return part_start(t, p.rows, p.splits);
}
