//! Hair in front of and behind the head.

use tiny_skia::Point;

use super::canvas::{Canvas, Frame};
use super::colour;
use super::features::CIRCLE;
use super::identity::{Back, Front, Identity};

/// The outer edge of the hair from the left ear over the crown to the right ear.
fn over_the_crown(frame: &Frame, identity: &Identity, volume: f32, ear: f32) -> Vec<Point> {
    let width = identity.head.width;
    let forehead = width * identity.head.forehead;
    let right = [
        [0.0, -0.97 - volume],
        [0.58 * forehead + 0.55 * volume, -0.88 - 0.8 * volume],
        [0.96 * forehead + 0.75 * volume + 0.02, -0.5 - 0.35 * volume],
        [width + 0.35 * volume + 0.02, ear],
    ];
    let left = right[1..].iter().rev().map(|&[x, y]| [-x, y]);
    left.chain(right).map(|[x, y]| frame.deep(x, y, 0.0)).collect()
}

/// Hair between the outer edge and a hairline, which is given from right to left in shares of the head's width.
fn cap(canvas: &mut Canvas, identity: &Identity, volume: f32, ear: f32, hairline: &[[f32; 2]], alpha: f32) {
    let mut shape = over_the_crown(&canvas.frame, identity, volume, ear);
    let width = identity.head.width;
    shape.extend(hairline.iter().map(|&[x, y]| canvas.frame.face(x * width, y)));
    canvas.fill(&shape, identity.hair.colour, alpha);
}

/// The right half of a hairline and its mirror image.
fn symmetric(right: &[[f32; 2]]) -> Vec<[f32; 2]> {
    right.iter().copied().chain(right.iter().rev().filter(|point| point[0] != 0.0).map(|&[x, y]| [-x, y])).collect()
}

pub(super) fn draw_front(canvas: &mut Canvas, identity: &Identity) {
    let hair = &identity.hair;
    let frame = canvas.frame.clone();
    let [width, volume, line, side] = [identity.head.width, hair.volume, hair.line, hair.side];
    let high = -0.62 + line;
    match hair.front {
        Front::Bald => canvas.glow(frame.deep(side * 0.2, -0.7, 0.2), 0.3, [1.0; 3], 0.28),
        Front::Horseshoe => horseshoe(canvas, identity),
        Front::Buzz => {
            let hairline = symmetric(&[[0.95, -0.2], [0.8, high + 0.12], [0.45, high], [0.0, high + 0.03]]);
            cap(canvas, identity, 0.035, -0.05, &hairline, 0.86);
        }
        Front::SidePart => {
            let mut hairline = vec![
                [0.96, -0.02],
                [0.86, -0.4],
                [0.45, high - 0.14],
                [0.0, high + 0.06],
                [-0.5, high + 0.2],
                [-0.88, -0.22],
                [-0.97, 0.06],
            ];
            if side < 0.0 {
                hairline = hairline.into_iter().rev().map(|[x, y]| [-x, y]).collect();
            }
            cap(canvas, identity, volume, 0.0, &hairline, 1.0);
            strands(canvas, identity, side * 0.45 * width, high - 0.16);
        }
        Front::Curtains => {
            let hairline = symmetric(&[[0.99, 0.22], [0.86, -0.12], [0.55, -0.42 + line], [0.1, high - 0.12]]);
            cap(canvas, identity, volume, 0.15, &hairline, 1.0);
            strands(canvas, identity, 0.0, high - 0.14);
        }
        Front::Fringe => {
            let low = -0.3 + line;
            let hairline =
                symmetric(&[[0.98, 0.12], [0.9, low + 0.04], [0.7, low - 0.02], [0.35, low], [0.0, low + 0.02]]);
            cap(canvas, identity, volume, 0.1, &hairline, 1.0);
            fringe(canvas, identity, low);
        }
        Front::Quiff => {
            let hairline = symmetric(&[[0.95, -0.15], [0.85, high + 0.1], [0.4, high], [0.0, high]]);
            cap(canvas, identity, 0.04, -0.05, &hairline, 1.0);
            let tuft = [
                [-side * 0.75, high - 0.02],
                [-side * 0.95, -1.0],
                [-side * 0.5, -1.12 - volume],
                [side * 0.4, -1.3 - volume],
                [side * 0.95, -1.12 - 0.6 * volume],
                [side * 0.8, -0.8],
                [side * 0.5, high - 0.02],
                [0.0, high + 0.05],
            ]
            .map(|[x, y]| frame.deep(x * width, y, 0.25));
            canvas.fill(&tuft, hair.colour, 1.0);
            strands(canvas, identity, -side * 0.5 * width, high - 0.05);
        }
        Front::Spikes => spikes(canvas, identity, high),
        Front::Curls => curls(canvas, identity, high),
        Front::Mohawk => {
            let hairline = symmetric(&[[0.95, -0.2], [0.8, high + 0.1], [0.45, high], [0.0, high + 0.03]]);
            cap(canvas, identity, 0.01, -0.05, &hairline, 0.45);
            let crest =
                [[-0.26, high], [-0.34, -1.1], [-0.2, -1.3 - volume], [0.2, -1.3 - volume], [0.34, -1.1], [0.26, high]]
                    .map(|[x, y]| frame.deep(x * width, y, 0.3));
            canvas.fill(&crest, hair.colour, 1.0);
        }
    }
}

/// Darker and lighter lines: hair instead of a helmet.
fn locks(canvas: &mut Canvas, identity: &Identity, lines: &[[Point; 3]]) {
    let dark = colour::shade(identity.hair.colour, 0.68);
    let light = colour::mix(identity.hair.colour, [1.0, 0.95, 0.85], 0.22);
    for (index, line) in lines.iter().enumerate() {
        canvas.line(line, 0.028, if index % 2 == 0 { dark } else { light }, 0.7);
    }
}

/// Locks that are combed from a parting down to both temples.
fn strands(canvas: &mut Canvas, identity: &Identity, from_x: f32, from_y: f32) {
    let frame = &canvas.frame;
    let width = identity.head.width;
    let lines = [[-0.97, -0.2], [-0.86, -0.5], [0.86, -0.5], [0.97, -0.2]].map(|[share, end_y]| {
        let end_x = share * (width + 0.3 * identity.hair.volume);
        let bend = [0.35 * from_x + 0.65 * end_x, 0.6 * (from_y - 0.03) + 0.4 * end_y - 0.06];
        [frame.face(from_x, from_y), frame.deep(bend[0], bend[1], 0.2), frame.deep(end_x, end_y, 0.0)]
    });
    locks(canvas, identity, &lines);
}

/// Locks that fall from the crown over the forehead down to height `end`.
fn fringe(canvas: &mut Canvas, identity: &Identity, end: f32) {
    let frame = &canvas.frame;
    let lines = [-0.72, -0.36, 0.0, 0.36, 0.72].map(|share: f32| {
        let x = share * identity.head.width;
        let top = -0.92 + 0.3 * share * share;
        [frame.deep(0.55 * x, top, 0.1), frame.face(0.85 * x, 0.5 * (top + end) - 0.05), frame.face(x, end - 0.06)]
    });
    locks(canvas, identity, &lines);
}

fn horseshoe(canvas: &mut Canvas, identity: &Identity) {
    let [width, volume] = [identity.head.width, identity.hair.volume];
    canvas.glow(canvas.frame.deep(0.1, -0.72, 0.2), 0.3, [1.0; 3], 0.25);
    for side in [-1.0, 1.0] {
        let out = |x: f32, y: f32| canvas.frame.deep(side * (x * width + 0.5 * volume), y, 0.0);
        let on = |x: f32, y: f32| canvas.frame.face(side * x * width, y);
        let patch =
            [out(0.86, -0.55), out(1.02, -0.3), out(1.03, 0.05), on(0.97, 0.12), on(0.9, -0.15), on(0.84, -0.45)];
        canvas.fill(&patch, identity.hair.colour, 1.0);
    }
}

fn spikes(canvas: &mut Canvas, identity: &Identity, high: f32) {
    let frame = canvas.frame.clone();
    let [width, volume] = [identity.head.width, identity.hair.volume];
    let hairline = symmetric(&[[0.95, -0.15], [0.85, high + 0.08], [0.4, high - 0.03], [0.0, high]]);
    cap(canvas, identity, 0.05, -0.05, &hairline, 1.0);
    for step in -4_i8..=4 {
        let share = f32::from(step) / 4.5;
        let base = [share * width, -0.95 + 0.42 * share * share];
        let tip = [1.3 * base[0] + 0.06, base[1] - (0.16 + volume) * (1.0 - 0.5 * share * share)];
        let foot = 0.2 * width;
        let points = [
            frame.deep(base[0] - foot, base[1] + 0.14, 0.1),
            frame.deep(tip[0], tip[1], 0.1),
            frame.deep(base[0] + foot, base[1] + 0.14, 0.1),
        ];
        canvas.polygon(&points, identity.hair.colour, 1.0);
    }
    for share in [-0.7, -0.35, 0.0, 0.35, 0.7] {
        let points = [
            frame.face((share - 0.18) * width, high - 0.06),
            frame.face((share + 0.03) * width, high + 0.13),
            frame.face((share + 0.18) * width, high - 0.06),
        ];
        canvas.polygon(&points, identity.hair.colour, 1.0);
    }
}

fn curls(canvas: &mut Canvas, identity: &Identity, high: f32) {
    let frame = canvas.frame.clone();
    let [width, volume] = [identity.head.width, identity.hair.volume];
    let hairline = symmetric(&[[0.97, 0.0], [0.86, high + 0.16], [0.45, high + 0.02], [0.0, high]]);
    cap(canvas, identity, volume, 0.0, &hairline, 1.0);
    let dark = colour::shade(identity.hair.colour, 0.66);
    let size = 0.13 + 0.35 * volume;
    let edge = over_the_crown(&frame, identity, volume, 0.0);
    let rim = edge
        .windows(2)
        .flat_map(|pair| [pair[0], Point::from_xy(0.5 * (pair[0].x + pair[1].x), 0.5 * (pair[0].y + pair[1].y))]);
    let front = [-0.75, -0.38, 0.0, 0.38, 0.75].map(|x: f32| frame.face(x * width, high - 0.03 + 0.25 * x * x));
    let lobes: Vec<Point> = rim.chain(edge.last().copied()).chain(front).collect();
    for &centre in &lobes {
        canvas.disc(centre, size, identity.hair.colour, 1.0);
    }
    for (index, &centre) in lobes.iter().enumerate() {
        let [from, to] = if index % 2 == 0 { [1, 6] } else { [4, 9] };
        let radius = frame.pixels(0.6 * size);
        let arc: Vec<Point> = CIRCLE[from..to]
            .iter()
            .map(|[cos, sin]| Point::from_xy(centre.x + radius * cos, centre.y + radius * sin))
            .collect();
        canvas.line(&arc, 0.028, dark, 0.8);
    }
}

pub(super) fn draw_back(canvas: &mut Canvas, identity: &Identity) {
    let hair = &identity.hair;
    let frame = canvas.frame.clone();
    let [width, volume] = [identity.head.width, hair.volume];
    let colour = colour::shade(hair.colour, 0.8);
    let wide = width + 0.08 + 0.6 * volume;
    let mirrored = |right: &[[f32; 2]]| -> Vec<Point> {
        let left = right.iter().rev().map(|&[x, y]| [-x, y]);
        let ends = |[x, y]: [f32; 2]| if y > 0.6 { frame.body(x, y) } else { frame.deep(x, y, -0.2) };
        right.iter().copied().chain(left).map(ends).collect()
    };
    match hair.back {
        Back::None => {}
        Back::Bob => {
            let shape =
                mirrored(&[[0.3, -0.97 - volume], [wide, -0.4], [wide + 0.1, 0.35], [wide + 0.02, 0.78], [0.3, 0.82]]);
            canvas.fill(&shape, colour, 1.0);
        }
        Back::Long => {
            let shape =
                mirrored(&[[0.3, -0.97 - volume], [wide, -0.4], [wide + 0.05, 0.5], [wide + 0.02, 1.55], [0.3, 1.7]]);
            canvas.fill(&shape, colour, 1.0);
        }
        Back::Wavy => {
            let shape = mirrored(&[
                [0.3, -0.97 - volume],
                [wide, -0.45],
                [wide + 0.02, -0.1],
                [wide + 0.2, 0.15],
                [wide + 0.06, 0.45],
                [wide + 0.26, 0.75],
                [wide + 0.1, 1.05],
                [wide + 0.2, 1.35],
                [0.4, 1.5],
            ]);
            canvas.fill(&shape, colour, 1.0);
        }
        Back::Afro => {
            let centre = [0.0, -0.42];
            let radius = width + 0.06 + 0.8 * volume;
            canvas.disc(frame.deep(centre[0], centre[1], -0.15), radius, hair.colour, 1.0);
            for [cos, sin] in CIRCLE {
                let lobe = frame.deep(centre[0] + radius * cos, centre[1] + radius * sin, -0.15);
                canvas.disc(lobe, 0.27 * radius, hair.colour, 1.0);
            }
        }
        Back::Bun => {
            let centre = frame.deep(0.0, -1.14 - volume, -0.3);
            canvas.disc(centre, 0.22 + 0.4 * volume, hair.colour, 1.0);
            canvas.disc(centre, 0.12 + 0.3 * volume, colour, 1.0);
        }
        Back::Pigtails => {
            for side in [-1.0, 1.0] {
                let at = |x: f32, y: f32| frame.deep(side * (width + x), y, -0.25);
                let tail = [at(-0.05, -0.3), at(0.2, -0.35), at(0.42, 0.1), at(0.38, 0.6), at(0.2, 0.85), at(0.1, 0.4)];
                canvas.fill(&tail, hair.colour, 1.0);
                canvas.line(&[at(0.0, -0.3), at(0.1, -0.12)], 0.08, [0.85, 0.25, 0.3], 1.0);
            }
        }
    }
}
