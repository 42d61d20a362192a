//! Shoulders, neck, ears, the head itself and what is on its skin.

use tiny_skia::Point;

use super::canvas::Canvas;
use super::colour::{self, Colour};
use super::identity::{Head, Identity};
use super::view::View;

/// The right half of the head's outline, from crown to chin.
fn half_outline(head: &Head) -> [[f32; 2]; 7] {
    let width = head.width;
    let forehead = width * head.forehead;
    [
        [0.0, -0.95],
        [0.58 * forehead, -0.86],
        [0.94 * forehead, -0.48],
        [width, 0.0],
        [width * head.jaw, 0.5],
        [width * head.chin, 0.9 * head.bottom],
        [0.0, head.bottom],
    ]
}

/// The whole outline of the head on the sheet.
pub(super) fn outline(canvas: &Canvas, head: &Head) -> Vec<Point> {
    let right = half_outline(head);
    let left = right[1..right.len() - 1].iter().rev().map(|&[x, y]| [-x, y]);
    right.into_iter().chain(left).map(|[x, y]| canvas.frame.rim(x, y)).collect()
}

/// How wide half the head is at height `y`, by straight lines between the outline's points.
pub(super) fn half_width_at(head: &Head, y: f32) -> f32 {
    for pair in half_outline(head).windows(2) {
        let [[x0, y0], [x1, y1]] = [pair[0], pair[1]];
        if (y0..y1).contains(&y) {
            return x0 + (x1 - x0) * (y - y0) / (y1 - y0);
        }
    }
    0.0
}

/// Lines between parts of the skin.
pub(super) fn crease(skin: Colour) -> Colour {
    let [red, green, blue] = colour::shade(skin, 0.62);
    [red, green * 0.9, blue * 0.88]
}

pub(super) fn draw_body(canvas: &mut Canvas, identity: &Identity, view: &View) {
    let neck = identity.head.neck.min(0.8 * identity.head.width);
    let frame = canvas.frame.clone();
    let shoulders: Vec<_> = [[-0.45, 1.22], [-1.05, 1.42], [-1.45, 1.9], [-1.5, 3.0], [1.5, 3.0], [1.45, 1.9]]
        .into_iter()
        .chain([[1.05, 1.42], [0.45, 1.22]])
        .map(|[x, y]| frame.body(x, y))
        .collect();
    let collar: Vec<_> =
        [[-neck - 0.1, 1.2], [0.0, 1.36 + view.neckline], [neck + 0.1, 1.2], [neck, 0.9], [-neck, 0.9]]
            .into_iter()
            .map(|[x, y]| frame.body(x, y))
            .collect();
    let throat = [[-neck, 1.3], [-neck, 0.4], [neck, 0.4], [neck, 1.3]].map(|[x, y]| frame.body(x, y));
    canvas.fill(&shoulders, view.clothes, 1.0);
    canvas.outline(&collar, 0.06, colour::shade(view.clothes, 0.7), 1.0);
    canvas.fill(&collar, identity.skin, 1.0);
    canvas.polygon(&throat, identity.skin, 1.0);
    // The head's shadow on the neck keeps chin and neck apart.
    let below = identity.head.bottom + 0.3 * view.pose.pitch;
    let shadow = [[-neck, 0.4], [neck, 0.4], [neck, below], [0.5 * neck, below + 0.13], [-0.5 * neck, below + 0.13]]
        .into_iter()
        .chain([[-neck, below]])
        .map(|[x, y]| frame.body(x, y))
        .collect::<Vec<_>>();
    canvas.polygon(&shadow, colour::shade(identity.skin, 0.55), 0.6);
}

pub(super) fn draw_head(canvas: &mut Canvas, identity: &Identity) {
    let head = &identity.head;
    let edge = crease(identity.skin);
    for side in [-1.0, 1.0] {
        let at = |x: f32, y: f32| canvas.frame.deep(side * (half_width_at(head, 0.05) + x), 0.08 + y, -0.12);
        let [w, h] = [0.75 * head.ear, 1.25 * head.ear];
        let lobe = [at(-0.1, -h), at(0.6 * w, -1.1 * h), at(w, -0.5 * h), at(0.7 * w, 0.4 * h), at(0.2 * w, h)];
        let inner = [at(0.1 * w, -0.5 * h), at(0.6 * w, -0.6 * h), at(0.4 * w, 0.3 * h)];
        let lobe: Vec<_> = lobe.into_iter().chain([at(-0.1, 0.8 * h)]).collect();
        canvas.fill(&lobe, colour::shade(identity.skin, 0.94), 1.0);
        canvas.outline(&lobe, 0.025, edge, 0.8);
        canvas.line(&inner, 0.04, edge, 0.55);
    }
    let face = outline(canvas, head);
    canvas.fill(&face, identity.skin, 1.0);
    canvas.outline(&face, 0.03, edge, 0.75);
    draw_skin(canvas, identity);
}

fn draw_skin(canvas: &mut Canvas, identity: &Identity) {
    let frame = canvas.frame.clone();
    let marks = &identity.marks;
    let width = identity.head.width;
    let dark = crease(identity.skin);
    if marks.blush > 0.05 {
        let rosy = colour::mix(identity.skin, [0.9, 0.25, 0.25], 0.6);
        for side in [-1.0, 1.0] {
            canvas.glow(frame.face(side * 0.58 * width, 0.3), 0.26, rosy, marks.blush);
        }
    }
    for &[x, y] in &marks.freckles {
        canvas.disc(frame.face(x, y), 0.019, dark, 0.75);
    }
    if identity.age > 0.55 {
        let strength = 1.6 * (identity.age - 0.5);
        for y in [-0.42, -0.52] {
            let line = [-0.5, 0.0, 0.5].map(|x| frame.face(x * width, y - 0.04 + 0.16 * x * x));
            canvas.line(&line, 0.022, dark, strength);
        }
        for side in [-1.0, 1.0] {
            let at = |x: f32, y: f32| frame.face(side * x, y);
            let fold = [at(0.6 * identity.nose.width + 0.1, 0.36), at(0.33, 0.5), at(0.36, 0.64)];
            let eye = identity.eyes.spacing;
            let bag = [at(eye - 0.12, 0.17), at(eye, 0.215), at(eye + 0.12, 0.17)];
            canvas.line(&fold, 0.026, dark, strength);
            canvas.line(&bag, 0.022, dark, strength);
        }
    }
    if let Some([from, to]) = marks.scar {
        let line = [frame.face(from[0], from[1]), frame.face(to[0], to[1])];
        canvas.line(&line, 0.05, colour::mix(identity.skin, [0.75, 0.3, 0.3], 0.5), 0.9);
        canvas.line(&line, 0.018, colour::mix(identity.skin, [1.0, 0.9, 0.88], 0.7), 0.9);
    }
}

/// Moles lie over everything but hair, so a beard does not hide them all.
pub(super) fn draw_moles(canvas: &mut Canvas, identity: &Identity) {
    for &[x, y] in &identity.marks.moles {
        canvas.disc(canvas.frame.face(x, y), 0.042, colour::shade(crease(identity.skin), 0.55), 0.95);
    }
}
