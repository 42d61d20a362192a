// Right side and result of a product with any number of columns: the counterpart of conv2d_right_vec4.wgsl.
//
// uses       rectified.wgsl: rectified

@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read> b: array<f32>;

// Four neighbouring columns from `first` on; those past the end are moved inside.
fn columns(first: u32, cols: u32) -> vec4<u32> {
    return min(first + vec4(0u, 1u, 2u, 3u), vec4(cols - 1u));
}

// Four columns of the row of w that starts at `row`.
fn load_w(row: u32, col: vec4<u32>) -> vec4<f32> {
    return vec4(w[row + col.x], w[row + col.y], w[row + col.z], w[row + col.w]);
}

fn load_b(col: vec4<u32>) -> vec4<f32> {
    return vec4(b[col.x], b[col.y], b[col.z], b[col.w]);
}

// Writes the columns from `first` on of the row of y that starts at `row`, as far as there are any, or adds to them.
fn store_y(row: u32, first: u32, cols: u32, value: vec4<f32>) {
    let at = row + first;
    var sum = value;
    if ACCUMULATE {
        let col = columns(first, cols);
        sum = vec4(y[row + col.x], y[row + col.y], y[row + col.z], y[row + col.w]) + SCALE * sum;
    }
    if RELU {
        sum = rectified(sum);
    }
    if first < cols {
        y[at] = sum.x;
    }
    if first + 1u < cols {
        y[at + 1u] = sum.y;
    }
    if first + 2u < cols {
        y[at + 2u] = sum.z;
    }
    if first + 3u < cols {
        y[at + 3u] = sum.w;
    }
}

// Indices count so many floats.
const RIGHT = 1u;

fn load_right_unit(row: u32, col: vec4<u32>) -> vec4<f32> {
    return load_w(row, col);
}
