//! The convolution as an extension of Burn's backends.

#![cfg_attr(feature = "ndarray", allow(deprecated))] // Burn recommends flex; users ask for ndarray nevertheless.

use burn::backend::ops::ModuleOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata, backend_extension};
use burn::tensor::ops::ConvOptions;

use super::{ConvSteps, ConvSymmetry};

impl ConvSteps {
    fn options(self) -> ConvOptions<2> {
        ConvOptions::new([self.stride; 2], [self.padding; 2], [self.dilation; 2], 1)
    }
}

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
        <Self as ModuleOps<Self>>::conv2d(input, filter, Some(bias), steps.options())
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
        let by_input = needed[0].then(|| {
            let (input, filter, gradient) = (input.clone(), filter.clone(), gradient.clone());
            <Self as ModuleOps<Self>>::conv2d_x_backward(input, filter, gradient, steps.options())
        });
        let by_filter = needed[1]
            .then(|| <Self as ModuleOps<Self>>::conv2d_weight_backward(input, filter, gradient, steps.options()));
        (by_input, by_filter)
    }

    /// The gradient of [`steerable_conv2d`](Self::steerable_conv2d) by the bias: the sum of every channel of `[batch, channels, height, width]`.
    fn sum_of_channels(gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        let channels = gradient.shape()[1];
        let sum = [3, 2, 0].into_iter().fold(gradient, |sum, dim| Self::float_sum_dim(sum, dim));
        Self::float_reshape(sum, [channels].into())
    }
}

#[cfg(feature = "ndarray")]
impl SteerableConvOps for burn::backend::NdArray {}

#[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
impl SteerableConvOps for burn::backend::Cube {}
