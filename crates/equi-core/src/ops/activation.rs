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
