//! One image: all parts in order from back to front.

use image::RgbImage;
use tiny_skia::Pixmap;

use super::canvas::{Canvas, Frame};
use super::dice::Dice;
use super::identity::Identity;
use super::view::{Occlusion, View};
use super::{beard, features, hair, head, occlusion, photo};

/// Draws image number `image` of a person, `size` x `size` pixels.
///
/// The same person, image number and size give the same bytes. All our own arithmetic is exact on every machine; the
/// rasteriser's vector instructions may round the odd pixel differently on another processor family.
///
/// # Panics
///
/// Panics if `size` is 0 or so large that the image does not fit into memory.
pub fn draw(identity: &Identity, image: u32, size: u32) -> RgbImage {
    let mut dice = Dice::of_image(identity.seed, identity.person, image);
    let view = View::new(&mut dice);
    let frame = Frame::new(size, &view.pose, identity.head.width);
    let sheet = || Pixmap::new(size, size).expect("the size is positive and fits into memory");

    let mut behind = sheet();
    photo::draw_background(&mut behind, &view.background);

    let mut canvas = Canvas::new(sheet(), frame);
    draw_person(&mut canvas, identity, &view);
    photo::take(&mut dice, &behind, &canvas.sheet, &canvas.frame, &view)
}

fn draw_person(canvas: &mut Canvas, identity: &Identity, view: &View) {
    hair::draw_back(canvas, identity);
    head::draw_body(canvas, identity, view);
    head::draw_head(canvas, identity);
    beard::draw(canvas, identity);
    features::draw_mouth(canvas, identity, &view.expression);
    features::draw_nose(canvas, identity, view);
    features::draw_eyes(canvas, identity, &view.expression);
    features::draw_brows(canvas, identity, &view.expression);
    head::draw_moles(canvas, identity);
    // A cap hides the hair on the forehead; what hangs down behind the head stays.
    if !matches!(view.occlusion, Occlusion::Cap { .. }) {
        hair::draw_front(canvas, identity);
    }
    occlusion::draw(canvas, identity, view.occlusion);
}
