// Right side and result of a product whose columns are a multiple of four, read and written four at a time.
//
// uses       rectified.wgsl: rectified

@group(0) @binding(2) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> b: array<vec4<f32>>;

// Four neighbouring columns from `first` on; those past the end are moved inside.
fn columns(first: u32, cols: u32) -> vec4<u32> {
    return vec4(min(first, cols - 4u));
}

// Four columns of the row of w that starts at `row`.
fn load_w(row: u32, col: vec4<u32>) -> vec4<f32> {
    return w[(row + col.x) / 4u];
}

fn load_b(col: vec4<u32>) -> vec4<f32> {
    return b[col.x / 4u];
}

// Writes the columns from `first` on of the row of y that starts at `row`, as far as there are any, or adds to them.
fn store_y(row: u32, first: u32, cols: u32, value: vec4<f32>) {
    if first < cols {
        let at = (row + first) / 4u;
        var sum = value;
        if ACCUMULATE {
            sum = y[at] + SCALE * sum;
        }
        if RELU {
            sum = rectified(sum);
        }
        y[at] = sum;
    }
}

// Indices count so many floats.
const RIGHT = 4u;

fn load_right_unit(row: u32, col: vec4<u32>) -> vec4<f32> {
    return w[row + col.x];
}
