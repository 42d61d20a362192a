//! Faces marked on a picture, to look at.

use image::{Rgb, RgbImage};

use super::Detection;

const EDGE: Rgb<u8> = Rgb([60, 230, 90]);
const POINT: Rgb<u8> = Rgb([255, 60, 60]);

/// Draws the bounds of each face and dots on its landmarks.
pub fn draw(picture: &mut RgbImage, faces: &[Detection]) {
    for face in faces {
        let [left, top, right, bottom] = face.bounds;
        let width = (face.area().max(0.0).sqrt() / 50.0).max(1.0);
        let edges = [
            [left, top, right, top + width],
            [left, bottom - width, right, bottom],
            [left, top, left + width, bottom],
            [right - width, top, right, bottom],
        ];
        edges.into_iter().for_each(|edge| fill(picture, edge, EDGE));
        for [x, y] in face.landmarks {
            fill(picture, [x - width, y - width, x + width, y + width], POINT);
        }
    }
}

/// Fills what of a rectangle lies on the picture.
fn fill(picture: &mut RgbImage, [left, top, right, bottom]: [f32; 4], colour: Rgb<u8>) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is off the picture is cut off")]
    let range = |from: f32, to: f32, size: u32| (from.round().max(0.0) as u32)..(to.round().max(0.0) as u32).min(size);
    for y in range(top, bottom, picture.height()) {
        for x in range(left, right, picture.width()) {
            picture.put_pixel(x, y, colour);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_is_framed_and_one_that_is_cut_by_the_border_is_no_panic() {
        let mut picture = RgbImage::new(40, 40);
        let landmarks = [[15.0, 15.0], [25.0, 15.0], [20.0, 20.0], [15.0, 25.0], [f32::NAN, 1e9]];
        draw(&mut picture, &[Detection { bounds: [10.0, 8.0, 30.0, 32.0], probability: 1.0, landmarks }]);
        assert_eq!((picture.get_pixel(10, 20), picture.get_pixel(20, 20)), (&EDGE, &POINT));
        assert_eq!(picture.get_pixel(11, 22), &Rgb([0; 3]));
        let huge = [-1e9, -1e9, 1e9, 1e9];
        draw(&mut picture, &[Detection { bounds: huge, probability: 1.0, landmarks: [[0.0; 2]; 5] }]);
        let nan = [f32::NAN; 4];
        draw(&mut picture, &[Detection { bounds: nan, probability: 1.0, landmarks: [[0.0; 2]; 5] }]);
    }
}
