//! Files of a face detector: the three networks of MTCNN in one safetensors file, and how they are made of
//! facenet-pytorch's three.

mod import;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub use import::{holds_detector, import_detector};

use super::container::tensors;
use super::{FORMAT, Floats, OLDER_FORMAT, Origin, check_digest, check_fields, info, save, unusable};
use crate::digest::Digest;
use crate::model::Model;
use crate::net::mtcnn;
use crate::plan::Shape;
use crate::text::shown;
use crate::{Error, Result};

/// Value of the metadata field `format`.
pub(super) const DETECTOR_FORMAT: &str = "facenet-gpu-detector/1";
/// Value of the metadata field `detector`: the only one that there is.
const MTCNN: &str = "mtcnn";
/// Every metadata field.
const FIELDS: [&str; 6] = ["format", "detector", "version", "provenance", "license", "dataset"];

/// A stage's name and what makes its model.
type StageModel = (&'static str, fn() -> Result<Model>);

/// The networks of a detector by the names under which the file holds their tensors, from the first stage to the last.
pub(crate) const STAGES: [StageModel; 3] = [("pnet", mtcnn::pnet), ("rnet", mtcnn::rnet), ("onet", mtcnn::onet)];

/// The tensors of MTCNN's three networks, and what their file says of them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DetectorWeights {
    /// Name, sizes and values (row-major) of each tensor: `pnet/conv1/w`.
    pub tensors: Vec<(String, Shape, Vec<f32>)>,
    /// Where they come from.
    pub origin: Origin,
    /// Version of the crate that wrote the file.
    pub version: String,
}

impl DetectorWeights {
    /// Weights of this version of the crate.
    ///
    /// # Errors
    /// A tensor of one of the networks is missing, unknown or misshapen, or holds NaN or Inf.
    pub fn new(tensors: Vec<(String, Shape, Vec<f32>)>, origin: Origin) -> Result<Self> {
        let own = Self { tensors, origin, version: env!("CARGO_PKG_VERSION").to_string() };
        own.check(Path::new("detector"))?;
        Ok(own)
    }

    /// Writes a file. It appears whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written or the disk is full; an older file of that name is then still whole.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut info = self.origin.fields();
        let fields = [("format", DETECTOR_FORMAT), ("detector", MTCNN), ("version", &self.version)];
        info.extend(fields.into_iter().map(|(name, text)| (name.to_string(), text.to_string())));
        let floats = self.tensors.iter().map(|(name, shape, data)| (name.clone(), Floats { dims: shape.dims(), data }));
        let tensors: BTreeMap<String, Floats<'_>> = floats.collect();
        save(path, &tensors, &info)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or holds something else than a detector of this version, such as weights of a network
    /// that embeds faces.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let fail = |message: String| unusable(path, &message);
        let info = info(path, &bytes)?;
        let format = info.get("format").map_or("", String::as_str);
        if format != DETECTOR_FORMAT {
            return Err(fail(if [FORMAT, OLDER_FORMAT].contains(&format) {
                let network = info.get("network").map_or_else(|| "a network".to_string(), |name| shown(name));
                format!("holds weights of {network}, which embeds faces, not a face detector; give a detector's file")
            } else if format.starts_with("facenet-gpu-detector/") {
                format!("has format {}, this version reads {DETECTOR_FORMAT}; update facenet-gpu", shown(format))
            } else {
                "is no face detector's file; make one with `facenet-gpu import pnet.pt rnet.pt onet.pt`".to_string()
            }));
        }
        check_fields(path, &info, &FIELDS)?;
        check_digest(path, &bytes)?;
        let detector = info.get("detector").map_or("", String::as_str);
        if detector != MTCNN {
            return Err(fail(format!(
                "holds the detector {}, this version knows {MTCNN}; update facenet-gpu",
                shown(detector)
            )));
        }
        let known = |name: &str| info.get(name).cloned();
        let origin = Origin { provenance: known("provenance"), license: known("license"), dataset: known("dataset") };
        let version = known("version").unwrap_or_default();
        let own = Self { tensors: tensors(path, &bytes)?, origin, version };
        own.check(path)?;
        Ok(own)
    }

    /// Compares the tensors with those of the three networks; `path` stands for them in messages.
    fn check(&self, path: &Path) -> Result<()> {
        let fail = |message: String| Err(unusable(path, &message));
        let needed = needed()?;
        for (name, shape) in &needed {
            let found = self.tensors.iter().find(|(n, ..)| n == name);
            let Some((_, have, data)) = found.filter(|(_, _, data)| data.len() == shape.len()) else {
                return fail(format!("lacks the tensor {name} {shape}; the file is damaged"));
            };
            if have != shape {
                return fail(format!(
                    "has the tensor {name} with sizes {have}, {shape} is needed; the file is damaged"
                ));
            }
            if data.iter().any(|x| !x.is_finite()) {
                return fail(format!("holds NaN or Inf in the tensor {name}; import it again"));
            }
        }
        match self.tensors.iter().find(|(name, ..)| needed.iter().all(|(n, _)| n != name)) {
            Some((name, ..)) => {
                fail(format!("has the tensor {}, which no part of it knows; it is damaged", shown(name)))
            }
            None => Ok(()),
        }
    }

    /// The values of one stage's tensor.
    ///
    /// # Panics
    /// If there is none: the names were checked.
    pub(crate) fn values(&self, stage: &str, name: &str) -> &[f32] {
        let name = format!("{stage}/{name}");
        &self.tensors.iter().find(|(n, ..)| *n == name).expect("the tensors were checked").2
    }

    /// What tells this detector from others: SHA-256 over all tensors.
    pub fn id(&self) -> String {
        let mut digest = Digest::default();
        let mut tensors: Vec<_> = self.tensors.iter().collect();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, shape, data) in tensors {
            digest.text(name);
            digest.text(&shape.to_string());
            digest.bytes(bytemuck::cast_slice(data));
        }
        digest.finish()
    }
}

/// Name and sizes of every tensor of a detector.
fn needed() -> Result<Vec<(String, Shape)>> {
    let mut needed = Vec::new();
    for (stage, model) in STAGES {
        needed.extend(model()?.tensors().map(|(name, shape)| (format!("{stage}/{name}"), shape)));
    }
    Ok(needed)
}

#[cfg(test)]
mod tests;
