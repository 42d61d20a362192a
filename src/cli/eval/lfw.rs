//! `facenet-gpu eval lfw`: Labeled Faces in the Wild, beside what others have published.

use clap::Args;
use serde_json::{Value, json};

use super::pairs::Pairs;
use super::told::Told;
use crate::Result;
use crate::data::preprocess::Crop;

/// Measure weights on Labeled Faces in the Wild, beside published figures
#[derive(Debug, Args)]
pub(super) struct Lfw {
    #[command(flatten)]
    pairs: Pairs,
}

/// Who, under which conditions, accuracy and standard error in percent.
const PUBLISHED: [(&str, &str, f64, Option<f64>); 4] = [
    ("FaceNet", "NN1, fixed centre crop of the thumbnail", 98.87, Some(0.15)),
    ("FaceNet", "NN1, a face detector of its own on the thumbnail", 99.63, Some(0.09)),
    ("DeepFace", "as FaceNet's paper cites it", 97.35, None),
    ("DeepID2+", "as FaceNet's paper cites it", 99.47, None),
];

/// The fixed crop that stands beside the detector: the middle of LFW's 250x250 pixels with all of the face.
const CENTRE: Crop = Crop { height: 150, width: 150 };

/// Sets of View 2.
const SETS: usize = 10;
/// Pairs of View 2.
const PAIRS: usize = 6000;

impl Lfw {
    pub(super) fn run(self) -> Result<()> {
        self.pairs.measure("Labeled Faces in the Wild", Some(CENTRE), |told, sets, pairs| {
            published(told, &PUBLISHED);
            if (sets, pairs) != (SETS, PAIRS) {
                let text = "they are of View 2, 10 sets of 600 pairs; figures of other pairs do not compare with them";
                told.line("", text.to_string());
            }
            let row = |&(who, conditions, accuracy, error): &(&str, &str, f64, Option<f64>)| {
                json!({ "who": who, "conditions": conditions, "accuracy": part(accuracy), "standard_error": error.map(part) })
            };
            Value::Array(PUBLISHED.iter().map(row).collect())
        })
    }
}

/// Tells published figures.
pub(super) fn published(told: &mut Told, figures: &[(&str, &str, f64, Option<f64>)]) {
    let mut name = "published";
    for (who, conditions, accuracy, error) in figures {
        let error = error.map_or(String::new(), |error| format!(" \u{b1}{error:.2}"));
        told.line(name, format!("{who} {accuracy:.2}{error} %: {conditions}"));
        name = "";
    }
    told.line("", "all with labelled outside data (\"unrestricted\"); \u{b1} is the standard error".to_string());
}

/// A percentage as a part of one, with the digits that it was given with.
pub(super) fn part(percent: f64) -> f64 {
    (percent * 1e4).round() / 1e6
}
