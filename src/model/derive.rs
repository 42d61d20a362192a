//! What inference computes from the parameters: batch normalisation folded into the layer before it, because on constants
//! both are one affine map.

use crate::graph::Recorder;
use crate::op::fold_batch_norm;
use crate::plan::{Buf, Phase, Plan, Role, Shape, Type};

/// A layer with batch normalisation behind it. For inference the layer stands alone, with the weights
/// `w * gamma / sqrt(var + eps)` and the bias `beta + (b - mean) * gamma / sqrt(var + eps)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Fold {
    /// The layer.
    pub layer: String,
    /// Name and sizes of its weights, `[.., c_out]`.
    pub w: (String, Shape),
    /// Name of its bias, if it has one.
    pub b: Option<String>,
    /// Names of gamma, beta, the running mean and the running variance.
    pub batch_norm: [String; 4],
    /// Added to the variance.
    pub eps: f32,
}

impl Fold {
    /// Name and sizes of the derived weights and bias.
    pub fn outputs(&self) -> [(String, Shape); 2] {
        let channels = Shape::vector(self.w.1.channels());
        [("w", self.w.1), ("b", channels)].map(|(part, shape)| (format!("{}/{part} folded", self.layer), shape))
    }
}

/// The plan that computes the derived tensors of all `folds` from the parameters, on the device that holds both.
pub fn derive_plan(folds: &[Fold]) -> Plan {
    let mut plan = Plan::default();
    for fold in folds {
        let channels = Shape::vector(fold.w.1.channels());
        let mut buffer = |name: &str, shape, role| plan.buffer(name, shape, Type::F32, role);
        let w = buffer(&fold.w.0, fold.w.1, Role::Param);
        let b: Option<Buf> = fold.b.as_ref().map(|name| buffer(name, channels, Role::Param));
        let [gamma, beta] = [0, 1].map(|at| buffer(&fold.batch_norm[at], channels, Role::Param));
        let [mean, var] = [2, 3].map(|at| buffer(&fold.batch_norm[at], channels, Role::Statistic));
        let [w_out, b_out] = fold.outputs().map(|(name, shape)| buffer(&name, shape, Role::Derived));
        let mut recorder = Recorder::new(&mut plan, &fold.layer);
        fold_batch_norm(&mut recorder, fold.eps, [w, gamma, var, beta, mean], b, [w_out, b_out]);
    }
    plan.end_phase(Phase::Derive);
    plan
}
