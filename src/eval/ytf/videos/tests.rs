//! Tests on small trees of both layouts.

use image::{Rgb, RgbImage};

use super::*;
use crate::data::preprocess::Normalise;

/// Writes a picture, black but for a red square of 20 pixels around a middle.
fn write(path: &Path, side: u32, middle: [u32; 2]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let inside = |at: u32, middle: u32| at + 10 >= middle && at < middle + 10;
    let picture = RgbImage::from_fn(side, side, |x, y| match inside(x, middle[0]) && inside(y, middle[1]) {
        true => Rgb([255, 0, 0]),
        false => Rgb([0; 3]),
    });
    picture.save(path).unwrap();
}

const SMALL: Preprocess = Preprocess { height: 8, width: 8, normalise: Normalise::Unit, crop: None, alignment: None };

/// The names of frames without their folders.
fn names(frames: &[Frame]) -> Vec<String> {
    frames.iter().map(|frame| frame.path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn frames_come_by_their_numbers_with_the_face_that_their_box_shows() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("frame_images_DB");
    for frame in [9, 10, 100, 101] {
        write(&db.join(format!("Ann/2/2.{frame}.png")), 100, [30, 60]);
    }
    let line = |frame: u32| format!("Ann\\2\\2.{frame}.png,0,30,60,20,20,0.0,1\n");
    // Frame 10 has no box, and another video's boxes are others.
    let other = "Ann\\1\\1.9.png,0,1,1,2,2,0.0,1\n";
    std::fs::write(db.join("Ann.labeled_faces.txt"), format!("{other}{}{}{}", line(100), line(9), line(101))).unwrap();
    for root in [dir.path(), &db] {
        let videos = Videos::find(root, None).unwrap();
        assert_eq!(videos.layout(), Layout::Frames);
        assert_eq!(names(&videos.frames("Ann/2", 2).unwrap()), ["2.9.png", "2.100.png"]);
    }
    let videos = Videos::find(dir.path(), Some(Layout::Frames)).unwrap();
    let frame = &videos.frames("Ann/2", 100).unwrap()[0];
    let red = |scale: f64| {
        let face = frame.face(scale, &SMALL).unwrap();
        face.chunks_exact(3).filter(|pixel| pixel[0] > 127).count()
    };
    assert_eq!(red(1.0), 64, "the box holds the face and nothing else");
    assert_eq!(red(2.0), 16, "twice the sides show four times as much");
    assert!(videos.frames("Ann/7", 1).unwrap_err().contains("there is no such file or folder"));
    assert!(videos.frames("Ann/2", 0).is_err());
    assert!(
        Videos::find(&db, Some(Layout::Aligned)).unwrap_err().to_string().contains("is laid out as frame_images_DB")
    );
}

#[test]
fn of_aligned_pictures_the_middle_is_taken_as_their_margin_says() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("aligned_images_DB");
    // The box has 20 pixels, so the picture has 44.
    for frame in [88, 9] {
        write(&db.join(format!("Ann/0/aligned_detect_0.{frame}.png")), 44, [22, 22]);
    }
    for root in [dir.path(), &db] {
        let videos = Videos::find(root, None).unwrap();
        assert_eq!(videos.layout(), Layout::Aligned);
        let frames = videos.frames("Ann/0", 100).unwrap();
        assert_eq!(names(&frames), ["aligned_detect_0.9.png", "aligned_detect_0.88.png"]);
        let face = frames[0].face(1.0, &SMALL).unwrap();
        assert!(face.chunks_exact(3).all(|pixel| pixel[0] > 250), "{face:?}");
    }
}

#[test]
fn boxes_at_the_edge_are_cut_and_those_beyond_it_are_no_faces() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0.1.png");
    write(&path, 60, [10, 10]);
    let frame = |face: [f64; 4]| Frame { path: path.clone(), face: Some(face) };
    assert!(frame([5.0, 5.0, 30.0, 30.0]).face(1.0, &SMALL).is_ok());
    let text = frame([100.0, 100.0, 20.0, 20.0]).face(1.0, &SMALL).unwrap_err().to_string();
    assert!(text.contains("0.1.png") && text.contains("too small for a face"), "{text}");
}

#[test]
fn a_folder_of_something_else_and_damaged_boxes_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let text = Videos::find(dir.path(), None).unwrap_err().to_string();
    assert!(text.contains("neither frame_images_DB nor aligned_images_DB"), "{text}");
    let db = dir.path().join("frame_images_DB");
    write(&db.join("Ann/2/2.9.png"), 20, [10, 10]);
    let videos = Videos::find(dir.path(), None).unwrap();
    let said = |labels: Option<&str>| {
        if let Some(labels) = labels {
            std::fs::write(db.join("Ann.labeled_faces.txt"), labels).unwrap();
        }
        videos.frames("Ann/2", 9).unwrap_err()
    };
    assert!(said(None).contains("labeled_faces.txt: there is no such file"));
    assert!(said(Some("Ann\\2\\2.9.png,0,x,5,5\n")).contains("line 1 is no face box"));
    assert!(said(Some("Ann\\3\\2.9.png,0,5,5,5,5,0,1\n")).contains("has a labelled face"));
}
