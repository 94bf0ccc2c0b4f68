//! The operations as an extension of Burn's backends.

#![cfg_attr(feature = "ndarray", allow(deprecated))] // Burn recommends flex; users ask for ndarray nevertheless.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

use super::{PoolWindow, composed};

/// Pointwise functions and maxima of feature maps. The defaults are composed of the backend's own operations; flex has kernels.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm")),
    Autodiff,
)]
pub trait FeatureMapOps: Backend {
    /// `x` where positive, else `alpha (exp(x) - 1)`.
    fn elu(x: FloatTensor<Self>, alpha: f64) -> FloatTensor<Self> {
        composed::elu::<Self>(x, alpha)
    }

    /// The gradient of [`elu`](Self::elu).
    fn elu_gradient(x: FloatTensor<Self>, alpha: f64, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::elu_gradient::<Self>(x, alpha, gradient)
    }

    /// The maximum over windows of `x [batch, channels, height, width]`. There is a channel and a sample at least.
    fn maximum_over_windows(x: FloatTensor<Self>, window: PoolWindow) -> FloatTensor<Self> {
        composed::maximum_over_windows::<Self>(x, window)
    }

    /// The gradient of [`maximum_over_windows`](Self::maximum_over_windows).
    fn maximum_over_windows_gradient(
        x: FloatTensor<Self>,
        window: PoolWindow,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        composed::maximum_over_windows_gradient::<Self>(x, window, gradient)
    }
}

#[cfg(feature = "ndarray")]
impl FeatureMapOps for burn::backend::NdArray {}

#[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
impl FeatureMapOps for burn::backend::Cube {}
