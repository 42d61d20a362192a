//! dlib's face recognition network (Davis King, 2017; `examples/dnn_face_recognition_ex.cpp`): a ResNet of 29 convolutions whose
//! embeddings have no unit length. Two faces of one person are less than 0.6 apart, 0.36 as a squared distance.
//!
//! | layer     | size out   | blocks                          |
//! |-----------|------------|---------------------------------|
//! | conv1     | 72x72x32   | 7x7, stride 2                   |
//! | pool1     | 35x35x32   | 3x3 max, stride 2               |
//! | level4    | 35x35x32   | 3                               |
//! | level3    | 17x17x64   | 1 with stride 2, 3              |
//! | level2    | 8x8x128    | 1 with stride 2, 2              |
//! | level1    | 4x4x256    | 1 with stride 2, 2              |
//! | level0    | 2x2x256    | 1 with stride 2                 |
//! | pool2     | 1x1x256    | average                         |
//! | embedding | 128        | no bias, no normalisation       |
//!
//! A block is two 3x3 convolutions and a shortcut around them, then a ReLU. With stride 2 the first convolution is not padded,
//! and the shortcut is 2x2 average pooling. Where the two sides differ, the smaller one has zeros below and to the right, and
//! behind its channels. Every convolution has a bias and batch normalisation, which dlib keeps as a scale and an offset
//! (`affine`).

use super::{Blocks, Network};
use crate::Result;
use crate::graph::Tensor;
use crate::op::{AvgPool2d, EndPad2d};

pub(super) static DLIB_RESNET_V1: Network = Network {
    name: "dlib-resnet-v1",
    input: [150, 150],
    embedding: 128,
    about: "dlib's face recognition network: a ResNet of 29 convolutions, embeddings of any length",
    layers,
};

/// Added to the variance by dlib's batch normalisation.
pub(crate) const EPS: f32 = 1e-4;

fn layers(n: &mut Blocks<'_>, images: Tensor) -> Result<Tensor> {
    n.batch_norm(EPS, true);
    let x = n.conv_valid("conv1", images, 32, 7, 2)?;
    let x = n.max_pool_valid("pool1", x)?;
    let x = level(n, "level4", x, 32, &[1, 1, 1])?;
    let x = level(n, "level3", x, 64, &[2, 1, 1, 1])?;
    let x = level(n, "level2", x, 128, &[2, 1, 1])?;
    let x = level(n, "level1", x, 256, &[2, 1, 1])?;
    let x = level(n, "level0", x, 256, &[2])?;
    let x = n.avg_pool("pool2", x)?;
    n.embedding_free(x)
}

/// Blocks of `channels` channels with these strides.
fn level(n: &mut Blocks<'_>, name: &str, x: Tensor, channels: u32, strides: &[u32]) -> Result<Tensor> {
    let mut blocks = strides.iter().enumerate();
    blocks.try_fold(x, |x, (i, &stride)| block(n, &format!("{name}/{i}"), x, channels, stride))
}

fn block(n: &mut Blocks<'_>, name: &str, x: Tensor, channels: u32, stride: u32) -> Result<Tensor> {
    let [conv1, conv2, pad] = ["conv1", "conv2", "pad"].map(|part| format!("{name}/{part}"));
    if stride == 1 {
        let y = n.conv(&conv1, x, channels, 3, 1)?;
        let y = n.conv_linear(&conv2, y, channels, 3)?;
        return n.residual(name, y, x, 1.0, true);
    }
    let y = n.conv_valid(&conv1, x, channels, 3, stride)?;
    let y = n.conv_linear(&conv2, y, channels, 3)?;
    let x = n.op(&format!("{name}/avg_pool"), AvgPool2d::window(2, 2, 0), &[x])?;
    let (long, short) = (n.op(&pad, EndPad2d, &[y, x])?, n.op(&pad, EndPad2d, &[x, y])?);
    n.residual(name, long, short, 1.0, true)
}
