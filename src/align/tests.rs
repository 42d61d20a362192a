use image::Rgb;

use super::*;
use crate::detect::Detection;

const EYES_ON: [[f32; 2]; 5] =
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]];

/// A face whose landmarks are arcface's points, `times` as large and moved.
fn face(times: f32, left: f32, top: f32) -> Detection {
    let landmarks = EYES_ON.map(|[x, y]| [x * times + left, y * times + top]);
    Detection { bounds: [left, top, left + 112.0 * times, top + 112.0 * times], probability: 1.0, landmarks }
}

#[test]
fn a_face_that_lies_as_the_template_stays_as_it_is() {
    let photograph = RgbImage::from_fn(140, 130, |x, y| Rgb([u8::try_from(x).unwrap(), u8::try_from(y).unwrap(), 77]));
    let picture = align(&photograph, &face(1.0, 9.0, 4.0), &Alignment::preset("arcface").unwrap()).unwrap();
    assert_eq!(picture.dimensions(), (112, 112));
    for (x, y) in [(0, 0), (50, 20), (111, 111)] {
        assert_eq!(picture.get_pixel(x, y).0, [u8::try_from(x + 9).unwrap(), u8::try_from(y + 4).unwrap(), 77]);
    }
}

#[test]
fn a_large_face_shrinks_without_aliasing_and_what_is_outside_is_black() {
    // Stripes of one pixel: at an eighth of the size only their mean is left, whatever the phase.
    let photograph = RgbImage::from_fn(1000, 900, |x, _| Rgb([if x % 2 == 0 { 255 } else { 0 }; 3]));
    let picture = align(&photograph, &face(8.0, 50.0, -80.0), &Alignment::preset("arcface").unwrap()).unwrap();
    for (x, y) in [(30, 40), (31, 40), (60, 90)] {
        let grey = picture.get_pixel(x, y).0[0];
        assert!((126..=129).contains(&grey), "{grey}");
    }
    assert_eq!(picture.get_pixel(50, 2).0, [0; 3], "above the photograph");
}

#[test]
fn every_preset_brings_the_landmarks_to_its_points() {
    // White dots on the landmarks of a face that is turned by a right angle.
    let turned = face(2.0, 0.0, 0.0).landmarks.map(|[x, y]| [300.0 - y, x + 20.0]);
    let mut photograph = RgbImage::new(320, 320);
    for [x, y] in turned {
        for (dx, dy) in (-4..=4).flat_map(|dx| (-4..=4).map(move |dy| (dx, dy))) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "dots lie on the picture")]
            photograph.put_pixel((x.round() as i32 + dx) as u32, (y.round() as i32 + dy) as u32, Rgb([255; 3]));
        }
    }
    let detection = Detection { landmarks: turned, ..face(1.0, 0.0, 0.0) };
    for name in ["arcface", "dlib", "openface"] {
        let alignment = Alignment::preset(name).unwrap();
        let picture = align(&photograph, &detection, &alignment).unwrap();
        let Method::Points(points) = alignment.method() else { panic!("{name}") };
        for [x, y] in points.into_iter().flatten() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "points lie on the picture")]
            let pixel = picture.get_pixel(x.round() as u32, y.round() as u32);
            assert!(pixel.0[0] > 100, "{name}: {pixel:?} at {x}, {y}");
        }
    }
}

#[test]
fn the_box_with_a_margin_is_cut_at_the_border_and_stretched() {
    let photograph = RgbImage::from_fn(200, 100, |x, _| Rgb([if x < 50 { 200 } else { 20 }; 3]));
    let of = |bounds| Detection { bounds, ..face(1.0, 0.0, 0.0) };
    let facenet = Alignment::preset("facenet").unwrap();
    // 16 more on every side: columns 0 to 100, of which half are light.
    let picture = align(&photograph, &of([10.0, 20.0, 84.0, 60.0]), &facenet).unwrap();
    assert_eq!(picture.dimensions(), (160, 160));
    assert_eq!((picture.get_pixel(70, 80).0, picture.get_pixel(90, 80).0), ([200; 3], [20; 3]));
    let outside = align(&photograph, &of([300.0, 20.0, 340.0, 60.0]), &facenet).unwrap_err().to_string();
    assert!(outside.contains("outside its borders"), "{outside}");
    assert!(align(&photograph, &of([f32::NAN, -1e30, 1e30, 1e30]), &facenet).is_ok());
}

#[test]
fn landmarks_that_coincide_are_an_error_of_that_image() {
    let none = Detection { landmarks: [[40.0, 40.0]; 5], ..face(1.0, 0.0, 0.0) };
    let photograph = RgbImage::new(50, 50);
    let text = align(&photograph, &none, &Alignment::preset("dlib").unwrap()).unwrap_err().to_string();
    assert!(text.contains("landmarks coincide"), "{text}");
}

#[test]
fn the_middle_is_three_fifths_of_the_shorter_side() {
    let photograph = RgbImage::from_fn(300, 200, |x, y| {
        Rgb([if (90..210).contains(&x) && (40..160).contains(&y) { 180 } else { 0 }; 3])
    });
    let picture = crop::middle(&photograph, [60, 60]);
    assert!(picture.pixels().all(|p| p.0 == [180; 3]));
    assert_eq!(crop::middle(&RgbImage::new(1, 1), [8, 8]).dimensions(), (8, 8));
}
