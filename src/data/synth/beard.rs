//! Beards and moustaches; the mouth is drawn over them.

use tiny_skia::Point;

use super::canvas::Canvas;
use super::colour;
use super::head::half_width_at;
use super::identity::{BeardStyle, Identity};

pub(super) fn draw(canvas: &mut Canvas, identity: &Identity) {
    let colour = colour::shade(identity.hair.colour, 0.85);
    match identity.beard.style {
        BeardStyle::None => {}
        BeardStyle::Stubble => canvas.fill(&full(canvas, identity, 0.0), colour, 0.34),
        BeardStyle::Full => canvas.fill(&full(canvas, identity, 0.04 + identity.beard.length), colour, 1.0),
        BeardStyle::Moustache => moustache(canvas, identity),
        BeardStyle::Goatee => {
            moustache(canvas, identity);
            let wide = 0.2 + 0.3 * identity.mouth.width;
            let [top, bottom] =
                [identity.mouth.height + 0.06, identity.head.bottom + 0.02 + 0.7 * identity.beard.length];
            let shape =
                [[-wide, top], [0.0, top + 0.02], [wide, top], [0.8 * wide, 0.92], [0.0, bottom], [-0.8 * wide, 0.92]]
                    .map(|[x, y]| canvas.frame.face(x, y));
            canvas.fill(&shape, colour, 1.0);
        }
    }
}

/// Along the jaw from ear to ear, and back across the cheeks above the upper lip.
fn full(canvas: &Canvas, identity: &Identity, length: f32) -> Vec<Point> {
    let head = &identity.head;
    let frame = &canvas.frame;
    let grow = 0.25 * length;
    let lip = identity.mouth.height - identity.mouth.upper;
    let outer = [0.05, 0.3, 0.55].map(|y| [half_width_at(head, y) + 0.01 + grow * y, y]);
    let chin = [head.width * head.chin + grow, 0.92 * head.bottom + 0.5 * length];
    let right: Vec<[f32; 2]> = outer.into_iter().chain([chin]).collect();
    let left = right.iter().rev().map(|&[x, y]| [-x, y]);
    let around = right.iter().copied().chain([[0.0, head.bottom + length]]).chain(left);
    let inner =
        [[-0.9, 0.05], [-0.8, 0.32], [-0.5, lip - 0.1], [0.0, lip - 0.07], [0.5, lip - 0.1], [0.8, 0.32], [0.9, 0.05]];
    around.map(|[x, y]| frame.rim(x, y)).chain(inner.map(|[x, y]| frame.face(x * head.width, y))).collect()
}

fn moustache(canvas: &mut Canvas, identity: &Identity) {
    let colour = colour::shade(identity.hair.colour, 0.85);
    let lip = identity.mouth.height - 0.4 * identity.mouth.upper;
    let top = 0.5 * (identity.nose.tip + 0.06 + lip);
    let wide = identity.mouth.width * 0.9 + 0.5 * identity.beard.length;
    let shape =
        [[0.0, top - 0.03], [0.55 * wide, top - 0.02], [wide, lip + 0.05], [0.5 * wide, lip + 0.01], [0.0, lip - 0.01]];
    let left = shape[1..4].iter().rev().map(|&[x, y]| [-x, y]);
    let points: Vec<Point> = shape.iter().copied().chain(left).map(|[x, y]| canvas.frame.lifted(x, y, 0.07)).collect();
    canvas.fill(&points, colour, 1.0);
}
