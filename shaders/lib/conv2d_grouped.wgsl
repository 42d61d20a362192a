// What the kernels of conv2d for groups of channels and dilated kernels share.

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
    dilation_h: u32,
    dilation_w: u32,
    groups: u32,
    splits: u32,
}

@group(0) @binding(0) var<uniform> p: Params;

// No pixel has this number: a tensor has less than 2^32 floats.
const OUTSIDE = 0xffffffffu;

// A pixel of a batch of images.
struct Place {
    image: u32,
    h: u32,
    w: u32,
}

fn place_of(pixel: u32, height: u32, width: u32) -> Place {
    let row = pixel / width;
    let image = row / height;
    return Place(image, row - image * height, pixel - row * width);
}

// The pixel that follows in memory.
fn next_place(at: Place, height: u32, width: u32) -> Place {
    let row_ends = at.w + 1u == width;
    let image_ends = row_ends && at.h + 1u == height;
    return Place(
        at.image + select(0u, 1u, image_ends),
        select(at.h + select(0u, 1u, row_ends), 0u, image_ends),
        select(at.w + 1u, 0u, row_ends),
    );
}

// The input pixel that the window of an output pixel reads through kernel position (r, s), or OUTSIDE. Positions above
// or left of the image wrap around and compare as too large.
fn input_pixel(at: Place, r: u32, s: u32) -> u32 {
    let y = at.h * p.stride + r * p.dilation_h - p.pad_top;
    let x = at.w * p.stride + s * p.dilation_w - p.pad_left;
    return select(OUTSIDE, (at.image * p.h_in + y) * p.w_in + x, y < p.h_in && x < p.w_in);
}

// The output pixel whose window reads an input pixel through kernel position (r, s), or OUTSIDE.
fn output_pixel(at: Place, r: u32, s: u32) -> u32 {
    let y = at.h + p.pad_top - r * p.dilation_h;
    let x = at.w + p.pad_left - s * p.dilation_w;
    let h = y / p.stride;
    let w = x / p.stride;
    let begun = r * p.dilation_h <= at.h + p.pad_top && s * p.dilation_w <= at.w + p.pad_left;
    let whole = h * p.stride == y && w * p.stride == x;
    return select(OUTSIDE, (at.image * p.h_out + h) * p.w_out + w, begun && whole && h < p.h_out && w < p.w_out);
}

// First pixel of part `split` of the output's pixels, and the pixel behind its last.
fn part_of(split: u32) -> vec2<u32> {
    let pixels = p.n * p.h_out * p.w_out;
    let each = (pixels + p.splits - 1u) / p.splits;
    let begin = min(split * each, pixels);
    return vec2(begin, min(begin + each, pixels));
}
