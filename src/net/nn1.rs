//! NN1, Table 1 of the paper: Zeiler and Fergus' network with 1x1 convolutions.
//!
//! | layer   | size in    | size out   | kernel, stride |
//! |---------|------------|------------|----------------|
//! | conv1   | 220x220x3  | 110x110x64 | 7x7, 2         |
//! | pool1   | 110x110x64 | 55x55x64   | 3x3 max, 2     |
//! | rnorm1  | 55x55x64   | 55x55x64   |                |
//! | conv2a  | 55x55x64   | 55x55x64   | 1x1, 1         |
//! | conv2   | 55x55x64   | 55x55x192  | 3x3, 1         |
//! | rnorm2  | 55x55x192  | 55x55x192  |                |
//! | pool2   | 55x55x192  | 28x28x192  | 3x3 max, 2     |
//! | conv3a  | 28x28x192  | 28x28x192  | 1x1, 1         |
//! | conv3   | 28x28x192  | 28x28x384  | 3x3, 1         |
//! | pool3   | 28x28x384  | 14x14x384  | 3x3 max, 2     |
//! | conv4a  | 14x14x384  | 14x14x384  | 1x1, 1         |
//! | conv4   | 14x14x384  | 14x14x256  | 3x3, 1         |
//! | conv5a  | 14x14x256  | 14x14x256  | 1x1, 1         |
//! | conv5   | 14x14x256  | 14x14x256  | 3x3, 1         |
//! | conv6a  | 14x14x256  | 14x14x256  | 1x1, 1         |
//! | conv6   | 14x14x256  | 14x14x256  | 3x3, 1         |
//! | pool4   | 14x14x256  | 7x7x256    | 3x3 max, 2     |
//! | fc1     | 7x7x256    | 32x128     | maxout, 2      |
//! | fc2     | 32x128     | 32x128     | maxout, 2      |
//! | fc7128  | 32x128     | 128        | linear, L2     |
//!
//! The paper says neither how the layers are padded (half the kernel gives its sizes), nor the constants of the
//! normalisation (OpenFace's), nor whether a ReLU follows maxout (none does here): these are our choices. Its row
//! `concat` changes nothing. The embedding is `embedding` here as in every network, and the matrix of `fc1`, 411 MB, is
//! split by columns, so that every adapter can bind it: `fc1/part0` to `fc1/part3`.

use super::{Blocks, Network};
use crate::Result;
use crate::graph::Tensor;

pub(super) static NN1: Network = Network {
    name: "nn1",
    input: [220, 220],
    embedding: 128,
    about: "NN1 of the paper (Table 1), Zeiler&Fergus with 1x1 convolutions: 140 M parameters",
    layers,
};

fn layers(n: &mut Blocks<'_>, images: Tensor) -> Result<Tensor> {
    let x = n.conv("conv1", images, 64, 7, 2)?;
    let x = n.max_pool("pool1", x)?;
    let x = n.local_response_norm("rnorm1", x)?;
    let x = n.conv("conv2a", x, 64, 1, 1)?;
    let x = n.conv("conv2", x, 192, 3, 1)?;
    let x = n.local_response_norm("rnorm2", x)?;
    let x = n.max_pool("pool2", x)?;
    let x = n.conv("conv3a", x, 192, 1, 1)?;
    let x = n.conv("conv3", x, 384, 3, 1)?;
    let x = n.max_pool("pool3", x)?;
    let x = n.conv("conv4a", x, 384, 1, 1)?;
    let x = n.conv("conv4", x, 256, 3, 1)?;
    let x = n.conv("conv5a", x, 256, 1, 1)?;
    let x = n.conv("conv5", x, 256, 3, 1)?;
    let x = n.conv("conv6a", x, 256, 1, 1)?;
    let x = n.conv("conv6", x, 256, 3, 1)?;
    let x = n.max_pool("pool4", x)?;
    let x = n.maxout("fc1", x, 32 * 128)?;
    let x = n.maxout("fc2", x, 32 * 128)?;
    n.embedding(x)
}
