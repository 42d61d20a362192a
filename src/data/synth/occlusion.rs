//! Things in front of the face.

use tiny_skia::Point;

use super::canvas::Canvas;
use super::colour::{self, Colour};
use super::features::CIRCLE;
use super::head::{crease, half_width_at};
use super::identity::Identity;
use super::view::Occlusion;

pub(super) fn draw(canvas: &mut Canvas, identity: &Identity, occlusion: Occlusion) {
    match occlusion {
        Occlusion::None => {}
        Occlusion::Spectacles { frame, round } => glasses(canvas, identity, frame, round, 0.0),
        Occlusion::Sunglasses { frame, round } => glasses(canvas, identity, frame, round, 0.95),
        Occlusion::Cap { cloth } => cap(canvas, identity, cloth),
        Occlusion::Mask { cloth } => mask(canvas, identity, cloth),
        Occlusion::Hand { side, height } => hand(canvas, identity, side, height),
        Occlusion::Bar { colour, place: [x, y], slope, width } => {
            let ends = [[-3.0, -width], [3.0, -width], [3.0, width], [-3.0, width]];
            let corners = ends.map(|[along, across]| canvas.frame.body(x + along, y + across + slope * along));
            canvas.polygon(&corners, colour, 1.0);
        }
    }
}

fn glasses(canvas: &mut Canvas, identity: &Identity, colour: Colour, round: bool, tint: f32) {
    let frame = canvas.frame.clone();
    let eyes = &identity.eyes;
    let lift = 0.08;
    let [wide, high] = if round { [0.22, 0.2] } else { [0.235, 0.155] };
    let y = eyes.height + 0.02;
    for side in [-1.0, 1.0] {
        let lens: Vec<Point> = CIRCLE
            .iter()
            .map(|&[cos, sin]| {
                // Pushing the circle's points outwards along both axes turns it into a rounded box.
                let square = |share: f32| if round { share } else { (1.35 * share).clamp(-1.0, 1.0) };
                frame.lifted(side * eyes.spacing.max(0.27) + wide * square(cos), y + high * square(sin), lift)
            })
            .collect();
        canvas.fill(&lens, if tint > 0.0 { [0.06, 0.06, 0.07] } else { [0.9, 0.95, 1.0] }, tint.max(0.12));
        canvas.outline(&lens, 0.045, colour, 1.0);
        let hinge = [
            frame.lifted(side * (eyes.spacing.max(0.27) + wide), y - 0.04, lift),
            frame.deep(side * half_width_at(&identity.head, 0.0), y - 0.02, 0.0),
        ];
        canvas.line(&hinge, 0.04, colour, 1.0);
    }
    let inner = eyes.spacing.max(0.27) - wide;
    let bridge = [
        frame.lifted(-inner, y - 0.03, lift),
        frame.lifted(0.0, y - 0.06, lift + 0.05),
        frame.lifted(inner, y - 0.03, lift),
    ];
    canvas.line(&bridge, 0.045, colour, 1.0);
}

fn cap(canvas: &mut Canvas, identity: &Identity, cloth: Colour) {
    let frame = canvas.frame.clone();
    let width = identity.head.width + 0.06;
    let crown: Vec<Point> = [[-width, -0.38], [-0.95 * width, -0.8], [-0.5 * width, -1.15], [0.5 * width, -1.15]]
        .into_iter()
        .chain([[0.95 * width, -0.8], [width, -0.38]])
        .map(|[x, y]| frame.deep(x, y, 0.05))
        .chain([frame.face(0.45 * width, -0.4), frame.face(-0.45 * width, -0.4)])
        .collect();
    canvas.fill(&crown, cloth, 1.0);
    let peak: Vec<Point> = [[-0.8, -0.46], [0.0, -0.54], [0.8, -0.46], [0.62, -0.3], [0.0, -0.24], [-0.62, -0.3]]
        .map(|[x, y]| frame.lifted(x * width, y, 0.2))
        .to_vec();
    canvas.fill(&peak, colour::shade(cloth, 0.7), 1.0);
}

fn mask(canvas: &mut Canvas, identity: &Identity, cloth: Colour) {
    let frame = canvas.frame.clone();
    let head = &identity.head;
    let [side, jaw] = [half_width_at(head, 0.3), head.width * head.chin];
    let shape = [
        frame.rim(-side, 0.24),
        frame.lifted(0.0, 0.14, 0.12),
        frame.rim(side, 0.24),
        frame.rim(half_width_at(head, 0.55), 0.55),
        frame.rim(jaw, 0.95 * head.bottom),
        frame.rim(0.0, head.bottom + 0.03),
        frame.rim(-jaw, 0.95 * head.bottom),
        frame.rim(-half_width_at(head, 0.55), 0.55),
    ];
    canvas.fill(&shape, cloth, 1.0);
    for y in [0.42, 0.58, 0.74] {
        let fold = [-0.5, 0.0, 0.5].map(|x: f32| frame.lifted(x, y - 0.2 * x * x, 0.1));
        canvas.line(&fold, 0.022, colour::shade(cloth, 0.7), 0.8);
    }
}

fn hand(canvas: &mut Canvas, identity: &Identity, side: f32, height: f32) {
    let frame = canvas.frame.clone();
    let skin = colour::shade(identity.skin, 0.96);
    let edge = crease(identity.skin);
    let palm = [[1.5, height + 0.1], [0.75, height + 0.05], [0.55, height + 0.35], [0.8, height + 0.8], [1.5, 2.2]]
        .map(|[x, y]| frame.deep(side * x, y, 0.4));
    canvas.fill(&palm, skin, 1.0);
    canvas.outline(&palm, 0.03, edge, 0.7);
    for finger in 0_u8..4 {
        let y = height + 0.02 + 0.13 * f32::from(finger);
        let tip = 0.2 + 0.06 * f32::from(finger);
        let bones = [[0.95, y + 0.08], [0.6, y], [tip, y - 0.06]].map(|[x, y]| frame.deep(side * x, y, 0.45));
        canvas.line(&bones, 0.155, edge, 0.8);
        canvas.line(&bones, 0.125, skin, 1.0);
    }
}
