//! The Inception module: a row of the paper's Table 2.

use super::{Blocks, Norm, Pool};
use crate::Result;
use crate::graph::Tensor;

/// Order in which the branches stand side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// 1x1, 3x3, 5x5, pooling: that of the table's columns.
    Table,
    /// 3x3, 5x5, pooling, 1x1: that of Torch's `Inception`, which OpenFace uses.
    Torch,
}

/// One module: up to four branches over one input. Zero stands for a dash in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inception {
    /// Channels of the 1x1 convolution.
    pub conv1x1: u32,
    /// Channels of the 3x3 convolution and of the 1x1 reduction before it: `[reduction, 3x3]`.
    pub conv3x3: [u32; 2],
    /// The same for the 5x5 convolution.
    pub conv5x5: [u32; 2],
    /// Pooling beside the convolutions.
    pub pool: Pool,
    /// Channels of the 1x1 projection behind the pooling; without one all channels pass.
    pub pool_proj: u32,
    /// Stride of the 3x3 and the 5x5 convolution.
    pub stride: u32,
    /// Order of the branches.
    pub order: Order,
}

impl Inception {
    /// A module that keeps the size of its input.
    pub const fn same(conv1x1: u32, conv3x3: [u32; 2], conv5x5: [u32; 2], (norm, pool_proj): (Norm, u32)) -> Self {
        let pool = Pool { norm, stride: 1, pad: 1 };
        Self { conv1x1, conv3x3, conv5x5, pool, pool_proj, stride: 1, order: Order::Table }
    }

    /// A module that halves the size of its input: no 1x1 branch, and the pooled input passes whole.
    pub const fn halving(conv3x3: [u32; 2], conv5x5: [u32; 2]) -> Self {
        let pool = Pool { norm: Norm::Max, stride: 2, pad: 1 };
        Self { conv1x1: 0, conv3x3, conv5x5, pool, pool_proj: 0, stride: 2, order: Order::Table }
    }

    /// The same module without its 5x5 branch.
    #[must_use]
    pub const fn without_5x5(self) -> Self {
        Self { conv5x5: [0, 0], ..self }
    }

    /// The same module with another pooling.
    #[must_use]
    pub const fn pooling(self, pool: Pool) -> Self {
        Self { pool, ..self }
    }

    /// The same module with its branches in Torch's order.
    #[must_use]
    pub const fn torch(self) -> Self {
        Self { order: Order::Torch, ..self }
    }
}

impl Blocks<'_> {
    /// An Inception module; its layers are `name/1x1`, `name/3x3_reduce`, `name/3x3`, `name/5x5_reduce`, `name/5x5`,
    /// `name/pool` and `name/pool_proj`.
    ///
    /// # Errors
    /// `x` is no image batch, or smaller than a window.
    pub fn inception(&mut self, name: &str, x: Tensor, m: &Inception) -> Result<Tensor> {
        let mut branches = Vec::with_capacity(4);
        if m.conv1x1 > 0 {
            branches.push(self.conv(&format!("{name}/1x1"), x, m.conv1x1, 1, 1)?);
        }
        for ([reduce, c_out], k) in [(m.conv3x3, 3), (m.conv5x5, 5)] {
            if c_out > 0 {
                let x = self.conv(&format!("{name}/{k}x{k}_reduce"), x, reduce, 1, 1)?;
                branches.push(self.conv(&format!("{name}/{k}x{k}"), x, c_out, k, m.stride)?);
            }
        }
        let pooled = self.pool(&format!("{name}/pool"), x, m.pool)?;
        branches.push(match m.pool_proj {
            0 => pooled,
            c_out => self.conv(&format!("{name}/pool_proj"), pooled, c_out, 1, 1)?,
        });
        if m.order == Order::Torch && m.conv1x1 > 0 {
            branches.rotate_left(1);
        }
        self.concat(name, &branches)
    }

    /// Modules one after the other, named `inception_` and the first of each pair.
    ///
    /// # Errors
    /// As [`inception`](Self::inception).
    pub fn inceptions(&mut self, x: Tensor, modules: &[(&str, Inception)]) -> Result<Tensor> {
        modules.iter().try_fold(x, |x, (name, module)| self.inception(&format!("inception_{name}"), x, module))
    }
}
