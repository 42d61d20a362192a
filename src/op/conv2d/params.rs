//! What the kernels of convolutions are told.

use crate::params;

params! {
    /// Sizes of a convolution, as its kernels read them.
    pub(in crate::op) struct Conv2dParams {
        /// Images.
        n: u32,
        /// Height of the input.
        h_in: u32,
        /// Width of the input.
        w_in: u32,
        /// Channels of the input.
        c_in: u32,
        /// Height of the output.
        h_out: u32,
        /// Width of the output.
        w_out: u32,
        /// Channels of the output.
        c_out: u32,
        /// Kernel rows.
        k_h: u32,
        /// Kernel columns.
        k_w: u32,
        /// Pixels from one window to the next, both ways.
        stride: u32,
        /// Rows of zeros above; those below show in the height of the output alone.
        pad_top: u32,
        /// Columns of zeros to the left; those to the right show in the width of the output alone.
        pad_left: u32,
        /// Parts in which a sum over the pixels is taken; only the gradients of weights and bias have them.
        splits: u32,
    }
}

params! {
    /// Sizes of a convolution with groups of channels or a dilated kernel, as its kernels read them.
    pub(super) struct GroupedParams {
        /// Images.
        n: u32,
        /// Height of the input.
        h_in: u32,
        /// Width of the input.
        w_in: u32,
        /// Channels of the input.
        c_in: u32,
        /// Height of the output.
        h_out: u32,
        /// Width of the output.
        w_out: u32,
        /// Channels of the output.
        c_out: u32,
        /// Kernel rows.
        k_h: u32,
        /// Kernel columns.
        k_w: u32,
        /// Pixels from one window to the next, both ways.
        stride: u32,
        /// Rows of zeros above.
        pad_top: u32,
        /// Columns of zeros to the left.
        pad_left: u32,
        /// Input rows from one kernel row to the next.
        dilation_h: u32,
        /// Input columns from one kernel column to the next.
        dilation_w: u32,
        /// Groups of channels; a channel of the output sees those of its group.
        groups: u32,
        /// Parts in which a sum over the pixels is taken; only the gradient of the weights has them.
        splits: u32,
    }
}

impl GroupedParams {
    /// The same sizes with groups and dilation.
    pub(super) fn new(p: Conv2dParams, [dilation_h, dilation_w]: [u32; 2], groups: u32) -> Self {
        let Conv2dParams { n, h_in, w_in, c_in, h_out, w_out, c_out, k_h, k_w, stride, pad_top, pad_left, splits } = p;
        Self {
            n,
            h_in,
            w_in,
            c_in,
            h_out,
            w_out,
            c_out,
            k_h,
            k_w,
            stride,
            pad_top,
            pad_left,
            dilation_h,
            dilation_w,
            groups,
            splits,
        }
    }
}
