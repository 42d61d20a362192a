//! The weights that a run starts from: drawn from its seed, or those of a file as far as they fit.

use std::path::Path;

use crate::model::Model;
use crate::session::initial_weights;
use crate::text::listed;
use crate::weights::{Metadata, Weights, unusable};
use crate::{Error, Result};

/// Starting weights, and what is to be said of them.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) weights: Weights,
    /// What of a file was taken and what was drawn; `None` without a file.
    pub(super) said: Option<String>,
}

/// Draws the weights of `model` from `seed`, and takes over what the file `init` has under the same name with the same sizes.
///
/// # Errors
/// The file cannot be used, or is of another network and has less than half of the model's values.
pub(super) fn start(model: &Model, metadata: Metadata, seed: u64, init: Option<&Path>) -> Result<Start> {
    let mut weights = initial_weights(model, metadata, seed);
    let Some(path) = init else { return Ok(Start { weights, said: None }) };
    let given = Weights::load(path)?;
    if !given.is_finite() {
        return Err(unusable(path, "holds NaN or Inf; give weights of another run"));
    }
    let (mut taken, mut values, mut drawn) = (0_usize, 0_usize, Vec::new());
    for (name, shape, data) in &mut weights.tensors {
        match given.find(name) {
            Some((found, from)) if found == *shape => {
                data.copy_from_slice(from);
                taken += 1;
                values += data.len();
            }
            Some((found, _)) => drawn.push(format!("{name} ({found} there, {shape} here)")),
            None => drawn.push(format!("{name} (not there)")),
        }
    }
    let all: usize = weights.tensors.iter().map(|(.., data)| data.len()).sum();
    // Of the same network, other sizes are meant: what depends on them is drawn.
    if 2 * values < all && (values == 0 || given.metadata.network != model.name()) {
        return Err(Error::Setting(format!(
            "`init` {}: it holds weights of {}, and only {values} of the {all} values of {} are among them; give weights of \
             the same network, or its name as `network`",
            path.display(),
            given.metadata.network,
            model.name()
        )));
    }
    let left: Vec<&str> =
        given.tensors.iter().map(|(name, ..)| name.as_str()).filter(|name| weights.find(name).is_none()).collect();
    let mut said = format!("{taken} of {} tensors are those of {}", weights.tensors.len(), path.display());
    if !drawn.is_empty() {
        said += &format!("; drawn anew: {}", listed(&drawn));
    }
    if !left.is_empty() {
        said += &format!("; left out: {}", listed(&left));
    }
    Ok(Start { weights, said: Some(said) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::find;

    #[test]
    fn what_fits_is_taken_and_the_rest_is_drawn_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old.safetensors");
        let network = find("zf64").unwrap();
        let (old, new) = (network.model().unwrap(), network.sized(None, Some(64)).unwrap());
        let of = |model: &Model, seed| initial_weights(model, Metadata::of(model).unwrap(), seed);
        of(&old, 1).save(&path).unwrap();
        let begin = |model: &Model, init| start(model, Metadata::of(model).unwrap(), 2, init);
        assert_eq!(begin(&old, None).unwrap().weights, of(&old, 2));
        let same = begin(&old, Some(&path)).unwrap();
        assert_eq!(same.weights, of(&old, 1));
        assert!(!same.said.unwrap().contains("drawn"));
        let other = begin(&new, Some(&path)).unwrap();
        let (mut drawn, mut taken) = (Vec::new(), 0);
        for (name, shape, data) in &other.weights.tensors {
            match of(&old, 1).find(name) {
                Some((found, from)) if found == *shape => {
                    assert_eq!(from, data);
                    taken += 1;
                }
                _ => {
                    assert_eq!(of(&new, 2).find(name).unwrap().1, data);
                    drawn.push(name.clone());
                }
            }
        }
        let said = other.said.unwrap();
        assert!(taken > 4 && !drawn.is_empty() && drawn.iter().all(|name| said.contains(name)), "{said}");
        let text = begin(&find("nn4").unwrap().model().unwrap(), Some(&path)).unwrap_err().to_string();
        assert!(text.contains("holds weights of zf64") && text.contains("values of nn4"), "{text}");
        let mut broken = of(&old, 1);
        broken.tensors[0].2[0] = f32::NAN;
        broken.save(&path).unwrap();
        assert!(begin(&old, Some(&path)).unwrap_err().to_string().contains("holds NaN or Inf"));
    }
}
