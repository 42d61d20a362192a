//! A network as a table: what the paper prints of NN1 and NN2, for any network and size.

use crate::Result;
use crate::graph::{Purpose, Source};
use crate::model::Model;
use crate::plan::Shape;

/// One row: a layer, or a whole module.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Name, as in the paper's tables.
    pub name: String,
    /// Sizes of what it reads, without the batch.
    pub size_in: String,
    /// Sizes of its output, without the batch.
    pub size_out: String,
    /// Kernel and stride, or what else is to say of it, of every op that differs from the ones before.
    pub kernels: Vec<String>,
    /// Trained parameters.
    pub params: u64,
    /// Multiply-adds for one image.
    pub macs: u64,
    /// Bytes of all its outputs for one image.
    pub activation_bytes: u64,
}

/// The rows of a network, and their totals for one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// In the order in which they are computed.
    pub layers: Vec<Layer>,
    /// Trained parameters.
    pub params: u64,
    /// Floats that are kept in weights files without being trained: running statistics.
    pub statistics: u64,
    /// Multiply-adds, what the paper calls FLOPS.
    pub macs: u64,
    /// Bytes of all activations.
    pub activation_bytes: u64,
}

impl Summary {
    /// The table of a model as it is trained, for one image. With `modules` a module is one row, else every layer is.
    ///
    /// # Errors
    /// Its images are too large for 32-bit indices.
    pub fn new(model: &Model, modules: bool) -> Result<Self> {
        let net = model.sized(1, Purpose::Training { dropout: 0.0, frozen: true })?;
        let mut layers: Vec<Layer> = Vec::new();
        for node in net.graph.nodes() {
            let Source::Op { op, inputs } = &node.source else { continue };
            let shapes: Vec<Shape> = inputs.iter().map(|&t| net.graph.shape(t)).collect();
            let params =
                |t: &&crate::graph::Tensor| matches!(net.graph.nodes()[t.index()].source, Source::Param { .. });
            let saved: u64 = op.saved(&shapes).iter().map(|(_, shape, _)| shape.len() as u64).sum();
            let layer = Layer {
                name: if modules { module(&node.name).to_string() } else { node.name.clone() },
                size_in: size(shapes[0]),
                size_out: size(node.shape),
                kernels: Some(op.summary()).filter(|text| !text.is_empty()).into_iter().collect(),
                params: inputs.iter().filter(params).map(|&t| net.graph.shape(t).len() as u64).sum(),
                macs: op.macs(&shapes),
                activation_bytes: 4 * (node.shape.len() as u64 + saved),
            };
            match layers.last_mut().filter(|last| modules && last.name == layer.name) {
                Some(last) => last.absorb(layer),
                None => layers.push(layer),
            }
        }
        Ok(Self {
            params: net.graph.param_count(),
            statistics: net.graph.weights().map(|(n, _)| n.shape.len() as u64).sum::<u64>() - net.graph.param_count(),
            macs: net.graph.macs(),
            activation_bytes: layers.iter().map(|l| l.activation_bytes).sum(),
            layers,
        })
    }
}

impl Layer {
    /// Makes one row of two: the second comes behind the first.
    fn absorb(&mut self, next: Self) {
        self.size_out = next.size_out;
        for kernel in next.kernels {
            if !self.kernels.contains(&kernel) {
                self.kernels.push(kernel);
            }
        }
        self.params += next.params;
        self.macs += next.macs;
        self.activation_bytes += next.activation_bytes;
    }
}

/// The module that a layer belongs to: its first name, with its number if it is one of several.
fn module(layer: &str) -> &str {
    let mut ends = layer.match_indices('/').map(|(at, _)| at).chain([layer.len()]);
    let first = ends.next().unwrap_or(layer.len());
    match ends.next() {
        Some(second) if layer[first + 1..second].bytes().all(|b| b.is_ascii_digit()) => &layer[..second],
        _ => &layer[..first],
    }
}

/// `56x56x64`, without the batch.
fn size(shape: Shape) -> String {
    shape.dims()[1..].iter().map(u32::to_string).collect::<Vec<_>>().join("x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_belongs_to_the_module_of_its_first_name_and_number() {
        for (layer, expected) in [
            ("conv1", "conv1"),
            ("conv1/batch_norm", "conv1"),
            ("inception_3a/3x3_reduce", "inception_3a"),
            ("repeat_1/0/branch1/1", "repeat_1/0"),
            ("fc1/part0", "fc1"),
        ] {
            assert_eq!(module(layer), expected);
        }
    }
}
