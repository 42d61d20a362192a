//! NN2, Table 2 of the paper, and the two networks that the paper derives from it: NN3, the same for smaller images, and
//! NN4, for 96x96, without the 5x5 convolutions of the upper modules.
//!
//! | module   | size out, NN2 | NN4      | 1x1 | 3x3 reduce, 3x3 | 5x5 reduce, 5x5   | pooling, projection |
//! |----------|---------------|----------|-----|-----------------|-------------------|---------------------|
//! | conv1    | 112x112x64    | 48x48    |     | 7x7, stride 2   |                   |                     |
//! | pool1    | 56x56x64      | 24x24    |     |                 |                   | max, stride 2; norm |
//! | 2        | 56x56x192     | 24x24    |     | 64, 192         |                   |                     |
//! | pool2    | 28x28x192     | 12x12    |     |                 |                   | norm; max, stride 2 |
//! | 3a       | 28x28x256     | 12x12    | 64  | 96, 128         | 16, 32            | max, 32             |
//! | 3b       | 28x28x320     | 12x12    | 64  | 96, 128         | 32, 64            | L2, 64              |
//! | 3c       | 14x14x640     | 6x6      |     | 128, 256, /2    | 32, 64, /2        | max, stride 2       |
//! | 4a       | 14x14x640     | 6x6      | 256 | 96, 192         | 32, 64            | L2, 128             |
//! | 4b       | 14x14x640     | 6x6      | 224 | 112, 224        | 32, 64            | L2, 128             |
//! | 4c       | 14x14x640     | 6x6      | 192 | 128, 256        | 32, 64            | L2, 128             |
//! | 4d       | 14x14x640     | 6x6      | 160 | 144, 288        | 32, 64            | L2, 128             |
//! | 4e       | 7x7x1024      | 3x3x896  |     | 160, 256, /2    | 64, 128, /2; NN4: - | max, stride 2     |
//! | 5a       | 7x7x1024      | 3x3x896  | 384 | 192, 384        | 48, 128; NN4: -   | L2, 128             |
//! | 5b       | 7x7x1024      | 3x3x896  | 384 | 192, 384        | 48, 128; NN4: -   | max, 128            |
//! | avg pool | 1x1x1024      | 1x1x896  |     |                 |                   |                     |
//!
//! Our choices where the paper is silent: every layer is padded by half its kernel, L2 pooling too; the normalisation's
//! constants are OpenFace's. The paper does not print NN4's table. Of all ways to leave out 5x5 branches at 96x96, this
//! one alone meets both its numbers: 285 M multiply-adds and 6.6 M parameters.

use super::{Blocks, Inception, Network, Norm};
use crate::Result;
use crate::graph::Tensor;

pub(super) static NN2: Network = Network {
    name: "nn2",
    input: [224, 224],
    embedding: 128,
    about: "NN2 of the paper (Table 2), Inception: 7.5 M parameters",
    layers: nn2,
};

pub(super) static NN3: Network = Network {
    name: "nn3",
    input: [160, 160],
    embedding: 128,
    about: "NN3 of the paper: NN2 for 160x160, half of its multiply-adds",
    layers: nn2,
};

pub(super) static NN4: Network = Network {
    name: "nn4",
    input: [96, 96],
    embedding: 128,
    about: "NN4 of the paper: NN2 for 96x96 without 5x5 convolutions in 4e, 5a and 5b",
    layers: nn4,
};

const MODULES: [(&str, Inception); 7] = [
    ("3a", Inception::same(64, [96, 128], [16, 32], (Norm::Max, 32))),
    ("3b", Inception::same(64, [96, 128], [32, 64], (Norm::L2, 64))),
    ("3c", Inception::halving([128, 256], [32, 64])),
    ("4a", Inception::same(256, [96, 192], [32, 64], (Norm::L2, 128))),
    ("4b", Inception::same(224, [112, 224], [32, 64], (Norm::L2, 128))),
    ("4c", Inception::same(192, [128, 256], [32, 64], (Norm::L2, 128))),
    ("4d", Inception::same(160, [144, 288], [32, 64], (Norm::L2, 128))),
];
const MODULE_4E: Inception = Inception::halving([160, 256], [64, 128]);
const MODULE_5A: Inception = Inception::same(384, [192, 384], [48, 128], (Norm::L2, 128));
const MODULE_5B: Inception = Inception::same(384, [192, 384], [48, 128], (Norm::Max, 128));

fn nn2(n: &mut Blocks<'_>, images: Tensor) -> Result<Tensor> {
    inception(n, images, [MODULE_4E, MODULE_5A, MODULE_5B])
}

fn nn4(n: &mut Blocks<'_>, images: Tensor) -> Result<Tensor> {
    inception(n, images, [MODULE_4E.without_5x5(), MODULE_5A.without_5x5(), MODULE_5B.without_5x5()])
}

fn inception(n: &mut Blocks<'_>, images: Tensor, [m4e, m5a, m5b]: [Inception; 3]) -> Result<Tensor> {
    let x = n.inception_stem(images)?;
    let x = n.inceptions(x, &MODULES)?;
    let x = n.inceptions(x, &[("4e", m4e), ("5a", m5a), ("5b", m5b)])?;
    let x = n.avg_pool("avg_pool", x)?;
    n.embedding(x)
}

impl Blocks<'_> {
    /// The layers before the first module: those of NN2 and of OpenFace's networks.
    ///
    /// # Errors
    /// `images` is no image batch.
    pub(super) fn inception_stem(&mut self, images: Tensor) -> Result<Tensor> {
        let x = self.conv("conv1", images, 64, 7, 2)?;
        let x = self.max_pool("pool1", x)?;
        let x = self.local_response_norm("norm1", x)?;
        let x = self.conv("inception_2/3x3_reduce", x, 64, 1, 1)?;
        let x = self.conv("inception_2/3x3", x, 192, 3, 1)?;
        let x = self.local_response_norm("norm2", x)?;
        self.max_pool("pool2", x)
    }
}
