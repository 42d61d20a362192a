//! Batch normalisation folded into the layer before it: for inference both are one affine map.

use std::borrow::Cow;
use std::path::Path;

use crate::Result;
use crate::net::Fold;
use crate::plan::Shape;
use crate::weights::Weights;

/// The values of the tensor `name` of a graph for inference, from weights as training leaves them: `layer/w` and
/// `layer/b` of a folded layer are computed, every other tensor is taken as it is.
///
/// # Errors
/// A tensor is missing or misshapen; `path` names the file in the message.
pub(super) fn folded<'w>(
    weights: &'w Weights,
    folds: &[Fold],
    name: &str,
    shape: Shape,
    path: &Path,
) -> Result<Cow<'w, [f32]>> {
    let (layer, part) = name.rsplit_once('/').unwrap_or((name, ""));
    let Some(fold) = folds.iter().find(|fold| fold.layer == layer) else {
        return weights.tensor(name, shape, path).map(Cow::Borrowed);
    };
    let channels = Shape::vector(shape.channels());
    let tensor = |part: &str| weights.tensor(&format!("{layer}/{part}"), channels, path);
    let (gamma, var) = (tensor("gamma")?, tensor("var")?);
    let scale = gamma.iter().zip(var).map(|(&g, &v)| f64::from(g) / (f64::from(v) + f64::from(fold.eps)).sqrt());
    let scale: Vec<f64> = scale.collect();
    #[expect(clippy::cast_possible_truncation, reason = "the result is rounded to the device's precision once")]
    let round = |x: f64| x as f32;
    if part == "w" {
        let w = weights.tensor(name, shape, path)?;
        let row = |row: &[f32]| row.iter().zip(&scale).map(|(&w, s)| round(f64::from(w) * s)).collect::<Vec<_>>();
        return Ok(w.chunks_exact(scale.len()).flat_map(row).collect());
    }
    let (beta, mean) = (tensor("beta")?, tensor("mean")?);
    let bias = weights.find(name).map(|_| tensor("b")).transpose()?;
    let value = |c: usize| {
        let b = bias.map_or(0.0, |b| f64::from(b[c]));
        round(f64::from(beta[c]) + (b - f64::from(mean[c])) * scale[c])
    };
    Ok((0..scale.len()).map(value).collect())
}
