//! Everything that a training run must know to go on as if it had never stopped.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use crate::eval::verification::Accuracy;
use crate::plan::{BufferSpec, Role, Shape, Type};
use crate::store::NamedTensor;
use crate::weights::{explain, serialise, write_whole};
use crate::{Error, Result};

/// Value of the metadata field `format`; grows when older versions of the crate can no longer read what is written.
const FORMAT: &str = "facenet-gpu-state/1";

/// A training run at the end of a step, as a value. Training that is restored from it goes on byte for byte as the run that
/// it was taken from, on the same device.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrainingState {
    /// Name of the network.
    pub network: String,
    /// Parameters, running statistics and optimiser state.
    pub tensors: Vec<NamedTensor>,
    /// Where the random generators and the schedule stand.
    pub progress: Progress,
}

/// The part of a [`TrainingState`] that is no tensor.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Progress {
    /// Seed of the run: with the counters below it decides about everything random on the device.
    pub seed: u64,
    /// Steps that were done. Batches are a function of the seed and the step, so that this is the sampler's position too:
    /// see [`PkSampler::batches`](crate::data::sampler::PkSampler::batches).
    pub step: u64,
    /// Counter of the generator that drops features out.
    pub dropout: u32,
    /// Counter of the generator that takes negatives at random.
    pub mining: u32,
    /// What the schedule's learning rate is multiplied by.
    #[serde(with = "bits32")]
    pub rate_scale: f32,
    /// The best accuracy so far.
    pub best: Option<Best>,
}

/// An [`Accuracy`] that survives a file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Best {
    /// Share of the pairs that were classified rightly, 0 to 1.
    #[serde(with = "bits64")]
    pub accuracy: f64,
    /// The threshold that suits all pairs best.
    #[serde(with = "bits32")]
    pub threshold: f32,
    /// Bits of the thresholds chosen on the first and on the second half.
    half_thresholds: [u32; 2],
    /// Number of pairs.
    pub pairs: usize,
}

impl From<Accuracy> for Best {
    fn from(a: Accuracy) -> Self {
        let half_thresholds = a.half_thresholds.map(f32::to_bits);
        Self { accuracy: a.accuracy, threshold: a.threshold, half_thresholds, pairs: a.pairs }
    }
}

impl From<Best> for Accuracy {
    fn from(b: Best) -> Self {
        let half_thresholds = b.half_thresholds.map(f32::from_bits);
        Self { accuracy: b.accuracy, threshold: b.threshold, half_thresholds, pairs: b.pairs }
    }
}

/// Floats by their bits: decimal digits would have to be parsed exactly.
mod bits32 {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(x: &f32, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u32(x.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f32, D::Error> {
        u32::deserialize(d).map(f32::from_bits)
    }
}

/// As `bits32`.
mod bits64 {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(x: &f64, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(x.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        u64::deserialize(d).map(f64::from_bits)
    }
}

/// The roles of what a state holds.
pub(super) const ROLES: [Role; 3] = [Role::Param, Role::Statistic, Role::State];

/// What stands before the names of a role's tensors in the file.
fn prefix(role: Role) -> &'static str {
    match role {
        Role::Param => "parameter:",
        Role::Statistic => "statistic:",
        _ => "optimiser:",
    }
}

impl TrainingState {
    /// Writes a file. It appears whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written or the disk is full; an older file of that name is then still whole.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let fields = [
            ("format", FORMAT.to_string()),
            ("network", self.network.clone()),
            ("progress", serde_json::to_string(&self.progress).expect("progress is plain data")),
        ];
        let info: BTreeMap<String, String> = fields.into_iter().map(|(k, v)| (k.to_string(), v)).collect();
        let view = |t: &'_ NamedTensor| {
            let dims = t.spec.shape.dims().iter().map(|&d| d as usize).collect();
            let name = format!("{}{}", prefix(t.spec.role), t.spec.name);
            (name, dims)
        };
        let named: Vec<(String, Vec<usize>)> = self.tensors.iter().map(view).collect();
        let views = named.into_iter().zip(&self.tensors).map(|((name, dims), t)| {
            let view = TensorView::new(Dtype::F32, dims, bytemuck::cast_slice(&t.data));
            (name, view.expect("a tensor has as many values as its shape says"))
        });
        write_whole(path.as_ref(), &serialise(views, info))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is cut short or damaged, or is no training state.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let fail = |message: &str| Error::Weights { path: path.to_path_buf(), message: message.to_string() };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| explain(path, &bytes, e))?;
        let info = header.metadata().clone().unwrap_or_default();
        match info.get("format").map(String::as_str) {
            Some(FORMAT) => {}
            Some(other) if other.starts_with("facenet-gpu-state/") => {
                return Err(fail("is a training state of another version of facenet-gpu; use that version"));
            }
            _ => return Err(fail("is no training state; give a file that a training run has saved")),
        }
        let broken = || fail("is damaged: its header lacks or garbles what the run had reached; take an older one");
        let network = info.get("network").cloned().ok_or_else(broken)?;
        let progress = info.get("progress").and_then(|text| serde_json::from_str(text).ok()).ok_or_else(broken)?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| explain(path, &bytes, e))?;
        let mut tensors = Vec::with_capacity(file.len());
        for (name, view) in file.tensors() {
            let known = ROLES.iter().find_map(|&role| Some((role, name.strip_prefix(prefix(role))?)));
            let dims: Option<Vec<u32>> = view.shape().iter().map(|&d| u32::try_from(d).ok()).collect();
            let (Some((role, name)), Some(Ok(shape)), Dtype::F32) = (known, dims.map(|d| Shape::new(&d)), view.dtype())
            else {
                return Err(broken());
            };
            let spec = BufferSpec { name: name.to_string(), shape, ty: Type::F32, role };
            tensors.push(NamedTensor { spec, data: bytemuck::pod_collect_to_vec(view.data()) });
        }
        tensors.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        Ok(Self { network, tensors, progress })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> TrainingState {
        let tensor = |name: &str, role, data: &[f32]| NamedTensor {
            spec: BufferSpec {
                name: name.into(),
                shape: Shape::vector(u32::try_from(data.len()).unwrap()),
                ty: Type::F32,
                role,
            },
            data: data.to_vec(),
        };
        TrainingState {
            network: "zf64".into(),
            tensors: vec![
                tensor("a/mean", Role::Statistic, &[0.1]),
                tensor("a/w", Role::Param, &[1.0, f32::MIN_POSITIVE, -0.0]),
                tensor("a/w/sum", Role::State, &[3.0, 1e-45, f32::INFINITY]),
            ],
            progress: Progress {
                seed: u64::MAX,
                step: 1 << 60,
                dropout: u32::MAX,
                mining: 7,
                rate_scale: 0.1,
                best: Some(Best { accuracy: 0.1 + 0.2, threshold: 1.1, half_thresholds: [1, 2], pairs: 6000 }),
            },
        }
    }

    #[test]
    fn a_state_survives_a_file_with_every_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.safetensors");
        state().save(&path).unwrap();
        let loaded = TrainingState::load(&path).unwrap();
        assert_eq!(loaded, state());
        let bits =
            |s: &TrainingState| s.tensors.iter().flat_map(|t| t.data.clone()).map(f32::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(&loaded), bits(&state()));
    }

    #[test]
    fn a_file_that_is_cut_short_or_no_state_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.safetensors");
        state().save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for length in (0..bytes.len()).step_by(7) {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(TrainingState::load(&path).is_err(), "{length} bytes");
        }
        let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
        std::fs::write(&path, safetensors::serialize([("x", view)], None).unwrap()).unwrap();
        assert!(TrainingState::load(&path).unwrap_err().to_string().contains("is no training state"));
    }
}
