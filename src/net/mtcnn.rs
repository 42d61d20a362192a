//! MTCNN (Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", 2016): three
//! networks that find faces. Layers and names are those of facenet-pytorch, whose weights they take. They give no
//! embeddings, so they are not among [`NETWORKS`](super::NETWORKS).
//!
//! Convolutions are not padded, poolings round up, every layer has a bias, and those without an underscore have a PReLU behind
//! them.
//!
//! | P-Net   | size out  | kernel   || R-Net    | size out | kernel   || O-Net    | size out | kernel   |
//! |---------|-----------|----------||----------|----------|----------||----------|----------|----------|
//! | conv1   | 10x10x10  | 3x3      || conv1    | 22x22x28 | 3x3      || conv1    | 46x46x32 | 3x3      |
//! | pool1   | 5x5x10    | 2x2 max, 2 || pool1  | 11x11x28 | 3x3 max, 2 || pool1  | 23x23x32 | 3x3 max, 2 |
//! | conv2   | 3x3x16    | 3x3      || conv2    | 9x9x48   | 3x3      || conv2    | 21x21x64 | 3x3      |
//! | conv3   | 1x1x32    | 3x3      || pool2    | 4x4x48   | 3x3 max, 2 || pool2  | 10x10x64 | 3x3 max, 2 |
//! | `conv4_1` | 1x1x2     | softmax  || conv3    | 3x3x64   | 2x2      || conv3    | 8x8x64   | 3x3      |
//! | `conv4_2` | 1x1x4     |          || dense4   | 128      |          || pool3    | 4x4x64   | 2x2 max, 2 |
//! |         |           |          || `dense5_1` | 2        | softmax  || conv4    | 3x3x128  | 2x2      |
//! |         |           |          || `dense5_2` | 4        |          || dense5   | 256      |          |
//! |         |           |          ||          |          |          || `dense6_1` | 2        | softmax  |
//! |         |           |          ||          |          |          || `dense6_2` | 4        |          |
//! |         |           |          ||          |          |          || `dense6_3` | 10       |          |

use super::Blocks;
use crate::Result;
use crate::data::preprocess::{Normalise, Preprocess};
use crate::graph::{Graph, Tensor};
use crate::model::{IMAGES, Model, REFERENCE_BATCH};
use crate::op::{MaxPool2d, Softmax};
use crate::plan::Shape;

/// Name of the output that says how likely each window shows no face and a face, `[.., 2]`.
pub const PROBABILITIES: &str = "probabilities";
/// Name of the output that says where the face lies in its window, `[.., 4]`: how far the left, top, right and bottom edge
/// are from the window's, in parts of its width and height.
pub const REGRESSION: &str = "regression";
/// Name of O-Net's output with the landmarks, `[n, 10]`: five times x, then five times y, in parts of the window.
pub const LANDMARKS: &str = "landmarks";

/// P-Net, the proposal network: fully convolutional, a window of 12x12 pixels every two pixels of images of any size.
///
/// # Errors
/// None.
pub fn pnet() -> Result<Model> {
    model("mtcnn-pnet", "MTCNN's proposal network", 12, |n, images| {
        let x = n.conv_prelu("conv1", images, 10, 3)?;
        let x = n.op("pool1", MaxPool2d::new(2, 2, 0).with_ceil(), &[x])?;
        let x = n.conv_prelu("conv2", x, 16, 3)?;
        let x = n.conv_prelu("conv3", x, 32, 3)?;
        let face = n.project("conv4_1", x, 2)?;
        let face = n.op(PROBABILITIES, Softmax, &[face])?;
        Ok(vec![(PROBABILITIES, face), (REGRESSION, n.project("conv4_2", x, 4)?)])
    })
}

/// R-Net, the refinement network, for windows of 24x24 pixels.
///
/// # Errors
/// None.
pub fn rnet() -> Result<Model> {
    model("mtcnn-rnet", "MTCNN's refinement network", 24, |n, images| {
        let x = n.conv_prelu("conv1", images, 28, 3)?;
        let x = n.op("pool1", MaxPool2d::new(3, 2, 0).with_ceil(), &[x])?;
        let x = n.conv_prelu("conv2", x, 48, 3)?;
        let x = n.op("pool2", MaxPool2d::new(3, 2, 0).with_ceil(), &[x])?;
        let x = n.conv_prelu("conv3", x, 64, 2)?;
        let x = n.dense_prelu("dense4", x, 128)?;
        let face = n.dense("dense5_1", x, 2)?;
        let face = n.op(PROBABILITIES, Softmax, &[face])?;
        Ok(vec![(PROBABILITIES, face), (REGRESSION, n.dense("dense5_2", x, 4)?)])
    })
}

/// O-Net, the output network, for windows of 48x48 pixels.
///
/// # Errors
/// None.
pub fn onet() -> Result<Model> {
    model("mtcnn-onet", "MTCNN's output network", 48, |n, images| {
        let x = n.conv_prelu("conv1", images, 32, 3)?;
        let x = n.op("pool1", MaxPool2d::new(3, 2, 0).with_ceil(), &[x])?;
        let x = n.conv_prelu("conv2", x, 64, 3)?;
        let x = n.op("pool2", MaxPool2d::new(3, 2, 0).with_ceil(), &[x])?;
        let x = n.conv_prelu("conv3", x, 64, 3)?;
        let x = n.op("pool3", MaxPool2d::new(2, 2, 0).with_ceil(), &[x])?;
        let x = n.conv_prelu("conv4", x, 128, 2)?;
        let x = n.dense_prelu("dense5", x, 256)?;
        let face = n.dense("dense6_1", x, 2)?;
        let face = n.op(PROBABILITIES, Softmax, &[face])?;
        let regression = n.dense("dense6_2", x, 4)?;
        Ok(vec![(PROBABILITIES, face), (REGRESSION, regression), (LANDMARKS, n.dense("dense6_3", x, 10)?)])
    })
}

/// Named outputs.
type Outputs = Vec<(&'static str, Tensor)>;

/// A model of these layers on square images of `side` pixels.
fn model(
    name: &str,
    about: &str,
    side: u32,
    layers: impl FnOnce(&mut Blocks<'_>, Tensor) -> Result<Outputs>,
) -> Result<Model> {
    let mut graph = Graph::new();
    let images = graph.input(IMAGES, Shape::new(&[REFERENCE_BATCH, side, side, 3])?);
    // None of the layers is an embedding.
    let outputs = layers(&mut Blocks::new(&mut graph, 1), images)?;
    outputs.into_iter().for_each(|(name, tensor)| graph.set_output(name, tensor));
    let preprocess = Preprocess { height: side, width: side, normalise: Normalise::Fixed, crop: None, alignment: None };
    Model::new(name, about, preprocess, graph)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Purpose;

    /// Sizes of an output for images of this height and width.
    fn sizes(model: &Model, output: &str, input: [u32; 2]) -> Vec<u32> {
        let built = model.instance(3, input, Purpose::Inference).unwrap();
        built.graph.shape(built.graph.output(output).unwrap()).dims().to_vec()
    }

    #[test]
    fn the_networks_have_the_sizes_of_the_paper_and_no_embedding() {
        let [p, r, o] = [pnet().unwrap(), rnet().unwrap(), onet().unwrap()];
        assert_eq!([&p, &r, &o].map(Model::param_count), [6_632, 100_178, 389_040]);
        assert_eq!(sizes(&p, REGRESSION, [12, 12]), [3, 1, 1, 4]);
        assert_eq!(sizes(&r, REGRESSION, [24, 24]), [3, 4]);
        assert_eq!(sizes(&o, LANDMARKS, [48, 48]), [3, 10]);
        assert!(p.dimensions().is_err());
    }

    #[test]
    fn p_net_has_a_window_every_two_pixels_of_any_image_and_the_last_one_is_rounded_up() {
        let p = pnet().unwrap();
        for (input, windows) in [([12, 13], [1, 2]), ([14, 15], [2, 3]), ([151, 150], [71, 70])] {
            assert_eq!(sizes(&p, PROBABILITIES, input), [3, windows[0], windows[1], 2]);
        }
        assert!(p.instance(1, [11, 10], Purpose::Inference).is_err());
    }
}
