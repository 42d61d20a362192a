//! A compact network for 64x64 faces, ours, in the manner of Zeiler and Fergus (the paper's NN1): convolutions with
//! 3x3 max pooling between them, one fully connected layer, the embedding. No local response normalisation.
//!
//! | layer     | size in  | size out | kernel, stride |
//! |-----------|----------|----------|----------------|
//! | conv1     | 64x64x3  | 32x32x32 | 5x5, 2         |
//! | pool1     | 32x32x32 | 16x16x32 | 3x3 max, 2     |
//! | conv2     | 16x16x32 | 16x16x64 | 3x3, 1         |
//! | pool2     | 16x16x64 | 8x8x64   | 3x3 max, 2     |
//! | conv3     | 8x8x64   | 8x8x128  | 3x3, 1         |
//! | pool3     | 8x8x128  | 4x4x128  | 3x3 max, 2     |
//! | conv4     | 4x4x128  | 4x4x128  | 3x3, 1         |
//! | fc1       | 4x4x128  | 256      | ReLU           |
//! | embedding | 256      | 128      | linear, L2     |

use super::{Blocks, Network};
use crate::Result;
use crate::graph::Tensor;

/// The default network of `train`.
pub(super) static ZF64: Network = Network {
    name: "zf64",
    input: [64, 64],
    embedding: 128,
    about: "compact Zeiler&Fergus-style network for 64x64 faces (ours): trains in minutes on a processor",
    layers,
};

fn layers(n: &mut Blocks<'_>, images: Tensor) -> Result<Tensor> {
    let x = n.conv("conv1", images, 32, 5, 2)?;
    let x = n.max_pool("pool1", x)?;
    let x = n.conv("conv2", x, 64, 3, 1)?;
    let x = n.max_pool("pool2", x)?;
    let x = n.conv("conv3", x, 128, 3, 1)?;
    let x = n.max_pool("pool3", x)?;
    let x = n.conv("conv4", x, 128, 3, 1)?;
    let x = n.fully_connected("fc1", x, 256)?;
    n.embedding(x)
}
