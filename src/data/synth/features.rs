//! Eyes, brows, nose and mouth.

use tiny_skia::Point;

use super::canvas::Canvas;
use super::colour;
use super::head::crease;
use super::identity::Identity;
use super::view::{Expression, View};

pub(super) fn draw_nose(canvas: &mut Canvas, identity: &Identity, view: &View) {
    let nose = &identity.nose;
    let frame = canvas.frame.clone();
    // The nose stands out of the face, so it moves more than the rest of it.
    let at = |x: f32, y: f32, lift: f32| frame.lifted(x, y, lift);
    let edge = crease(identity.skin);
    let [tip, wide, slim] = [nose.tip, nose.width, nose.bridge];
    let top = identity.eyes.height + 0.02;
    let shadow_side = if view.light.direction[0] > 0.0 { -1.0 } else { 1.0 };
    let shadow = [
        at(shadow_side * slim, top, 0.02),
        at(shadow_side * 0.5 * slim, 0.5 * tip, 0.1),
        at(0.2 * shadow_side * wide, tip, 0.18),
        at(shadow_side * wide, tip, 0.06),
        at(shadow_side * 0.6 * wide, 0.7 * tip, 0.06),
        at(shadow_side * 1.4 * slim, 0.4 * tip, 0.02),
    ];
    canvas.fill(&shadow, colour::shade(identity.skin, 0.72), 0.6);
    canvas.glow(at(0.0, tip - 0.06, 0.2), 0.08 + 0.06 * nose.roundness, [1.0, 0.97, 0.92], 0.3);
    let round = 0.05 * nose.roundness;
    let base = [
        at(-wide, tip - 0.06, 0.05),
        at(-0.95 * wide, tip + 0.02, 0.06),
        at(-0.5 * wide, tip + 0.03, 0.1),
        at(0.0, tip + 0.04 + round, 0.16),
        at(0.5 * wide, tip + 0.03, 0.1),
        at(0.95 * wide, tip + 0.02, 0.06),
        at(wide, tip - 0.06, 0.05),
    ];
    canvas.line(&base, 0.035, edge, 0.95);
    for side in [-1.0, 1.0] {
        canvas.disc(at(side * 0.5 * wide, tip + 0.01, 0.1), 0.2 * wide, colour::shade(edge, 0.6), 0.9);
    }
}

pub(super) fn draw_mouth(canvas: &mut Canvas, identity: &Identity, expression: &Expression) {
    let mouth = &identity.mouth;
    let frame = canvas.frame.clone();
    let lift = 0.05;
    let Expression { smile, open, .. } = *expression;
    let wide = mouth.width * (1.0 + 0.14 * smile);
    let gap = 0.17 * open;
    let corner = mouth.height - 0.075 * smile;
    let at = |x: f32, y: f32| frame.lifted(x, y, lift);
    let [left, right] = [at(-wide, corner), at(wide, corner)];
    // How high the inner edges of both lips are in the middle and half way out.
    let upper = mouth.height + 0.02 * smile - 0.25 * gap;
    let lower = upper + gap;
    let [upper_half, lower_half] = [0.7 * upper + 0.3 * corner, 0.75 * lower + 0.25 * corner];
    if gap > 0.015 {
        let hole = [
            left,
            at(-0.5 * wide, upper_half),
            at(0.0, upper),
            at(0.5 * wide, upper_half),
            right,
            at(0.55 * wide, lower_half),
            at(0.0, lower),
            at(-0.55 * wide, lower_half),
        ];
        canvas.fill(&hole, [0.25, 0.06, 0.07], 1.0);
        let teeth = (0.4 * gap).min(0.05);
        let teeth = [
            at(-0.62 * wide, upper_half - 0.005),
            at(0.0, upper - 0.005),
            at(0.62 * wide, upper_half - 0.005),
            at(0.5 * wide, upper_half + teeth),
            at(0.0, upper + teeth),
            at(-0.5 * wide, upper_half + teeth),
        ];
        canvas.fill(&teeth, [0.96, 0.95, 0.9], 1.0);
    }
    // A broad smile thins the lips.
    let thin = 1.0 - 0.25 * smile.max(0.0);
    let [full_up, full_down] = [mouth.upper * thin, mouth.lower * thin];
    let upper_lip = [
        left,
        at(-0.55 * wide, upper_half - 0.6 * full_up),
        at(-0.18 * wide, upper - full_up - mouth.bow),
        at(0.0, upper - full_up),
        at(0.18 * wide, upper - full_up - mouth.bow),
        at(0.55 * wide, upper_half - 0.6 * full_up),
        right,
        at(0.5 * wide, upper_half),
        at(0.0, upper),
        at(-0.5 * wide, upper_half),
    ];
    let lower_lip = [
        left,
        at(-0.55 * wide, lower_half),
        at(0.0, lower),
        at(0.55 * wide, lower_half),
        right,
        at(0.6 * wide, lower_half + 0.7 * full_down),
        at(0.0, lower + full_down),
        at(-0.6 * wide, lower_half + 0.7 * full_down),
    ];
    canvas.fill(&upper_lip, colour::shade(mouth.colour, 0.86), 1.0);
    canvas.fill(&lower_lip, mouth.colour, 1.0);
    let seam = [left, at(-0.5 * wide, upper_half), at(0.0, upper), at(0.5 * wide, upper_half), right];
    canvas.line(&seam, 0.026, colour::shade(mouth.colour, 0.42), 0.9);
    canvas.line(
        &[
            at(-0.3 * wide, lower + full_down + 0.06),
            at(0.0, lower + full_down + 0.075),
            at(0.3 * wide, lower + full_down + 0.06),
        ],
        0.03,
        crease(identity.skin),
        0.45,
    );
}

pub(super) fn draw_eyes(canvas: &mut Canvas, identity: &Identity, expression: &Expression) {
    for side in [-1.0, 1.0] {
        draw_eye(canvas, identity, expression, side);
    }
}

// Lids are parabolas over the eye's width, so the iris can be cut to the opening by arithmetic instead of a mask.
fn draw_eye(canvas: &mut Canvas, identity: &Identity, expression: &Expression, side: f32) {
    let eyes = &identity.eyes;
    let frame = canvas.frame.clone();
    let openness = expression.eyelids.clamp(0.0, 1.2);
    let [up, down] = [eyes.opening * (1.1 * openness - 0.1), eyes.opening * 0.62 * (0.4 + 0.6 * openness)];
    let middle = eyes.height + (1.0 - openness).max(0.0) * 0.4 * eyes.opening;
    let at = |x: f32, y: f32| frame.face(side * (eyes.spacing + x), middle + y - eyes.tilt * x / eyes.width);
    let lid = |x: f32| 1.0 - (x / eyes.width) * (x / eyes.width);
    let steps = [-1.0, -0.75, -0.4, 0.0, 0.4, 0.75, 1.0].map(|share: f32| share * eyes.width);
    let upper: Vec<Point> = steps.iter().map(|&x| at(x, -up * lid(x))).collect();
    let lower: Vec<Point> = steps.iter().rev().map(|&x| at(x, down * lid(x))).collect();
    let edge = crease(identity.skin);

    let socket = frame.face(side * eyes.spacing, middle - 0.04);
    canvas.glow(socket, 1.6 * eyes.width, edge, 0.4);
    if openness < 0.2 {
        canvas.line(&lower, 0.03 + eyes.lashes, colour::shade(edge, 0.4), 1.0);
        return;
    }
    let opening: Vec<Point> = upper.iter().chain(&lower[1..lower.len() - 1]).copied().collect();
    canvas.fill(&opening, [0.97, 0.96, 0.94], 1.0);

    let gaze = [side * 0.28 * expression.gaze[0] * eyes.width, 0.25 * expression.gaze[1] * eyes.opening - 0.01];
    let disc = |radius: f32| -> Vec<Point> {
        CIRCLE
            .iter()
            .map(|&[cos, sin]| {
                let x = (gaze[0] + radius * cos).clamp(-eyes.width, eyes.width);
                at(x, (gaze[1] + radius * sin).clamp(-up * lid(x), down * lid(x)))
            })
            .collect()
    };
    canvas.fill(&disc(eyes.iris), colour::shade(eyes.colour, 0.55), 1.0);
    canvas.fill(&disc(eyes.iris - 0.016), eyes.colour, 1.0);
    canvas.fill(&disc(0.42 * eyes.iris), [0.03, 0.02, 0.02], 1.0);
    canvas.disc(at(gaze[0] - side * 0.3 * eyes.iris, gaze[1] - 0.35 * eyes.iris), 0.24 * eyes.iris, [1.0; 3], 0.9);

    canvas.line(&lower, 0.016, edge, 0.8);
    canvas.line(&upper, 0.02 + eyes.lashes, colour::shade(edge, 0.3), 1.0);
    let fold: Vec<Point> = steps[1..6].iter().map(|&x| at(x, -(up + 0.055) * lid(0.8 * x))).collect();
    canvas.line(&fold, 0.016, edge, 0.7);
}

/// Points of the unit circle.
pub(super) const CIRCLE: [[f32; 2]; 12] = [
    [1.0, 0.0],
    [0.866_025_4, 0.5],
    [0.5, 0.866_025_4],
    [0.0, 1.0],
    [-0.5, 0.866_025_4],
    [-0.866_025_4, 0.5],
    [-1.0, 0.0],
    [-0.866_025_4, -0.5],
    [-0.5, -0.866_025_4],
    [0.0, -1.0],
    [0.5, -0.866_025_4],
    [0.866_025_4, -0.5],
];

pub(super) fn draw_brows(canvas: &mut Canvas, identity: &Identity, expression: &Expression) {
    let brows = &identity.brows;
    let frame = canvas.frame.clone();
    let height = identity.eyes.height - 0.5 * identity.eyes.opening - brows.gap - expression.brow_raise;
    for side in [-1.0, 1.0] {
        let at = |share: f32, offset: f32| {
            let arch = brows.arch * (1.0 - share * share);
            let x = identity.eyes.spacing + 0.02 + share * brows.length;
            frame.lifted(side * x, height + offset - arch - brows.angle * share, 0.03)
        };
        let half = brows.thickness * 0.6;
        let shape = [
            at(-1.0, -0.8 * half),
            at(-0.3, -half),
            at(0.4, -0.8 * half),
            at(1.0, 0.0),
            at(0.4, 0.8 * half),
            at(-0.3, half),
            at(-1.0, half),
        ];
        canvas.fill(&shape, brows.colour, 0.95);
    }
}
