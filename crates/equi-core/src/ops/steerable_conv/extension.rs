//! The convolution as an extension of Burn's backends.

#![cfg_attr(feature = "ndarray", allow(deprecated))] // Burn recommends flex; users ask for ndarray nevertheless.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

use super::{ConvSteps, ConvSymmetry, composed};

/// [`steerable_conv2d`](super::steerable_conv2d) as an extension of Burn's backends. The default is the backend's own convolution.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm")),
    Autodiff,
)]
pub trait SteerableConvOps: Backend {
    /// `y(p) = b + sum_q K(q) x(p + q)`.
    #[allow(unused_variables)] // Without a backend there is nothing to call.
    fn steerable_conv2d(
        input: FloatTensor<Self>,
        filter: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        steps: ConvSteps,
        symmetry: ConvSymmetry,
    ) -> FloatTensor<Self> {
        composed::steerable_conv2d::<Self>(input, filter, bias, steps)
    }

    /// The gradients of [`steerable_conv2d`](Self::steerable_conv2d) that are `needed`, of those by the input and by the filter.
    #[allow(unused_variables)] // Without a backend there is nothing to call.
    #[allow(clippy::type_complexity)] // The macro must see the type itself.
    fn steerable_conv2d_gradient(
        input: FloatTensor<Self>,
        filter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        steps: ConvSteps,
        symmetry: ConvSymmetry,
        needed: [bool; 2],
    ) -> (Option<FloatTensor<Self>>, Option<FloatTensor<Self>>) {
        composed::steerable_conv2d_gradient::<Self>(input, filter, gradient, steps, needed)
    }

    /// The gradient of [`steerable_conv2d`](Self::steerable_conv2d) by the bias: the sum of every channel of `[batch, channels, height, width]`.
    fn sum_of_channels(gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::sum_of_channels::<Self>(gradient)
    }
}

#[cfg(feature = "ndarray")]
impl SteerableConvOps for burn::backend::NdArray {}

#[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
impl SteerableConvOps for burn::backend::Cube {}
