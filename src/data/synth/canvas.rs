//! The sheet that a head is drawn on: head units to pixels, with the parallax of a turned head, and smooth shapes.

use tiny_skia::{
    Color, FillRule, GradientStop, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Point, RadialGradient, Shader,
    SpreadMode, Stroke, Transform,
};

use super::colour::Colour;
use super::view::Pose;

/// A transparent sheet which knows the pose of the head on it.
#[derive(Debug)]
pub(super) struct Canvas {
    pub(super) sheet: Pixmap,
    pub(super) frame: Frame,
}

/// Where head units land on the sheet.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    centre: [f32; 2],
    /// Pixels per head unit.
    unit: f32,
    yaw: f32,
    yaw_cos: f32,
    pitch: f32,
    roll: f32,
    roll_cos: f32,
    half_width: f32,
}

fn cosine(sine: f32) -> f32 {
    (1.0 - sine * sine).max(0.0).sqrt()
}

impl Frame {
    /// The frame of a head of the given half width on a square sheet.
    pub(super) fn new(size: u32, pose: &Pose, half_width: f32) -> Self {
        let size = size as f32;
        Self {
            centre: [size * (0.5 + pose.shift[0]), size * (0.49 + pose.shift[1])],
            unit: size * 0.325 * pose.scale,
            yaw: pose.yaw,
            yaw_cos: cosine(pose.yaw),
            pitch: pose.pitch,
            roll: pose.roll,
            roll_cos: cosine(pose.roll),
            half_width,
        }
    }

    /// Length in pixels of a length in head units.
    pub(super) fn pixels(&self, length: f32) -> f32 {
        length * self.unit
    }

    fn to_sheet(&self, x: f32, y: f32) -> Point {
        let turned = [x * self.roll_cos - y * self.roll, x * self.roll + y * self.roll_cos];
        Point::from_xy(self.centre[0] + turned[0] * self.unit, self.centre[1] + turned[1] * self.unit)
    }

    /// The way back from pixels to the head's own axes: what the light needs.
    pub(super) fn to_head(&self, x: f32, y: f32) -> [f32; 2] {
        let [x, y] = [(x - self.centre[0]) / self.unit, (y - self.centre[1]) / self.unit];
        [x * self.roll_cos + y * self.roll, y * self.roll_cos - x * self.roll]
    }

    /// A direction in the picture as seen from the rolled head.
    pub(super) fn direction_to_head(&self, x: f32, y: f32) -> [f32; 2] {
        [x * self.roll_cos + y * self.roll, y * self.roll_cos - x * self.roll]
    }

    /// A point at depth `z` towards the camera: turning the head moves what is near and what is far apart.
    pub(super) fn deep(&self, x: f32, y: f32, z: f32) -> Point {
        self.to_sheet(x + z * self.yaw, y + z * self.pitch)
    }

    /// A point on the outline of the head. The chin is further forward than the skull, so it swings out.
    pub(super) fn rim(&self, x: f32, y: f32) -> Point {
        self.deep(x, y, 0.3 * y.max(0.0))
    }

    /// A point on the front of the head, `lift` above its surface.
    pub(super) fn lifted(&self, x: f32, y: f32, lift: f32) -> Point {
        let [across, along] = [x / self.half_width, y / 1.1];
        let height = 0.72 * (1.0 - across * across - along * along).max(0.0).sqrt();
        let z = height.max(0.3 * y.max(0.0)) + lift;
        // The far half of a turned face is foreshortened, which the surface's own depth alone does not give.
        self.to_sheet(x * self.yaw_cos + z * self.yaw, y + z * self.pitch)
    }

    /// A point on the front of the head.
    pub(super) fn face(&self, x: f32, y: f32) -> Point {
        self.lifted(x, y, 0.0)
    }

    /// A point on neck and shoulders, which hardly follow the head.
    pub(super) fn body(&self, x: f32, y: f32) -> Point {
        let [x, y] = [x - 0.1 * self.yaw, y];
        let half_roll = 0.4 * self.roll;
        Point::from_xy(
            self.centre[0] + (x - y * half_roll) * self.unit,
            self.centre[1] + (y + x * half_roll) * self.unit,
        )
    }
}

fn paint(colour: Colour, alpha: f32) -> Paint<'static> {
    Paint { shader: Shader::SolidColor(opaque(colour, alpha)), ..Paint::default() }
}

/// A colour in tiny-skia's terms.
pub(super) fn opaque(colour: Colour, alpha: f32) -> Color {
    let [red, green, blue] = colour.map(|channel| channel.clamp(0.0, 1.0));
    Color::from_rgba(red, green, blue, alpha.clamp(0.0, 1.0)).unwrap_or(Color::BLACK)
}

/// A curve through all points (Catmull-Rom as cubic splines).
fn curve(points: &[Point], closed: bool) -> Option<Path> {
    let count = points.len();
    let at = |index: usize| if closed { points[index % count] } else { points[index.min(count - 1)] };
    let before = |index: usize| match index {
        0 if closed => points[count - 1],
        0 => points[0],
        _ => at(index - 1),
    };
    let mut path = PathBuilder::new();
    path.move_to(points.first()?.x, points[0].y);
    for index in 0..if closed { count } else { count - 1 } {
        let [p0, p1, p2, p3] = [before(index), at(index), at(index + 1), at(index + 2)];
        path.cubic_to(
            p1.x + (p2.x - p0.x) / 6.0,
            p1.y + (p2.y - p0.y) / 6.0,
            p2.x - (p3.x - p1.x) / 6.0,
            p2.y - (p3.y - p1.y) / 6.0,
            p2.x,
            p2.y,
        );
    }
    if closed {
        path.close();
    }
    path.finish()
}

impl Canvas {
    /// An empty sheet.
    pub(super) fn new(sheet: Pixmap, frame: Frame) -> Self {
        Self { sheet, frame }
    }

    fn fill_path(&mut self, path: Option<Path>, paint: &Paint) {
        // A shape without any extent has no path, and nothing is what there is to see of it.
        if let Some(path) = path {
            self.sheet.fill_path(&path, paint, FillRule::Winding, Transform::identity(), None);
        }
    }

    /// A smooth shape through the points.
    pub(super) fn fill(&mut self, points: &[Point], colour: Colour, alpha: f32) {
        self.fill_path(curve(points, true), &paint(colour, alpha));
    }

    /// A shape with corners.
    pub(super) fn polygon(&mut self, points: &[Point], colour: Colour, alpha: f32) {
        let mut path = PathBuilder::new();
        for (index, point) in points.iter().enumerate() {
            if index == 0 {
                path.move_to(point.x, point.y);
            } else {
                path.line_to(point.x, point.y);
            }
        }
        path.close();
        self.fill_path(path.finish(), &paint(colour, alpha));
    }

    /// A smooth line through the points, `width` head units wide.
    pub(super) fn line(&mut self, points: &[Point], width: f32, colour: Colour, alpha: f32) {
        self.stroke(points, false, width, colour, alpha);
    }

    /// The outline of a smooth shape.
    pub(super) fn outline(&mut self, points: &[Point], width: f32, colour: Colour, alpha: f32) {
        self.stroke(points, true, width, colour, alpha);
    }

    fn stroke(&mut self, points: &[Point], closed: bool, width: f32, colour: Colour, alpha: f32) {
        let stroke = Stroke {
            width: self.frame.pixels(width),
            line_cap: LineCap::Round,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        if let Some(path) = curve(points, closed) {
            self.sheet.stroke_path(&path, &paint(colour, alpha), &stroke, Transform::identity(), None);
        }
    }

    /// A disc; the radius is in head units.
    pub(super) fn disc(&mut self, centre: Point, radius: f32, colour: Colour, alpha: f32) {
        let radius = self.frame.pixels(radius);
        self.fill_path(PathBuilder::from_circle(centre.x, centre.y, radius), &paint(colour, alpha));
    }

    /// A disc which fades out towards its edge.
    pub(super) fn glow(&mut self, centre: Point, radius: f32, colour: Colour, alpha: f32) {
        let radius = self.frame.pixels(radius);
        let stops = vec![GradientStop::new(0.0, opaque(colour, alpha)), GradientStop::new(1.0, opaque(colour, 0.0))];
        let shader = RadialGradient::new(centre, 0.0, centre, radius, stops, SpreadMode::Pad, Transform::identity());
        if let Some(shader) = shader {
            let paint = Paint { shader, ..Paint::default() };
            self.fill_path(PathBuilder::from_circle(centre.x, centre.y, radius), &paint);
        }
    }
}
