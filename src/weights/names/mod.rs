//! How our tensors are called and laid out in other programs. One table serves import and export.

mod dlib;
mod facenet_pytorch;
mod openface;

use crate::data::preprocess::{Alignment, Normalise};
use crate::plan::Shape;
use crate::{Error, Result};

/// A program whose names we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// facenet-pytorch's `InceptionResnetV1`.
    FacenetPytorch,
    /// OpenFace's port to PyTorch, `openface/openfacenet.py`; the reader of Torch's own files gives its names, too.
    OpenFace,
    /// dlib's `face_recognition_model_v1`.
    Dlib,
}

/// One of our tensors in another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Foreign {
    /// Its name there.
    pub(super) name: String,
    /// Its sizes there.
    pub(super) shape: Vec<usize>,
    /// Axis `i` there is axis `order[i]` of ours.
    pub(super) order: &'static [usize],
}

/// `[k_h, k_w, c_in, c_out]` as `[c_out, c_in, k_h, k_w]`.
const CONVOLUTION: &[usize] = &[3, 2, 0, 1];
/// `[c_in, c_out]` as `[c_out, c_in]`.
const LINEAR: &[usize] = &[1, 0];
/// `[c_in, c_out]` as it is.
const LINEAR_AS_OURS: &[usize] = &[0, 1];
/// Biases and batch normalisation.
const VECTOR: &[usize] = &[0];

/// What PyTorch counts in every batch normalisation, and nobody reads.
pub(super) const COUNTER: &str = "num_batches_tracked";

impl Family {
    /// The program that has this network of ours.
    ///
    /// # Errors
    /// None has it; the message names the networks that have one.
    pub(super) fn of(network: &str) -> Result<Self> {
        match network {
            "inception-resnet-v1" => Ok(Self::FacenetPytorch),
            "dlib-resnet-v1" => Ok(Self::Dlib),
            name if name.starts_with("openface-") => Ok(Self::OpenFace),
            name => Err(Error::Setting(format!(
                "no other program has the network {name}; only inception-resnet-v1, dlib-resnet-v1 and those that begin with \
                 openface- can be imported"
            ))),
        }
    }

    /// The program's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FacenetPytorch => "facenet-pytorch",
            Self::OpenFace => "OpenFace's PyTorch port",
            Self::Dlib => "dlib",
        }
    }

    /// How the faces that it was trained on were aligned. facenet-pytorch's weights are those of David Sandberg's facenet.
    pub(super) fn alignment(self) -> Option<Alignment> {
        Alignment::preset(match self {
            Self::FacenetPytorch => "facenet",
            Self::OpenFace => "openface",
            Self::Dlib => "dlib",
        })
    }

    /// How the program turns bytes into floats.
    pub(super) fn normalise(self) -> Normalise {
        match self {
            Self::FacenetPytorch => Normalise::Fixed,
            Self::OpenFace => Normalise::Unit,
            Self::Dlib => Normalise::Dlib,
        }
    }

    /// The squared distance that the program gives for two faces of one person, whatever the weights.
    pub(super) fn threshold(self) -> Option<f32> {
        match self {
            Self::FacenetPytorch | Self::OpenFace => None,
            // 0.6, squared.
            Self::Dlib => Some(0.36),
        }
    }

    /// The weights of the last layer.
    pub(super) fn embedding(self) -> &'static str {
        match self {
            Self::FacenetPytorch => "last_linear.weight",
            Self::OpenFace => "ln.weight",
            Self::Dlib => "fc.weights",
        }
    }

    /// How the weights of a linear layer lie there.
    fn linear(self) -> &'static [usize] {
        match self {
            Self::FacenetPytorch | Self::OpenFace => LINEAR,
            Self::Dlib => LINEAR_AS_OURS,
        }
    }

    /// Dimensions of the embeddings of a last layer with weights of these sizes.
    pub(super) fn dimensions(self, sizes: &[usize]) -> Option<u32> {
        let axis = self.linear().iter().position(|&ours| ours == 1)?;
        u32::try_from(*sizes.get(axis)?).ok()
    }

    /// Whether it has a network with a layer of that name, such as `last_linear` or `incept4b`, as far as the name tells:
    /// what it is made of beside its numbers.
    pub(super) fn may_have(self, layer: &str, foreign: &[Foreign]) -> bool {
        let kind =
            |name: &str| name.split(['.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']).next().map(str::to_owned);
        foreign.iter().any(|f| kind(&f.name) == kind(layer))
    }

    /// Whether the tensor `name` of the program has no part in embeddings.
    pub(super) fn ignores(self, name: &str) -> bool {
        let counter = name.rsplit('.').next() == Some(COUNTER);
        counter || self == Self::FacenetPytorch && name.starts_with("logits.")
    }

    /// All tensors of a network (`layer/part` and sizes) in the program, in the same order.
    ///
    /// # Errors
    /// A tensor has no counterpart there; the message names it.
    pub(super) fn map(self, tensors: &[(String, Shape)]) -> Result<Vec<Foreign>> {
        let layers: Vec<&str> = tensors.iter().filter_map(|(name, _)| Some(name.rsplit_once('/')?.0)).collect();
        let foreign = |(name, shape): &(String, Shape)| {
            let name_there = name.rsplit_once('/').and_then(|(layer, part)| match self {
                Self::FacenetPytorch => facenet_pytorch::name(layer, part),
                Self::OpenFace => openface::name(layer, part, &layers),
                Self::Dlib => dlib::name(layer, part, &layers),
            });
            let order = [VECTOR, self.linear(), &[], CONVOLUTION][shape.rank() - 1];
            match name_there {
                Some(name) if !order.is_empty() => {
                    let shape = order.iter().map(|&axis| shape.dims()[axis] as usize).collect();
                    Ok(Foreign { name, shape, order })
                }
                _ => Err(Error::Setting(format!("the tensor {name} {shape} has no counterpart in {}", self.name()))),
            }
        };
        tensors.iter().map(foreign).collect()
    }
}

/// The name of a part of batch normalisation in PyTorch.
fn batch_norm(part: &str) -> Option<&'static str> {
    Some(match part {
        "gamma" => "weight",
        "beta" => "bias",
        "mean" => "running_mean",
        "var" => "running_var",
        _ => return None,
    })
}

/// The name of a part of a convolution or a linear layer in PyTorch.
fn weight_or_bias(part: &str) -> Option<&'static str> {
    Some(match part {
        "w" => "weight",
        "b" => "bias",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_without_a_counterpart_is_named() {
        for (family, name) in [
            (Family::FacenetPytorch, "conv2d_1a/b"),
            (Family::FacenetPytorch, "block8/conv2d/gamma"),
            (Family::OpenFace, "inception_3a/7x7/w"),
            (Family::OpenFace, "fc1/w"),
            (Family::OpenFace, "conv1"),
        ] {
            let tensors = [(name.to_string(), Shape::vector(3))];
            let text = family.map(&tensors).unwrap_err().to_string();
            assert!(text.contains(&format!("the tensor {name} [3] has no counterpart in")), "{text}");
        }
        assert!(Family::of("zf64").unwrap_err().to_string().contains("no other program has the network zf64"));
    }

    #[test]
    fn counters_and_logits_are_ignored_and_nothing_else() {
        let ignored = ["bn1.num_batches_tracked", "num_batches_tracked", "logits.weight"];
        assert_eq!(ignored.map(|name| Family::FacenetPytorch.ignores(name)), [true; 3]);
        let needed = ["bn1.weight", "logits", "my_logits.weight", "x.num_batches_tracked.weight"];
        assert_eq!(needed.map(|name| Family::FacenetPytorch.ignores(name)), [false; 4]);
        assert!(!Family::OpenFace.ignores("logits.weight"));
    }
}
