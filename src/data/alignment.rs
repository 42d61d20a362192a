//! How a face that was found on a photograph is brought to the picture that a network sees: plain data, which may stand in
//! a file. [`crate::align`] does it.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::shown;
use crate::{Error, Result};

/// Most pixels of an aligned face, one way.
const LARGEST: u32 = 4096;

/// Where a face comes to lie: a preset or a template of one's own. Two are equal if they align alike, whatever their names.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Alignment {
    name: String,
    size: [u32; 2],
    method: Method,
}

/// How a face is placed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// The detector's box with this many pixels of the photograph added to its width and its height, cut at the photograph's
    /// border, brought to the size whatever its own proportions are.
    Box {
        /// Pixels, half of them on each side.
        margin: u32,
    },
    /// Moved, turned and scaled so that the landmarks come as near as can be (least squares) to these points, x and y in
    /// pixels from the middle of the upper left pixel. Landmarks without a point do not matter.
    Points([Option<[f32; 2]>; 5]),
}

/// An alignment as it stands in a file: `{"width": 112, "height": 112, "points": [[38.3, 51.7], ..]}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default = "own")]
    name: String,
    width: u32,
    height: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    margin: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    points: Option<[Option<[f32; 2]>; 5]>,
}

/// What a template without a name is called.
fn own() -> String {
    "own".to_string()
}

const fn all(points: [[f32; 2]; 5]) -> [Option<[f32; 2]>; 5] {
    [Some(points[0]), Some(points[1]), Some(points[2]), Some(points[3]), Some(points[4])]
}

/// The presets: name, side, method.
const PRESETS: [(&str, u32, Method); 4] = [
    // What davidsandberg/facenet's align_dataset_mtcnn.py does for images of 160x160.
    ("facenet", 160, Method::Box { margin: 32 }),
    // insightface's template.
    (
        "arcface",
        112,
        Method::Points(all([
            [38.2946, 51.6963],
            [73.5318, 51.5014],
            [56.0252, 71.7366],
            [41.5493, 92.3655],
            [70.7299, 92.2041],
        ])),
    ),
    // Where MTCNN's landmarks lie on average in the chips that dlib cuts out with its own.
    ("dlib", 150, Method::Points(all([[47.5, 45.2], [102.5, 45.2], [75.0, 78.8], [50.7, 107.5], [99.4, 107.5]]))),
    // The mean face of OpenFace's align_dlib.py: the middles of its eyes, each of six points, and the tip of its nose.
    (
        "openface",
        96,
        Method::Points([Some([26.6268, 16.0593]), Some([67.7902, 15.2639]), Some([47.2409, 40.5223]), None, None]),
    ),
];

impl Alignment {
    /// Names of the presets.
    pub const PRESETS: [&'static str; 4] = [PRESETS[0].0, PRESETS[1].0, PRESETS[2].0, PRESETS[3].0];

    /// The preset of that name.
    pub fn preset(name: &str) -> Option<Self> {
        let found = PRESETS.iter().find(|(preset, ..)| *preset == name);
        found.map(|(name, side, method)| Self { name: (*name).to_string(), size: [*side; 2], method: *method })
    }

    /// An alignment of one's own: pictures of `size`, height and width.
    ///
    /// # Errors
    /// The size is zero or gigantic, or the points are fewer than two, coincide or are not finite.
    pub fn new(name: impl Into<String>, size: [u32; 2], method: Method) -> Result<Self> {
        let own = Self { name: name.into(), size, method };
        own.check().map(|()| own).map_err(Error::Setting)
    }

    /// Reads a template from a JSON file: `width`, `height`, and either `points`, five times `[x, y]` or `null`, in the order
    /// of [`Detection::landmarks`](crate::detect::Detection::landmarks), or `margin`.
    ///
    /// # Errors
    /// The file cannot be read or is no such template.
    pub fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        serde_json::from_str(&text).map_err(|e| {
            Error::setting(format!("{} is no template of an alignment: {}", path.display(), shown(&e.to_string())))
        })
    }

    /// Its name: that of the preset, or what the file says.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Height and width of an aligned face, pixels.
    pub fn size(&self) -> [u32; 2] {
        self.size
    }

    /// How faces are placed.
    pub fn method(&self) -> Method {
        self.method
    }

    fn check(&self) -> Result<(), String> {
        let [height, width] = self.size;
        if !(8..=LARGEST).contains(&height) || !(8..=LARGEST).contains(&width) {
            return Err(format!(
                "an aligned face of {width}x{height} pixels is not possible; give sides of 8 to {LARGEST}"
            ));
        }
        match self.method {
            Method::Box { margin } if margin > LARGEST => Err(format!("a margin of {margin} pixels is too large")),
            Method::Box { .. } => Ok(()),
            Method::Points(points) => {
                let points: Vec<[f32; 2]> = points.into_iter().flatten().collect();
                if points.iter().flatten().any(|x| !x.is_finite() || x.abs() > 2.0 * LARGEST as f32) {
                    return Err("the points of an alignment must be finite and near its picture".to_string());
                }
                let apart = |p: &[f32; 2]| (p[0] - points[0][0]).hypot(p[1] - points[0][1]) >= 1.0;
                match points.iter().any(apart) {
                    true => Ok(()),
                    false => Err("an alignment needs two points or more that lie apart".to_string()),
                }
            }
        }
    }
}

impl PartialEq for Alignment {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size && self.method == other.method
    }
}

// Points are finite.
impl Eq for Alignment {}

impl fmt::Display for Alignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}x{}", shown(&self.name), self.size[1], self.size[0])
    }
}

impl FromStr for Alignment {
    type Err = Error;

    /// The preset of that name, or the template in the file of that name.
    fn from_str(text: &str) -> Result<Self> {
        if let Some(preset) = Self::preset(text) {
            return Ok(preset);
        }
        if Path::new(text).exists() {
            return Self::open(Path::new(text));
        }
        let presets = Self::PRESETS.join(", ");
        Err(Error::setting(format!(
            "there is no alignment {}; there are {presets}, or name a template's file",
            shown(text)
        )))
    }
}

impl TryFrom<Fields> for Alignment {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { name, width, height, margin, points } = fields;
        let method = match (margin, points) {
            (Some(margin), None) => Method::Box { margin },
            (None, Some(points)) => Method::Points(points),
            _ => return Err("it needs either \"points\" or \"margin\"".to_string()),
        };
        let own = Self { name, size: [height, width], method };
        own.check().map(|()| own)
    }
}

impl From<Alignment> for Fields {
    fn from(own: Alignment) -> Self {
        let Alignment { name, size: [height, width], method } = own;
        let (margin, points) = match method {
            Method::Box { margin } => (Some(margin), None),
            Method::Points(points) => (None, Some(points)),
        };
        Self { name, width, height, margin, points }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_survives_a_file_and_has_the_size_of_its_networks() {
        for (name, side) in Alignment::PRESETS.into_iter().zip([160, 112, 150, 96]) {
            let preset: Alignment = name.parse().unwrap();
            assert_eq!((preset.name(), preset.size()), (name, [side; 2]));
            preset.check().unwrap();
            let text = serde_json::to_string(&preset).unwrap();
            assert_eq!(serde_json::from_str::<Alignment>(&text).unwrap(), preset, "{text}");
        }
        assert_ne!(Alignment::preset("dlib"), Alignment::preset("arcface"));
    }

    #[test]
    fn a_template_in_a_file_is_checked_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.json");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().parse::<Alignment>()
        };
        let good =
            read(r#"{"width": 100, "height": 120, "points": [[30, 40], [70, 40], [50, 60], null, null]}"#).unwrap();
        assert_eq!((good.name(), good.size()), ("own", [120, 100]));
        for (text, said) in [
            ("{", "is no template"),
            (r#"{"width": 100, "height": 120}"#, "either \"points\" or \"margin\""),
            (r#"{"width": 100, "height": 120, "points": [[30, 40], [30, 40], null, null, null]}"#, "that lie apart"),
            (r#"{"width": 100, "height": 120, "points": [null, null, null, null, null]}"#, "that lie apart"),
            (r#"{"width": 100, "height": 120, "points": [[1, 2], [3, 4]]}"#, "invalid length 2"),
            (r#"{"width": 0, "height": 120, "margin": 3}"#, "0x120"),
            (r#"{"width": 90, "height": 90, "margin": 3, "colour": 1}"#, "unknown field"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(said), "{message}");
        }
        assert!("nothing".parse::<Alignment>().unwrap_err().to_string().contains("facenet, arcface, dlib, openface"));
    }
}
