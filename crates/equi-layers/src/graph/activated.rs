//! Linear maps with a SiLU after them, in as few passes as there can be.

use burn::nn::Linear;
use burn::tensor::Tensor;
use equi_core::ops::{Perceptron, bias_silu, linear, perceptron, silu};

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

/// `x W + b`, for many rows and few channels.
pub(crate) fn apply(map: &Linear, x: Tensor<2>) -> Tensor<2> {
    linear(x, map.weight.val(), map.bias.as_ref().map(|bias| bias.val()))
}

/// `output(silu(sum_k inputs_k(x_k)))`, and `x_0` where `residual`; the bias of the sum is that of the first input.
pub(crate) fn two_layers(inputs: Vec<(&Linear, Tensor<2>)>, output: &Linear, residual: bool) -> Tensor<2> {
    let (first, x) = &inputs[0];
    if let Some(bias) = &first.bias
        && inputs[1..].iter().all(|(linear, _)| linear.bias.is_none())
    {
        return perceptron(Perceptron {
            bias: bias.val(),
            inputs: inputs.iter().map(|(linear, x)| (x.clone(), linear.weight.val())).collect(),
            output: output.weight.val(),
            output_bias: output.bias.as_ref().map(|bias| bias.val()),
            residual,
        });
    }
    let sums = inputs[1..].iter().map(|(linear, x)| linear.forward(x.clone()));
    let sum = sums.fold(first.forward(x.clone()), |sum, next| sum + next);
    let y = output.forward(silu(sum));
    if residual { x.clone() + y } else { y }
}
