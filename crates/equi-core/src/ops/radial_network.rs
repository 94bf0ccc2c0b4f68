//! Networks of two layers from what an edge knows to the weights of its message.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::extension::RowOps;

/// A layer of a [`radial_network`]: `norm_gelu(x W + b)` with its own scale and shift.
#[derive(Clone, Debug)]
pub struct RadialLayer {
    /// `W`, `[channels in, channels]`.
    pub weight: Tensor<2>,
    /// `b`, `[channels]`.
    pub bias: Tensor<1>,
    /// Scale of the normalisation, `[channels]`.
    pub scale: Tensor<1>,
    /// Shift of the normalisation, `[channels]`.
    pub shift: Tensor<1>,
}

/// `norm_gelu(norm_gelu(x W + b) W' + b')`, see [`norm_gelu`](super::norm_gelu), and a last column of ones, which makes a bias of what the next
/// matrix has for it.
///
/// Networks on edges would be most of what training keeps: five tensors as large as the output. Only the input is kept, and the gradient computes the
/// rest anew, one time the forward pass, whose matrices are small.
///
/// Where there is no row, the output is a constant: there is no gradient.
///
/// # Shapes
/// - `x`: `[rows, inputs]`
/// - output: `[rows, channels of the second layer + 1]`
///
/// # Panics
/// If the shapes do not fit.
pub fn radial_network(x: Tensor<2>, layers: [RadialLayer; 2], epsilon: f64) -> Tensor<2> {
    let [rows, mut inputs] = x.dims();
    for layer in &layers {
        let [given, channels] = layer.weight.dims();
        let others = [&layer.bias, &layer.scale, &layer.shift].map(|vector| vector.dims());
        assert!(
            given == inputs && given * channels > 0 && others == [[channels]; 3],
            "a layer of radial_network from {inputs} channels takes a weight [{inputs}, channels] and a bias, scale and shift [channels]; it was given \
             {:?} and {others:?}",
            layer.weight.dims()
        );
        inputs = channels;
    }
    if rows == 0 {
        return Tensor::zeros([0, inputs + 1], (&x.device(), x.dtype()));
    }
    let [first, second] = layers;
    Tensor::from_dispatch(<Dispatch as RowOps>::radial_network(
        x.into_dispatch(),
        first.weight.into_dispatch(),
        first.bias.into_dispatch(),
        first.scale.into_dispatch(),
        first.shift.into_dispatch(),
        second.weight.into_dispatch(),
        second.bias.into_dispatch(),
        second.scale.into_dispatch(),
        second.shift.into_dispatch(),
        epsilon,
    ))
}
