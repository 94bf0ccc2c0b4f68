//! Activations that the networks on graphs spend their time in.

use burn::tensor::Tensor;

/// `x sigmoid(x)`, also called swish.
///
/// Shapes: any; the output has that of the input.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    burn::tensor::activation::silu(x)
}
