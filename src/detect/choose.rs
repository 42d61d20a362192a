//! Which of several faces on an image is meant.

use serde::{Deserialize, Serialize};

use super::Detection;

/// How much facenet's scripts hold the distance from the middle against a face.
const OFF_CENTRE: f32 = 2.0;

/// Which of the faces on an image are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Every one.
    #[default]
    All,
    /// The one with the largest area.
    Largest,
    /// The one that is large and near the middle: the largest area less twice the squared distance from the middle of the
    /// image, as facenet's `align_dataset_mtcnn.py` has it.
    Central,
}

impl Choice {
    /// Takes the faces that are meant on an image of this width and height, in their order.
    pub fn of(self, faces: &[Detection], [width, height]: [u32; 2]) -> Vec<Detection> {
        let middle = [width, height].map(|side| side as f32 / 2.0);
        let weight = |face: &Detection| match self {
            Self::Central => {
                let centre = face.centre();
                let off = (centre[0] - middle[0]).powi(2) + (centre[1] - middle[1]).powi(2);
                face.area() - OFF_CENTRE * off
            }
            Self::All | Self::Largest => face.area(),
        };
        if self == Self::All {
            return faces.to_vec();
        }
        // Of equal ones the first.
        faces.iter().rev().max_by(|a, b| weight(a).total_cmp(&weight(b))).copied().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(left: f32, top: f32, side: f32) -> Detection {
        Detection { bounds: [left, top, left + side, top + side], probability: 1.0, landmarks: [[0.0; 2]; 5] }
    }

    #[test]
    fn the_largest_face_may_lie_at_the_border_and_the_central_one_does_not() {
        let faces = [face(0.0, 0.0, 60.0), face(80.0, 80.0, 40.0), face(85.0, 85.0, 20.0)];
        assert_eq!(Choice::All.of(&faces, [200, 200]), faces);
        assert_eq!(Choice::Largest.of(&faces, [200, 200]), faces[..1]);
        assert_eq!(Choice::Central.of(&faces, [200, 200]), faces[1..2]);
        assert!(Choice::Central.of(&[], [200, 200]).is_empty());
        assert_eq!(Choice::Largest.of(&[faces[1], faces[1]], [1, 1]), faces[1..2]);
    }
}
