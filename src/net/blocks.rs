//! The building blocks that networks are written in: one line per row of a paper's table.

use crate::Result;
use crate::graph::{Graph, Init, Op, Tensor};
use crate::model::{DROPOUT_SEED, EMBEDDINGS};
use crate::op::{
    Add, AvgPool2d, BatchNorm, CentrePad2d, Concat, Conv2d, Dropout, L2Normalize, L2Pool2d, Linear, LocalResponseNorm,
    MaxPool2d, Maxout, Prelu,
};
use crate::plan::Shape;

/// Which norm of a window a pooling takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// The largest value.
    Max,
    /// The square root of the sum of squares.
    L2,
}

/// A pooling with 3x3 windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// What it takes of a window.
    pub norm: Norm,
    /// From one window to the next, pixels.
    pub stride: u32,
    /// Pixels around the image.
    pub pad: u32,
}

/// What stands around the weights of a layer.
#[derive(Debug, Clone, Copy)]
struct Unit {
    bias: bool,
    /// Batch normalisation with this `eps`.
    batch_norm: Option<f32>,
    relu: bool,
}

impl Unit {
    /// A bias and nothing else.
    const LINEAR: Self = Self { bias: true, batch_norm: None, relu: false };
}

/// Adds layers to a model's graph, as it is trained. Parameters are named after their layer: `conv1/w`, `conv1/b`.
///
/// Convolutions have a bias and a ReLU, unless [`batch_norm`](Self::batch_norm) says otherwise.
#[derive(Debug)]
pub struct Blocks<'g> {
    graph: &'g mut Graph,
    dim: u32,
    largest: u32,
    unit: Unit,
    seed: Option<Tensor>,
    dropouts: u32,
}

impl<'g> Blocks<'g> {
    /// Most floats of one weight matrix; larger ones are split by columns. Every adapter binds 128 MiB.
    pub const LARGEST: u32 = 32 << 20;

    /// Adds to `graph`; embeddings get `dim` dimensions.
    pub fn new(graph: &'g mut Graph, dim: u32) -> Self {
        let unit = Unit { bias: true, batch_norm: None, relu: true };
        Self { graph, dim, largest: Self::LARGEST, unit, seed: None, dropouts: 0 }
    }

    /// Weight matrices of more than `floats` floats are split, instead of those of more than [`LARGEST`](Self::LARGEST).
    pub fn split_above(&mut self, floats: u32) {
        self.largest = floats;
    }

    /// From here on every convolution is followed by batch normalisation, and has a bias of its own only with `bias`.
    pub fn batch_norm(&mut self, eps: f32, bias: bool) {
        self.unit = Unit { bias, batch_norm: Some(eps), ..self.unit };
    }

    /// Sizes of a tensor.
    pub fn shape(&self, x: Tensor) -> Shape {
        self.graph.shape(x)
    }

    /// `k`x`k` convolution and ReLU, padded by `k / 2`: stride 1 keeps the size, stride 2 halves it.
    ///
    /// # Errors
    /// `x` is no image batch.
    pub fn conv(&mut self, name: &str, x: Tensor, c_out: u32, k: u32, stride: u32) -> Result<Tensor> {
        self.convolution(name, x, Conv2d::new(k, stride, k / 2), c_out, self.unit)
    }

    /// `k`x`k` convolution and ReLU without padding.
    ///
    /// # Errors
    /// `x` is no image batch, or smaller than the kernel.
    pub fn conv_valid(&mut self, name: &str, x: Tensor, c_out: u32, k: u32, stride: u32) -> Result<Tensor> {
        self.convolution(name, x, Conv2d::new(k, stride, 0), c_out, self.unit)
    }

    /// `k`x`k` convolution with stride 1 and without a ReLU, padded so that the size stays.
    ///
    /// # Errors
    /// `x` is no image batch.
    pub fn conv_linear(&mut self, name: &str, x: Tensor, c_out: u32, k: u32) -> Result<Tensor> {
        self.convolution(name, x, Conv2d::same(k), c_out, Unit { relu: false, ..self.unit })
    }

    /// `k`x`k` convolution without padding, and a PReLU, which begins as a ReLU; without batch normalisation.
    ///
    /// # Errors
    /// `x` is no image batch, or smaller than the kernel.
    pub fn conv_prelu(&mut self, name: &str, x: Tensor, c_out: u32, k: u32) -> Result<Tensor> {
        let y = self.convolution(name, x, Conv2d::new(k, 1, 0), c_out, Unit::LINEAR)?;
        self.prelu(name, y)
    }

    /// A PReLU with a slope for each channel, which belongs to layer `name`.
    fn prelu(&mut self, name: &str, x: Tensor) -> Result<Tensor> {
        let slopes = Shape::vector(self.shape(x).channels());
        let slopes = self.graph.param(format!("{name}/slope"), slopes, Init::Zeros, false);
        self.graph.op(format!("{name}/prelu"), Prelu, &[x, slopes])
    }

    /// `k_h`x`k_w` convolution and ReLU with stride 1, padded so that the size stays.
    ///
    /// # Errors
    /// `x` is no image batch.
    pub fn conv_rectangular(&mut self, name: &str, x: Tensor, c_out: u32, [k_h, k_w]: [u32; 2]) -> Result<Tensor> {
        let op = Conv2d::rectangular([k_h, k_w], 1, [k_h / 2, k_w / 2]);
        self.convolution(name, x, op, c_out, self.unit)
    }

    /// 1x1 convolution with a bias and nothing behind it.
    ///
    /// # Errors
    /// `x` is no image batch.
    pub fn project(&mut self, name: &str, x: Tensor, c_out: u32) -> Result<Tensor> {
        self.convolution(name, x, Conv2d::same(1), c_out, Unit::LINEAR)
    }

    fn convolution(&mut self, name: &str, x: Tensor, op: Conv2d, c_out: u32, unit: Unit) -> Result<Tensor> {
        let c_in = self.shape(x).nhwc(name)?[3];
        let [k_h, k_w] = op.kernel;
        let w = Shape::new(&[k_h, k_w, c_in, c_out])?;
        let init = Init::HeNormal { fan_in: k_h * k_w * c_in };
        self.layer(name, x, w, init, unit, |relu| Conv2d { relu, ..op })
    }

    /// A layer with weights, and what `unit` puts around them.
    fn layer<O: Op + 'static>(
        &mut self,
        name: &str,
        x: Tensor,
        w: Shape,
        init: Init,
        unit: Unit,
        op: impl FnOnce(bool) -> O,
    ) -> Result<Tensor> {
        let channels = Shape::new(&[w.channels()])?;
        let mut inputs = vec![x, self.graph.param(format!("{name}/w"), w, init, true)];
        if unit.bias {
            inputs.push(self.graph.param(format!("{name}/b"), channels, Init::Zeros, false));
        }
        let Some(eps) = unit.batch_norm else {
            return self.graph.op(name, op(unit.relu), &inputs);
        };
        let y = self.graph.op(name, op(false), &inputs)?;
        let inputs = [
            y,
            self.graph.param(format!("{name}/gamma"), channels, Init::Ones, false),
            self.graph.param(format!("{name}/beta"), channels, Init::Zeros, false),
            self.graph.statistic(format!("{name}/mean"), channels, Init::Zeros),
            self.graph.statistic(format!("{name}/var"), channels, Init::Ones),
        ];
        let op = BatchNorm { relu: unit.relu, ..BatchNorm::new(eps) };
        self.graph.op(format!("{name}/batch_norm"), op, &inputs)
    }

    /// 3x3 pooling.
    ///
    /// # Errors
    /// `x` is no image batch, or smaller than the window.
    pub fn pool(&mut self, name: &str, x: Tensor, pool: Pool) -> Result<Tensor> {
        let Pool { norm, stride, pad } = pool;
        match norm {
            Norm::Max => self.graph.op(name, MaxPool2d::new(3, stride, pad), &[x]),
            Norm::L2 => self.graph.op(name, L2Pool2d::new(3, stride, pad), &[x]),
        }
    }

    /// 3x3 max pooling with stride 2, padded by 1: halves the size, rounded up.
    ///
    /// # Errors
    /// `x` is no image batch.
    pub fn max_pool(&mut self, name: &str, x: Tensor) -> Result<Tensor> {
        self.pool(name, x, Pool { norm: Norm::Max, stride: 2, pad: 1 })
    }

    /// 3x3 max pooling with stride 2, without padding.
    ///
    /// # Errors
    /// `x` is no image batch, or smaller than the window.
    pub fn max_pool_valid(&mut self, name: &str, x: Tensor) -> Result<Tensor> {
        self.pool(name, x, Pool { norm: Norm::Max, stride: 2, pad: 0 })
    }

    /// Mean of each channel over the whole image.
    ///
    /// # Errors
    /// `x` is no image batch.
    pub fn avg_pool(&mut self, name: &str, x: Tensor) -> Result<Tensor> {
        self.graph.op(name, AvgPool2d::global(), &[x])
    }

    /// Local response normalisation across channels. The paper gives no constants; these are OpenFace's.
    ///
    /// # Errors
    /// `x` has no channels.
    pub fn local_response_norm(&mut self, name: &str, x: Tensor) -> Result<Tensor> {
        self.graph.op(name, LocalResponseNorm::default(), &[x])
    }

    /// An op without parameters.
    ///
    /// # Errors
    /// The op cannot take `inputs`.
    pub fn op(&mut self, name: &str, op: impl Op + 'static, inputs: &[Tensor]) -> Result<Tensor> {
        self.graph.op(name, op, inputs)
    }

    /// Tensors side by side along their channels. Smaller images are padded with zeros all around, as Torch's
    /// `DepthConcat` does.
    ///
    /// # Errors
    /// The tensors are no image batches of one size.
    pub fn concat(&mut self, name: &str, tensors: &[Tensor]) -> Result<Tensor> {
        let mut largest = (tensors[0], [0, 0]);
        let mut sizes = Vec::with_capacity(tensors.len());
        for &x in tensors {
            let [_, h, w, _] = self.shape(x).nhwc(name)?;
            sizes.push([h, w]);
            if h * w > largest.1[0] * largest.1[1] {
                largest = (x, [h, w]);
            }
        }
        let mut inputs = Vec::with_capacity(tensors.len());
        for (&x, &size) in tensors.iter().zip(&sizes) {
            inputs.push(if size == largest.1 {
                x
            } else {
                self.graph.op(format!("{name}/pad"), CentrePad2d, &[x, largest.0])?
            });
        }
        self.side_by_side(name, inputs)
    }

    /// Any number of tensors side by side: the op takes eight at a time.
    fn side_by_side(&mut self, name: &str, mut tensors: Vec<Tensor>) -> Result<Tensor> {
        while tensors.len() > 1 {
            let mut joined = Vec::new();
            for some in tensors.chunks(8) {
                joined.push(if some.len() == 1 { some[0] } else { self.graph.op(name, Concat, some)? });
            }
            tensors = joined;
        }
        Ok(tensors[0])
    }

    /// `x + scale * up`: the end of a residual block, with a ReLU if there is one.
    ///
    /// # Errors
    /// The two have different sizes.
    pub fn residual(&mut self, name: &str, x: Tensor, up: Tensor, scale: f32, relu: bool) -> Result<Tensor> {
        self.graph.op(name, Add { scale, relu }, &[x, up])
    }

    /// Dropout, where a run wants it: see [`Purpose`](crate::graph::Purpose).
    ///
    /// # Errors
    /// Never: the part that is dropped comes with the purpose.
    pub fn dropout(&mut self, name: &str, x: Tensor) -> Result<Tensor> {
        let graph = &mut self.graph;
        let seed = *self.seed.get_or_insert_with(|| graph.input_u32(DROPOUT_SEED, Shape::vector(2)));
        let site = self.dropouts;
        self.dropouts += 1;
        self.graph.op(name, Dropout { p: 0.0, site }, &[x, seed])
    }

    /// Fully connected layer with bias and ReLU over everything of an image; never with batch normalisation.
    ///
    /// # Errors
    /// `c_out` is zero.
    pub fn fully_connected(&mut self, name: &str, x: Tensor, c_out: u32) -> Result<Tensor> {
        let unit = Unit { bias: true, batch_norm: None, relu: true };
        let mut parts = Vec::new();
        for (name, c_out) in self.parts(name, x, c_out, 1) {
            parts.push(self.linear(&name, x, c_out, unit)?);
        }
        self.side_by_side(name, parts)
    }

    /// Fully connected layer with a bias and nothing behind it, over everything of an image.
    ///
    /// # Errors
    /// `c_out` is zero.
    pub fn dense(&mut self, name: &str, x: Tensor, c_out: u32) -> Result<Tensor> {
        self.linear(name, x, c_out, Unit::LINEAR)
    }

    /// The same with a PReLU, which begins as a ReLU.
    ///
    /// # Errors
    /// `c_out` is zero.
    pub fn dense_prelu(&mut self, name: &str, x: Tensor, c_out: u32) -> Result<Tensor> {
        let y = self.dense(name, x, c_out)?;
        self.prelu(name, y)
    }

    /// Fully connected layer with maxout: the larger of two sums with bias for each of `c_out` outputs.
    ///
    /// # Errors
    /// `c_out` is zero.
    pub fn maxout(&mut self, name: &str, x: Tensor, c_out: u32) -> Result<Tensor> {
        const PIECES: u32 = 2;
        let mut parts = Vec::new();
        for (name, c_out) in self.parts(name, x, c_out, PIECES) {
            let y = self.linear(&name, x, c_out * PIECES, Unit::LINEAR)?;
            parts.push(self.graph.op(format!("{name}/maxout"), Maxout { pieces: PIECES }, &[y])?);
        }
        self.side_by_side(name, parts)
    }

    /// Names and outputs of the layers into which a fully connected layer must be split so that no weight matrix is
    /// larger than what one may be; the layer itself where it fits.
    fn parts(&self, name: &str, x: Tensor, c_out: u32, pieces: u32) -> Vec<(String, u32)> {
        let column = u64::from(self.features(x)) * u64::from(pieces);
        let fit = (u64::from(self.largest) / column).max(1);
        let count = u32::try_from(u64::from(c_out).div_ceil(fit)).unwrap_or(c_out);
        if count <= 1 {
            return vec![(name.to_string(), c_out)];
        }
        // Multiples of four keep the fast kernels.
        let even = c_out.div_ceil(count);
        let each = if u64::from(even.next_multiple_of(4)) <= fit { even.next_multiple_of(4) } else { even };
        let parts = (0..c_out).step_by(each as usize).zip(0..);
        parts.map(|(first, i)| (format!("{name}/part{i}"), each.min(c_out - first))).collect()
    }

    /// The end of almost every network: a linear layer to the embedding's dimensions, then rows of unit length.
    ///
    /// # Errors
    /// The weights are too many for 32-bit indices.
    pub fn embedding(&mut self, x: Tensor) -> Result<Tensor> {
        self.embedding_layer(x, Unit::LINEAR)
    }

    /// The same with what [`batch_norm`](Self::batch_norm) has asked for around it, as convolutions have it.
    ///
    /// # Errors
    /// The weights are too many for 32-bit indices.
    pub fn embedding_unit(&mut self, x: Tensor) -> Result<Tensor> {
        self.embedding_layer(x, Unit { relu: false, ..self.unit })
    }

    /// A linear layer without bias to the embedding's dimensions, whose rows have any length. Such a network is not trained
    /// here: the losses are those of rows of unit length.
    ///
    /// # Errors
    /// The weights are too many for 32-bit indices.
    pub fn embedding_free(&mut self, x: Tensor) -> Result<Tensor> {
        self.linear("embedding", x, self.dim, Unit { bias: false, batch_norm: None, relu: false })
    }

    fn embedding_layer(&mut self, x: Tensor, unit: Unit) -> Result<Tensor> {
        let y = self.linear("embedding", x, self.dim, unit)?;
        self.graph.op(EMBEDDINGS, L2Normalize::default(), &[y])
    }

    /// Floats of one image of a batch.
    fn features(&self, x: Tensor) -> u32 {
        self.shape(x).len_u32() / self.shape(x).batch()
    }

    fn linear(&mut self, name: &str, x: Tensor, c_out: u32, unit: Unit) -> Result<Tensor> {
        let fan_in = self.features(x);
        let init = if unit.relu { Init::HeNormal { fan_in } } else { Init::LecunNormal { fan_in } };
        self.layer(name, x, Shape::new(&[fan_in, c_out])?, init, unit, |relu| Linear { relu })
    }
}
