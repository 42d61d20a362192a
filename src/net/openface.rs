//! OpenFace's networks (cmusatyalab/openface, `models/openface/*.def.lua`): NN2 with batch normalisation behind every
//! convolution, and smaller ones for 96x96.
//!
//! | module | nn2 | nn4: as nn2 but | small1: as nn4 but | small2: as small1 but |
//! |--------|-----|-----------------|--------------------|-----------------------|
//! | 4b     | as the paper's | |                           | left out              |
//! | 4c, 4d | as the paper's | | left out                  |                       |
//! | 5a     | as the paper's | no 5x5 |                    | 256; 96, 384; L2, 96  |
//! | 5b     | as the paper's | no 5x5 |                    | 256; 96, 384; max, 96 |
//!
//! What differs from the paper's networks besides: the branches stand in Torch's order (3x3, 5x5, pooling, 1x1), and L2
//! pooling is not padded: its branch is smaller than the others and padded with zeros, as Torch's `DepthConcat` does.
//! The weights that were released as `nn4.small2.v1` were trained with an older pooling, of stride 2 and 3 without
//! padding; that is the last network.

use super::{Blocks, Inception, Network, Norm, Pool};
use crate::Result;
use crate::graph::Tensor;

/// Added to the variance by Torch's batch normalisation.
const EPS: f32 = 1e-5;

pub(super) static NN2: Network = Network {
    name: "openface-nn2",
    input: [224, 224],
    embedding: 128,
    about: "OpenFace's nn2: the paper's NN2 with batch normalisation",
    layers: |n, images| openface(n, images, &MODULES, &[MODULE_4E, MODULE_5A, MODULE_5B]),
};

pub(super) static NN4: Network = Network {
    name: "openface-nn4",
    input: [96, 96],
    embedding: 128,
    about: "OpenFace's nn4: its nn2 for 96x96 without 5x5 convolutions in 5a and 5b",
    layers: |n, images| openface(n, images, &MODULES, &NN4_TOP),
};

pub(super) static SMALL1: Network = Network {
    name: "openface-nn4-small1",
    input: [96, 96],
    embedding: 128,
    about: "OpenFace's nn4.small1: its nn4 without 4c and 4d",
    layers: |n, images| openface(n, images, &SMALL1_MODULES, &NN4_TOP),
};

pub(super) static SMALL2: Network = Network {
    name: "openface-nn4-small2",
    input: [96, 96],
    embedding: 128,
    about: "OpenFace's nn4.small2: its nn4 without 4b, 4c and 4d, with a narrower top",
    layers: |n, images| openface(n, images, &SMALL2_MODULES, &SMALL2_TOP),
};

pub(super) static SMALL2_V1: Network = Network {
    name: "openface-nn4-small2-v1",
    input: [96, 96],
    embedding: 128,
    about: "nn4.small2 with the older pooling that its released weights, nn4.small2.v1, need",
    layers: |n, images| openface(n, images, &V1_MODULES, &V1_TOP),
};

type Module = (&'static str, Inception);

const fn same(conv1x1: u32, conv3x3: [u32; 2], conv5x5: [u32; 2], norm: Norm, pool_proj: u32) -> Inception {
    let module = Inception::same(conv1x1, conv3x3, conv5x5, (norm, pool_proj)).torch();
    // Torch's L2 pooling knows no padding.
    match norm {
        Norm::Max => module,
        Norm::L2 => module.pooling(Pool { norm: Norm::L2, stride: 1, pad: 0 }),
    }
}

const MODULE_3A: Module = ("3a", same(64, [96, 128], [16, 32], Norm::Max, 32));
const MODULE_3B: Module = ("3b", same(64, [96, 128], [32, 64], Norm::L2, 64));
const MODULE_3C: Module = ("3c", Inception::halving([128, 256], [32, 64]).torch());
const MODULE_4A: Module = ("4a", same(256, [96, 192], [32, 64], Norm::L2, 128));
const MODULE_4B: Module = ("4b", same(224, [112, 224], [32, 64], Norm::L2, 128));
const MODULE_4C: Module = ("4c", same(192, [128, 256], [32, 64], Norm::L2, 128));
const MODULE_4D: Module = ("4d", same(160, [144, 288], [32, 64], Norm::L2, 128));
const MODULE_4E: Module = ("4e", Inception::halving([160, 256], [64, 128]).torch());
const MODULE_5A: Module = ("5a", same(384, [192, 384], [48, 128], Norm::L2, 128));
const MODULE_5B: Module = ("5b", same(384, [192, 384], [48, 128], Norm::Max, 128));

const MODULES: [Module; 7] = [MODULE_3A, MODULE_3B, MODULE_3C, MODULE_4A, MODULE_4B, MODULE_4C, MODULE_4D];
const NN4_TOP: [Module; 3] = [MODULE_4E, ("5a", MODULE_5A.1.without_5x5()), ("5b", MODULE_5B.1.without_5x5())];

const SMALL1_MODULES: [Module; 5] = [MODULE_3A, MODULE_3B, MODULE_3C, MODULE_4A, MODULE_4B];

const SMALL2_MODULES: [Module; 4] = [MODULE_3A, MODULE_3B, MODULE_3C, MODULE_4A];
const SMALL2_5A: Module = ("5a", same(256, [96, 384], [0, 0], Norm::L2, 96));
const SMALL2_5B: Module = ("5b", same(256, [96, 384], [0, 0], Norm::Max, 96));
const SMALL2_TOP: [Module; 3] = [MODULE_4E, SMALL2_5A, SMALL2_5B];

/// The module with the pooling of the released weights: stride 2 for the largest value, 3 for the L2 norm.
const fn v1((name, module): Module) -> Module {
    let stride = match module.pool.norm {
        Norm::Max => 2,
        Norm::L2 => 3,
    };
    (name, module.pooling(Pool { stride, pad: 0, ..module.pool }))
}

const V1_MODULES: [Module; 4] = [v1(MODULE_3A), v1(MODULE_3B), v1(MODULE_3C), v1(MODULE_4A)];
const V1_TOP: [Module; 3] = [v1(MODULE_4E), v1(SMALL2_5A), v1(SMALL2_5B)];

fn openface(n: &mut Blocks<'_>, images: Tensor, modules: &[Module], top: &[Module]) -> Result<Tensor> {
    n.batch_norm(EPS, true);
    let x = n.inception_stem(images)?;
    let x = n.inceptions(x, modules)?;
    let x = n.inceptions(x, top)?;
    let x = n.avg_pool("avg_pool", x)?;
    n.embedding(x)
}
