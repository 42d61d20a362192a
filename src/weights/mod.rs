//! Weights files: safetensors with our tensor names, and metadata that says which network they belong to, how its
//! images must be prepared, and where they come from. [`import()`] and [`export()`] exchange weights with other
//! programs.

mod calibration;
mod container;
mod detector;
mod dlib;
mod entry;
mod export;
mod file;
mod header;
mod import;
mod kinds;
mod layout;
mod names;
#[cfg_attr(not(feature = "program"), path = "no_pytorch.rs")]
mod pytorch;
mod state_dict;
mod torch7;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::preprocess::Preprocess;
use crate::digest::Digest;
use crate::model::Model;
use crate::plan::Shape;
use crate::text::{printable, shown};
use crate::{Error, Result};

pub use calibration::{Calibration, CurvePoint, Far};
pub(crate) use container::{Floats, check_digest, check_fields, explain, info, save};
pub(crate) use detector::STAGES;
pub use detector::{DetectorWeights, holds_detector, import_detector};
pub use export::{Exported, export};
#[cfg(feature = "program")]
pub(crate) use file::{check_writable, remove_stale, write_whole};
#[cfg(feature = "gallery")]
pub(crate) use file::{sync_folder, temporary};
pub use header::{Kind, kind_of};
pub use import::{Imported, guess_network, import};

/// Value of the metadata field `format`; grows when older versions of the crate can no longer read what is written.
const FORMAT: &str = "facenet-gpu/2";
/// That of files without a digest and without a word about training, which are still read.
const OLDER_FORMAT: &str = "facenet-gpu/1";

/// Every metadata field.
const FIELDS: [&str; 12] = [
    "format",
    "network",
    "embedding",
    "preprocess",
    "version",
    "provenance",
    "license",
    "dataset",
    "training",
    "calibration",
    "unit_length",
    "threshold",
];

/// What messages call weights that come from no file.
const UNNAMED: &str = "weights";

/// What a weights file says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// Name of the network, as [`crate::net::find`] knows it.
    pub network: String,
    /// Dimensions of an embedding.
    pub embedding: u32,
    /// Whether embeddings have the length 1, so that squared distances are 0 to 4; those of dlib's network do not.
    pub unit_length: bool,
    /// How images must be prepared.
    pub preprocess: Preprocess,
    /// Version of the crate that wrote the file.
    pub version: String,
    /// Where the weights come from.
    pub origin: Origin,
    /// What training had reached when they were saved; `None` if they were not trained by this crate.
    pub training: Option<Trained>,
    /// The squared distance that whoever made the weights gives for two faces of one person; `None` if it is not known.
    pub threshold: Option<f32>,
    /// A threshold that was measured for use; `None` if none was.
    pub calibration: Option<Calibration>,
}

/// The moment of a training run from which weights are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Trained {
    /// Steps that were done.
    pub step: u64,
    /// Epochs that were complete.
    pub epoch: u32,
    /// Verification accuracy on held-out people, 0 to 1; `None` if these weights were not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Pairs behind the accuracy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<usize>,
    /// The squared distance below which a pair of held-out people counts as one person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// Digest of the list of images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

impl Trained {
    /// After `step` steps; nothing else is known.
    pub fn at(step: u64) -> Self {
        Self { step, ..Self::default() }
    }
}

impl Metadata {
    /// That of weights of `model` that this version of the crate makes.
    ///
    /// # Errors
    /// The model gives no embeddings.
    pub fn of(model: &Model) -> Result<Self> {
        Ok(Self {
            network: model.name().to_string(),
            embedding: model.dimensions()?,
            unit_length: model.unit_length(),
            preprocess: model.preprocess().clone(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            origin: Origin::default(),
            training: None,
            threshold: None,
            calibration: None,
        })
    }
}

/// Where weights come from and what may be done with them, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// Who made them of what: "imported from 20180402-114759-vggface2.pt (facenet-pytorch)".
    pub provenance: Option<String>,
    /// The licence that they are under.
    pub license: Option<String>,
    /// The images that they were trained on.
    pub dataset: Option<String>,
}

impl Origin {
    /// What is known, as metadata fields.
    fn fields(&self) -> BTreeMap<String, String> {
        let all = [("provenance", &self.provenance), ("license", &self.license), ("dataset", &self.dataset)];
        all.into_iter().filter_map(|(name, text)| Some((name.to_string(), text.clone()?))).collect()
    }
}

/// Named tensors with their metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// What they are for.
    pub metadata: Metadata,
    /// Name, sizes and values (row-major) of each tensor.
    pub tensors: Vec<(String, Shape, Vec<f32>)>,
}

impl Weights {
    /// Writes a file. It appears whole or not at all: the bytes go to a temporary file beside it, which is renamed.
    ///
    /// # Errors
    /// The folder cannot be written or the disk is full; an older file of that name is then still whole.
    pub fn save(&self, path: &Path) -> Result<()> {
        let m = &self.metadata;
        let fields = [
            ("format", FORMAT.to_string()),
            ("network", m.network.clone()),
            ("embedding", m.embedding.to_string()),
            ("preprocess", m.preprocess.json()),
            ("version", m.version.clone()),
        ];
        let mut info = m.origin.fields();
        info.extend(fields.into_iter().map(|(k, v)| (k.to_string(), v)));
        if let Some(training) = &m.training {
            info.insert("training".to_string(), serde_json::to_string(training).expect("it is plain data"));
        }
        if let Some(calibration) = &m.calibration {
            info.insert("calibration".to_string(), serde_json::to_string(calibration).expect("it is plain data"));
        }
        // Older versions, which take all embeddings for ones of unit length, refuse what they do not know.
        if !m.unit_length {
            info.insert("unit_length".to_string(), "false".to_string());
        }
        if let Some(threshold) = m.threshold {
            info.insert("threshold".to_string(), threshold.to_string());
        }
        let floats = self.tensors.iter().map(|(name, shape, data)| (name.clone(), Floats { dims: shape.dims(), data }));
        let tensors: BTreeMap<String, Floats<'_>> = floats.collect();
        save(path, &tensors, &info)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is not safetensors, is cut short, or was not written by this program.
    pub fn load(path: &Path) -> Result<Self> {
        Self::parse(&fs::read(path).map_err(Error::io("read", path))?, path)
    }

    /// Reads the content of a weights file from a reader, up to its end.
    ///
    /// # Errors
    /// As [`load`](Self::load); the message calls it "weights".
    pub fn read(mut reader: impl Read) -> Result<Self> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(Error::io("read", Path::new(UNNAMED)))?;
        Self::from_bytes(&bytes)
    }

    /// Reads the content of a weights file from memory.
    ///
    /// # Errors
    /// As [`load`](Self::load); the message calls it "weights".
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes, Path::new(UNNAMED))
    }

    /// `path` stands for the bytes in messages.
    fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let fail = |message: String| unusable(path, &message);
        let info = info(path, bytes)?;
        let field = |name: &str| {
            let missing = || {
                fail(format!(
                    "has no metadata field \"{name}\", so it was not written by facenet-gpu; give a file that \
                     `facenet-gpu train` or `facenet-gpu import` wrote"
                ))
            };
            info.get(name).cloned().ok_or_else(missing)
        };
        let format = field("format")?;
        if format != FORMAT && format != OLDER_FORMAT {
            return Err(fail(if format == detector::DETECTOR_FORMAT {
                "holds a face detector, not weights of a network that embeds faces; give a weights file".to_string()
            } else if format.starts_with("facenet-gpu/") {
                format!("has format {}, this version reads {FORMAT}; update facenet-gpu", shown(&format))
            } else {
                "was not written by facenet-gpu; turn it into a weights file with `facenet-gpu import`".to_string()
            }));
        }
        check_fields(path, &info, &FIELDS)?;
        if format == FORMAT {
            check_digest(path, bytes)?;
        }
        let broken = |name: &str| fail(format!("has a broken metadata field \"{name}\""));
        let training = info.get("training").map(|text| serde_json::from_str(text).map_err(|_| broken("training")));
        let calibration =
            info.get("calibration").map(|text| serde_json::from_str(text).map_err(|_| broken("calibration")));
        let unit_length = info.get("unit_length").map(|text| text.parse().map_err(|_| broken("unit_length")));
        let threshold = info.get("threshold").map(|text| {
            let threshold = text.parse().ok().filter(|threshold: &f32| threshold.is_finite() && *threshold >= 0.0);
            threshold.ok_or_else(|| broken("threshold"))
        });
        let metadata = Metadata {
            network: field("network")?,
            embedding: field("embedding")?.parse().map_err(|_| broken("embedding"))?,
            unit_length: unit_length.transpose()?.unwrap_or(true),
            preprocess: serde_json::from_str(&field("preprocess")?).map_err(|_| broken("preprocess"))?,
            version: field("version")?,
            origin: Origin {
                provenance: info.get("provenance").cloned(),
                license: info.get("license").cloned(),
                dataset: info.get("dataset").cloned(),
            },
            training: training.transpose()?,
            threshold: threshold.transpose()?,
            calibration: calibration.transpose()?,
        };
        Ok(Self { metadata, tensors: container::tensors(path, bytes)? })
    }

    /// What tells the embeddings of these weights from those of others: SHA-256 over the network, the preprocessing and all
    /// tensors. What else the metadata say, such as a calibration, does not change it.
    pub fn model_id(&self) -> String {
        let mut digest = Digest::default();
        digest.text(&self.metadata.network);
        digest.text(&self.metadata.preprocess.json());
        let mut tensors: Vec<_> = self.tensors.iter().collect();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, shape, data) in tensors {
            digest.text(name);
            digest.text(&shape.to_string());
            digest.bytes(bytemuck::cast_slice(data));
        }
        digest.finish()
    }

    /// Whether no value is NaN or Inf.
    pub fn is_finite(&self) -> bool {
        self.tensors.iter().all(|(.., data)| data.iter().all(|x| x.is_finite()))
    }

    /// The sizes and values of the tensor `name`, if there is one.
    pub fn find(&self, name: &str) -> Option<(Shape, &[f32])> {
        self.tensors.iter().find(|(n, ..)| n == name).map(|(_, shape, data)| (*shape, &data[..]))
    }

    /// The values of the tensor `name`, which must have these sizes.
    ///
    /// # Errors
    /// There is no such tensor or it has other sizes; `path` names the file in the message.
    pub fn tensor(&self, name: &str, shape: Shape, path: &Path) -> Result<&[f32]> {
        let fail = |message: String| unusable(path, &message);
        let found = self.find(name);
        let (have, data) =
            found.ok_or_else(|| fail(format!("lacks the tensor {name} {shape}; it belongs to another network")))?;
        if have != shape {
            return Err(fail(format!(
                "has the tensor {name} with sizes {have}, the network needs {shape}; it belongs to another network or is \
                 damaged"
            )));
        }
        Ok(data)
    }
}

/// An error about the file `path`, which may have written parts of the message itself.
pub(crate) fn unusable(path: &Path, message: &str) -> Error {
    Error::Weights { path: path.to_path_buf(), message: printable(message).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::preprocess::Normalise;

    fn weights() -> Weights {
        Weights {
            metadata: Metadata {
                network: "zf64".into(),
                embedding: 2,
                unit_length: true,
                preprocess: Preprocess {
                    height: 64,
                    width: 64,
                    normalise: Normalise::Fixed,
                    crop: None,
                    alignment: None,
                },
                version: "0.0.1".into(),
                origin: Origin { license: Some("CC BY 4.0".into()), ..Origin::default() },
                training: Some(Trained {
                    step: 7,
                    accuracy: Some(0.1 + 0.2),
                    threshold: Some(0.7),
                    ..Trained::default()
                }),
                threshold: None,
                calibration: None,
            },
            tensors: vec![("a/w".into(), Shape::new(&[2, 2]).unwrap(), vec![1.0, -2.0, 3.0, 0.5])],
        }
    }

    /// What is said of a file with these bytes.
    fn refusal(bytes: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        fs::write(&path, bytes).unwrap();
        let text = Weights::load(&path).unwrap_err().to_string();
        assert!(text.contains("w.safetensors: "), "the file is named: {text}");
        text
    }

    fn saved() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        weights().save(&path).unwrap();
        fs::read(path).unwrap()
    }

    #[test]
    fn what_is_saved_is_loaded_and_equal_weights_are_equal_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        weights().save(&path).unwrap();
        assert_eq!(Weights::load(&path).unwrap(), weights());
        let bytes = fs::read(&path).unwrap();
        assert_eq!(Weights::from_bytes(&bytes).unwrap(), weights());
        assert_eq!(Weights::read(&bytes[..]).unwrap(), weights());
        let text = Weights::read(&bytes[..bytes.len() - 1]).unwrap_err().to_string();
        assert!(text.starts_with("weights: is cut short"), "{text}");
        // Whoever may read other new files may read this one.
        let other = dir.path().join("other");
        fs::write(&other, "").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions(), fs::metadata(&other).unwrap().permissions());
        assert_eq!(saved(), saved());
    }

    #[test]
    fn embeddings_of_any_length_and_the_threshold_of_the_makers_are_kept_and_other_files_are_as_before() {
        let text = String::from_utf8_lossy(&saved()).into_owned();
        assert!(!text.contains("unit_length") && !text.contains(r#""threshold":"#), "{text}");
        let mut free = weights();
        (free.metadata.unit_length, free.metadata.threshold) = (false, Some(0.36));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        free.save(&path).unwrap();
        assert_eq!(Weights::load(&path).unwrap(), free);
    }

    #[test]
    fn an_older_file_that_says_nothing_of_its_origin_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let mut older = weights();
        older.metadata.origin = Origin::default();
        older.save(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("provenance"));
        assert_eq!(Weights::load(&path).unwrap(), older);
    }

    #[test]
    fn a_file_that_is_cut_short_anywhere_is_refused() {
        let bytes = saved();
        for length in 0..bytes.len() {
            let text = refusal(&bytes[..length]);
            let known =
                ["is cut short", "is empty", "is not a safetensors file"].iter().any(|part| text.contains(part));
            assert!(known, "{length} bytes: {text}");
        }
    }

    #[test]
    fn other_files_are_refused_with_what_they_lack() {
        assert!(refusal(b"PK\x03\x04 some other kind of file").contains("is not a safetensors file; give one"));
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap();
        let foreign = safetensors::serialize([("x", view)], None).unwrap();
        assert!(refusal(&foreign).contains("was not written by facenet-gpu"));
        let newer = String::from_utf8_lossy(&saved()[8..saved().len() - 16]).replace("facenet-gpu/2", "facenet-gpu/9");
        let bytes = [&saved()[..8], newer.as_bytes(), &[0; 16]].concat();
        assert!(refusal(&bytes).contains("update facenet-gpu"));
    }

    #[test]
    fn what_a_file_calls_things_is_escaped_in_messages() {
        let header = r#"{"__metadata__":{"format":"facenet-gpu/\u001b[2K\nerror: none"}}"#;
        let text = refusal(&[&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat());
        assert!(text.contains(r"has format facenet-gpu/\u{1b}[2K\nerror: none, this version reads"), "{text}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }

    #[test]
    fn a_missing_and_a_misshapen_tensor_are_named() {
        let (shape, path) = (Shape::new(&[2, 2]).unwrap(), Path::new("w"));
        let text = weights().tensor("b/w", shape, path).unwrap_err().to_string();
        assert!(text.contains("lacks the tensor b/w"), "{text}");
        let text = weights().tensor("a/w", Shape::new(&[4]).unwrap(), path).unwrap_err().to_string();
        assert!(text.contains("has the tensor a/w with sizes"), "{text}");
    }

    #[test]
    fn a_file_that_cannot_be_replaced_stays_whole() {
        let dir = tempfile::tempdir().unwrap();
        // A folder of that name cannot be replaced by a file.
        let path = dir.path().join("w.safetensors");
        fs::create_dir(&path).unwrap();
        assert!(weights().save(&path).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing temporary is left behind");
    }
}
