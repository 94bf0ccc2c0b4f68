//! Activations that the networks on graphs spend their time in.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::extension::RowOps;

/// `x sigmoid(x)`, also called swish.
///
/// Shapes: any; the output has that of the input.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as RowOps>::swish(x.into_dispatch()))
}

/// `x P(x)` with the normal distribution `P(x) = (1 + erf(x / sqrt 2)) / 2`, and its gradient. Burn's `gelu` has the same value; on most backends its
/// gradient is that of an approximation by tanh, which is off by up to a thousandth.
///
/// Shapes: any; the output has that of the input.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as RowOps>::gaussian_unit(x.into_dispatch()))
}

/// `silu(x + b)`, in one pass.
///
/// # Shapes
/// - `x`, output: `[rows, channels]`
/// - `bias`: `[channels]`
///
/// # Panics
/// If the channels differ.
pub fn bias_silu(x: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let ([_, channels], [given]) = (x.dims(), bias.dims());
    assert_eq!(given, channels, "bias_silu of {channels} channels was given a bias of {given}");
    Tensor::from_dispatch(<Dispatch as RowOps>::bias_swish(x.into_dispatch(), bias.into_dispatch()))
}

/// `x sigmoid(x w + b)`, in one pass: every row weighted by a number between 0 and 1 that it decides itself, as attention to the
/// messages of a network on a graph.
///
/// # Shapes
/// - `x`, output: `[rows, channels]`
/// - `weight`: `[channels, 1]`
/// - `bias`: `[1]`
///
/// # Panics
/// If the shapes do not fit.
pub fn gate(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let [rows, channels] = x.dims();
    let given = (weight.dims(), bias.dims());
    assert_eq!(
        given,
        ([channels, 1], [1]),
        "gate of {channels} channels takes a weight [{channels}, 1] and a bias [1]"
    );
    if rows * channels == 0 {
        return x;
    }
    Tensor::from_dispatch(<Dispatch as RowOps>::gate(x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()))
}

/// `gelu(n)` with `n = (x - mean) / sqrt(variance + epsilon) * scale + shift`, in one pass: layer normalisation over the channels of a row, then
/// the exact GELU `n (1 + erf(n / sqrt 2)) / 2`.
///
/// # Shapes
/// - `x`, output: `[rows, channels]`
/// - `scale`, `shift`: `[channels]`
///
/// # Panics
/// If the shapes do not fit.
pub fn norm_gelu(x: Tensor<2>, scale: Tensor<1>, shift: Tensor<1>, epsilon: f64) -> Tensor<2> {
    let [rows, channels] = x.dims();
    let given = (scale.dims(), shift.dims());
    assert_eq!(given, ([channels], [channels]), "norm_gelu of {channels} channels takes as many scales and shifts");
    if rows * channels == 0 {
        // With a gradient by the scale and the shift: zero.
        return x * scale.unsqueeze() + shift.unsqueeze();
    }
    Tensor::from_dispatch(<Dispatch as RowOps>::norm_gelu(
        x.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
        epsilon,
    ))
}
