//! Tests of loading sets of faces.

use super::*;
use crate::data::preprocess::Normalise;
use crate::data::testing::{flat_faces, gradient, write_face, write_people};

const SIZE: Preprocess = Preprocess { height: 16, width: 16, normalise: Normalise::Unit, crop: None, alignment: None };

fn load(root: &Path, budget: u64) -> Result<FaceSet> {
    FaceSet::load(&FaceFolder::scan(root)?, &SIZE, budget, &|_, _| {})
}

#[test]
fn faces_in_memory_and_on_disk_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    write_people(dir.path(), &[2, 3]);
    let exact = 5 * 16 * 16 * 3;
    let (memory, disk) = (load(dir.path(), exact).unwrap(), load(dir.path(), exact - 1).unwrap());
    assert!(memory.is_in_memory() && !disk.is_in_memory());
    for index in 0..5 {
        assert_eq!(memory.face(index).unwrap(), disk.face(index).unwrap());
        assert_eq!(memory.path(index), disk.path(index));
    }
    let expected = gradient(16, 16, 18);
    assert_eq!(memory.face(4).unwrap().as_ref(), expected.as_raw().as_slice());
    assert_eq!(memory.people()[1], Person { name: "p1".into(), faces: vec![2, 3, 4] });
    assert_eq!((memory.person_of(1), memory.person_of(2)), (0, 1));
}

#[test]
fn damaged_images_get_a_row_and_the_others_move_up() {
    let dir = tempfile::tempdir().unwrap();
    write_people(dir.path(), &[3, 2]);
    std::fs::write(dir.path().join("p0/1.png"), "no image").unwrap();
    std::fs::create_dir(dir.path().join("only-broken")).unwrap();
    std::fs::write(dir.path().join("only-broken/x.jpg"), [0xFF, 0xD8, 0xFF]).unwrap();
    for budget in [u64::MAX, 0] {
        let set = load(dir.path(), budget).unwrap();
        assert_eq!(set.faces_of(&[0, 1]), [vec![0, 1], vec![2, 3]]);
        assert_eq!(set.face(1).unwrap()[2], 2, "the blue of p0/2.png");
        assert_eq!(set.face(2).unwrap()[2], 16, "the blue of p1/0.png");
        assert_eq!(set.summary(), "4 images of 2 people; 2 images skipped");
        let report = dir.path().join("skipped.csv");
        set.write_report(&report).unwrap();
        let lines: Vec<String> = std::fs::read_to_string(&report).unwrap().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[1].ends_with("only-broken/x.jpg,is cut short (the JPEG has no end); copy it again from its source")
        );
        assert!(lines[2].contains("p0/1.png,\"is no image of a known format"), "{}", lines[2]);
    }
}

#[test]
fn people_with_one_image_are_counted_as_negatives_only() {
    assert_eq!(flat_faces(&[1, 2, 1]).summary(), "4 images of 3 people, 2 with a single image");
}

#[test]
fn progress_counts_every_image_once() {
    let dir = tempfile::tempdir().unwrap();
    write_people(dir.path(), &[4, 3]);
    let seen = Mutex::new(Vec::new());
    let folder = FaceFolder::scan(dir.path()).unwrap();
    FaceSet::load(&folder, &SIZE, u64::MAX, &|done, total| seen.lock().unwrap().push((done, total))).unwrap();
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (1..=7).map(|done| (done, 7)).collect::<Vec<_>>());
}

#[test]
fn a_folder_without_any_usable_image_is_refused_with_the_first_reason() {
    let dir = tempfile::tempdir().unwrap();
    write_face(&dir.path().join("ann/1.png"), 0);
    std::fs::write(dir.path().join("ann/1.png"), "").unwrap();
    let text = load(dir.path(), u64::MAX).unwrap_err().to_string();
    assert!(text.contains("none of the 1 images in") && text.contains("ann/1.png is an empty file"), "{text}");
}

#[test]
fn a_file_that_changes_after_loading_is_an_error_of_its_face_only() {
    let dir = tempfile::tempdir().unwrap();
    write_people(dir.path(), &[2]);
    let set = load(dir.path(), 0).unwrap();
    std::fs::write(dir.path().join("p0/1.png"), "gone").unwrap();
    assert!(set.face(0).is_ok());
    assert!(set.face(1).unwrap_err().to_string().contains("p0/1.png"));
}

#[test]
fn generated_faces_of_another_size_or_no_faces_are_refused() {
    let wrong = FaceSet::from_images(&SIZE, vec![("ann".into(), vec![vec![0; 5]])]).unwrap_err().to_string();
    assert!(wrong.contains("ann has a face of 5 bytes, not 768"), "{wrong}");
    let none = FaceSet::from_images(&SIZE, vec![("ann".into(), vec![])]).unwrap_err().to_string();
    assert!(none.contains("there are no faces"), "{none}");
}
