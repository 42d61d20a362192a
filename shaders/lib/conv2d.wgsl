// What every kernel of conv2d shares: the parameters, and a convolution seen as a matrix product.

struct Params {
    n: u32,
    h_in: u32,
    w_in: u32,
    c_in: u32,
    h_out: u32,
    w_out: u32,
    c_out: u32,
    k_h: u32,
    k_w: u32,
    stride: u32,
    pad_top: u32,
    pad_left: u32,
    splits: u32,
}

@group(0) @binding(0) var<uniform> p: Params;

// A convolution as a matrix product: one row per pixel that is written, one column per channel that is written.
// Channels lie last, so one kernel row of one pixel reads `run` floats that are contiguous in memory: kernel columns
// times channels. Whether such a float lies inside the image is then one comparison with the length of an image row,
// and no index needs a division. Positions left of or above the image wrap around and compare as too large.
struct View {
    rows: u32,      // pixels to write
    cols: u32,      // channels to write
    h: u32,         // pixels to write per image
    w: u32,
    step: u32,      // pixel (a, b) reads from row a * step + y_first, column b * step + x_first
    y_first: u32,
    x_first: u32,
    h_in: u32,      // rows of an image that is read
    row_len: u32,   // floats of one of its rows
    c: u32,         // its channels
    taps: u32,      // kernel rows
    run: u32,       // floats per kernel row
    w_first: u32,   // weight row of the first float of the first kernel row
    w_pitch: u32,   // weight rows from one kernel row to the next
    h_to: u32,      // image that is written: pixel (a, b) goes to (a * step_to + y_to, b * step_to + x_to)
    w_to: u32,
    step_to: u32,
    y_to: u32,
    x_to: u32,
}

fn view_forward() -> View {
    return View(
        p.n * p.h_out * p.w_out, p.c_out, p.h_out, p.w_out,
        p.stride, 0u - p.pad_top, 0u - p.pad_left,
        p.h_in, p.w_in * p.c_in, p.c_in,
        p.k_h, p.k_w * p.c_in, 0u, p.k_w * p.c_in,
        p.h_out, p.w_out, 1u, 0u, 0u,
    );
}

// Kernel rows r < k with r mod stride == phase.
fn phase_taps(k: u32, phase: u32) -> u32 {
    return k / p.stride + select(0u, 1u, phase < k % p.stride);
}

// Kernel rows of the phases before this one.
fn phase_first(k: u32, phase: u32) -> u32 {
    return k / p.stride * phase + min(phase, k % p.stride);
}

// The first input position that belongs to a phase: (position + pad) mod stride == phase.
fn phase_start(pad: u32, phase: u32) -> u32 {
    return (phase + p.stride - pad % p.stride) % p.stride;
}

// Input positions of a phase.
fn phase_len(len: u32, start: u32) -> u32 {
    return select(0u, (len - start + p.stride - 1u) / p.stride, start < len);
}

// The gradient of the input is a convolution of dy with the flipped and transposed weights that conv2d_flip writes.
// With a stride each input pixel meets only the kernel rows of its phase (position + pad) mod stride, so that pixels
// are taken phase by phase, and within a phase the convolution has stride 1.
fn view_dx(phase: u32) -> View {
    let phase_h = phase / p.stride;
    let phase_w = phase % p.stride;
    let y_to = phase_start(p.pad_top, phase_h);
    let x_to = phase_start(p.pad_left, phase_w);
    let h = phase_len(p.h_in, y_to);
    let w = phase_len(p.w_in, x_to);
    let taps_h = phase_taps(p.k_h, phase_h);
    let taps_w = phase_taps(p.k_w, phase_w);
    return View(
        p.n * h * w, p.c_in, h, w,
        1u, (y_to + p.pad_top - phase_h) / p.stride + 1u - taps_h, (x_to + p.pad_left - phase_w) / p.stride + 1u - taps_w,
        p.h_out, p.w_out * p.c_out, p.c_out,
        select(0u, taps_h, taps_w > 0u), taps_w * p.c_out,
        (phase_first(p.k_h, phase_h) * p.k_w + phase_first(p.k_w, phase_w)) * p.c_out, p.k_w * p.c_out,
        p.h_in, p.w_in, p.stride, y_to, x_to,
    );
}

// Where pixel m reads: number of the first image row in memory, first row within the image, first float within it.
fn read_origin(v: View, m: u32) -> vec3<u32> {
    let ab = m / v.w;
    let image = ab / v.h;
    let a = ab - image * v.h;
    let b = m - ab * v.w;
    return vec3(image * v.h_in, a * v.step + v.y_first, (b * v.step + v.x_first) * v.c);
}

// Index of the first float that pixel m writes.
fn write_origin(v: View, m: u32) -> u32 {
    let ab = m / v.w;
    let image = ab / v.h;
    let a = ab - image * v.h;
    let b = m - ab * v.w;
    return ((image * v.h_to + a * v.step_to + v.y_to) * v.w_to + b * v.step_to + v.x_to) * v.cols;
}
