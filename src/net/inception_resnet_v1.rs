//! Inception-ResNet-v1 as davidsandberg/facenet and timesler/facenet-pytorch have it: the network of the weights that
//! most people hold. Layers are named as in facenet-pytorch, with `/` for `.`; `last_linear` and `last_bn` are
//! `embedding`.
//!
//! | layer          | size out    |                                                           |
//! |----------------|-------------|-----------------------------------------------------------|
//! | conv2d_1a      | 79x79x32    | 3x3, stride 2                                             |
//! | conv2d_2a      | 77x77x32    | 3x3                                                       |
//! | conv2d_2b      | 77x77x64    | 3x3, padded                                               |
//! | maxpool_3a     | 38x38x64    | 3x3, stride 2                                             |
//! | conv2d_3b      | 38x38x80    | 1x1                                                       |
//! | conv2d_4a      | 36x36x192   | 3x3                                                       |
//! | conv2d_4b      | 17x17x256   | 3x3, stride 2                                             |
//! | repeat_1       | 17x17x256   | 5 residual blocks, scale 0.17: 1x1; 1x1 3x3; 1x1 3x3 3x3  |
//! | mixed_6a       | 8x8x896     | 3x3; 1x1 3x3 3x3; pooling; all with stride 2              |
//! | repeat_2       | 8x8x896     | 10 residual blocks, scale 0.10: 1x1; 1x1 1x7 7x1          |
//! | mixed_7a       | 3x3x1792    | 1x1 3x3; 1x1 3x3; 1x1 3x3 3x3; pooling; with stride 2     |
//! | repeat_3       | 3x3x1792    | 5 residual blocks, scale 0.20: 1x1; 1x1 1x3 3x1           |
//! | block8         | 3x3x1792    | one more, scale 1, without a ReLU                         |
//! | avgpool_1a     | 1x1x1792    |                                                           |
//! | embedding      | 512         | no bias, batch normalisation, L2                          |

use super::{Blocks, Network};
use crate::Result;
use crate::graph::Tensor;

pub(super) static INCEPTION_RESNET_V1: Network = Network {
    name: "inception-resnet-v1",
    input: [160, 160],
    embedding: 512,
    about: "Inception-ResNet-v1, the network of facenet and facenet-pytorch: 512 dimensions",
    layers,
};

/// Added to the variance.
const EPS: f32 = 1e-3;

fn layers(n: &mut Blocks<'_>, images: Tensor) -> Result<Tensor> {
    n.batch_norm(EPS, false);
    let x = n.conv_valid("conv2d_1a", images, 32, 3, 2)?;
    let x = n.conv_valid("conv2d_2a", x, 32, 3, 1)?;
    let x = n.conv("conv2d_2b", x, 64, 3, 1)?;
    let x = n.max_pool_valid("maxpool_3a", x)?;
    let x = n.conv_valid("conv2d_3b", x, 80, 1, 1)?;
    let x = n.conv_valid("conv2d_4a", x, 192, 3, 1)?;
    let x = n.conv_valid("conv2d_4b", x, 256, 3, 2)?;
    let x = (0..5).try_fold(x, |x, i| block35(n, &format!("repeat_1/{i}"), x))?;
    let x = mixed_6a(n, x)?;
    let x = (0..10).try_fold(x, |x, i| block17(n, &format!("repeat_2/{i}"), x))?;
    let x = mixed_7a(n, x)?;
    let x = (0..5).try_fold(x, |x, i| block8(n, &format!("repeat_3/{i}"), x, 0.20, true))?;
    let x = block8(n, "block8", x, 1.0, false)?;
    let x = n.avg_pool("avgpool_1a", x)?;
    let x = n.dropout("dropout", x)?;
    n.embedding_unit(x)
}

fn block35(n: &mut Blocks<'_>, name: &str, x: Tensor) -> Result<Tensor> {
    let a = n.conv(&format!("{name}/branch0"), x, 32, 1, 1)?;
    let b = n.conv(&format!("{name}/branch1/0"), x, 32, 1, 1)?;
    let b = n.conv(&format!("{name}/branch1/1"), b, 32, 3, 1)?;
    let c = n.conv(&format!("{name}/branch2/0"), x, 32, 1, 1)?;
    let c = n.conv(&format!("{name}/branch2/1"), c, 32, 3, 1)?;
    let c = n.conv(&format!("{name}/branch2/2"), c, 32, 3, 1)?;
    residual(n, name, x, &[a, b, c], 0.17, true)
}

fn block17(n: &mut Blocks<'_>, name: &str, x: Tensor) -> Result<Tensor> {
    let a = n.conv(&format!("{name}/branch0"), x, 128, 1, 1)?;
    let b = n.conv(&format!("{name}/branch1/0"), x, 128, 1, 1)?;
    let b = n.conv_rectangular(&format!("{name}/branch1/1"), b, 128, [1, 7])?;
    let b = n.conv_rectangular(&format!("{name}/branch1/2"), b, 128, [7, 1])?;
    residual(n, name, x, &[a, b], 0.10, true)
}

fn block8(n: &mut Blocks<'_>, name: &str, x: Tensor, scale: f32, relu: bool) -> Result<Tensor> {
    let a = n.conv(&format!("{name}/branch0"), x, 192, 1, 1)?;
    let b = n.conv(&format!("{name}/branch1/0"), x, 192, 1, 1)?;
    let b = n.conv_rectangular(&format!("{name}/branch1/1"), b, 192, [1, 3])?;
    let b = n.conv_rectangular(&format!("{name}/branch1/2"), b, 192, [3, 1])?;
    residual(n, name, x, &[a, b], scale, relu)
}

/// The end of a residual block: the branches side by side, brought to the channels of `x`, scaled and added to it.
fn residual(n: &mut Blocks<'_>, name: &str, x: Tensor, branches: &[Tensor], scale: f32, relu: bool) -> Result<Tensor> {
    let up = n.concat(&format!("{name}/concat"), branches)?;
    let up = n.project(&format!("{name}/conv2d"), up, n.shape(x).channels())?;
    n.residual(name, x, up, scale, relu)
}

fn mixed_6a(n: &mut Blocks<'_>, x: Tensor) -> Result<Tensor> {
    let a = n.conv_valid("mixed_6a/branch0", x, 384, 3, 2)?;
    let b = n.conv("mixed_6a/branch1/0", x, 192, 1, 1)?;
    let b = n.conv("mixed_6a/branch1/1", b, 192, 3, 1)?;
    let b = n.conv_valid("mixed_6a/branch1/2", b, 256, 3, 2)?;
    let c = n.max_pool_valid("mixed_6a/branch2", x)?;
    n.concat("mixed_6a", &[a, b, c])
}

fn mixed_7a(n: &mut Blocks<'_>, x: Tensor) -> Result<Tensor> {
    let a = n.conv("mixed_7a/branch0/0", x, 256, 1, 1)?;
    let a = n.conv_valid("mixed_7a/branch0/1", a, 384, 3, 2)?;
    let b = n.conv("mixed_7a/branch1/0", x, 256, 1, 1)?;
    let b = n.conv_valid("mixed_7a/branch1/1", b, 256, 3, 2)?;
    let c = n.conv("mixed_7a/branch2/0", x, 256, 1, 1)?;
    let c = n.conv("mixed_7a/branch2/1", c, 256, 3, 1)?;
    let c = n.conv_valid("mixed_7a/branch2/2", c, 256, 3, 2)?;
    let d = n.max_pool_valid("mixed_7a/branch3", x)?;
    n.concat("mixed_7a", &[a, b, c, d])
}
