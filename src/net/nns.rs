//! NNS1 and NNS2, the paper's networks for phones. The paper gives their inputs and totals only: 165x165, 26 M parameters
//! and 220 M multiply-adds ("mini Inception"); 140x116, 4.3 M and 20 M ("tiny Inception"). The layers are ours, and meet
//! the totals within 2 %. Such small images leave no room for so many parameters in convolutions without exceeding the
//! multiply-adds, so that most stand in a fully connected layer over the last map.
//!
//! | NNS1   | size out  | 1x1 | 3x3 reduce, 3x3 | 5x5 reduce, 5x5 | pooling, projection |
//! |--------|-----------|-----|-----------------|-----------------|---------------------|
//! | conv1  | 83x83x32  |     | 5x5, stride 2   |                 |                     |
//! | pool1  | 42x42x32  |     |                 |                 | max, stride 2       |
//! | 2      | 42x42x80  |     | 32, 80          |                 |                     |
//! | pool2  | 21x21x80  |     |                 |                 | max, stride 2       |
//! | 3a     | 21x21x128 | 32  | 48, 64          | 8, 16           | max, 16             |
//! | 3b     | 21x21x192 | 48  | 48, 80          | 16, 32          | L2, 32              |
//! | 3c     | 11x11x352 |     | 64, 128, /2     | 16, 32, /2      | max, stride 2       |
//! | 4a     | 11x11x352 | 128 | 64, 128         | 16, 32          | L2, 64              |
//! | 4b     | 11x11x352 | 112 | 64, 144         | 16, 32          | L2, 64              |
//! | 4e     | 6x6x576   |     | 96, 160, /2     | 32, 64, /2      | max, stride 2       |
//! | 5a     | 6x6x576   | 192 | 96, 256         | 24, 64          | L2, 64              |
//! | fc1    | 1184      |     |                 |                 |                     |
//!
//! | NNS2   | size out  | 1x1 | 3x3 reduce, 3x3 | 5x5 reduce, 5x5 | pooling, projection |
//! |--------|-----------|-----|-----------------|-----------------|---------------------|
//! | conv1  | 70x58x16  |     | 3x3, stride 2   |                 |                     |
//! | pool1  | 35x29x16  |     |                 |                 | max, stride 2       |
//! | 2      | 35x29x32  |     | 16, 32          |                 |                     |
//! | pool2  | 18x15x32  |     |                 |                 | max, stride 2       |
//! | 3a     | 18x15x80  | 16  | 16, 32          | 8, 16           | max, 16             |
//! | 3c     | 9x8x144   |     | 32, 48, /2      | 8, 16, /2       | max, stride 2       |
//! | 4a     | 9x8x128   | 32  | 32, 64          | 8, 16           | L2, 16              |
//! | 4e     | 5x4x208   |     | 32, 64, /2      | 8, 16, /2       | max, stride 2       |
//! | 5a     | 5x4x192   | 64  | 48, 96          |                 | L2, 32              |
//! | fc1    | 1056      |     |                 |                 |                     |

use super::{Blocks, Inception, Network, Norm};
use crate::Result;
use crate::graph::Tensor;

pub(super) static NNS1: Network = Network {
    name: "nns1",
    input: [165, 165],
    embedding: 128,
    about: "mini Inception for phones with the paper's totals for NNS1 (layers ours): 26 M parameters",
    layers: nns1,
};

pub(super) static NNS2: Network = Network {
    name: "nns2",
    input: [140, 116],
    embedding: 128,
    about: "tiny Inception for phones with the paper's totals for NNS2 (layers ours): 20 M multiply-adds",
    layers: nns2,
};

const NNS1_MODULES: [(&str, Inception); 7] = [
    ("3a", Inception::same(32, [48, 64], [8, 16], (Norm::Max, 16))),
    ("3b", Inception::same(48, [48, 80], [16, 32], (Norm::L2, 32))),
    ("3c", Inception::halving([64, 128], [16, 32])),
    ("4a", Inception::same(128, [64, 128], [16, 32], (Norm::L2, 64))),
    ("4b", Inception::same(112, [64, 144], [16, 32], (Norm::L2, 64))),
    ("4e", Inception::halving([96, 160], [32, 64])),
    ("5a", Inception::same(192, [96, 256], [24, 64], (Norm::L2, 64))),
];

const NNS2_MODULES: [(&str, Inception); 5] = [
    ("3a", Inception::same(16, [16, 32], [8, 16], (Norm::Max, 16))),
    ("3c", Inception::halving([32, 48], [8, 16])),
    ("4a", Inception::same(32, [32, 64], [8, 16], (Norm::L2, 16))),
    ("4e", Inception::halving([32, 64], [8, 16])),
    ("5a", Inception::same(64, [48, 96], [0, 0], (Norm::L2, 32))),
];

fn nns1(n: &mut Blocks<'_>, images: Tensor) -> Result<Tensor> {
    let x = n.conv("conv1", images, 32, 5, 2)?;
    let x = n.max_pool("pool1", x)?;
    let x = n.conv("inception_2/3x3_reduce", x, 32, 1, 1)?;
    let x = n.conv("inception_2/3x3", x, 80, 3, 1)?;
    let x = n.max_pool("pool2", x)?;
    let x = n.inceptions(x, &NNS1_MODULES)?;
    let x = n.fully_connected("fc1", x, 1184)?;
    n.embedding(x)
}

fn nns2(n: &mut Blocks<'_>, images: Tensor) -> Result<Tensor> {
    let x = n.conv("conv1", images, 16, 3, 2)?;
    let x = n.max_pool("pool1", x)?;
    let x = n.conv("inception_2/3x3_reduce", x, 16, 1, 1)?;
    let x = n.conv("inception_2/3x3", x, 32, 3, 1)?;
    let x = n.max_pool("pool2", x)?;
    let x = n.inceptions(x, &NNS2_MODULES)?;
    let x = n.fully_connected("fc1", x, 1056)?;
    n.embedding(x)
}
