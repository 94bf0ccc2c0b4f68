//! Linear maps with a SiLU after them, in as few passes as there can be.

use burn::nn::Linear;
use burn::tensor::Tensor;
use equi_core::ops::{bias_silu, silu};

/// `silu(x W + b)`.
pub(crate) fn linear_silu(linear: &Linear, x: Tensor<2>) -> Tensor<2> {
    with_bias(linear, x.matmul(linear.weight.val()))
}

/// `silu(y + b)`, with the bias of a linear map.
pub(crate) fn with_bias(linear: &Linear, y: Tensor<2>) -> Tensor<2> {
    match &linear.bias {
        Some(bias) => bias_silu(y, bias.val()),
        None => silu(y),
    }
}
