//! Everything that a training run must know to go on as if it had never stopped.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};

use super::collapse::Guard;
use super::sums::EpochSums;
use super::{Baselines, Versions};
use crate::eval::verification::Accuracy;
use crate::plan::{BufferSpec, Role, Shape, Type};
use crate::store::NamedTensor;
use crate::weights::{Floats, check_digest, check_fields, explain, info, save};
use crate::{Error, Result};

/// Value of the metadata field `format`; grows when older versions of the crate can no longer read what is written.
const FORMAT: &str = "facenet-gpu-state/3";

/// A training run at the end of a step, as a value. Training that is restored from it goes on byte for byte as the run that
/// it was taken from, on the same device.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrainingState {
    /// Name of the network.
    pub network: String,
    /// Parameters, running statistics and optimiser state.
    pub tensors: Vec<NamedTensor>,
    /// Where the random generators stand.
    pub progress: Progress,
    /// What the loop around the steps knows; as at its start where a [`Trainer`](super::Trainer) alone has made the state.
    pub run: RunState,
}

/// Where the steps of a run stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// Steps since the optimiser had nothing to remember, which Adam's bias corrections depend on.
    pub optimised: u64,
}

/// What the loop around the steps knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RunState {
    /// What the schedule's learning rate is multiplied by.
    pub rate_scale: f32,
    /// Times that the run has returned to older weights because the loss was NaN or Inf.
    pub rescues: u32,
    /// The best accuracy so far.
    pub best: Option<Accuracy>,
    /// The epoch of the best weights.
    pub best_epoch: u32,
    /// Accuracy across versions, of the best weights.
    pub versions: Option<Versions>,
    /// What was reached without training.
    pub baselines: Option<Baselines>,
    /// Seconds of training so far.
    pub seconds: f64,
    /// The triplets that were chosen offline last.
    pub offline: Option<OfflineState>,
    /// The epoch that has begun.
    pub(super) epoch: EpochSums,
    /// What the collapse guard has seen.
    pub(super) guard: Guard,
}

/// Triplets that were chosen offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct OfflineState {
    /// Steps that were done before.
    pub step: usize,
    /// Anchor, positive and negative of each, as images of the set.
    pub triplets: Vec<[usize; 3]>,
}

impl Default for RunState {
    /// The start of a run.
    fn default() -> Self {
        Self {
            rate_scale: 1.0,
            rescues: 0,
            best: None,
            best_epoch: 0,
            versions: None,
            baselines: None,
            seconds: 0.0,
            offline: None,
            epoch: EpochSums::default(),
            guard: Guard::default(),
        }
    }
}

impl RunState {
    /// Steps of the epoch that has begun and is not measured yet.
    pub fn steps_of_epoch(&self) -> usize {
        self.epoch.steps()
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
    /// Writes a file. It appears whole or not at all, and carries a digest.
    ///
    /// # Errors
    /// The folder cannot be written or the disk is full; an older file of that name is then still whole.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let fields = [
            ("format", FORMAT.to_string()),
            ("network", self.network.clone()),
            ("progress", serde_json::to_string(&self.progress).expect("progress is plain data")),
            ("run", serde_json::to_string(&self.run).expect("the state of a run is plain data")),
        ];
        let fields: BTreeMap<String, String> = fields.into_iter().map(|(k, v)| (k.to_string(), v)).collect();
        let floats = |t: &'_ NamedTensor| format!("{}{}", prefix(t.spec.role), t.spec.name);
        let named = self.tensors.iter().map(|t| (floats(t), Floats { dims: t.spec.shape.dims(), data: &t.data }));
        save(path.as_ref(), &named.collect(), &fields)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is cut short or damaged, or is no training state.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let fail = |message: &str| Error::Weights { path: path.to_path_buf(), message: message.to_string() };
        let fields = info(path, &bytes)?;
        match fields.get("format").map(String::as_str) {
            Some(FORMAT) => {}
            Some(other) if other.starts_with("facenet-gpu-state/") => {
                return Err(fail("is a training state of another version of facenet-gpu; use that version"));
            }
            _ => return Err(fail("is no training state; give a file that a training run has saved")),
        }
        check_fields(path, &fields, &["format", "network", "progress", "run"])?;
        check_digest(path, &bytes)?;
        let broken = || fail("is damaged: its header lacks or garbles what the run had reached; take an older one");
        let network = fields.get("network").cloned().ok_or_else(broken)?;
        let progress = fields.get("progress").and_then(|text| serde_json::from_str(text).ok()).ok_or_else(broken)?;
        let run = fields.get("run").and_then(|text| serde_json::from_str(text).ok()).ok_or_else(broken)?;
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
        Ok(Self { network, tensors, progress, run })
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
            progress: Progress { seed: u64::MAX, step: 1 << 60, dropout: u32::MAX, mining: 7, optimised: 1 << 59 },
            run: RunState {
                rate_scale: 0.1,
                best: Some(Accuracy {
                    effective_pairs: 12.5,
                    accuracy: 0.1 + 0.2,
                    threshold: 1.1,
                    half_thresholds: [f32::MIN_POSITIVE, 1e-45],
                    pairs: 6000,
                }),
                seconds: 1e9 / 3.0,
                offline: Some(OfflineState { step: 4, triplets: vec![[1, 2, 3]] }),
                ..RunState::default()
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
        let view = safetensors::tensor::TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
        std::fs::write(&path, safetensors::serialize([("x", view)], None).unwrap()).unwrap();
        assert!(TrainingState::load(&path).unwrap_err().to_string().contains("is no training state"));
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        std::fs::write(&path, flipped).unwrap();
        assert!(TrainingState::load(&path).unwrap_err().to_string().contains("does not match its digest"));
    }
}
